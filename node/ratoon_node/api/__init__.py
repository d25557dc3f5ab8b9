"""The node over HTTP: one group of routes a file, joined by `server.make_app`."""

from ratoon_node.api.server import make_app, make_runner

__all__ = ["make_app", "make_runner"]
