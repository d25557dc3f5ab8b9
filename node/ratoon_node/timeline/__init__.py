"""What people see, in which order: visibility, timelines with cursors, and the live feed."""
