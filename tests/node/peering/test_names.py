"""What a node finds of handles: checked rarely, believed for a while, never on one side's word."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.errors import NodeError
from ratoon_node.ingest.registry import Registry
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.peering.names import (
    DOMAIN_PAUSE_MS,
    RECHECK_MS,
    RETRY_MS,
    Names,
)
from ratoon_node.policy.naming import Handle
from ratoon_node.runtime import timeout_ms
from ratoon_node.store import names, read
from ratoon_node.timeline.naming import VERIFIED_MS_MAX
from ratoon_protocol import phrase
from ratoon_protocol.author import Draft, device_row, new_account
from ratoon_protocol.errors import Code
from ratoon_protocol.keys import AgreementKey, SigningKey
from tests.node.world import EVERYTHING, Clock, running


class Domains:
    """Domains that answer as a test says: an account, nobody, or no answer at all."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | NodeError | None] = {}
        self.asked: list[str] = []

    async def account_of(self, handle: Handle, address: str | None = None) -> bytes | None:
        self.asked.append(str(handle))
        answer = self.answers.get(str(handle))
        if isinstance(answer, NodeError):
            raise answer
        return answer

    async def close(self) -> None:
        pass


class Ticking(Clock):
    """Both times move by hand together."""

    def monotonic_ms(self) -> int:
        return super().monotonic_ms() + self.offset_ms


async def lists(node: Node, seed: int, *handles: str) -> bytes:
    """An account at home here whose genesis lists handles, when the digest has seen it."""
    network, rng = node.settings.network_bytes, random.Random(seed)
    paper = phrase.account_key(rng.randbytes(32))
    device = SigningKey.from_seed(rng.randbytes(32))
    agreement = AgreementKey(rng.randbytes(32)).public
    row = device_row(network, paper.public, device, agreement, EVERYTHING)
    draft = Draft(devices=[row], homes=[node.own.account], handles=list(handles))
    now_ms = node.runtime.clock.now_ms()
    account, genesis = new_account(network, paper, draft, now_ms, rng.randbytes(16))
    await node.own.host(account)
    outcomes = await node.gate.submit([genesis.encode()], Origin(Way.API))
    assert outcomes[0].code == "stored"
    await node.digest.reached(await node.db.read(read.journal_end))
    return account


def names_of(node: Node, domains: Domains | None) -> tuple[Names, Ticking]:
    """The names of a node, with domains and a clock of a test's own."""
    clock = Ticking()
    found = Names(
        node.own.account,
        node.db,
        Registry(node.db, clock, node.own.account, ""),
        node.roster,
        node.hub,
        domains,
        clock,
        node.runtime.spawn,
        random.Random(1),
        private=False,
    )
    return found, clock


async def verified(node: Node, clock: Ticking, handle: str) -> bytes | None:
    since_ms = clock.now_ms() - VERIFIED_MS_MAX
    return await node.db.read(lambda db: names.verified_account(db, handle, since_ms))


async def test_a_handle_needs_both_sides(tmp_path: Path) -> None:
    domains = Domains()
    async with running(tmp_path) as node:
        ann = await lists(node, 1, "ann@a.example", "ann@b.example")
        thief = await lists(node, 2, "ann@c.example")
        domains.answers = {"ann@a.example": ann, "ann@c.example": ann}
        found, clock = names_of(node, domains)
        assert await found.check_due() == 3
        assert await verified(node, clock, "ann@a.example") == ann
        assert await verified(node, clock, "ann@b.example") is None
        assert await verified(node, clock, "ann@c.example") is None  # claimed by one, given another
        assert (await found.resolve(Handle("ann", "a.example"))).account == ann
        for domain in ("b.example", "c.example"):
            with pytest.raises(NodeError) as error:
                await found.resolve(Handle("ann", domain))
            assert error.value.code is Code.NOT_FOUND
        assert thief != ann


async def test_a_store_that_cannot_be_read_for_a_moment_ends_no_checking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as node:
        account = await lists(node, 1, "ann@one.example")
        domains = Domains()
        domains.answers["ann@one.example"] = account
        found, clock = names_of(node, domains)
        failed = 0
        real = names.due

        def failing(db: sqlite3.Connection, now_ms: int, limit: int) -> list[names.Due]:
            nonlocal failed
            failed += 1
            if failed == 1:
                raise sqlite3.OperationalError("disk I/O error")
            return real(db, now_ms, limit)

        monkeypatch.setattr(names, "due", failing)
        monkeypatch.setattr("ratoon_node.peering.names.ROUND_MS", 1)
        found.start()
        async with timeout_ms(20_000):
            while await verified(node, clock, "ann@one.example") != account:
                await clock.sleep_ms(1)


async def test_findings_are_checked_again_and_failures_wait_longer(tmp_path: Path) -> None:
    domains, handle = Domains(), "ann@a.example"
    async with running(tmp_path) as node:
        ann = await lists(node, 1, handle)
        domains.answers[handle] = ann
        found, clock = names_of(node, domains)
        assert await found.check_due() == 1
        clock.offset_ms += RECHECK_MS
        assert await found.check_due() == 0  # not before its time, which is spread
        clock.offset_ms += RECHECK_MS // 4
        domains.answers[handle] = NodeError(Code.TIMEOUT)
        assert await found.check_due() == 1
        assert await verified(node, clock, handle) == ann  # no answer is no word against it
        waits = []
        for _ in range(3):
            before = clock.offset_ms
            while not await found.check_due():
                clock.offset_ms += RETRY_MS // 4
            waits.append((clock.offset_ms - before) // RETRY_MS)
        assert waits == sorted(waits)
        assert waits[0] >= 1
        assert waits[2] >= 4
        domains.answers[handle] = None
        while not await found.check_due():
            clock.offset_ms += RETRY_MS
        assert await verified(node, clock, handle) is None  # the domain took it back


async def test_a_finding_that_nobody_confirms_any_more_expires(tmp_path: Path) -> None:
    domains, handle = Domains(), "ann@a.example"
    async with running(tmp_path) as node:
        domains.answers[handle] = ann = await lists(node, 1, handle)
        found, clock = names_of(node, domains)
        await found.check_due()
        assert await verified(node, clock, handle) == ann
        clock.offset_ms += VERIFIED_MS_MAX + 1000
        assert await verified(node, clock, handle) is None


async def test_a_domain_is_not_flooded(tmp_path: Path) -> None:
    domains = Domains()
    async with running(tmp_path) as node:
        for seed in range(5):
            await lists(node, seed, f"n{seed}@a.example", f"n{seed}@b.example")
        found, clock = names_of(node, domains)
        assert await found.check_due() == 10
        assert await found.check_due() == 0
        asked = [one.partition("@")[2] for one in domains.asked]
        assert sorted(asked) == ["a.example", "b.example"]
        for _ in range(4):
            clock.offset_ms += DOMAIN_PAUSE_MS
            while await found.check_due():
                pass
        assert len(domains.asked) == len(set(domains.asked)) == 10


async def test_who_lists_many_handles_of_one_domain_keeps_nobody_else_waiting(
    tmp_path: Path,
) -> None:
    domains = Domains()
    async with running(tmp_path) as node:
        for seed in range(20):
            await lists(node, seed, *(f"n{seed}-{at}@big.example" for at in range(4)))
        await lists(node, 99, "ann@a.example")
        found, clock = names_of(node, domains)
        assert await found.check_due() == 81
        assert sorted(one.partition("@")[2] for one in domains.asked) == [
            "a.example",
            "big.example",
        ]
        for _ in range(79):  # and each of the many has its turn
            clock.offset_ms += DOMAIN_PAUSE_MS
            assert await found.check_due() == 1
        assert len(set(domains.asked)) == 81


async def test_an_empty_answer_is_kept_for_a_minute(tmp_path: Path) -> None:
    domains = Domains()
    async with running(tmp_path) as node:
        found, clock = names_of(node, domains)
        for _ in range(3):
            with pytest.raises(NodeError):
                await found.resolve(Handle("ann", "a.example"))
        assert domains.asked == ["ann@a.example"]
        clock.offset_ms += 61_000
        with pytest.raises(NodeError):
            await found.resolve(Handle("ann", "a.example"))
        assert len(domains.asked) == 2


async def test_without_a_way_to_ask_only_what_is_here_is_known(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await lists(node, 1, "ann@a.example")
        found, _ = names_of(node, None)
        assert await found.check_due() == 1
        with pytest.raises(NodeError) as error:
            await found.resolve(Handle("ann", "a.example"))
        assert error.value.code is Code.TIMEOUT
        await found.close()
