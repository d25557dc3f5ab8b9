"""The command `ratoon`. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import sys
from io import TextIOWrapper

from ratoon_node import __version__


def main() -> None:
    """Run the command line of this process, and exit with its code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        print(f"ratoon {__version__}")
        return
    from ratoon_node.cli.commands import run_command

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a locale without the letter is no reason to end
    sys.exit(run_command(sys.argv[1:]))
