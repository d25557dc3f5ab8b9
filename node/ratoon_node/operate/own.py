"""The node's own account: the keys it runs with, and what it says of itself and whom it hosts.

The server holds one device key (serve) and its link key. The account keys are on paper: whoever
takes the machine cannot take the account (invariant 8).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ratoon_node.errors import NodeError
from ratoon_node.ingest.gate import Gate
from ratoon_node.ingest.scrub import damaged_operations
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.runtime import Clock
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_protocol import keys, kinds, phrase, record
from ratoon_protocol.author import Author, Chain, Draft, capability_set, device_row, new_account
from ratoon_protocol.errors import Code, ProtocolError, RatoonError
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.kinds import Capability, Lane
from ratoon_protocol.record import Body, Record

# What a node's key may do: serve, moderate for its operator, show a profile, erase its own.
_CAPABILITIES = capability_set(
    [
        Capability.SERVE,
        Capability.MODERATE,
        Capability.PROFILE,
        Capability.ERASE,
        Capability.PRIVATE,
    ]
)
SELF = Origin(Way.SELF)
# Own records in one commit: signing them takes a few milliseconds.
PUBLISHED_AT_ONCE_MAX = 64
# What is told to somebody whose record shared a batch that was interrupted.
RETRY_MS = 500


class KeyFileError(RatoonError):
    """The key file cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Keys:
    """What the key file holds: seeds (32 bytes each) and the genesis that lists them."""

    network: bytes
    account: bytes
    device_seed: bytes
    agreement_seed: bytes
    link_seed: bytes
    slot_key: bytes
    genesis: bytes

    def save(self, path: Path) -> None:
        """Write the file for its owner only, and have it on disk before anything uses it."""
        fields = {name: getattr(self, name).hex() for name in Keys.__dataclass_fields__}
        fresh = path.with_suffix(".new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump(fields, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    @classmethod
    def load(cls, path: Path) -> Keys:
        """Read the file. Raises `KeyFileError`."""
        try:
            fields = json.loads(path.read_text())
            return cls(**{name: bytes.fromhex(fields[name]) for name in cls.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KeyFileError(f"{path} cannot be read: {error}") from error


def make_keys(network: bytes, entropy: bytes, rng: random.Random, now_ms: int) -> Keys:
    """Keys for a new node account whose recovery phrase is `entropy` (32 bytes)."""
    paper = phrase.account_key(entropy)
    device = SigningKey.from_seed(device_seed := rng.randbytes(32))
    agreement = AgreementKey(agreement_seed := rng.randbytes(32))
    row = device_row(network, paper.public, device, agreement.public, _CAPABILITIES)
    account, genesis = new_account(
        network, paper, Draft(devices=[row]), now_ms, salt=rng.randbytes(16)
    )
    return Keys(
        network=network,
        account=account,
        device_seed=device_seed,
        agreement_seed=agreement_seed,
        link_seed=rng.randbytes(32),
        slot_key=phrase.slot_key(entropy),
        genesis=genesis.encode(),
    )


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
        self._keys = keys
        self._gate = gate
        self._db = db
        self._clock = clock
        self._rng = rng
        self._author: Author | None = None
        self._description: Description | None = None
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

    async def say_again(self) -> None:
        """The store lost who this node is: say it again from the key file."""
        await self.start()
        if self._description is not None:
            await self.describe(self._description)

    async def describe(self, description: Description) -> None:
        """Say what the node is, if that is not what its record says already."""
        self._description = description

        def said(db: sqlite3.Connection) -> Body:
            row = read.account(db, self.account)
            current = read.current(db, row.n, kinds.NODE) if row else None
            if current is None or not is_whole([read.whole(current)]):
                return {}
            assert current.payload is not None, "it is whole"
            return record.decode_payload(current.payload)

        body = description.body()
        before = await self._db.read(said)
        if any(before.get(name) != value for name, value in body.items()):
            await self.publish(kinds.NODE, body, target=b"")

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
        before, now_ms = dict(author.chains), self._clock.now_ms()
        for wish in wishes:
            try:
                wish.signed = author.sign(
                    wish.kind, wish.body, now_ms, self._rng.randbytes(16), wish.target
                )
            except RatoonError as error:
                wish.error = error
        signed = [(wish, wish.signed) for wish in wishes if wish.signed is not None]
        try:
            outcomes = await self._gate.submit([found.encode() for _, found in signed], SELF)
        except NodeError as error:  # nothing was taken in: the chains are where they were
            author.chains = before
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
                words = f"own {kinds.name(wish.kind)}: {outcome.detail}"
                wish.error = NodeError(outcome.code, detail=words)

    async def host(self, account: bytes, hosting: bool = True) -> Record:
        """Say that this node is (or no longer is) a home of `account`."""
        return await self.publish(kinds.HOSTING, {"state": int(hosting)}, target=account)
