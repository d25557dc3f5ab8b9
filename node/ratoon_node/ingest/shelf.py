"""Putting a record on the shelf: its chain, its row, its journal line, its decision."""

from __future__ import annotations

from ratoon_node.ingest.accounts import Accounts, AccountView, ChainView
from ratoon_node.ingest.standing import Standing
from ratoon_node.policy.verdict import Decision, Verdict
from ratoon_node.store.rows import Bytes, Row, What
from ratoon_node.store.write import Tx
from ratoon_protocol.kinds import Lane
from ratoon_protocol.record import Body, Header, Record


class Shelf:
    """Adds rows of one transaction."""

    def __init__(self, tx: Tx, accounts: Accounts, now_ms: int) -> None:
        self._tx = tx
        self._accounts = accounts
        self._now_ms = now_ms

    def chain(self, view: AccountView, header: Header) -> ChainView:
        """The chain of a header, made if it is the first of its key and lane."""
        chain = self._accounts.chain(self._tx.db, view, header)
        if chain is None:
            lane = header.kind_class.lane
            key = b"" if lane is Lane.NONE else header.key
            chain = ChainView(self._tx.add_chain(view.n, key, lane), 0, 0)
            view.chains[key, lane] = chain
        return chain

    def put(
        self,
        view: AccountView,
        record: Record,
        body: Body | None,
        carried: bool,
        flags: int,
        decision: Decision | None,
        bytes_state: Bytes,
    ) -> Row:
        """Add a record; `body` takes effect if its bytes are kept."""
        chain = self.chain(view, record.header)
        self._note_fork(chain, record.header)
        stored = self._tx.add_record(
            record,
            view.n,
            chain.n,
            flags,
            int(decision.verdict) if decision else int(Verdict.ACCEPT),
            bytes_state,
            keep_payload=bytes_state is Bytes.HERE,
        )
        chain.seq_max = max(chain.seq_max, record.header.seq)
        chain.size += 1
        if bytes_state is Bytes.WANTED:
            self._tx.want(stored.n, self._now_ms)
        standing = Standing(self._tx, view.id, carried, self._now_ms)
        self._tx.log(What.ADDED, stored, view.id, standing.member(stored.kind, flags))
        self.keep_decision(stored, decision)
        return standing.enter(stored, body if bytes_state is Bytes.HERE else None)

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
            )

    def _note_fork(self, chain: ChainView, header: Header) -> None:
        if 0 < header.seq <= chain.seq_max and self._tx.rows(
            "chain = ? AND seq = ? LIMIT 1", chain.n, header.seq
        ):
            self._tx.set_forked(chain.n)
