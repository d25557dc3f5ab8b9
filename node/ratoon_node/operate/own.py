"""The node's own account: the keys it runs with, and what it says of itself and whom it hosts.

The server holds one device key (serve) and its link key. The account keys are on paper: whoever
takes the machine cannot take the account (invariant 8).
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog

from ratoon_node.errors import NodeError
from ratoon_node.fanout import Committed, Fanout, Subscription
from ratoon_node.ingest.gate import Gate
from ratoon_node.ingest.scrub import damaged_operations
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.operate.keys import Keys
from ratoon_node.operate.twins import INSTANCE_BYTES, Run, Standing, Twins
from ratoon_node.runtime import Clock, Spawn
from ratoon_node.store import linked, read
from ratoon_node.store.db import Db
from ratoon_node.store.failing import Outage
from ratoon_node.store.rows import What
from ratoon_protocol import keys, kinds, record
from ratoon_protocol.author import Author, Chain
from ratoon_protocol.errors import Code, ProtocolError, RatoonError
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import FUTURE_SKEW_MS_MAX
from ratoon_protocol.record import Body, Record

SELF = Origin(Way.SELF)
# Own records in one commit: signing them takes a few milliseconds.
PUBLISHED_AT_ONCE_MAX = 64
# What is told to somebody whose record shared a batch that was interrupted.
RETRY_MS = 500
# Pause before this node tries again to say what it could not.
SAY_AGAIN_MS = 1000

log = structlog.get_logger()


def is_whole(records: Iterable[bytes]) -> bool:
    """Whether encoded records are what was signed, payloads too: what peers are shown at a
    handshake must be, and a disk may have changed it.
    """
    try:
        for encoded in records:
            found = record.decode_record(encoded)
            if found.payload is None:
                return False
            keys.verify(
                found.header.key, found.signature, record.signed_message(found.header_bytes)
            )
    except ProtocolError:
        return False
    return True


@dataclass(frozen=True)
class Description:
    """What the node's own record says of it."""

    name: str
    addresses: tuple[str, ...]
    provider: str
    country: str
    network: str
    software: str
    home_open: int
    admits: tuple[bytes, ...]

    def body(self) -> Body:
        """The body of the node record."""
        return {
            "addresses": list(self.addresses),
            "name": self.name,
            "provider": self.provider,
            "country": self.country,
            "network": self.network,
            "software": self.software,
            "admits": list(self.admits),
            "home_open": self.home_open,
        }


@dataclass
class _Wish:
    """A record that somebody wants this node to publish, and what became of it."""

    kind: int
    body: Body
    target: bytes | None
    signed: Record | None = None
    stored: bool = False
    error: RatoonError | None = None

    @property
    def done(self) -> bool:
        """Whether it needs no more work."""
        return self.stored or self.error is not None


class OwnAccount:
    """Signs for this node, one batch at a time, each stored before the next is signed."""

    def __init__(self, keys: Keys, gate: Gate, db: Db, clock: Clock, rng: random.Random) -> None:
        self.account = keys.account
        self.network = keys.network
        self.device = SigningKey.from_seed(keys.device_seed)
        self.link_key = keys.link_seed
        #: Whether the clock can be believed; a node that is far off signs nothing.
        self.clock_sound: Callable[[], bool] = lambda: True
        #: The latest time to sign with, as peers' clocks tell; None if none is known.
        self.latest_ms: Callable[[], int | None] = lambda: None
        self._keys = keys
        self._gate = gate
        self._db = db
        self._clock = clock
        self._rng = rng
        #: Whether another machine has the same key.
        self.twins = Twins(rng.randbytes(INSTANCE_BYTES), clock.now_ms())
        self._author: Author | None = None
        self._description: Description | None = None
        #: Set as long as it may sign: not before peers were asked how far its chain is.
        self._told = asyncio.Event()
        self._told.set()
        #: Signed here and not yet told of by the journal.
        self._signing: set[bytes] = set()
        self._following = False
        self._doubted = False
        self._turn = asyncio.Lock()
        self._wishes: list[_Wish] = []

    async def start(self) -> None:
        """Store the genesis if it is new, and go on where the chains in the store end.

        What the disk has changed of the own operations goes first: nothing could be signed, or
        linked, and the scrubber, which comes to them in time, begins only once a node has started.
        """
        async with self._turn:  # what is being signed now goes on where the chains end now
            for number in await self._db.read(lambda db: damaged_operations(db, self.account)):
                await self._gate.scrub.step(number - 1)
            await self._gate.submit([self._keys.genesis], SELF)
            await self._restore()

    def follow(self, fanout: Fanout, spawn: Spawn) -> None:
        """Watch for what somebody else signs with this node's key."""
        self._following = True
        spawn(self._follow(fanout.subscribe()), "own.follow")

    def hold(self) -> None:
        """Sign nothing until `go_on`: a peer may know a newer record of this node's key."""
        self._told.clear()

    async def go_on(self) -> None:
        """What peers know is here: sign behind it, first what this node has to say of itself."""
        self._author = None
        self._told.set()
        await self._say(self._described)

    async def _described(self) -> None:
        if self._description is not None:
            await self.describe(self._description)

    async def _say(self, saying: Callable[[], Awaitable[None]]) -> None:
        """Say something, however long the store or the clock does not let this node."""
        outage = Outage("node_says_nothing")
        while True:
            try:
                await saying()
            except (RatoonError, sqlite3.Error) as error:
                outage.failed(error)
                await self._clock.sleep_ms(SAY_AGAIN_MS)
            else:
                outage.over()
                return

    async def say_again(self) -> None:
        """The store lost who this node is: say it again from the key file."""
        await self.start()
        if self._description is not None:
            await self.describe(self._description)

    async def describe(self, description: Description) -> None:
        """Say what the node is, if that is not what its record says already.

        As long as peers are asked how far the chain is it is said later, unless there is no
        record at all: without one there is no link to ask over.
        """
        self._description = description
        if self.twins.standing is Standing.SILENT:
            return

        def said(db: sqlite3.Connection) -> Body:
            row = read.account(db, self.account)
            current = read.current(db, row.n, kinds.NODE) if row else None
            if current is None or not is_whole([read.whole(current)]):
                return {}
            assert current.payload is not None, "it is whole"
            return record.decode_payload(current.payload)

        body = self._body(description)
        before = await self._db.read(said)
        differs = any(before.get(name) != value for name, value in body.items())
        if differs and (not before or self._told.is_set()):
            await self._publish(kinds.NODE, body, target=b"")

    def _body(self, description: Description) -> Body:
        run = self.twins.said
        return description.body() | (run.body() if run is not None else {})

    async def _restore(self) -> None:
        """Chains go on where the store says they are."""

        def chains(db: sqlite3.Connection) -> dict[Lane, Chain]:
            row = read.account(db, self.account)
            found = read.heads(db, row.n) if row else []
            return {
                Lane(head.lane): Chain(head.seq, head.id, head.created_ms)
                for head in found
                if head.key == self.device.public
            }

        self._author = Author(
            self.network,
            self.account,
            self.device,
            self._keys.slot_key,
            await self._db.read(chains),
        )

    async def publish(self, kind: int, body: Body, target: bytes | None = None) -> Record:
        """Sign and store one record of this node. Raises `NodeError` if it was not stored.

        Those who ask while a commit is under way share the next one: each waits for the disk.
        """
        await self._told.wait()
        if self.twins.standing is Standing.SILENT:
            raise NodeError(
                Code.BUSY,
                safe="Another machine runs with this node's keys, so this one signs nothing.",
            )
        return await self._publish(kind, body, target)

    async def _publish(self, kind: int, body: Body, target: bytes | None) -> Record:
        if not self.clock_sound():
            raise NodeError(
                Code.CLOCK, safe="This node's clock is wrong, so it signs nothing until it is set."
            )
        wish = _Wish(kind, body, target)
        self._wishes.append(wish)
        async with self._turn:
            while not wish.done:
                await self._publish_waiting()
        if wish.error is not None:
            raise wish.error
        assert wish.signed is not None, "done without an error"
        return wish.signed

    async def _publish_waiting(self) -> None:
        """Sign what was asked for, in order, and store it in one batch."""
        wishes = self._wishes[:PUBLISHED_AT_ONCE_MAX]
        del self._wishes[:PUBLISHED_AT_ONCE_MAX]
        try:
            if self._author is None:
                await self._restore()
            assert self._author is not None, "restored above"
            await self._store_all(self._author, wishes)
        finally:
            for wish in wishes:  # interrupted: whoever asked may ask again
                if not wish.done:
                    wish.error = NodeError(Code.BUSY, detail="own record", retry_ms=RETRY_MS)

    async def _store_all(self, author: Author, wishes: Sequence[_Wish]) -> None:
        before, now_ms = dict(author.chains), await self._signing_ms()
        for wish in wishes:
            last = author.chains.get(kinds.kind_class(wish.kind).lane)
            # Later than the last even if its time is bounded: of a slot the latest value counts.
            at_ms = max(now_ms, last.created_ms + 1) if last else now_ms
            try:
                wish.signed = author.sign(
                    wish.kind, wish.body, at_ms, self._rng.randbytes(16), wish.target
                )
            except RatoonError as error:
                wish.error = error
        signed = [(wish, wish.signed) for wish in wishes if wish.signed is not None]
        if self._following:
            self._signing.update(found.id for _, found in signed)
        try:
            outcomes = await self._gate.submit([found.encode() for _, found in signed], SELF)
        except NodeError as error:  # nothing was taken in: the chains are where they were
            author.chains = before
            self._signing.difference_update(found.id for _, found in signed)
            for wish, _ in signed:
                wish.error = error
            return
        author.chains = before
        for (wish, found), outcome in zip(signed, outcomes, strict=True):
            if outcome.code in (Code.STORED, Code.DUPLICATE):
                header = found.header
                author.chains[header.kind_class.lane] = Chain(
                    header.seq, found.id, header.created_ms
                )
                wish.stored = True
            else:
                self._signing.discard(found.id)
                words = f"own {kinds.name(wish.kind)}: {outcome.detail}"
                wish.error = NodeError(outcome.code, detail=words)

    async def _signing_ms(self) -> int:
        """The time to sign with: this machine's, as far as others or what is stored bear it out.

        What is dated too late nobody takes, and all of the chain after it: so it is rather dated
        too early (R-75).
        """
        now_ms, latest_ms = self._clock.now_ms(), self.latest_ms()
        if latest_ms is None:
            newest_ms = await self._db.read(lambda db: linked.newest_of_others(db, self.account))
            born_ms = record.decode_record(self._keys.genesis).header.created_ms
            latest_ms = max(newest_ms, born_ms) + FUTURE_SKEW_MS_MAX
        if now_ms > latest_ms and not self._doubted:
            self._doubted = True  # said once: who is alone for long is in no danger
            log.warning("clock_not_borne_out", ahead_ms=now_ms - latest_ms)
        return min(now_ms, latest_ms)

    async def host(self, account: bytes, hosting: bool = True) -> Record:
        """Say that this node is (or no longer is) a home of `account`."""
        return await self.publish(kinds.HOSTING, {"state": int(hosting)}, target=account)

    # --- others with the same key (R-36) -------------------------------------------------

    async def suspect(self) -> None:
        """A peer keeps a link of this node that this one did not make: ask whose it is."""
        if self.twins.hint():
            await self._say(self._say_run)

    async def _say_run(self) -> None:
        """Name this run in the node record, behind what the store has of the chain by now."""
        await self._told.wait()
        if self._description is not None:
            await self._publish(kinds.NODE, self._body(self._description), target=b"")

    async def _follow(self, changes: Subscription) -> None:
        outage = Outage("own_records_not_read")
        while True:
            commit = await changes.next()
            before = self.twins.standing
            try:
                answer = await self._heed(commit)
            except (RatoonError, sqlite3.Error) as error:
                outage.failed(error)
                continue
            outage.over()
            if self.twins.standing is not before:
                signing = self.twins.standing is not Standing.SILENT
                log.error("another_machine_has_the_key", signing=signing)
            if answer:  # also before it falls silent: the other one has to know
                await self._say(self._say_run)

    async def _heed(self, commit: Committed | None) -> bool:
        """Look for what this run did not sign; whether something is to be said to its signer."""
        if commit is None:  # it may have been among what was missed
            self._author = None
            return False
        found = {
            change.id: change.what
            for change in commit.changes
            if change.account == self.account and change.what in (What.ADDED, What.BYTES)
        }
        others = {id_: what for id_, what in found.items() if id_ not in self._signing}
        self._signing.difference_update(found)
        answer = False
        rows = await self._db.read(lambda db: read.by_ids(db, list(others))) if others else {}
        for id_, row in rows.items():
            if record.decode_header(row.header).key != self.device.public:
                continue
            if others[id_] is What.ADDED:
                self._author = None  # the chain goes on behind it
                answer |= self.twins.hint()
            if row.kind == kinds.NODE and row.payload is not None:
                run = Run.of(record.decode_payload(row.payload))
                answer |= run is not None and self.twins.hear(run)
        return answer
