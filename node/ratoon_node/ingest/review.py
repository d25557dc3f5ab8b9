"""Undoing what a policy did: records masked by rules or entries that no longer stand.

Decisions are masks over signed records, so a new policy judges again what the old one masked. A
payload that was never written is wanted; once it is here it is judged again with its words (R-62).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from ratoon_node.ingest.accounts import Accounts
from ratoon_node.ingest.rulings import Rulings
from ratoon_node.ingest.shelf import Shelf
from ratoon_node.ingest.standing import body_of
from ratoon_node.ingest.submission import Candidate, Origin, Way
from ratoon_node.policy.engine import Policy
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import index, read
from ratoon_node.store.rows import Bytes, Row, What
from ratoon_node.store.write import Tx, in_set
from ratoon_protocol import record
from ratoon_protocol.record import Record
from ratoon_protocol.status import Status

# Masked records looked at in one transaction.
SLICE_RECORDS = 500
_NOBODY = Origin(Way.LINK)


class Review:
    """Judges masked records of one transaction again."""

    def __init__(
        self, tx: Tx, accounts: Accounts, policy: Policy, node: bytes, now_ms: int
    ) -> None:
        self._tx = tx
        self._accounts = accounts
        self._policy = policy
        self._rulings = Rulings(tx, accounts, policy, arriving=False)
        self._shelf = Shelf(tx, accounts, now_ms)
        self._node = node
        self._now_ms = now_ms

    def slice(self, after: int) -> int | None:
        """Look at the next masked records; None at the end."""
        rows = self._tx.rows("disposition > 0 AND n > ? ORDER BY n LIMIT ?", after, SLICE_RECORDS)
        for stored in rows:
            if not self._stands(stored):
                self._again(stored)
        return rows[-1].n if rows else None

    def labelled(self, ids: Collection[bytes]) -> None:
        """Judge records again that somebody labelled, or labels no more. What another rule decided
        when they came stays where it is the stronger.
        """
        for id_ in sorted(ids):
            for stored in self._tx.rows("id = ?", id_):
                found = last_decision(self._tx.db, stored.n) if stored.disposition else None
                least = stored.disposition
                if found is None or found[0] in self._policy.about_labels:
                    least = 0
                self._again(stored, least)

    def _stands(self, stored: Row) -> bool:
        found = last_decision(self._tx.db, stored.n)
        return found is not None and self._policy.stands(*found, self._now_ms)

    def _again(self, stored: Row, least: int | None = None) -> None:
        """Judge a record; with `least`, what is weaker than that or as before changes nothing."""
        account = read.account_id(self._tx.db, stored.account)
        view = self._accounts.find(self._tx, account)
        assert view is not None, "a stored record has an account"
        header = record.decode_header(stored.header)
        body = body_of(stored.payload) if stored.payload is not None else None
        whole = Record(stored.id, header, stored.header, stored.signature, stored.payload)
        nodes = self._accounts.hosts(self._tx, account)
        item = Candidate(whole, _NOBODY, body, None, peer_fault=False)
        decision = self._rulings.judge(item, view, nodes, self._node, self._now_ms)
        if least is not None and decision.verdict in (stored.disposition, *range(least)):
            return
        refused = decision.verdict >= Verdict.WITHHOLD
        bytes_state, payload = stored.bytes_state, stored.payload
        if refused and payload is not None:
            bytes_state, payload = Bytes.DROPPED, None
        elif not refused and bytes_state is Bytes.DROPPED and stored.status is Status.LIVE:
            gone = index.edits_gone(self._tx.db, stored)
            bytes_state = Bytes.ERASED if gone else Bytes.WANTED
            if not gone:
                self._tx.want(stored.n, self._now_ms)
        stored = self._tx.set_standing(
            stored, stored.flags, int(decision.verdict), bytes_state, payload
        )
        self._shelf.keep_decision(stored, decision)
        self._tx.log(What.STATUS, stored, account, in_set(stored.flags))


def last_decision(db: sqlite3.Connection, number: int) -> tuple[str, str] | None:
    """(rule, policy version) of what was decided last about a record."""
    found = db.execute(
        "SELECT rule, policy FROM decision WHERE record = ? ORDER BY n DESC LIMIT 1", (number,)
    ).fetchone()
    return (found[0], found[1]) if found else None
