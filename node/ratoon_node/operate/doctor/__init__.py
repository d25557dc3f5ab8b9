"""What can be wrong with a node, looked at from its folder and from what the node itself says.

Each check gives one `Finding`: what is so, and what to do if it should not be. Nothing is changed.
"""
