"""The commands the documents name exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from typer.testing import CliRunner

from ratoon_node.cli.commands import app
from tests.docs.commands import FILE, leaves, reference
from tests.tidy.source import ROOT, files

README_LINES_MAX = 150
_MAKE = re.compile(r"`make ([a-z]+)[^`]*`|^ {0,4}(?:\$ )?make ([a-z]+)", re.MULTILINE)


def make_targets() -> set[str]:
    """Targets of the Makefile that carry a word of explanation."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):.*?## ", makefile, re.MULTILINE))


def made(text: str) -> set[str]:
    """Targets a text tells its reader to make."""
    return {target for pair in _MAKE.findall(text) for target in pair if target}


def test_every_make_command_exists():
    told = {
        str(file.relative_to(ROOT)): made(file.read_text(encoding="utf-8")) for file in files(".md")
    }
    assert {"run", "demo", "test"} <= told["README.md"]
    assert {name: found - make_targets() for name, found in told.items() if found} == {
        name: set() for name, found in told.items() if found
    }


def test_commands_are_found_in_prose_and_blocks():
    text = "Say `make sim SEED=3`.\n\n```\nmake run\n$ make nothing\n```\n\nto make sure\n"
    assert made(text) == {"sim", "run", "nothing"}


def test_continuous_integration_calls_what_the_readme_says():
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().endswith("exec make test")


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").count("\n")
    assert lines <= README_LINES_MAX


def test_the_reference_of_commands_is_that_of_the_program():
    assert FILE.read_text(encoding="utf-8") == reference(), "python -m tests.docs.commands"


def groups(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if hasattr(command, "commands"):
        yield path
        for name, child in command.commands.items():
            yield from groups(child, (*path, name))


def test_lists_of_commands_say_all_of_what_each_does():
    for path in groups(typer.main.get_command(app)):
        shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80"}).output
        assert "..." not in shown.replace("[ARGS]...", ""), shown


def test_documents_name_commands_that_exist():
    known = {path.removeprefix("ratoon ") for path, _ in leaves(typer.main.get_command(app))}
    known |= {path.split()[0] for path in known}
    for file in files(".md"):
        text = file.read_text(encoding="utf-8")
        for line in re.findall(r"`ratoon ([a-z][^`\n]*)`|^(?:\$ )?ratoon ([a-z].*)$", text, re.M):
            words = (line[0] or line[1]).split()
            named = {words[0], " ".join(words[:2])}
            assert known & named, f"{file.name}: ratoon {' '.join(words)}"
