"""Policy's answer for a candidate: the facts the pure engine asks for, read from the store."""

from __future__ import annotations

import sqlite3

from ratoon_node.ingest.accounts import Accounts, AccountView
from ratoon_node.ingest.submission import Candidate
from ratoon_node.policy.engine import Policy
from ratoon_node.policy.facts import Facts, Referenced, links_of, shown_accounts
from ratoon_node.policy.verdict import Decision
from ratoon_node.store.read import followed_by_hosted
from ratoon_node.store.write import Tx
from ratoon_protocol import bodies, kinds
from ratoon_protocol.record import Body


class Rulings:
    """Asks one policy about the candidates of one transaction."""

    def __init__(self, tx: Tx, accounts: Accounts, policy: Policy) -> None:
        self._tx = tx
        self._db = tx.db
        self._accounts = accounts
        self._policy = policy

    def judge(
        self,
        item: Candidate,
        view: AccountView,
        nodes: tuple[bytes, ...],
        node: bytes,
        now_ms: int,
    ) -> Decision:
        """The strongest verdict of lists and rules on a record."""
        if self._policy.empty:
            return self._policy.accepted
        header, body = item.record.header, item.body
        posts = view.posts_last_hour(now_ms)
        facts = Facts(
            now_ms=now_ms,
            nodes=nodes or (header.account,),
            peer=item.origin.peer,
            local=node in nodes,
            account_first_seen_ms=view.first_seen_ms,
            posts_last_hour=posts,
        )
        if body is not None and header.kind not in (kinds.DELETE, kinds.HOSTING):
            facts = self._with_body(facts, header.kind, body, view, node)
        return self._policy.judge(header, body, facts)

    def _with_body(
        self, facts: Facts, kind: int, body: Body, view: AccountView, node: bytes
    ) -> Facts:
        references = bodies.references(kind, body)
        return facts._replace(
            first_post="first_post" in self._policy.asked
            and kind == kinds.POST
            and not facts.posts_last_hour
            and not _has_post(self._db, view.n),
            followed_locally="followed_locally" in self._policy.asked
            and followed_by_hosted(self._db, view.id, node),
            referenced_accounts=self._shown(kind, body),
            texts=bodies.texts(kind, body),
            links=links_of(kind, body),
            tags=bodies.tags(kind, body),
            mentions=len(references.accounts),
        )

    def _shown(self, kind: int, body: Body) -> tuple[Referenced, ...]:
        """The accounts shown inside a record: as it says, and as the records here say.

        A repost that names a wrong account must not slip past a block of the right one.
        """
        accounts = set(shown_accounts(kind, body))
        named = body.get("target") if kind == kinds.REPOST else body.get("quote")
        if isinstance(named, bytes) and kind in (kinds.REPOST, kinds.POST, kinds.EDIT):
            found = self._db.execute(
                "SELECT account.id FROM record JOIN account ON account.n = record.account"
                " WHERE record.id = ?",
                (named,),
            ).fetchone()
            if found:
                accounts.add(found[0])
        return tuple(
            Referenced(account, self._accounts.hosts(self._tx, account))
            for account in sorted(accounts)
        )


def _has_post(db: sqlite3.Connection, account: int) -> bool:
    found = db.execute(
        "SELECT 1 FROM record WHERE account = ? AND shown IS NOT NULL LIMIT 1", (account,)
    ).fetchone()
    return found is not None
