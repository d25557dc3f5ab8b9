"""Identity and status the slow, obvious way: everything anew from the whole set, rule by rule.

Shares only the shapes of rows with the library. Recursive, so for short histories only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ratoon_protocol import kinds
from ratoon_protocol.identity import Form, Operation
from ratoon_protocol.kinds import Capability, Lane
from ratoon_protocol.limits import (
    DAY_MS,
    OPERATION_CHILDREN_MAX,
    OPERATION_DEPTH_MAX,
    RECORDS_PER_KEY_LANE_DAY_MAX,
    REVOCATION_MARKS_MAX,
)
from ratoon_protocol.record import Header
from ratoon_protocol.status import Status

ACCOUNT_KEY = 1 << Capability.ACCOUNT


class Word(NamedTuple):
    """One revocation of a key on a path: who spoke, and what."""

    rank: int
    form: Form
    at_ms: int
    tips: frozenset[tuple[bytes, int, int, bytes]]


class Path:
    """The state after a path of operations, found by replaying it from the genesis."""

    def __init__(self) -> None:
        self.ranks: dict[bytes, int] = {}
        self.listed: dict[bytes, int] = {}  # capabilities by key
        self.ever: dict[bytes, int] = {}
        self.words: dict[bytes, list[Word]] = {}
        self.last: Operation | None = None

    def step(self, op: Operation) -> bool:
        """Apply `op` if it is valid here."""
        now = {row.key: row.capabilities for row in op.devices}
        now |= {row.key: ACCOUNT_KEY for row in op.keys}
        if self.last is None:
            if op.prev_op is not None:
                return False
            rank = 0
        elif op.signer not in self.ranks or self.last.vanish:
            return False
        else:
            rank = self.ranks[op.signer]
            if not self._ranked_below(op, rank):
                return False
        named = {row.key for row in op.revoked}
        if not self.listed.keys() <= now.keys() | named:
            return False
        if not all(self._may_list(key, power, rank) for key, power in now.items()):
            return False
        words = self._words(op, rank)
        if words is None:
            return False
        for key in now:
            words.pop(key, None)
        self.words, self.listed, self.last = words, now, op
        self.ever |= now
        self.ranks = {row.key: row.rank for row in op.keys}
        return True

    def _ranked_below(self, op: Operation, rank: int) -> bool:
        assert self.last is not None
        if rank == 0:
            return True
        mine = [row for row in self.last.keys if row.rank <= rank]
        return mine == [row for row in op.keys if row.rank <= rank]

    def _may_list(self, key: bytes, power: int, rank: int) -> bool:
        if key in self.ever and self.ever[key] != power:
            return False
        return key not in self.words or rank < self.words[key][0].rank

    def _words(self, op: Operation, rank: int) -> dict[bytes, list[Word]] | None:
        words = {key: list(spoken) for key, spoken in self.words.items()}
        for row in op.revoked:
            tips = frozenset((t.key, int(t.lane), t.seq, t.id) for t in op.tips if t.key == row.key)
            word = Word(rank, row.form, row.at_ms, tips)
            spoken = words.get(row.key, [])
            if spoken and spoken[0].rank < rank:
                return None
            if spoken and spoken[0].rank > rank:
                spoken = []
            if word not in spoken:
                spoken = [*spoken, word]
            if len(spoken) > REVOCATION_MARKS_MAX:
                return None
            words[row.key] = spoken
        return words


class Identity:
    """The tree, the head and the kept operations of a whole set."""

    def __init__(self, ops: Mapping[bytes, Operation]) -> None:
        self.ops = ops
        self.valid = {op_id: op for op_id, op in ops.items() if self.path(op_id)}
        self.children: dict[bytes | None, list[bytes]] = {}
        for op_id, op in self.valid.items():
            self.children.setdefault(op.prev_op, []).append(op_id)
        self.head = self._descend()
        self.kept = self._kept()

    def chain(self, op_id: bytes) -> list[Operation] | None:
        found: list[Operation] = []
        at: bytes | None = op_id
        while at is not None:
            if at not in self.ops:
                return None
            found.insert(0, self.ops[at])
            at = self.ops[at].prev_op
        return found

    def path(self, op_id: bytes) -> Path | None:
        chain, path = self.chain(op_id), Path()
        short = chain is not None and len(chain) <= OPERATION_DEPTH_MAX
        return path if short and all(path.step(op) for op in chain or ()) else None

    def below(self, op_id: bytes) -> list[bytes]:
        found = [op_id]
        for child in self.children.get(op_id, ()):
            found += self.below(child)
        return found

    def _measure(self, op_id: bytes, fork: bytes | None) -> int:
        """The authority of an operation's signer in the state at `fork`.

        A key that is not there counts as the one that admitted it: that of the last operation
        between which listed it anew.
        """
        if fork is None:
            return 0
        ranks = {row.key: row.rank for row in self.valid[fork].keys}
        signer = self.valid[op_id].signer
        if signer in ranks:
            return ranks[signer]
        at = self.valid[op_id].prev_op
        while at is not None and at != fork:
            before = self.valid[at].prev_op
            listed = {row.key for row in self.valid[at].keys}
            earlier = {row.key for row in self.valid[before].keys} if before else set()
            if signer in listed and signer not in earlier:
                return self._measure(at, fork)
            at = before
        raise AssertionError("nobody admitted the signer")

    def score(self, op_id: bytes) -> tuple[int, int, bytes]:
        fork = self.valid[op_id].prev_op
        best = min(self._measure(below, fork) for below in self.below(op_id))
        return best, self._measure(op_id, fork), op_id

    def _descend(self) -> bytes | None:
        at: bytes | None = None
        while children := self.children.get(at):
            at = min(children, key=self.score)
        return at

    def _kept(self) -> set[bytes]:
        kept: set[bytes] = set()
        open_: list[bytes | None] = [None]
        while open_:
            ranked = sorted(self.children.get(open_.pop(), ()), key=self.score)
            kept |= set(ranked[:OPERATION_CHILDREN_MAX])
            open_ += ranked[:OPERATION_CHILDREN_MAX]
        return kept

    def contested(self) -> bool:
        for op in self.chain(self.head) or [] if self.head else []:
            rivals = [one for one in self.children[op.prev_op] if one in self.kept]
            for rival in rivals:
                if rival == op.id or self.score(rival)[:2] != self.score(op.id)[:2]:
                    continue
                if self._papers(rival, op.prev_op) >= self._papers(op.id, op.prev_op):
                    return True
        return False

    def _papers(self, op_id: bytes, fork: bytes | None) -> int:
        rows = self.valid[fork].keys if fork else self.valid[op_id].keys
        paper = next(row.key for row in rows if row.rank == 0)
        return sum(self.valid[one].signer == paper for one in self.below(op_id) if one in self.kept)


def statuses(
    ops: Mapping[bytes, Operation],
    headers: Mapping[bytes, Header],
    deletes: Mapping[bytes, Sequence[bytes]],
) -> dict[bytes, Status]:
    """The status of every record, each asked for by itself."""
    account = Account(Identity(ops), headers, deletes)
    return {record_id: account.status(record_id) for record_id in headers}


class Account:
    """One account as `status` sees it."""

    def __init__(
        self,
        identity: Identity,
        headers: Mapping[bytes, Header],
        deletes: Mapping[bytes, Sequence[bytes]],
    ) -> None:
        self.identity = identity
        self.headers = headers
        self.deletes = deletes
        head = identity.head
        self.path = identity.path(head) if head else None
        self.vanished = bool(head and identity.ops[head].vanish)
        self.powers: dict[bytes, int] = {}  # of every key that a kept operation lists
        for op_id in identity.kept:
            op = identity.ops[op_id]
            for key, power in [(d.key, d.capabilities) for d in op.devices] + [
                (k.key, ACCOUNT_KEY) for k in op.keys
            ]:
                self.powers[key] = self.powers.get(key, 0) | power

    def reached(self, tips: frozenset[tuple[bytes, int, int, bytes]], lane: Lane) -> set[bytes]:
        found: set[bytes] = set()
        for key, tip_lane, seq, tip in tips:
            header = self.headers.get(tip)
            if (
                header
                and lane == tip_lane
                and (header.key, header.kind_class.lane, header.seq) == (key, lane, seq)
            ):
                found.add(tip)
        while True:
            further = {
                prev
                for one in found
                if (prev := self.headers[one].prev) is not None
                and prev in self.headers
                and self._fits(self.headers[one], self.headers[prev])
            } - found
            if not further:
                return found
            found |= further

    @staticmethod
    def _fits(header: Header, before: Header) -> bool:
        return (
            before.key == header.key
            and before.kind_class.lane is header.kind_class.lane
            and before.seq == header.seq - 1
            and before.created_ms <= header.created_ms
        )

    def words(self, key: bytes) -> list[Word]:
        return self.path.words.get(key, []) if self.path else []

    def all_reached(self, key: bytes, lane: Lane) -> set[bytes] | None:
        """What every revocation lets pass by its tips; None if none asks for tips."""
        sets = [
            self.reached(word.tips, lane)
            for word in self.words(key)
            if word.form is Form.STOLEN or lane is Lane.LOG
        ]
        return set.intersection(*sets) if sets else None

    def authority(self, record_id: bytes) -> Status:
        header = self.headers[record_id]
        lane = header.kind_class.lane
        if header.kind == kinds.IDENTITY and record_id in self.identity.kept:
            return Status.LIVE
        if self.path is None or header.key not in self.powers:
            return Status.UNPROVEN
        if header.kind == kinds.IDENTITY:
            return Status.REVOKED
        power = self.path.ever.get(header.key)
        if header.key not in self.path.listed:
            words = self.words(header.key)
            if not words:
                return Status.REVOKED
            for word in words:
                timed = word.form is Form.RETIRED and lane is not Lane.LOG
                if timed and header.created_ms > word.at_ms:
                    return Status.REVOKED
            reached = self.all_reached(header.key, lane)
            if reached is not None and record_id not in reached:
                return Status.REVOKED
            power = self.powers[header.key] if power is None else power
        assert power is not None
        allowed = power >> header.kind_class.capability & 1
        return Status.LIVE if allowed else Status.REVOKED

    def capped(self, record_id: bytes) -> bool:
        header = self.headers[record_id]
        if header.kind == kinds.IDENTITY:
            return False
        lane = header.kind_class.lane
        reached = self.all_reached(header.key, lane) or set()
        before = 0
        for other_id, other in self.headers.items():
            same = other.key == header.key and other.kind_class.lane is lane
            same = same and other.created_ms // DAY_MS == header.created_ms // DAY_MS
            if same and other.kind != kinds.IDENTITY:
                mine = (record_id not in reached, header.seq, record_id)
                before += (other_id not in reached, other.seq, other_id) < mine
        return before >= RECORDS_PER_KEY_LANE_DAY_MAX

    def effective(self, record_id: bytes) -> bool:
        return self.authority(record_id) is Status.LIVE and not self.capped(record_id)

    def gone(self, record_id: bytes) -> bool:
        if self.headers[record_id].kind_class.lane is Lane.LOG:
            return False
        return self.vanished or any(
            record_id in targets and one in self.headers and self.effective(one)
            for one, targets in self.deletes.items()
        )

    def status(self, record_id: bytes) -> Status:
        header = self.headers[record_id]
        if self.gone(record_id):
            return Status.GONE
        if (authority := self.authority(record_id)) is not Status.LIVE:
            return authority
        if self.capped(record_id):
            return Status.CAPPED
        for other_id, other in self.headers.items():
            if (
                header.slot
                and (other.kind, other.slot) == (header.kind, header.slot)
                and (other.created_ms, other_id) > (header.created_ms, record_id)
                and self.effective(other_id)
            ):
                return Status.SUPERSEDED
        return Status.LIVE
