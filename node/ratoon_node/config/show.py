"""How settings are written down: values as TOML, and the example file."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from ratoon_node.config.table import ENV_PREFIX, TABLE


def toml_value(value: Any) -> str:
    """A setting's value as TOML."""
    if isinstance(value, tuple):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, bool | int):
        return json.dumps(value)
    # TOML's basic strings escape as JSON does, and one character more.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def example_toml() -> str:
    """A `ratoon.toml` with every setting, explained and commented out at its default."""
    parts = [
        "# Settings of a Ratoon node. Take the sign off a line to change it.\n"
        f"# A flag (--port) wins over a variable ({ENV_PREFIX}PORT), a variable over this file.\n"
        "# A running node takes what is marked `live` at `ratoon reload`, the rest at its start.\n"
    ]
    for name, setting in TABLE.items():
        words = f"{setting.doc} ({setting.allowed})" if setting.allowed else setting.doc
        words += " live" if setting.live else ""
        doc = textwrap.fill(words, 98, initial_indent="# ", subsequent_indent="# ")
        parts.append(f"{doc}\n#{name} = {toml_value(setting.default)}\n")
    return "\n".join(parts)
