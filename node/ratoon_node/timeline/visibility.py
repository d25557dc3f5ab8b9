"""Visibility on read: a block made now hides what was stored before, and whoever shows it.

What the gate decided when a record came in stands in its row. The lists may have changed since,
so every reader asks them again about the author, about the accounts whose records are shown
inside, and about the domains linked to (rules on words were applied when it came in).
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from ratoon_node.policy.engine import Policy
from ratoon_node.policy.facts import links_of, shown_accounts
from ratoon_node.policy.verdict import Decision, Verdict, stronger
from ratoon_node.store import listed as listed_store
from ratoon_node.store import read
from ratoon_node.store.listed import Listed
from ratoon_protocol import kinds, record
from ratoon_protocol.errors import Code, ProtocolError
from ratoon_protocol.record import Body, Record

#: From this verdict on nobody reads the content; `LIMIT` keeps it out of public timelines.
HIDDEN_FROM = Verdict.HOLD
PUBLIC_HIDDEN_FROM = Verdict.LIMIT


class Item(NamedTuple):
    """A record somebody may read. `position` is its place in timelines, None for other kinds."""

    account: bytes
    record: Record
    body: Body
    verdict: Verdict
    position: int | None


class Masked(NamedTuple):
    """A record whose content is not shown: the code says what is so, `reason` the class of why.

    `record` has no payload; it is None where nothing but the code may be said.
    """

    account: bytes
    record: Record | None
    code: Code
    reason: str


class Viewer:
    """Answers for one read: the lists as they are now, each account looked up once."""

    def __init__(self, db: sqlite3.Connection, policy: Policy, now_ms: int) -> None:
        self._db = db
        self._policy = policy
        self._now_ms = now_ms
        self._accounts: dict[bytes, Decision | None] = {}

    def of_account(self, account: bytes) -> Decision | None:
        """What the lists say of an account now; None if nothing."""
        if account not in self._accounts:
            nodes = read.hosts(self._db, account) or (account,)
            self._accounts[account] = self._policy.account_decision(account, nodes, self._now_ms)
        return self._accounts[account]

    def look(self, listed: Listed) -> Item | Masked:
        """A stored record as it may be read now."""
        row = listed.row
        code = read.code_of(row)
        if code is Code.LEGAL:
            return Masked(listed.account, None, code, Code.LEGAL.value)
        header = record.decode_header(row.header)
        bare = Record(row.id, header, row.header, row.signature, None)
        if code is not Code.STORED:
            return Masked(listed.account, bare, code, listed_store.reason(self._db, row.n))
        if listed.hidden:
            code = Code.GONE if listed.vanished else Code.REVOKED
            return Masked(listed.account, bare, code, "")
        body = _body(bare, row.payload)
        if body is None:  # damaged on disk: the scrubber fetches it again
            return Masked(listed.account, bare, Code.DROPPED, "")
        own = self.of_account(listed.account)
        found = self._shown(own, header.kind, body)
        if found is not None and found.verdict >= HIDDEN_FROM:
            code = Code.HELD if found.verdict is Verdict.HOLD else Code.WITHHELD
            return Masked(listed.account, bare, code, found.reason)
        verdict = max(Verdict(row.disposition), found.verdict if found else Verdict.ACCEPT)
        whole = bare._replace(payload=row.payload)
        return Item(listed.account, whole, body, verdict, row.shown)

    def _shown(self, own: Decision | None, kind: int, body: Body) -> Decision | None:
        """The strongest of what the lists say; an allowed author ends it, as at the gate."""
        if own is not None and own.verdict is Verdict.ACCEPT:
            return own
        best = own
        for account in self._shown_accounts(kind, body):
            found = self.of_account(account)
            if found is not None and found.verdict is not Verdict.ACCEPT:
                best = stronger(best, found)
        links = links_of(kind, body)
        if links:
            best = stronger(best, self._policy.domain_decision(links, self._now_ms))
        return best

    def _shown_accounts(self, kind: int, body: Body) -> set[bytes]:
        """Whom a record shows, as it says and as the records here say."""
        if kind not in (kinds.REPOST, kinds.POST, kinds.EDIT):
            return set()
        accounts = set(shown_accounts(kind, body))
        named = body.get("target") if kind == kinds.REPOST else body.get("quote")
        if isinstance(named, bytes):
            author = listed_store.author_of(self._db, named)
            if author is not None:
                accounts.add(author)
        return accounts


def _body(bare: Record, payload: bytes | None) -> Body | None:
    """The body, if the bytes on disk are still those that were signed."""
    if payload is None or record.record_id(bare.header_bytes) != bare.id:
        return None
    try:
        record.check_payload_fits(bare.header, payload)
        return record.decode_payload(payload)
    except ProtocolError:
        return None
