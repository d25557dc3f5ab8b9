"""What a home learns of who holds a record that it did not bring there itself."""

from __future__ import annotations

from pathlib import Path

from tests.node.peering.test_links import API, befriend, equal, listening, someone, until
from tests.node.world import join, running


async def test_a_second_home_counts_peers_that_have_the_record_from_elsewhere(
    tmp_path: Path,
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with (
        running(tmp_path / "a", seed=1, provider="P") as a,
        running(tmp_path / "b", seed=2, provider="Q") as b,
        listening(b) as at_b,
    ):
        ann = someone(a, 3)
        post = ann.post("to both, by somebody who is gone now")
        for node in (a, b):
            await join(node, ann)
            await node.gate.submit([post.encode()], API)
        await befriend(a, b, at_b, "Q")
        await until(lambda: equal(a, b), b)
        assert (await a.receipts.counts([post.id]))[post.id].providers == 1
        counts = await a.receipts.wait([post.id], 2, 10_000)
        assert counts[post.id].providers == 2
        assert (await a.receipts.counts([post.id]))[post.id].providers == 2
