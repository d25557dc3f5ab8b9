"""What a network holds before it is measured, made once through a real node's gate and copied.

All nodes have met each other, know their records, hold the same accounts and whom these follow.
A thousand nodes that tell each other so would take hours and show nothing that the measured
traffic does not show; what meeting costs is measured on small networks from nothing.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ratoon_node import __version__
from ratoon_node.app import Node
from ratoon_node.config import Settings
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.operate.keys import Keys, make_keys
from ratoon_node.operate.own import Description
from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import Author, Draft, device_row, new_account
from ratoon_protocol.errors import Code
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.limits import VOUCHED_MAX
from ratoon_protocol.record import Body, Record, decode_record
from tests.node.world import EVERYTHING
from tests.sim.loop import BEGIN_MS, SimClock
from tests.sim.scale.host import Host
from tests.sim.scale.lines import Lines
from tests.sim.scale.town import Plan, Resident, Site

BUNDLE = Origin(Way.BUNDLE)
# Records in one submission.
PART = 500
EVERYBODY_LINKED = "INSERT OR IGNORE INTO peer (node, address, linked_ms) VALUES (?, ?, ?)"
OPERATOR_ADDED = (
    "INSERT INTO peer (node, address, added, provider, country) VALUES (?, ?, 1, ?, 'DE')"
    " ON CONFLICT (node) DO UPDATE SET added = 1, provider = excluded.provider,"
    " country = excluded.country"
)


@dataclass
class Writer:
    """An account with its device."""

    account: bytes
    genesis: Record
    author: Author
    rng: random.Random
    clock: SimClock

    def sign(self, kind: int, body: Body, target: bytes | None = None) -> Record:
        """The next record of the account."""
        return self.author.sign(kind, body, self.clock.now_ms(), self.rng.randbytes(16), target)


@dataclass
class Past:
    """Keys of all nodes, the people with their devices, and the store that all nodes begin with."""

    keys: list[Keys]
    people: list[Writer]
    image: bytes
    records: int


def _writer(
    plan: Plan, one: Resident, keys: Sequence[Keys], network: bytes, clock: SimClock
) -> Writer:
    rng = random.Random(f"{plan.seed} resident {one.number}")
    entropy = rng.randbytes(32)
    paper, device = phrase.account_key(entropy), SigningKey.from_seed(rng.randbytes(32))
    agreement = AgreementKey(rng.randbytes(32)).public
    row = device_row(network, paper.public, device, agreement, EVERYTHING)
    draft = Draft(devices=[row], homes=[keys[home].account for home in one.homes])
    account, genesis = new_account(network, paper, draft, clock.now_ms(), rng.randbytes(16))
    author = Author(network, account, device, phrase.slot_key(entropy))
    return Writer(account, genesis, author, rng, clock)


def make_all_keys(plan: Plan, network: bytes) -> list[Keys]:
    """The keys of every node, in order."""
    found = []
    for site in plan.sites:
        rng = random.Random(f"{plan.seed} keys {site.name}")
        found.append(make_keys(network, rng.randbytes(32), rng, BEGIN_MS))
    return found


async def make_past(plan: Plan, chosen: Sequence[Settings], lines: Lines) -> Past:
    """Bring the first node up alone, with everything that happened so far; then take its store."""
    network = chosen[0].network_bytes
    keys = make_all_keys(plan, network)
    founder = Host(0, chosen[0], keys[0], b"", lines, lambda *_: None)
    remember(founder.db.db, plan.sites, keys, EVERYBODY_LINKED)
    await founder.node.roster.load()
    await founder.node.start()
    clock = SimClock(lines.loop)
    people = [_writer(plan, one, keys, network, clock) for one in plan.residents]
    await _submit(founder.node, _of_nodes(plan, chosen, keys, people, clock))
    for at in range(len(people)):
        await _submit(founder.node, _of_person(plan, people, at))
    (end,) = founder.db.db.execute("SELECT max(n) FROM journal").fetchone()
    await founder.node.digest.reached(end)
    (count,) = founder.db.db.execute("SELECT count(*) FROM record").fetchone()
    image = founder.db.db.serialize()
    await founder.destroy()
    return Past(keys, people, image, count)


def remember(
    db: sqlite3.Connection, sites: Iterable[Site], keys: Sequence[Keys], statement: str
) -> None:
    """Put nodes into the table of peers, as one of the two statements above has it."""
    for site in sites:
        account, third = keys[site.number].account, site.provider
        db.execute(statement, (account, site.address, third if "added" in statement else BEGIN_MS))


def introduce(host: Host, plan: Plan, keys: Sequence[Keys], met: bool) -> None:
    """A copied store becomes this node's own: whom its operator added, whom it met, not itself."""
    site = plan.sites[host.number]
    db = host.db.db
    db.execute("DELETE FROM peer WHERE node = ? OR NOT ?", (host.account, met))
    remember(db, [plan.sites[other] for other in sorted(site.added)], keys, OPERATOR_ADDED)


async def _submit(node: Node, records: Iterable[Record]) -> None:
    waiting = [found.encode() for found in records]
    for at in range(0, len(waiting), PART):
        part = waiting[at : at + PART]
        for outcome in await node.gate.submit(part, BUNDLE):
            if outcome.code not in (Code.STORED, Code.DUPLICATE):
                raise AssertionError(f"the past is not taken: {outcome}")
        await asyncio.sleep(0.1)


def _of_nodes(
    plan: Plan,
    chosen: Sequence[Settings],
    keys: Sequence[Keys],
    people: Sequence[Writer],
    clock: SimClock,
) -> list[Record]:
    """Every node's account, its own record, and whom it hosts."""
    found = []
    for site in plan.sites:
        own, rng = keys[site.number], random.Random(f"{plan.seed} past {site.name}")
        genesis = decode_record(own.genesis)
        author = Author(
            own.network, own.account, SigningKey.from_seed(own.device_seed), own.slot_key
        )
        body = _description(site, chosen[site.number], keys).body()
        now_ms = clock.now_ms()
        found += [genesis, author.sign(kinds.NODE, body, now_ms, rng.randbytes(16), b"")]
        for one, who in zip(plan.residents, people, strict=True):
            if site.number in one.homes:
                hosting = {"state": 1}
                found.append(
                    author.sign(kinds.HOSTING, hosting, now_ms, rng.randbytes(16), who.account)
                )
    return found


def _description(site: Site, chosen: Settings, keys: Sequence[Keys]) -> Description:
    return Description(
        name=chosen.name,
        addresses=chosen.public_addresses,
        provider=chosen.provider,
        country=chosen.country,
        network=chosen.network,
        software=f"ratoon/{__version__}",
        home_open={"closed": 0, "invite": 1, "open": 2}[chosen.registration],
        admits=tuple(sorted(keys[other].account for other in site.added)[:VOUCHED_MAX]),
    )


def _of_person(plan: Plan, people: Sequence[Writer], at: int) -> list[Record]:
    """An account, and whom it follows."""
    who, resident = people[at], plan.residents[at]
    follows = [people[other].account for other in resident.follows]
    return [who.genesis, *(who.sign(kinds.FOLLOW, {"state": 1}, other) for other in follows)]
