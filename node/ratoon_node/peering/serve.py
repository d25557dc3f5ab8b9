"""What this node hands out over links: records as stored, or the reason why not (R-62, R-75)."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import NamedTuple

from ratoon_node.policy.engine import Policy
from ratoon_node.policy.verdict import Verdict
from ratoon_node.runtime import Clock
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_node.store.rows import Bytes, Flag, Row
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import (
    FIND_ACCOUNT,
    Chain,
    Find,
    Get,
    Outcome,
    Packed,
    challenge_hash,
)
from ratoon_protocol.framing import pack_item
from ratoon_protocol.kinds import Lane, Scope
from ratoon_protocol.limits import CHAIN_HEADERS_MAX, OPERATION_DEPTH_MAX

# Hosting records sent with one account's log: one a home, with room for ended ones.
HOSTING_RECORDS_MAX = 32
# Records of the log itself: with the hosting records no more than one request may bring.
LOG_RECORDS_MAX = OPERATION_DEPTH_MAX - HOSTING_RECORDS_MAX

# Ids that one peer was not given for a reason that passes; what is older, it asks for again itself.
HIDDEN_MAX = 8192

Answer = tuple[list[Packed], list[Outcome]]
#: Whether an account, by its number in the store, is hidden.
Mask = Callable[[int], bool]


class _Blocks(NamedTuple):
    """Whether a policy blocks any account or node at all; what expires only makes it less."""

    policy: Policy
    accounts: bool
    nodes: bool


class Serve:
    """Answers from the store; the same for every link but for what only homes may have."""

    def __init__(
        self, own: bytes, network: bytes, db: Db, policy: Callable[[], Policy], clock: Clock
    ) -> None:
        self._own = own
        self._network = network
        self._db = db
        self._policy = policy
        self._clock = clock
        self._blocks: _Blocks | None = None
        #: What each peer was not given though it is here, the newest last.
        self.hidden: dict[bytes, OrderedDict[bytes, None]] = {}
        #: How often that was: it tells whether there is more.
        self.hides = 0

    async def get(self, peer: bytes, frame: Get) -> Answer:
        """Records by id: each as an item or with the reason why it cannot be sent."""
        return await self._give(peer, frame.ids)

    async def _give(self, peer: bytes, ids: Sequence[bytes]) -> Answer:
        answer, hidden = await self._db.read(
            lambda db: (self._get(peer, ids, db), self.hidden_among(db, ids))
        )
        if hidden:
            self.hides += 1
            table = self.hidden.setdefault(peer, OrderedDict())
            table.update(dict.fromkeys(hidden))
            while len(table) > HIDDEN_MAX:
                table.popitem(last=False)
        return answer

    def hidden_among(self, db: sqlite3.Connection, ids: Sequence[bytes]) -> list[bytes]:
        """Those of `ids` whose bytes are here and given to nobody: for a block, or because it is
        not judged yet what the account's keys may say.
        """
        masked, judging = self._mask(db), read.judging(db)
        if masked is _nobody and not judging:
            return []
        return [
            id_
            for id_, row in read.by_ids(db, ids).items()
            if read.code_of(row) is Code.STORED
            and not _is_log(row)
            and (row.account in judging or masked(row.account))
        ]

    def _get(self, peer: bytes, ids: Sequence[bytes], db: sqlite3.Connection) -> Answer:
        found = read.by_ids(db, ids)
        masked, judging = self._mask(db), read.judging(db)
        items: list[Packed] = []
        absent: list[Outcome] = []
        for id_ in dict.fromkeys(ids):
            row = found.get(id_)
            if row is None or not self._may_have(db, peer, row):
                absent.append(Outcome(id_, Code.NOT_FOUND))
            elif read.code_of(row) is Code.LEGAL:
                absent.append(Outcome(id_, Code.LEGAL))
            elif row.account in judging and not _is_log(row):
                items.append(pack_item(row.header, row.signature, None, Code.DROPPED, known=row.id))
            else:
                items.append(_pack(row, masked))
        return items, absent

    async def pack_ids(self, peer: bytes, ids: Sequence[bytes]) -> list[Packed]:
        """Items for a push of records that a peer lacks."""
        items, _ = await self._give(peer, ids)
        return items

    def _mask(self, db: sqlite3.Connection) -> Mask:
        """Whether a block made since hides what is stored of an account (by number)."""
        policy, now_ms = self._policy(), self._clock.now_ms()
        if self._blocks is None or policy is not self._blocks.policy:
            accounts, nodes = policy.blocked_accounts(now_ms), policy.blocked_nodes(now_ms)
            self._blocks = _Blocks(policy, bool(accounts), bool(nodes))
        blocks = self._blocks
        if not blocks.accounts and not blocks.nodes:
            return _nobody

        @cache
        def masked(number: int) -> bool:
            account = read.account_id(db, number)
            nodes = read.hosts(db, account) if blocks.nodes else ()
            decision = policy.account_decision(account, nodes, now_ms)
            return decision is not None and decision.verdict >= Verdict.HOLD

        return masked

    def _may_have(self, db: sqlite3.Connection, peer: bytes, row: Row) -> bool:
        """Private records go to the account's present homes alone, what is unproven to nobody."""
        if row.flags & Flag.UNPROVEN:
            return False
        if kinds.kind_class(row.kind).scope is not Scope.PRIVATE:
            return True
        return {peer, self._own} <= set(read.homes(db, read.account_id(db, row.account)))

    async def truth(self, peer: bytes, ids: Sequence[bytes]) -> dict[bytes, Code]:
        """What is true now of those of `ids` that are here and the peer may know of (R-76)."""
        return await self._db.read(lambda db: self.truths(db, ids, peer))

    def truths(
        self, db: sqlite3.Connection, ids: Sequence[bytes], peer: bytes | None = None
    ) -> dict[bytes, Code]:
        """`truth`, inside a read; without a peer for public records alone."""
        masked = self._mask(db)
        return {
            id_: _code(row, masked)
            for id_, row in read.by_ids(db, ids).items()
            if self._may_have(db, peer or b"", row)
        }

    async def chain(self, frame: Chain) -> Answer:
        """Headers of one chain, newest first, from the heads asked for downwards."""
        limit = min(frame.limit, CHAIN_HEADERS_MAX)

        def load(db: sqlite3.Connection) -> list[Row]:
            if frame.lane >= Lane.SELF:
                return []
            if frame.heads:
                return list(_walk_down(db, frame, limit))
            whole = (frame.account, frame.key, frame.lane)
            return read.chain_records(db, *whole, frame.from_seq, limit)

        rows = await self._db.read(load)
        legal = [Outcome(row.id, Code.LEGAL) for row in rows if read.code_of(row) is Code.LEGAL]
        items = [
            pack_item(row.header, row.signature, None, known=row.id)
            for row in rows
            if read.code_of(row) is not Code.LEGAL
        ]
        return items, legal

    async def find(self, frame: Find) -> list[bytes]:
        """The ids of an account's log: its homes' operations and say-so, its own operations, then
        what else it logged; not whom it hosts: that is its people's log.

        Who never met a home cannot judge what it says without that home's own operations.
        """

        def load(db: sqlite3.Connection) -> list[bytes]:
            account: bytes | None = frame.name
            if frame.by != FIND_ACCOUNT:
                account = next(iter(read.accounts_by_key(db, frame.name)), None)
            if account is None:
                return []
            hosting = read.hosting_records(db, account, HOSTING_RECORDS_MAX)
            nodes = dict.fromkeys(read.account_id(db, row.account) for row in hosting)
            rows = [
                *(row for node in nodes for row in read.identity_records(db, node)),
                *hosting,
                *read.log_records(db, account, LOG_RECORDS_MAX),
            ]
            return list(dict.fromkeys(row.id for row in rows))

        return await self._db.read(load)

    async def prove(self, peer: bytes, nonce: bytes, id_: bytes) -> bytes | None:
        """The answer to a challenge: only who holds the payload can give it (R-79)."""

        def load(db: sqlite3.Connection) -> bytes | None:
            stored = self.truths(db, [id_], peer).get(id_) is Code.STORED
            row = read.by_id(db, id_)
            return row.payload if row is not None and stored else None

        payload = await self._db.read(load)
        return None if payload is None else challenge_hash(self._network, nonce, payload)


def _code(row: Row, masked: Mask) -> Code:
    """What is true of a record here; the log is nobody's content, so no block hides it."""
    code = read.code_of(row)
    hidden = code is Code.STORED and not _is_log(row) and masked(row.account)
    return Code.WITHHELD if hidden else code


def _is_log(row: Row) -> bool:
    return kinds.kind_class(row.kind).lane is Lane.LOG


def _pack(row: Row, masked: Mask) -> Packed:
    """A stored record as an item; a payload only where policy and status let it be read."""
    code = _code(row, masked)
    if code is Code.STORED and row.payload is not None:
        return pack_item(row.header, row.signature, row.payload, known=row.id)
    if code is Code.STORED or row.bytes_state is Bytes.WANTED:
        code = Code.DROPPED
    return pack_item(row.header, row.signature, None, code, known=row.id)


def _nobody(_: int) -> bool:
    return False


def _walk_down(db: sqlite3.Connection, frame: Chain, limit: int) -> Iterable[Row]:
    pending = list(frame.heads)
    seen: set[bytes] = set()
    while pending and len(seen) < limit:
        id_ = pending.pop(0)
        row = read.by_id(db, id_)
        if row is None or id_ in seen or row.seq < frame.from_seq:
            continue
        if read.chain_key(db, row.chain) != (frame.account, frame.key, frame.lane):
            continue
        seen.add(id_)
        yield row
        previous = read.previous(row)
        if previous is not None:
            pending.append(previous)
