"""Histories of the protocol's tests as real records, offered to a real gate in any order."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ratoon_node.app import Node
from ratoon_node.ingest.submission import Origin, Outcome, Parts, Way
from ratoon_node.store import read
from ratoon_protocol import bodies, kinds, record
from ratoon_protocol.author import Draft
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.identity import IdentityLog, Operation, parse_operation
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import DAY_MS
from ratoon_protocol.record import Body, Header, Record
from ratoon_protocol.status import Status
from tests.protocol.histories import DAY0_MS, NETWORK, History, digest, public, signing_key

LINK = Origin(Way.LINK, b"p" * 32)
API = Origin(Way.API)
#: Refusals that time or other records may cure: sync offers such a record again. `gone` is one
#: while the account is vanished, because nothing of it is kept.
TRANSIENT = {"pending", "unknown_key", "unknown_account", "not_hosted", "dropped", "gone"}

_NAMES = [
    *(f"{letter}{number}" for letter in "KDT" for number in range(10)),
    "T",
    "TD",
    "E",
]
_SIGNERS = {public(name): signing_key(name) for name in _NAMES}


def _target(kind: int, slot: bytes) -> bytes:
    return {kinds.PROFILE: b"", kinds.NODE: b"", kinds.SETTING: slot}.get(kind, slot + slot)


def _body(kind: int, name: bytes) -> Body:
    text = f"words of {name.hex()}"
    found: dict[int, Body] = {
        kinds.PROFILE: {"name": "n", "bio": text},
        kinds.VOTE: {"choices": [0]},
        kinds.REACTION: {"emoji": "🌱", "state": 1},
        kinds.FOLLOW: {"state": 1},
        kinds.SETTING: {"data": text.encode()},
    }
    return found.get(kind, {"text": text})


@dataclass
class Told:
    """A history told in real records; `real` is it with their ids, for the slow judge."""

    records: dict[bytes, Record] = field(default_factory=dict)  # by their own id
    names: dict[bytes, bytes] = field(default_factory=dict)  # id in the history → real id
    real: History = field(default_factory=History)

    @property
    def account(self) -> bytes:
        return self.real.account

    def log(self) -> IdentityLog:
        """What a node knows that was offered every operation, in whatever order."""
        return self.real.arrive(proven=True)

    def path(self, id_: bytes) -> list[Record]:
        """The operations from the genesis to one: what is sent along with it."""
        found: list[Record] = []
        at: bytes | None = id_
        while at in self.real.ops:
            found.append(self.records[at])
            at = self.real.ops[at].prev_op
        return found[::-1]


class Teller:
    """Signs a history, what is named before what names it."""

    def __init__(self, history: History, salt: object) -> None:
        self._history = history
        self._seed = salt
        self.told = Told()
        genesis = next(op for op in history.ops.values() if op.prev_op is None)
        payload = record.encode_payload(self._draft(genesis), self._salt(b"genesis"))
        self._genesis_payload = payload
        hash_ = record.new_header(
            network=NETWORK, kind=kinds.IDENTITY, account=bytes(32), key=genesis.signer, seq=1,
            prev=None, created_ms=DAY0_MS, payload=payload,
        ).payload_hash  # fmt: skip
        self.told.real.account = record.account_id(NETWORK, hash_)

    def tell(self) -> Told:
        genesis, *others = self._history.ops
        for name in [genesis, *self._history.headers, *others]:
            self._id(name)
        return self.told

    def _salt(self, name: bytes) -> bytes:
        return digest("salt", self._seed, name)[:16]

    def _id(self, name: bytes) -> bytes:
        """The real id of what the history calls `name`; an unknown name stays as it is."""
        if name not in self.told.names:
            if name in self._history.ops:
                self._tell_operation(name, self._history.ops[name])
            elif name in self._history.headers:
                self._tell_record(name, self._history.headers[name])
            else:
                return name
        return self.told.names[name]

    def _draft(self, op: Operation) -> Body:
        return Draft(
            self._id(op.prev_op) if op.prev_op else None,
            list(op.keys),
            list(op.devices),
            list(op.homes),
            list(op.handles),
            list(op.revoked),
            [tip._replace(id=self._id(tip.id)) for tip in op.tips],
            op.vanish,
        ).body()

    def _tell_operation(self, name: bytes, op: Operation) -> None:
        payload = self._genesis_payload
        prev = None
        if op.prev_op is not None:
            payload = record.encode_payload(self._draft(op), self._salt(name))
            prev = self._id(op.prev_op)
        elif self.told.names:
            prev = digest("a second signing")
        header = record.new_header(
            network=NETWORK, kind=kinds.IDENTITY, account=self.told.account, key=op.signer,
            seq=2 if prev else 1, prev=prev, created_ms=op.created_ms, payload=payload,
        )  # fmt: skip
        made = self._sign(name, header, payload)
        try:
            body = record.decode_payload(payload)
            bodies.check_body(header, body)
            self.told.real.ops[made.id] = parse_operation(made.id, header, body)
        except ProtocolError:
            pass  # a header with invalid bytes

    def _tell_record(self, name: bytes, bare: Header) -> None:
        if bare.kind == kinds.IDENTITY:
            return
        body = _body(bare.kind, name)
        if bare.kind == kinds.DELETE:
            named = self._history.deletes.get(name, [])
            body = {"ids": [self._id(one) if one != name else digest(one) for one in named]}
        slot = None
        if bare.slot is not None:
            target = _target(bare.kind, bare.slot)
            body |= {"slot_salt": bare.slot, "target": target}
            slot = record.slot_id(self.told.account, bare.kind, bare.slot, target)
        payload = record.encode_payload(body, self._salt(name))
        header = record.new_header(
            network=NETWORK, kind=bare.kind, account=self.told.account, key=bare.key,
            seq=bare.seq, prev=self._id(bare.prev) if bare.prev else None,
            created_ms=bare.created_ms, payload=payload, slot=slot,
        )  # fmt: skip
        made = self._sign(name, header, payload)
        if bare.kind == kinds.DELETE and body["ids"]:
            self.told.real.deletes[made.id] = body["ids"]

    def _sign(self, name: bytes, header: Header, payload: bytes) -> Record:
        data = record.encode_header(header)
        signature = _SIGNERS[header.key].sign(record.signed_message(data))
        made = Record(record.record_id(data), header, data, signature, payload)
        self.told.names[name] = made.id
        self.told.records[made.id] = made
        self.told.real.headers[made.id] = header
        return made


def tell(history: History, salt: object = 0) -> Told:
    """The history in records; another `salt` makes it the history of another account."""
    return Teller(history, salt).tell()


#: Shortly after the days of the histories.
AFTERWARDS_MS = DAY0_MS + 100 * DAY_MS


def cut(items: Sequence[Record], rng: random.Random) -> Iterable[list[Record]]:
    """Batches of random sizes."""
    at = 0
    while at < len(items):
        size = rng.choice((1, 1, 2, 3, 8, 100))
        yield list(items[at : at + size])
        at += size


async def offer(node: Node, items: Sequence[Record], origin: Origin = LINK) -> list[Outcome]:
    parts = [Parts(one.header_bytes, one.signature, one.payload) for one in items]
    return await node.gate.submit(parts, origin)


async def offer_all(node: Node, told: Told, order: Sequence[Record], rng: random.Random) -> None:
    """Offer records in an order, in batches, and again as sync does until nothing changes."""
    answers: dict[bytes, str] = {}
    before = None
    waiting = list(order)
    while waiting and before != answers:
        before = dict(answers)
        for batch in cut(waiting, rng):
            for one, outcome in zip(batch, await offer(node, batch), strict=True):
                assert outcome.id == one.id
                if outcome.code == "pending" and one.id in told.real.ops:
                    (*_, outcome) = await offer(node, told.path(one.id))
                answers[one.id] = outcome.code
        waiting = [one for one in waiting if answers[one.id] in TRANSIENT]


async def statuses(node: Node, account: bytes) -> dict[bytes, Status]:
    """What the store says of every record of an account, envelopes aside."""

    def run(db):
        found = db.execute(
            "SELECT record.id, status FROM record JOIN account ON account.n = record.account"
            " JOIN chain ON chain.n = record.chain WHERE account.id = ? AND lane < ?",
            (account, int(Lane.NONE)),
        )
        return {id_: Status(status) for id_, status in found}

    return await node.db.read(run)


async def in_sets(node: Node, account: bytes) -> set[bytes]:
    """Ids of an account's headers in this node's sets."""

    def run(db):
        row = read.account(db, account)
        return {one.id for one in read.members(db, [row.n])} if row else set()

    return await node.db.read(run)
