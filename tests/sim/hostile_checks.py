"""What hostile machines must not have brought about, and every bound that they could push at."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence

from ratoon_node.ingest.ledger import ACKS_PER_RECORD_MAX, PEERS_MAX
from ratoon_node.peering.conduct import DEFERRED_MAX, PAUSED_MAX
from ratoon_node.peering.dialer import ADDRESSES_PAUSED_MAX
from ratoon_node.peering.exchange import (
    EARLY_BYTES_MAX,
    EARLY_MAX,
    FRAMES_IN_GATE_MAX,
    LOGS_ASKED_MAX,
    LOST_MAX,
    OFFERS_MAX,
    REFUSED_MAX,
    SEEN_MAX,
)
from ratoon_node.peering.neighbour import Neighbour
from ratoon_node.peering.receipts import ANSWERS_WAITING_MAX, WAITS_MAX
from ratoon_node.peering.sets import OTHER_VIEWS_MAX
from ratoon_node.policy.admission import NODES_ADMITTED_MAX
from ratoon_node.store import read
from ratoon_protocol import limits
from tests.sim.checks_bounds import BOUNDS_LOOK_S, TASKS_MAX, TASKS_PER_LINK_MAX
from tests.sim.hostile import Rogue
from tests.sim.machine import Machine
from tests.sim.notes import Broken

#: A measure, what it is now, and the most that it may be.
Measured = Iterator[tuple[str, int, int]]


def check_forged(machines: Sequence[Machine], rogues: Sequence[Rogue]) -> None:
    """Nothing forged is stored, and no forged word is on a disk. Raises `Broken`."""
    check_stored(machines, rogues)
    words = [word for rogue in rogues for word in rogue.words]
    for machine in machines:
        if not machine.up:
            continue
        assert machine.life is not None, "it is up"
        files = sorted(path for path in machine.life.folder.iterdir() if path.is_file())
        content = b"".join(path.read_bytes() for path in files)
        for word in words:
            if word in content:
                raise Broken(f"{machine.name}: {word.decode()!r} is on its disk")


def check_stored(machines: Sequence[Machine], rogues: Sequence[Rogue]) -> None:
    """Nothing forged is stored, not even until it is found to be wrong. Raises `Broken`."""
    forged = {id_: act for rogue in rogues for id_, act in rogue.forged.items()}
    for machine in machines if forged else ():
        if machine.up:
            for id_ in machine.peek(lambda db: read.known(db, list(forged))):
                raise Broken(f"{machine.name}: stored what {forged[id_]} forged")


def check_conduct(machines: Sequence[Machine], rogues: Sequence[Rogue]) -> None:
    """Nobody has to wait or is called a liar but who is hostile. Raises `Broken`."""
    bad = {rogue.account for rogue in rogues}
    names = {machine.account: machine.name for machine in machines}
    for machine in machines:
        if machine.up:
            shunned = machine.node.hub._conduct._pauses.keys()
            liars = {node for node, peer in machine.node.roster.peers.items() if peer.lied}
            for node in sorted((shunned | liars) - bad):
                raise Broken(f"{machine.name} shuns {names.get(node, 'somebody unknown')}")


async def watch(machines: Sequence[Machine], rogues: Sequence[Rogue], honest: bool) -> None:
    """Look at bounds, again and again; also at who is shunned, where all others are `honest`:
    disks rot and wires are tampered with, and then a node does what only hostile ones do.
    """
    while True:
        await asyncio.sleep(BOUNDS_LOOK_S)
        check_stored(machines, rogues)
        if honest:
            check_conduct(machines, rogues)
        for machine in machines:
            if machine.up:
                check_bounds(machine)


def check_bounds(machine: Machine) -> None:
    """Every table, queue and buffer of a node is within its limit. Raises `Broken`."""
    for bounds in (_of_node(machine), _of_store(machine), _of_links(machine)):
        for what, found, most in bounds:
            if found > most:
                raise Broken(f"{machine.name}: {what}: {found}, at most {most}")


def _of_node(machine: Machine) -> Measured:
    node = machine.node
    hub, settings = node.hub, node.settings
    yield "records waiting at the gate", node.gate._waiting.records, settings.intake_records_max
    yield "bytes waiting at the gate", node.gate._waiting.size, settings.intake_bytes_max
    yield "links", hub._links, settings.links_max
    yield "open links", len(hub._open), settings.links_max
    yield "people waiting to meet", len(hub._met), settings.links_max
    yield "nodes shunned", len(hub._conduct._pauses), PAUSED_MAX
    yield "ids put off", len(hub._deferred._until), DEFERRED_MAX
    yield "addresses paused", len(node.dialer._pauses), ADDRESSES_PAUSED_MAX
    yield "dials", len(node.dialer._dialling), settings.links_max
    yield "acks to write", len(node.receipts._noted), ANSWERS_WAITING_MAX
    yield "receipts waited for", node.receipts._waiting, WAITS_MAX
    yield "nodes admitted", len(node.gate.admission.nodes), NODES_ADMITTED_MAX
    yield "views of others", len(node.sets._others), OTHER_VIEWS_MAX
    yield "tasks", len(node.runtime.spawner), TASKS_MAX + TASKS_PER_LINK_MAX * hub._links


def _of_store(machine: Machine) -> Measured:
    yield "peers kept", machine.peek(_count("SELECT count(*) FROM peer")), PEERS_MAX
    acks = "SELECT ifnull(max(found), 0) FROM (SELECT count(*) AS found FROM ack GROUP BY record)"
    yield "acks of a record", machine.peek(_count(acks)), ACKS_PER_RECORD_MAX


def _count(sql: str):
    def count(db: sqlite3.Connection) -> int:
        (found,) = db.execute(sql).fetchone()
        return int(found)

    return count


def _of_links(machine: Machine) -> Measured:
    for neighbour in machine.node.hub._open.values():
        yield from _of_link(neighbour, machine.node.settings.link_queue_bytes_max)
        yield from _of_exchange(neighbour)


def _of_link(neighbour: Neighbour, queue_bytes_max: int) -> Measured:
    link, books = neighbour.link, neighbour.link.session._books
    stream = link.session._stream
    yield "bytes for a slow link", link._queue_bytes, queue_bytes_max
    yield "bytes to write", stream.waiting_bytes, limits.OUTBOX_BYTES_MAX
    unread = limits.FRAME_BYTES_MAX + limits.NOISE_MESSAGE_BYTES_MAX
    yield "bytes of a frame to come", len(stream._inbox), unread
    for window in (books.pushed, books.unacked):
        yield "records unacknowledged", len(window), limits.PUSH_WINDOW_RECORDS_MAX
        yield "bytes unacknowledged", window.bytes, limits.PUSH_WINDOW_BYTES_MAX
    yield "requests of the peer", len(books.owed._open), limits.REQUESTS_IN_FLIGHT_MAX
    yield "ids owed to the peer", books.owed._wanted, limits.WANTED_IN_FLIGHT_MAX
    yield "requests to the peer", len(books.requests), limits.REQUESTS_IN_FLIGHT_MAX
    yield "ids wanted of the peer", books.requests.wanted, limits.WANTED_IN_FLIGHT_MAX
    for turns in books.reconciliations._turns.values():
        yield "reconciliations", len(turns), limits.RECONCILIATIONS_MAX
    for challenges in (books.challenges, books.challenged):
        yield "challenges", len(challenges), limits.CHALLENGES_IN_FLIGHT_MAX
    yield "requests to answer", neighbour.requests.qsize(), limits.REQUESTS_IN_FLIGHT_MAX
    yield "nodes the peer admits", len(neighbour.catchup.nodes), limits.ADMITTED_MAX
    yield "proofs awaited", len(neighbour.challenges), limits.CHALLENGES_IN_FLIGHT_MAX
    yield "claims taken back", len(neighbour.taken_back), limits.CHALLENGES_IN_FLIGHT_MAX


def _of_exchange(neighbour: Neighbour) -> Measured:
    exchange = neighbour.exchange
    yield "ids seen", len(exchange.seen), SEEN_MAX
    yield "frames in the gate", len(exchange._taking), FRAMES_IN_GATE_MAX
    yield "requests under way", len(exchange._requests), limits.REQUESTS_IN_FLIGHT_MAX
    yield "records that came early", len(exchange._early), EARLY_MAX
    yield "bytes that came early", exchange._early_bytes, EARLY_BYTES_MAX
    yield "logs asked for", len(exchange._asked_logs), LOGS_ASKED_MAX
    yield "offers", len(exchange._offers), OFFERS_MAX
    yield "ids refused by the peer", len(exchange._refused), REFUSED_MAX
    yield "ids lost", len(exchange._lost), LOST_MAX
