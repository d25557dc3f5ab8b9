"""The node over HTTP: one group of routes a file, joined by `server.make_app`."""
