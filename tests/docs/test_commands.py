"""The commands the documents name exist."""

from __future__ import annotations

import re

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
