"""Every setting of a node in one typed table, and how flag, environment and file fill it.

A setting is one row of `Settings`: name, type, default, bounds, and what it does. The command
line's flags, the `RATOON_*` variables, the keys of `ratoon.toml`, the example file and
`ratoon config --explain` all come from that row.
"""

from ratoon_node.config.load import Config, ConfigError, Explained, load
from ratoon_node.config.show import example_toml, toml_value
from ratoon_node.config.table import TABLE, Setting, Settings

__all__ = [
    "TABLE",
    "Config",
    "ConfigError",
    "Explained",
    "Setting",
    "Settings",
    "example_toml",
    "load",
    "toml_value",
]
