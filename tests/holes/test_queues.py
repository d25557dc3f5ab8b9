"""One item that nobody can handle must not hold up what comes behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratoon_node.fanout import Committed
from tests.node.peering.meeting import code, publish, serving, someone, until
from tests.node.world import join


async def test_a_commit_that_cannot_be_told_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CVE-2024-52815, CVE-2025-61672 (Synapse): one bad invite or device key ended what a server
    told all others. Here a commit that crashes gossip is told by comparing, and the next by gossip.
    """
    async with serving(tmp_path / "a", 1) as (a, _), serving(tmp_path / "b", 2) as (b, at_b):
        await a.hub.meet(at_b)
        ann = someone(a, 3)
        await join(a, ann)
        poison, good = ann.post("poison"), ann.post("good")
        tell = a.hub._gossip.tell

        async def told(commit: Committed) -> None:
            if any(change.id == poison.id for change in commit.changes):
                raise ValueError("a bug that one record brings out")
            await tell(commit)

        monkeypatch.setattr(a.hub._gossip, "tell", told)
        await publish(a, poison)
        await publish(a, good)

        async def there() -> bool:
            return await code(b, good.id) == "stored" and await code(b, poison.id) == "stored"

        await until(there, b)
