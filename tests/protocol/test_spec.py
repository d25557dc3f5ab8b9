"""SPEC.md says what the code does, in 600 lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from ratoon_protocol.keys import Context
from tests.protocol.spec_tables import SPEC, with_limits

TEXT = SPEC.read_text(encoding="utf-8")
STATED = re.findall(r"^\*\*R-(\d+)\*\*", TEXT, re.MULTILINE)
ROOT = SPEC.parents[1]
SOURCES = [*ROOT.glob("protocol/ratoon_protocol/**/*.py"), *ROOT.glob("node/**/*.py")]


def section(title: str) -> str:
    return TEXT.split(f"### {title}\n")[1].split("\n### ")[0]


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 600


def test_requirements_stand_once_and_in_order():
    numbers = [int(number) for number in STATED]
    assert numbers == sorted(set(numbers))


def test_limits_are_those_of_the_code():
    assert with_limits(TEXT) == TEXT, "run python -m tests.protocol.spec_tables"


def test_every_code_is_told_once():
    first_cells = re.findall(r"^\| (`.*?) \|", section("Codes"), re.MULTILINE)
    told = re.findall(r"`(\w+)`", " ".join(first_cells))
    assert sorted(told) == sorted(Code)


def test_every_context_is_in_the_table():
    for context in Context:
        assert f"| `{context}` |" in TEXT


def test_every_kind_is_in_the_table():
    for kind, name in kinds.NAMES.items():
        found = kinds.kind_class(kind)
        slot = "yes" if found.slot else ""
        words = [str(kind), name, found.lane.name.lower(), slot, found.capability.name.lower()]
        row = "| " + " | ".join(words).replace("|  |", "| |") + " |"
        assert row in TEXT, row


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_what_the_code_cites_is_stated(path: Path):
    cited = set(re.findall(r"\bR-(\d+)\b", path.read_text(encoding="utf-8")))
    assert cited <= set(STATED)


def test_what_the_spec_cites_is_stated():
    assert set(re.findall(r"\bR-(\d+)\b", TEXT)) <= set(STATED)
