"""A stranger's link does not make a node read its store; the sets are as if it had."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ratoon_node.fanout import Committed, Subscription
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.peering import sets
from ratoon_node.peering.sets import Sets
from ratoon_node.store.rows import What
from ratoon_protocol.errors import Code
from ratoon_protocol.kinds import Scope
from tests.node.peering.meeting import until
from tests.node.review.test_strangers import API, say_of_itself, someone
from tests.node.world import join, running

LINK = Origin(Way.LINK)


async def test_nodes_come_in_and_go_out_without_reading_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "other"):
        (tmp_path / name).mkdir()
    loads: list[frozenset[bytes]] = []
    whole = sets.load_view

    def counted(db, nodes):
        loads.append(nodes)
        return whole(db, nodes)

    async with (
        running(tmp_path / "here") as here,
        running(tmp_path / "other", seed=2) as other,
    ):

        async def as_stored() -> bool:
            async with here.sets._loading:
                made = await whole(here.db, here.sets.nodes)
                found = {scope: (len(one), one.digest()) for scope, one in made.indexes.items()}
                same = found == here.sets.state()
            return same and here.sets.nodes == set(here.gate.admission.nodes)

        monkeypatch.setattr(sets, "load_view", counted)
        ann, bob = someone(here, 4), someone(here, 5)
        await join(here, ann)
        await here.gate.submit([ann.post("here").encode()], API)
        await here.ledger.note_link(other.own.account, None)
        await here.roster.load()
        said = await say_of_itself(other, bob.account)
        words = [bob.genesis.encode(), bob.post("there").encode()]
        found = await here.gate.submit([*said, *words], LINK)
        assert {one.code for one in found} == {Code.STORED}
        await until(as_stored, here)
        both = here.sets.state()
        await here.ledger.remove_peer(other.own.account)
        await here.roster.load()
        await until(as_stored, here)
        assert here.sets.state() != both
        await here.ledger.note_link(other.own.account, None)
        await here.roster.load()
        await until(as_stored, here)
        assert here.sets.state() == both
        assert not loads


async def test_a_failed_read_leaves_the_sets_as_admission_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails half-way: some accounts of the node that goes out are out then, some are not."""
    for name in ("here", "other"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(sets, "RETRY_MS", 1)
    async with (
        running(tmp_path / "here") as here,
        running(tmp_path / "other", seed=2) as other,
    ):
        bob = someone(here, 5)
        await here.ledger.note_link(other.own.account, None)
        await here.roster.load()
        await until(lambda: here.sets.nodes == set(here.gate.admission.nodes), here)
        said = await say_of_itself(other, bob.account)
        words = [bob.genesis.encode(), bob.post("there").encode()]
        await here.gate.submit([*said, *words], LINK)
        await until(lambda: here.sets.state()[Scope.WINDOW][0] == 1, here)
        real, failed = Sets._load_account, 0

        async def failing(self: Sets, account: bytes, views: list) -> None:
            nonlocal failed
            failed += 1
            if failed == 2:
                raise sqlite3.OperationalError("disk I/O error")
            await real(self, account, views)

        monkeypatch.setattr(Sets, "_load_account", failing)
        await here.ledger.remove_peer(other.own.account)
        await here.roster.load()
        await until(lambda: failed >= 2, here)

        async def as_stored() -> bool:
            async with here.sets._loading:
                made = await sets.load_view(here.db, frozenset(here.gate.admission.nodes))
                found = {scope: (len(one), one.digest()) for scope, one in made.indexes.items()}
                return found == here.sets.state() and here.sets.nodes == set(
                    here.gate.admission.nodes
                )

        await until(as_stored, here, 10)


async def test_an_admission_that_was_lost_among_too_many_commits_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever falls behind the journal is told that it did, and not of what."""
    real = Subscription.offer

    def dropping(self: Subscription, commit: Committed, size: int) -> None:
        real(self, commit, size)
        if any(change.what is What.NODES for change in commit.changes):
            self.drop()
            self.missed = True

    monkeypatch.setattr(Subscription, "offer", dropping)
    async with running(tmp_path) as node:
        other = b"o" * 32
        await node.ledger.note_link(other, None)
        await node.roster.load()
        assert node.gate.admission.admits(other)
        await until(lambda: node.sets.nodes == set(node.gate.admission.nodes), node, 10)


async def test_what_is_read_in_slices_is_all_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "other"):
        (tmp_path / name).mkdir()
    async with (
        running(tmp_path / "here") as here,
        running(tmp_path / "other", seed=2) as other,
    ):
        for seed in range(4, 9):
            who = someone(here, seed)
            await join(here, who)
            await here.gate.submit([who.post(f"{number}").encode() for number in range(3)], API)
        await here.ledger.note_link(other.own.account, None)
        await here.roster.load()
        bob = someone(here, 9)
        said = await say_of_itself(other, bob.account)
        await here.gate.submit([*said, bob.genesis.encode(), bob.post("there").encode()], LINK)

        async def read(*nodes: bytes) -> dict[Scope, list[tuple[int, bytes]]]:
            view = await sets.load_view(here.db, frozenset(nodes))
            return {scope: one.items(0, len(one)) for scope, one in view.indexes.items()}

        both = (here.own.account, other.own.account)
        everything, ours = await read(*both), await read(here.own.account)
        assert len(everything[Scope.WINDOW]) == 16
        assert len(ours[Scope.WINDOW]) == 15
        for size in (1, 2, 3, 7):
            monkeypatch.setattr(sets, "SLICE_HEADERS", size)
            monkeypatch.setattr(sets, "SLICE_ACCOUNTS", size)
            assert await read(*both) == everything
            assert await read(here.own.account) == ours
