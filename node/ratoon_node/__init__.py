"""The Ratoon node: takes signed records in, keeps them, shows them and replicates them."""

from importlib.metadata import version

__version__ = version("ratoon")
