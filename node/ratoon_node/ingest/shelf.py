"""Putting a record on the shelf: its chain, its row, its journal line, its decision."""

from __future__ import annotations

from collections.abc import Set

from ratoon_node.ingest.accounts import NO_TIPS, Accounts, AccountView, ChainView
from ratoon_node.ingest.standing import Standing, is_beaten
from ratoon_node.policy.verdict import Decision, Verdict
from ratoon_node.store.arrivals import Taken
from ratoon_node.store.rows import ID_IS, Bytes, Flag, Row, What, status_of
from ratoon_node.store.write import Tx, in_set
from ratoon_protocol import kinds
from ratoon_protocol.kinds import Lane
from ratoon_protocol.record import Body, Header, Record
from ratoon_protocol.status import Status, cap_group


class Shelf:
    """Adds rows of one transaction."""

    def __init__(self, tx: Tx, accounts: Accounts, now_ms: int) -> None:
        self._tx = tx
        self._accounts = accounts
        self._now_ms = now_ms

    def over_cap(self, view: AccountView, record: Record, tips: Set[bytes]) -> bool:
        """Whether a new record is above what its key, lane and day may count (R-56)."""
        chain = self._accounts.chain(self._tx, view, record.header)
        days = None if chain is None else self._accounts.days(self._tx, chain)
        if chain is None or days is None or cap_group(record.header) is None:
            return False
        rank = (record.id not in tips, record.header.seq, record.id)
        return days.over(self._tx.db, chain.n, record.header, rank, tips)

    def put(
        self,
        view: AccountView,
        record: Record,
        body: Body | None,
        flags: int,
        decision: Decision | None,
        bytes_state: Bytes,
        tips: Set[bytes] = NO_TIPS,
    ) -> Row:
        """Add a record; `body` takes effect if its bytes are kept. `tips`: what is reached."""
        header = record.header
        chain = self._chain(view, header)
        standing = Standing(self._tx, view.id, self._now_ms)
        rival = standing.rival(view.n, header, flags) if header.slot is not None else None
        if rival is not None and is_beaten(rival, header.created_ms, record.id):
            flags |= Flag.BEATEN
            bytes_state = _bytes_of_new(header.kind, flags, bytes_state)
        stored = self._tx.add_record(
            record,
            view.n,
            chain.n,
            flags,
            int(decision.verdict) if decision else int(Verdict.ACCEPT),
            bytes_state,
            keep_payload=bytes_state is Bytes.HERE,
        )
        self._tx.arrived[stored.n] = Taken(stored, view.id, body)
        chain.size += 1
        if bytes_state is Bytes.WANTED:
            self._tx.want(stored.n, self._now_ms)
        self._tx.log(What.ADDED, stored, view.id, in_set(flags))
        self.keep_decision(stored, decision)
        if header.slot is not None or header.kind == kinds.DELETE:
            standing.enter(stored, body if bytes_state is Bytes.HERE else None, rival)
        if chain.days is not None:
            self._count(view, chain, record, stored, tips)
        return stored

    def keep_decision(self, stored: Row, decision: Decision | None) -> None:
        """Say in the decisions table why policy did what it did."""
        if decision is not None and decision.verdict > Verdict.ACCEPT:
            self._tx.decide(
                stored.n,
                int(decision.verdict),
                decision.reason,
                decision.rule_id,
                decision.policy_version,
                self._now_ms,
                decision.labels,
                decision.drop_media,
            )

    def _chain(self, view: AccountView, header: Header) -> ChainView:
        """The chain of a header, made if it is the first of its key and lane."""
        chain = self._accounts.chain(self._tx, view, header)
        if chain is None:
            lane = header.kind_class.lane
            key = b"" if lane is Lane.NONE else header.key
            chain = ChainView(self._tx.add_chain(view.n, key, lane), 0, 0)
            view.chains[key, lane] = chain
        new = not header.seq or chain.is_new(header.seq)
        if not new and self._tx.holds("chain = ? AND seq = ?", chain.n, header.seq):
            self._tx.set_forked(chain.n)
        return chain

    def _count(
        self, view: AccountView, chain: ChainView, record: Record, stored: Row, tips: Set[bytes]
    ) -> None:
        """Count the record into its day; what it pushes above the cap loses its effect."""
        if chain.days is None or cap_group(record.header) is None:
            return
        rank = (record.id not in tips, record.header.seq, record.id)
        pushed = chain.days.add(record.header, rank, bool(stored.flags & Flag.CAPPED))
        standing = Standing(self._tx, view.id, self._now_ms)
        for one in self._tx.rows(ID_IS, pushed) if pushed else ():
            standing.change(one, one.flags | Flag.CAPPED)


def _bytes_of_new(kind: int, flags: int, bytes_state: Bytes) -> Bytes:
    """A value that is superseded as it comes is never written; of edits some stay (R-85)."""
    kept = bytes_state in (Bytes.HERE, Bytes.WANTED)
    if kept and kind != kinds.EDIT and status_of(flags) is Status.SUPERSEDED:
        return Bytes.DROPPED
    return bytes_state
