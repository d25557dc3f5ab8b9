"""Other nodes: who is let in, links to them, what is exchanged over those, and their receipts."""
