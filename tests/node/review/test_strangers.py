"""What a node gains by saying that it hosts somebody who never asked it to: nothing."""

from __future__ import annotations

import random
from pathlib import Path

from ratoon_node.app import Node
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.store import read
from ratoon_protocol import kinds
from ratoon_protocol.author import Draft, capability_set, device_row, new_account
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import Get
from ratoon_protocol.kinds import Capability
from ratoon_protocol.record import Record
from tests.node.world import Clock, Person, join, person, running

API = Origin(Way.API)
LINK = Origin(Way.LINK)


def someone(node: Node, seed: int) -> Person:
    assert isinstance(node.runtime.clock, Clock)
    return person(node.settings.network_bytes, random.Random(seed), node.runtime.clock)


def at_homes(node: Node, who: Person, homes: list[bytes]) -> Person:
    """The same person with a genesis that lists homes, and a device that may host as nodes do."""
    powers = capability_set([Capability.WRITE, Capability.PRIVATE, Capability.SERVE])
    rng = random.Random(who.account)
    network = node.settings.network_bytes
    row = device_row(network, who.paper.public, who.author.key, rng.randbytes(32), powers)
    account, genesis = new_account(
        network,
        who.paper,
        Draft(devices=[row], homes=homes),
        who.clock.now_ms(),
        rng.randbytes(16),
    )
    who.author.account = account
    return Person(account, genesis, who.paper, who.author, who.rng, who.clock)


async def tell(node: Node, records: list[Record]) -> list[Code]:
    found = await node.gate.submit([one.encode() for one in records], LINK)
    return [one.code for one in found]


async def say_of_itself(node: Node, hosted: bytes) -> list[bytes]:
    """A node's log, and its word that it hosts somebody."""
    await node.own.host(hosted)

    def look(db):
        rows = read.identity_records(db, node.own.account)
        return [read.whole(row) for row in [*rows, *read.hosting_records(db, hosted, 9)]]

    return await node.db.read(look)


async def test_private_records_do_not_follow_a_strangers_word(tmp_path: Path) -> None:
    for name in ("home", "second", "stranger"):
        (tmp_path / name).mkdir()
    async with (
        running(tmp_path / "home", seed=1) as home,
        running(tmp_path / "second", seed=2) as second,
        running(tmp_path / "stranger", seed=3) as stranger,
    ):
        for other in (second, stranger):
            await home.ledger.add_peer(other.own.account, None, "Q", None)
        await home.roster.load()
        ann = at_homes(home, someone(home, 4), [home.own.account, second.own.account])
        await join(home, ann)
        secret = ann.sign(kinds.SETTING, {"data": b"s"}, target=bytes(16))
        assert (await home.gate.submit([secret.encode()], API))[0].code is Code.STORED
        for other in (second, stranger):
            found = await home.gate.submit(await say_of_itself(other, ann.account), LINK)
            assert {one.code for one in found} == {Code.STORED}
        request = Get(1, (secret.id,))
        items, _ = await home.hub.serve.get(second.own.account, request)
        assert [item.id for item in items] == [secret.id]
        items, absent = await home.hub.serve.get(stranger.own.account, request)
        assert not items
        assert [one.code for one in absent] == [Code.NOT_FOUND]
        nonce = bytes(16)
        assert await home.hub.serve.prove(second.own.account, nonce, secret.id) is not None
        assert await home.hub.serve.prove(stranger.own.account, nonce, secret.id) is None


async def test_nobody_is_shut_out_by_the_word_of_one_who_is_not_admitted(tmp_path: Path) -> None:
    for name in ("here", "victim"):
        (tmp_path / name).mkdir()
    async with (
        running(tmp_path / "here", seed=1) as here,
        running(tmp_path / "victim", seed=2) as victim,
    ):
        await here.ledger.add_peer(victim.own.account, None, None, None)
        await here.roster.load()
        mallory = at_homes(here, someone(here, 4), [here.own.account])
        await join(here, mallory)
        claim = mallory.sign(kinds.HOSTING, {"state": 1}, target=victim.own.account)
        assert await tell(here, [claim]) == [Code.STORED]
        bob = someone(here, 5)
        found = await here.gate.submit(await say_of_itself(victim, bob.account), LINK)
        assert {one.code for one in found} == {Code.STORED}
