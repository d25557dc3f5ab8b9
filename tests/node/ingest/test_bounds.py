"""Budgets of nodes that nobody added, and mailboxes: counted by what is stored, by arrival."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.ingest import caps
from ratoon_node.ingest.submission import Origin, Parts, Way
from ratoon_node.policy.admission import Admission
from ratoon_protocol import kinds
from ratoon_protocol.author import sign_envelope
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.limits import DAY_MS
from ratoon_protocol.record import decode_record
from tests.node.ingest.replay import LINK, offer
from tests.node.ingest.test_erasure import ann_of
from tests.node.world import Clock, join, running

API = Origin(Way.API)


def clock_of(node: Node) -> Clock:
    clock = node.runtime.clock
    assert isinstance(clock, Clock)
    return clock


async def test_an_unknown_node_brings_so_many_headers_a_day_and_junk_costs_it_nothing(
    tmp_path: Path,
) -> None:
    policy = "[admission]\nheaders_per_day = 10\nnew_accounts_per_day = 2\n"
    (tmp_path / "other").mkdir()
    async with running(tmp_path / "other", seed=7) as other:
        guests = [ann_of(other, seed) for seed in (2, 3, 4)]
        hosting = [await other.own.host(guest.account) for guest in guests]
        node_log = decode_record(other.own._keys.genesis)
        (tmp_path / "here").mkdir()
        async with running(tmp_path / "here", policy=policy) as node:
            known = node.gate.admission.nodes
            node.gate.admission = Admission(added=known, linked=[other.own.account])
            # Signed by a key that is nobody's: refused, and nobody pays.
            for seed in range(20):
                stranger = ann_of(other, 99 + seed)
                junk = await offer(node, [stranger.genesis, guests[0].post("early")], LINK)
                assert [one.code for one in junk] == ["not_hosted", "not_hosted"]
            first = await offer(node, [node_log, *hosting], LINK)
            assert {one.code for one in first} == {"stored"}  # 4 headers, 1 account
            ann, bob, eve = guests
            answers = await offer(node, [ann.genesis, bob.genesis], LINK)
            assert [one.code for one in answers] == ["stored", "rate"]  # the second account
            posts = await offer(node, [ann.post(f"{n}") for n in range(8)], LINK)
            codes = [one.code for one in posts]
            assert codes == ["stored"] * 5 + ["rate"] * 3
            clock_of(node).offset_ms += DAY_MS
            again = await offer(node, [bob.genesis, ann.post("tomorrow")], LINK)
            assert [one.code for one in again] == ["stored", "stored"]
            assert eve.account


async def test_an_unknown_node_brings_so_many_bytes_a_day_however_they_come(
    tmp_path: Path,
) -> None:
    """Budgets that count headers alone let in texts of the largest size: 400 MB a day each."""
    (tmp_path / "other").mkdir()
    (tmp_path / "here").mkdir()
    policy = "[admission]\nbytes_per_day = 20_000\n"
    async with (
        running(tmp_path / "other", seed=7) as other,
        running(tmp_path / "here", policy=policy) as node,
    ):
        ann = ann_of(other, 2)
        hosting = await other.own.host(ann.account)
        known = node.gate.admission.nodes
        node.gate.admission = Admission(added=known, linked=[other.own.account])
        log = [decode_record(other.own._keys.genesis), hosting, ann.genesis]
        assert {one.code for one in await offer(node, log, LINK)} == {"stored"}
        long = [ann.post("x" * 8000) for _ in range(3)]
        codes = [one.code for one in await offer(node, long, LINK)]
        assert codes == ["stored", "stored", "rate"]
        # Headers that come alone are cheap, and their bytes are paid for when they come.
        more = [ann.post("y" * 8000), ann.post("z")]
        bare = [Parts(one.header_bytes, one.signature, None, None, one.id) for one in more]
        assert [one.code for one in await node.gate.submit(bare, LINK)] == ["wanted", "wanted"]
        assert [one.code for one in await offer(node, more, LINK)] == ["rate", "stored"]
        clock_of(node).offset_ms += DAY_MS
        assert [one.code for one in await offer(node, more[:1], LINK)] == ["stored"]


async def test_a_mailbox_takes_a_hundred_a_day_whatever_their_dates_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caps, "MAILBOX_DAY_MAX", 5)
    monkeypatch.setattr(caps, "MAILBOX_RECORDS_MAX", 8)
    async with running(tmp_path) as node:
        ann = ann_of(node)
        await join(node, ann)
        rng = random.Random(1)

        async def send(count: int, backdated_ms: int) -> list[str]:
            codes: list[str] = []
            for _ in range(count):
                envelope = sign_envelope(
                    node.settings.network_bytes,
                    kinds.MESSAGE,
                    ann.account,
                    SigningKey.from_seed(rng.randbytes(32)),
                    {"data": rng.randbytes(900)},
                    clock_of(node).now_ms() - backdated_ms,
                    rng.randbytes(16),
                )
                codes.append((await offer(node, [envelope], LINK))[0].code)
            return codes

        assert await send(7, 3 * DAY_MS) == ["stored"] * 5 + ["rate"] * 2
        clock_of(node).offset_ms += DAY_MS
        assert await send(5, 0) == ["stored"] * 3 + ["rate"] * 2
