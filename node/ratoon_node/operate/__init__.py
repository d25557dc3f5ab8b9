"""What keeps a node itself alive: its own account, its keys on disk, the demonstration."""
