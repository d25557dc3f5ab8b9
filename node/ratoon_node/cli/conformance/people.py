"""Accounts made for a run, and records of any shape that they sign."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import msgpack

from ratoon_node.cli import identity
from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import (
    Author,
    Chain,
    Draft,
    account_key_row,
    capability_set,
    device_row,
    new_account,
)
from ratoon_protocol.identity import parse_operation
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.kinds import Capability, Lane
from ratoon_protocol.limits import EPOCH_MS
from ratoon_protocol.operation import Device, Operation
from ratoon_protocol.record import (
    Body,
    Header,
    Record,
    decode_payload,
    new_header,
    record_id,
    signed_message,
    slot_id,
)

#: All that a device may do.
EVERYTHING = capability_set(
    one for one in Capability if one not in (Capability.ACCOUNT, Capability.NONE)
)
WRITE = capability_set([Capability.WRITE])
# What keeps a run's records apart from those of people: they say what they are.
TEXT = "A record of a conformance check; it will be gone in a moment."


def now_ms() -> int:
    """The machine's time."""
    return identity.now_ms()


def fresh_salt() -> bytes:
    """Sixteen random bytes."""
    return identity.fresh_salt()


def fresh_key() -> SigningKey:
    """A key that nobody had before."""
    return SigningKey.from_seed(secrets.token_bytes(32))


def pack(value: Any) -> bytes:
    """MessagePack of any value, right or wrong, in its shortest form; map keys in order."""
    return bytes(msgpack.packb(_ordered(value), use_bin_type=True))


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value


def padded(salt: bytes, body: bytes) -> bytes:
    """A payload around any bytes for a body, padded as R-29 says."""
    head = b"\x93\xc4" + bytes([len(salt)]) + salt
    size = -(len(head) + 2 + len(body)) % 64
    return head + b"\xc4" + bytes([size]) + bytes(size) + body


@dataclass
class Person:
    """An account of this run: paper, a second key at rank 1, and one device that may all."""

    network: bytes
    homes: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.entropy = secrets.token_bytes(32)
        self.slot_key = phrase.slot_key(self.entropy)
        self.paper = phrase.account_key(self.entropy)
        self.second = fresh_key()
        self.device_seed = secrets.token_bytes(32)
        self.device = SigningKey.from_seed(self.device_seed)
        self.draft = Draft(
            keys=[account_key_row(self.network, self.paper.public, 1, self.second)],
            devices=[self.row(self.device)],
            homes=list(self.homes),
        )
        self.account, self.genesis = new_account(
            self.network, self.paper, self.draft, now_ms(), fresh_salt()
        )
        chain = Chain(1, self.genesis.id, self.genesis.header.created_ms)
        self._signers = {self.paper.public: {Lane.LOG: chain}}
        self.author = self.as_author(self.device)
        self._time_ms = 0
        #: A check has ended the account already.
        self.over = False
        #: The last operation that the next one is built on.
        self.head = operation_of(self.genesis)

    def row(self, key: SigningKey, capabilities: int = EVERYTHING) -> Device:
        """A device as an operation lists it."""
        agreement = AgreementKey(secrets.token_bytes(32)).public
        return device_row(self.network, self.paper.public, key, agreement, capabilities)

    def as_author(self, key: SigningKey) -> Author:
        """Whoever signs with `key`, at the place where its chains are."""
        chains = self._signers.setdefault(key.public, {})
        author = Author(self.network, self.account, key, self.slot_key)
        author.chains = chains
        return author

    def time_ms(self) -> int:
        """The time, later by a millisecond than the last: what is signed later is newer."""
        self._time_ms = max(now_ms(), self._time_ms + 1)
        return self._time_ms

    def sign(self, kind: int, body: Body, target: bytes | None = None, ms: int = 0) -> Record:
        """The next record of the device; `ms` is added to the time."""
        return self.author.sign(kind, body, self.time_ms() + ms, fresh_salt(), target)

    def post(self, ms: int = 0, **more: Any) -> Record:
        """The next post."""
        return self.sign(kinds.POST, {"text": TEXT, **more}, ms=ms)

    def by(self, key: SigningKey) -> Signer:
        """The account's other devices sign too."""
        return Signer(self.as_author(key))

    def operation(self, draft: Draft, key: SigningKey | None = None, ms: int = 0) -> Record:
        """An identity record around a draft, signed by paper or another key."""
        return self.spell(draft.body(), key, ms)

    def spell(self, body: Body, key: SigningKey | None = None, ms: int = 0) -> Record:
        """An identity record around any body at all."""
        author = self.as_author(key or self.paper)
        header = self.forge(
            padded(fresh_salt(), pack(body)),
            kind=kinds.IDENTITY,
            key=author.key.public,
            created_ms=now_ms() + ms,
            **_place(author.chains.get(Lane.LOG)),
        )
        return self.signed(header, key=author.key)

    def move(self, made: Record) -> Record:
        """The account goes on from this operation, and its signer's chain too."""
        self.head = operation_of(made)
        chains = self._signers.setdefault(made.header.key, {})
        chains[Lane.LOG] = Chain(made.header.seq, made.id, made.header.created_ms)
        return made

    def vanish(self) -> Record:
        """The operation that ends the account."""
        draft = Draft.after(self.head)
        draft.vanish = True
        return self.operation(draft)

    # --- records that no library would make ------------------------------------------------

    def forge(self, payload: bytes, **change: Any) -> _Forged:
        """The header of a post with `payload`, but for the fields in `change`."""
        header = new_header(
            network=self.network,
            kind=kinds.POST,
            account=self.account,
            key=self.device.public,
            seq=1,
            prev=None,
            created_ms=self.time_ms(),
            payload=payload,
        )
        return _Forged(header._replace(**change), payload)

    def signed(
        self, forged: _Forged, payload: bytes | None = None, key: SigningKey | None = None
    ) -> Record:
        """A record whose header is spelt rightly, whatever its fields are."""
        data = pack(list(forged.header))
        signature = (key or self.device).sign(signed_message(data))
        inside = forged.payload if payload is None else payload
        return Record(record_id(data), forged.header, data, signature, inside)

    def raw(self, header: bytes, payload: bytes) -> Record:
        """A record around any bytes for a header, signed by the device."""
        forged = self.forge(payload)
        signature = self.device.sign(signed_message(header))
        return Record(record_id(header), forged.header, header, signature, payload)

    def bad(self, payload: bytes, by: SigningKey | None = None, **change: Any) -> Record:
        """`forge` and `signed` in one; `by` signs, `change` are fields of the header."""
        return self.signed(self.forge(payload, **change), key=by)

    def payload(self, body: Any = None) -> bytes:
        """A payload with a fresh salt around a body, right or wrong."""
        return padded(fresh_salt(), pack({"text": TEXT} if body is None else body))

    def move_on(self, payload: bytes, kind: int = kinds.POST, slot: bytes | None = None) -> Record:
        """The next record of the device's chain around a payload of any bytes."""
        lane = kinds.kind_class(kind).lane
        place = _place(self.author.chains.get(lane))
        made = self.bad(payload, kind=kind, slot=slot, **place)
        self.author.chains[lane] = Chain(made.header.seq, made.id, made.header.created_ms)
        return made

    def slotted(self, kind: int, body: Body) -> bytes:
        """The slot that fits a body, so that it is never the fault."""
        salt, target = body.get("slot_salt"), body.get("target")
        if isinstance(salt, bytes) and isinstance(target, bytes):
            return slot_id(self.account, kind, salt, target)
        return bytes(16)


@dataclass(frozen=True)
class Signer:
    """One key of an account, with a few things that it says."""

    author: Author

    def post(self, ms: int = 0, **more: Any) -> Record:
        """Its next post; `ms` is added to the time."""
        body = {"text": TEXT, **more}
        return self.author.sign(kinds.POST, body, now_ms() + ms, fresh_salt())

    def delete(self, *ids: bytes) -> Record:
        """Its next delete."""
        return self.author.sign(kinds.DELETE, {"ids": list(ids)}, now_ms(), fresh_salt())


@dataclass(frozen=True)
class _Forged:
    header: Header
    payload: bytes


def operation_of(made: Record) -> Operation:
    """The operation in an identity record of ours."""
    assert made.payload is not None, "made here"
    return parse_operation(made.id, made.header, decode_payload(made.payload))


def _place(last: Chain | None) -> dict[str, Any]:
    """Where the next record of a chain stands."""
    return {"seq": last.seq + 1, "prev": last.id} if last else {"seq": 1, "prev": None}


def seconds(created_ms: int) -> int:
    """The time that reconciliation sorts by."""
    return (created_ms - EPOCH_MS) // 1000
