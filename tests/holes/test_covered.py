"""Every hole that others had names tests that exist."""

from __future__ import annotations

import re
from collections.abc import Container

import pytest

from tests.badinput.test_bad_input import ASKED, names
from tests.holes.covered import COVERED
from tests.tidy.source import ROOT

TABLES: dict[str, Container[str]] = {"test_bad_input": names(), "test_bad_request": ASKED}
ALL = sorted({test for tests in COVERED.values() for test in tests})


@pytest.mark.parametrize("test", ALL)
def test_what_covers_a_hole_exists(test: str) -> None:
    found = re.fullmatch(r"([\w/.]+)::(\w+)(?:\[(.*)\])?", test)
    assert found
    path, name, case = found.groups()
    source = (ROOT / "tests" / path).read_text(encoding="utf-8")
    assert re.search(rf"^(?:async )?def {name}\(", source, re.MULTILINE)
    assert case is None or case in TABLES[name]


def test_every_hole_is_covered() -> None:
    assert len(COVERED) >= 30
    assert all(COVERED.values())
