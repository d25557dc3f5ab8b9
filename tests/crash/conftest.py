"""The process that starts all others: one for all tests of this folder in one run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.nursery import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where the program is started from."""
    made = Nursery()
    yield made
    made.close()
