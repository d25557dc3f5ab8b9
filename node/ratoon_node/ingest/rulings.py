"""Policy's answer for a candidate: the facts the pure engine asks for, read from the store.

A fact that no rule asks about is not found out.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from ratoon_node.ingest.accounts import Accounts, AccountView
from ratoon_node.ingest.submission import Candidate
from ratoon_node.policy.engine import Policy
from ratoon_node.policy.facts import (
    Facts,
    Given,
    Referenced,
    files_of,
    links_in,
    shown_accounts,
)
from ratoon_node.policy.likeness import Alike
from ratoon_node.policy.naming import parse_handle
from ratoon_node.policy.verdict import Decision, stronger
from ratoon_node.store import judging
from ratoon_node.store.read import followed_by_hosted
from ratoon_node.store.rows import ID_IS
from ratoon_node.store.write import Tx
from ratoon_protocol import bodies, kinds
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.kinds import Lane
from ratoon_protocol.record import Body, Header, decode_payload

#: Conditions that are about likeness and about who a node's people are.
_LIKENESS = frozenset({"near_duplicates_min", "near_duplicate_accounts_min"})
_OF_NODES = frozenset({"node_posts_per_hour_min", "node_new_accounts_per_day_min"})
# Nothing else is the author's own text at some length.
_TEXTS = (kinds.POST, kinds.EDIT)


class Rulings:
    """Asks one policy about the candidates of one transaction.

    `arriving`: they come in now and are counted; else they are stored and judged again.
    """

    def __init__(
        self, tx: Tx, accounts: Accounts, policy: Policy, *, arriving: bool = True
    ) -> None:
        self._tx = tx
        self._accounts = accounts
        self.policy = policy
        #: Records that a trusted labeler said something about: their rules answer anew.
        self.labelled: set[bytes] = set()
        self._asked = policy.asked
        self._arriving = arriving

    def judge(
        self,
        item: Candidate,
        view: AccountView,
        nodes: tuple[bytes, ...],
        node: bytes,
        now_ms: int,
    ) -> Decision:
        """The strongest verdict of lists, rules and plugins on a record."""
        if self._arriving and item.body is not None and item.record.header.kind == kinds.LABEL:
            self._hear(view.id, item.body["target"])
        decided = self._of_policy(item, view, nodes, node, now_ms)
        said = item.said
        if said is None or decided.rule_id.startswith("allow."):
            return decided
        best = stronger(decided, said) or decided
        return best._replace(labels=decided.labels, drop_media=decided.drop_media)

    def _hear(self, account: bytes, target: bytes) -> None:
        if self.policy.about_labels and account in self.policy.labelers:
            self.labelled.add(target)

    def _of_policy(
        self,
        item: Candidate,
        view: AccountView,
        nodes: tuple[bytes, ...],
        node: bytes,
        now_ms: int,
    ) -> Decision:
        if self.policy.empty:
            return self.policy.accepted
        header, body = item.record.header, item.body
        content: dict[str, Any] = {}
        if body is not None and header.kind not in (kinds.DELETE, kinds.HOSTING):
            content = self._content(header.kind, body, view, node, now_ms)
        facts = Facts(
            now_ms=now_ms,
            arriving=self._arriving,
            nodes=nodes or (header.account,),
            peer=item.origin.peer,
            local=node in nodes,
            account_first_seen_ms=view.first_seen_ms,
            posts_last_hour=view.posts_last_hour(now_ms),
            labels=self._labels(item, view) if "label" in self._asked else (),
            handle_domains=_domains(view) if "handle_domain" in self._asked else (),
            **content,
        )
        if not self._asked.isdisjoint(_OF_NODES):
            facts = self._with_nodes(facts, header, view)
        if facts.texts and header.kind in _TEXTS and not self._asked.isdisjoint(_LIKENESS):
            facts = self._with_likeness(facts, item, view, node)
        return self.policy.judge(header, body, facts)

    def _content(
        self, kind: int, body: Body, view: AccountView, node: bytes, now_ms: int
    ) -> dict[str, Any]:
        """What the body says, by the names of `Facts`."""
        asked = self._asked
        texts, pictures = bodies.texts(kind, body), bodies.media(kind, body)
        return {
            "first_post": "first_post" in asked
            and kind == kinds.POST
            and not view.posts_last_hour(now_ms)
            and not _has_post(self._tx.db, view.n),
            "followed_locally": "followed_locally" in asked
            and followed_by_hosted(self._tx.db, view.id, node),
            "referenced_accounts": self._shown(kind, body),
            "texts": texts,
            "links": links_in(texts, bodies.links(kind, body)),
            "tags": bodies.tags(kind, body),
            "mentions": len(bodies.references(kind, body).accounts),
            "language": body.get("lang", "") if kind in _TEXTS else "",
            "attachments": len(pictures),
            "media": files_of(pictures) if pictures else (),
            "reply_to_stranger": "reply_to_stranger" in asked
            and kind == kinds.POST
            and self._answers_stranger(body, view),
        }

    def _shown(self, kind: int, body: Body) -> tuple[Referenced, ...]:
        """The accounts shown inside a record: as it says, and as the records here say.

        A repost that names a wrong account must not slip past a block of the right one.
        """
        if kind != kinds.REPOST and "quote" not in body and "quote_account" not in body:
            return ()
        accounts = set(shown_accounts(kind, body))
        named = body.get("target") if kind == kinds.REPOST else body.get("quote")
        if isinstance(named, bytes) and kind in (kinds.REPOST, kinds.POST, kinds.EDIT):
            author = self._author(named)
            if author is not None:
                accounts.add(author)
        return tuple(
            Referenced(account, self._accounts.hosts(self._tx, account))
            for account in sorted(accounts)
        )

    def _author(self, id_: bytes) -> bytes | None:
        found = self._tx.db.execute(
            "SELECT account.id FROM record JOIN account ON account.n = record.account"
            f" WHERE {ID_IS}",
            (id_,),
        ).fetchone()
        return found[0] if found else None

    def _answers_stranger(self, body: Body, view: AccountView) -> bool:
        """Whether it answers somebody of whom nobody here knows that he follows the author."""
        if "parent" not in body:
            return False
        asked = self._author(body["parent"]) or body.get("parent_account")
        if asked is None or asked == view.id:
            return False
        return not judging.follows(self._tx.db, asked, view.id)

    def _labels(self, item: Candidate, view: AccountView) -> tuple[Given, ...]:
        """What trusted labelers say of the record and of its account."""
        ceilings = self.policy.labelers
        found = []
        for labeler, payload in judging.given(
            self._tx.db, list(ceilings), (item.record.id, view.id)
        ):
            try:
                value = decode_payload(payload).get("value")
            except ProtocolError:
                continue  # damaged on disk: the scrubber mends it
            if isinstance(value, str):
                found.append(Given(value, ceilings[labeler]))
        return tuple(found)

    def _with_nodes(self, facts: Facts, header: Header, view: AccountView) -> Facts:
        counts, now_ms = self._accounts.node_counts, facts.now_ms
        if self._arriving and header.kind_class.lane is not Lane.LOG:
            counts.meet(view.id, facts.nodes, view.first_seen_ms, now_ms)
        facts = facts._replace(
            node_posts_last_hour=counts.posts(facts.nodes, now_ms),
            node_new_accounts_today=counts.newcomers(facts.nodes, now_ms),
        )
        if self._arriving and header.kind == kinds.POST:
            counts.count_post(facts.nodes, now_ms)
        return facts

    def _with_likeness(
        self, facts: Facts, item: Candidate, view: AccountView, node: bytes
    ) -> Facts:
        if not self._arriving or not self._is_stranger(facts, view, node):
            return facts
        texts, window_ms = facts.texts, self.policy.strangers.likeness_window_ms
        found: Alike = self._accounts.likeness.look(
            texts, view.id, item.record.id, facts.now_ms, window_ms
        )
        return facts._replace(near_duplicates=found.texts, near_duplicate_accounts=found.accounts)

    def _is_stranger(self, facts: Facts, view: AccountView, node: bytes) -> bool:
        if facts.now_ms - view.first_seen_ms < self.policy.strangers.known_after_ms:
            return True
        if facts.local or facts.followed_locally:
            return False
        known = "followed_locally" in self._asked
        return known or not followed_by_hosted(self._tx.db, view.id, node)


def _domains(view: AccountView) -> tuple[str, ...]:
    """The domains of the handles that an account lists; those that are verified are among them."""
    head = view.log.head
    handles = map(parse_handle, head.handles) if head is not None else ()
    return tuple(dict.fromkeys(handle.domain for handle in handles if handle is not None))


def _has_post(db: sqlite3.Connection, account: int) -> bool:
    found = db.execute(
        "SELECT 1 FROM record WHERE account = ? AND shown IS NOT NULL LIMIT 1", (account,)
    ).fetchone()
    return found is not None
