"""Histories of one account: what its owner and a thief sign, and in which order it arrives.

Keys and proofs are real; ids are hashes of names, so that a history is the same every time and a
test can give an operation the id it wants. `naive` judges the same histories the slow way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import permutations
from random import Random

from ratoon_protocol import kinds
from ratoon_protocol.identity import (
    AccountKey,
    Device,
    Form,
    IdentityLog,
    Operation,
    Revocation,
    Tip,
    account_key_statement,
    device_statement,
)
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.kinds import Capability
from ratoon_protocol.limits import NETWORK_PUBLIC, VERSION
from ratoon_protocol.record import Header
from ratoon_protocol.status import Status, judge

NETWORK = NETWORK_PUBLIC
DAY0_MS = 1_700_006_400_000  # 00:00 UTC of a day
WRITE = 1 << Capability.WRITE
ERASE = 1 << Capability.ERASE
EVERYTHING = WRITE | ERASE | 1 << Capability.PROFILE | 1 << Capability.PRIVATE

#: How one key is revoked: its form and the records named as its tips.
Revoked = Mapping[str, tuple[Form, Sequence[bytes]]]


def digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


@lru_cache(maxsize=256)
def signing_key(name: str) -> SigningKey:
    return SigningKey.from_seed(digest("key", name))


def public(name: str) -> bytes:
    return signing_key(name).public


ACCOUNT = digest("account")
ANCHOR = public("K0")


@lru_cache(maxsize=1024)
def account_key(name: str, rank: int) -> AccountKey:
    statement = account_key_statement(NETWORK, ANCHOR, rank, public(name))
    return AccountKey(rank, public(name), signing_key(name).sign(statement))


@lru_cache(maxsize=1024)
def device(name: str, capabilities: int = EVERYTHING) -> Device:
    bare = Device(public(name), digest("agreement", name), capabilities, b"", None)
    return bare._replace(proof=signing_key(name).sign(device_statement(NETWORK, ANCHOR, bare)))


@dataclass
class History:
    """Operations, headers and what the deletes name; nothing of it knows about arrival."""

    ops: dict[bytes, Operation] = field(default_factory=dict)
    headers: dict[bytes, Header] = field(default_factory=dict)
    deletes: dict[bytes, list[bytes]] = field(default_factory=dict)
    account: bytes = ACCOUNT
    count: int = 0

    def _id(self, op_id: bytes | None) -> bytes:
        self.count += 1
        return op_id or digest("id", self.count)

    # --- operations --------------------------------------------------------------------------
    def genesis(
        self, keys: Sequence[str] = ("K0", "K1"), devices: Sequence[str] = ("D1",)
    ) -> Operation:
        rows = tuple(account_key(name, rank) for rank, name in enumerate(keys))
        return self._keep(
            Operation(
                id=self._id(None),
                account=self.account,
                signer=rows[0].key,
                created_ms=DAY0_MS,
                prev_op=None,
                keys=rows,
                devices=tuple(device(name) for name in devices),
                homes=(),
                handles=(),
            )
        )

    def op(
        self,
        signer: str,
        prev: Operation,
        *,
        add: Iterable[str | Device] = (),
        add_keys: Mapping[str, int] | None = None,
        revoke: Revoked | None = None,
        at_ms: int = DAY0_MS,
        vanish: bool = False,
        op_id: bytes | None = None,
    ) -> Operation:
        """What `prev` says, with keys added and revoked, signed by `signer`."""
        gone = {public(name) for name in revoke or {}}
        added = [device(one) if isinstance(one, str) else one for one in add]
        rows = [row for row in prev.keys if row.key not in gone]
        rows += [account_key(name, rank) for name, rank in (add_keys or {}).items()]
        devices = [row for row in prev.devices if row.key not in gone]
        return self._keep(
            Operation(
                id=self._id(op_id),
                account=self.account,
                signer=public(signer),
                created_ms=at_ms,
                prev_op=prev.id,
                keys=tuple(sorted(rows)),
                devices=(*devices, *added),
                homes=prev.homes,
                handles=prev.handles,
                revoked=tuple(
                    Revocation(public(name), form, at_ms)
                    for name, (form, _) in (revoke or {}).items()
                ),
                tips=tuple(
                    Tip(public(name), self.headers[tip].kind_class.lane, self.headers[tip].seq, tip)
                    for name, (_, tips) in (revoke or {}).items()
                    for tip in tips
                ),
                vanish=vanish,
            )
        )

    def _keep(self, op: Operation) -> Operation:
        self.ops[op.id] = op
        return op

    # --- records -----------------------------------------------------------------------------
    def record(
        self,
        key: str,
        prev: bytes | None = None,
        *,
        kind: int = kinds.POST,
        at_ms: int = DAY0_MS,
        seq: int | None = None,
        slot: str | None = None,
    ) -> bytes:
        """The next record after `prev` (any id, also an unknown one with `seq`)."""
        if seq is None:
            seq = self.headers[prev].seq + 1 if prev else 1
        record_id = self._id(None)
        self.headers[record_id] = Header(
            version=VERSION,
            network=NETWORK,
            kind=kind,
            account=self.account,
            key=public(key),
            seq=seq,
            prev=prev,
            created_ms=at_ms,
            slot=digest("slot", slot)[:16] if slot else None,
            payload_len=64,
            payload_hash=digest("payload", record_id),
        )
        return record_id

    def delete(
        self, key: str, targets: Iterable[bytes], prev: bytes | None = None, at_ms: int = DAY0_MS
    ) -> bytes:
        record_id = self.record(key, prev, kind=kinds.DELETE, at_ms=at_ms)
        self.deletes[record_id] = list(targets)
        return record_id

    def chain(
        self, key: str, count: int, prev: bytes | None = None, at_ms: int = DAY0_MS
    ) -> list[bytes]:
        """`count` posts, one after another."""
        ids: list[bytes] = []
        for _ in range(count):
            prev = self.record(key, prev, at_ms=at_ms)
            ids.append(prev)
        return ids

    # --- arrival -----------------------------------------------------------------------------
    def arrive(
        self, order: Iterable[Operation] | None = None, *, proven: bool = False
    ) -> IdentityLog:
        """A node that is offered the operations one by one, and asks for what is missing.

        `proven` saves the time of checking the proofs.
        """
        log = IdentityLog(self.account, NETWORK)
        for op in self.ops.values() if order is None else order:
            log.add_all([op], proven=proven)
            self._fetch(log, proven)
        for _ in range(9):
            before = log.kept
            for op in self.ops.values():
                if not log.holds(op.id):
                    log.add_all([op], proven=proven)
                    self._fetch(log, proven)
            if log.kept == before:
                return log
        raise AssertionError("reconciliation does not come to rest")

    def _fetch(self, log: IdentityLog, proven: bool) -> None:
        """Ask for the path of what is pending, until it is here whole, and offer it as one."""
        path: dict[bytes, Operation] = {}
        wanted = list(log.missing)
        while wanted:
            op = self.ops.get(wanted.pop())
            if op and op.id not in path and not log.holds(op.id):
                path[op.id] = op
                wanted += [op.prev_op] if op.prev_op else []
        if path:
            log.add_all(path.values(), proven=proven)

    def judge(self, log: IdentityLog, ids: Iterable[bytes] | None = None) -> dict[bytes, Status]:
        """The status of every record, or of those in `ids` as a node that holds only them."""
        held = self.headers if ids is None else {one: self.headers[one] for one in ids}
        return judge(log, held, {one: self.deletes[one] for one in held if one in self.deletes})


def orders(history: History, random: Random, count: int = 100) -> Iterable[list[Operation]]:
    """Every order of arrival if there are at most five operations, else `count` of them."""
    ops = list(history.ops.values())
    if len(ops) <= 5:
        yield from (list(order) for order in permutations(ops))
        return
    yield ops
    yield ops[::-1]
    for _ in range(count):
        yield random.sample(ops, len(ops))
