"""What goes on behind goes on after a failure: a task that ended would be missed by nobody."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ratoon_node.peering import roster
from tests.node.peering.meeting import until
from tests.node.world import running


class Once:
    """The same function, but the first call fails."""

    def __init__(self, real: Callable[..., Any], error: Exception) -> None:
        self._real = real
        self._error = error
        self.calls = 0

    def __call__(self, *args: Any, **named: Any) -> Any:
        self.calls += 1
        if self.calls == 1:
            raise self._error
        return self._real(*args, **named)


UNREADABLE = sqlite3.OperationalError("disk I/O error")


async def test_the_roster_is_loaded_again_after_a_failed_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "STORE_RETRY_MS", 1)
    async with running(tmp_path) as node:
        other = b"o" * 32
        await node.ledger.add_peer(other, None, None, None)
        failing = Once(roster.read_known, UNREADABLE)
        monkeypatch.setattr(roster, "read_known", failing)
        await node.ledger.admission_changed(other)  # as a record of that node would
        await until(lambda: node.gate.admission.admits(other), node, 10)
        assert failing.calls > 1
