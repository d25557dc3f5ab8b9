"""Write `node/COMMANDS.md`, the reference of the command line, from the commands themselves.

python -m tests.docs.commands
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer

from ratoon_node.cli.commands import app
from ratoon_node.config import TABLE
from tests.tidy.source import ROOT

EXAMPLE = "ratoon.example.toml"
FILE = ROOT / "node" / "COMMANDS.md"
# What the file of a command is about, in the order of the reference.
SECTIONS = {
    "node": "Your node",
    "doctor": "",
    "operator": "Its people, peers and rules",
    "account": "Your account",
    "people": "Whom you follow, and who you are",
    "speaking": "Saying something",
    "lists": "Lists",
    "reading": "Reading",
    "bundles": "Bundles",
    "demo": "Trying, measuring, checking",
    "seed": "",
    "conformance": "",
    "completion": "",
}
_HEAD = """# Commands

Written by `python -m tests.docs.commands`; `ratoon COMMAND --help` says the same.

Results go to standard output, words about them to the error stream. With `--json` a result is one
JSON document (a line each for what is followed with `-f`), and so is an error:
`{"error": {"code": …, "message": …}}`. Exit codes: 0 done, 1 failed, 2 wrong command line, 3 the
node refused, 4 no node answered, 130 interrupted.

An account is named by its 64 hexadecimal digits, as `name@domain`, or by what this machine calls
it.
"""


def leaves(command: Any, path: str = "ratoon") -> Iterator[tuple[str, Any]]:
    """Every command below one, with its words."""
    for name, child in getattr(command, "commands", {}).items():
        if hasattr(child, "commands"):
            yield from leaves(child, f"{path} {name}")
        else:
            yield f"{path} {name}", child


def section_of(command: Any) -> str:
    """The file (or package) of `ratoon_node.cli` that a command is in."""
    return str(command.callback.__module__.removeprefix("ratoon_node.cli.").split(".")[0])


def _word(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.strip("_").upper())


def _usage(parameter: Any) -> str:
    word = _word(parameter) + ("…" if parameter.nargs == -1 else "")
    return word if parameter.required else f"[{word}]"


def _spelt(parameter: Any) -> str:
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {_word(parameter)}"


def _meaning(parameter: Any) -> str:
    words = parameter.help or ""
    default = parameter.default
    plain = isinstance(default, str | int | float) and not isinstance(default, bool)
    if plain and default not in ("", 0) and f"[{default}]" not in words:
        words += f" [{default}]"
    return words.replace("|", "\\|")


def _entry(path: str, command: Any) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    options = [one for one in options if one.name != "help"]
    whole = TABLE.keys() <= {one.name for one in options}
    own = [one for one in options if not (whole and one.name in TABLE)]
    usage = " ".join([path, *map(_usage, arguments)])
    yield f"\n### `{usage}`\n\n{_flowing(inspect.cleandoc(command.help or ''))}\n"
    if arguments or own:
        yield "\n| | |\n|---|---|\n"
    for one in arguments:
        yield f"| `{_word(one)}` | {_meaning(one)} |\n"
    for one in own:
        yield f"| `{_spelt(one)}` | {_meaning(one)} |\n"
    if whole:
        yield f"\nAnd every setting as an option: [{EXAMPLE}](../deploy/{EXAMPLE}).\n"


def _flowing(text: str) -> str:
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text)


def reference() -> str:
    """The whole document."""
    found = list(leaves(typer.main.get_command(app)))
    unknown = {section_of(command) for _, command in found} - SECTIONS.keys()
    assert not unknown, f"say in SECTIONS where these belong: {unknown}"
    text = _HEAD
    for section, title in SECTIONS.items():
        text += f"\n## {title}\n" if title else ""
        for path, command in found:
            if section_of(command) == section:
                text += "".join(_entry(path, command))
    return text


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
