"""Visibility on read: a block made now hides what was stored before, and whoever shows it.

What the gate decided when a record came in stands in its row. The lists may have changed since,
so every reader asks them again about the author, about the accounts whose records are shown
inside, about the domains linked to and the files shown (rules on words were applied when it came
in).

A post that was edited is shown with the words of its newest edit, if those may be shown; else as
it was first written. It stands and falls with its first version: what hides that hides the post.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from ratoon_node.policy.engine import Policy
from ratoon_node.policy.facts import files_of, links_of, may_link, shown_accounts
from ratoon_node.policy.verdict import Decision, Verdict, stronger
from ratoon_node.runtime import Clock
from ratoon_node.store import judging, memory, read
from ratoon_node.store import listed as listed_store
from ratoon_node.store.db import Db
from ratoon_node.store.judging import NO_MARKS
from ratoon_node.store.listed import Listed
from ratoon_node.store.rows import Row
from ratoon_node.timeline.cards import Card, Cards, Known
from ratoon_protocol import bodies, compose, kinds, record
from ratoon_protocol.errors import Code, ProtocolError
from ratoon_protocol.record import Body, Record

T = TypeVar("T")

#: From this verdict on nobody reads the content; `LIMIT` keeps it out of public timelines.
HIDDEN_FROM = Verdict.HOLD
PUBLIC_HIDDEN_FROM = Verdict.LIMIT
_MEDIA_FIELDS = frozenset({"media", "avatar", "banner"})
# By number: calling an enum costs ten times a look-up.
_VERDICTS = tuple(Verdict)


class Decoded(NamedTuple):
    """A record and its own body, decoded."""

    record: Record
    body: Body


class Item:
    """A record somebody may read, and the edit whose words it is shown with.

    `position` is its place in timelines, None for kinds that are in none.
    """

    __slots__ = ("_body", "_own", "_record", "card", "edit", "verdict")

    def __init__(
        self, card: Card, verdict: Verdict, edit: Card | None, decoded: Decoded | None = None
    ) -> None:
        self.card = card
        self.verdict = verdict
        self.edit = edit
        self._record: Record | None = decoded.record if decoded is not None else None
        self._own: Body | None = decoded.body if decoded is not None else None
        self._body: Body | None = None

    @property
    def id(self) -> bytes:
        """The record's id."""
        return self.card.id

    @property
    def account(self) -> bytes:
        """Who signed it."""
        return self.card.account

    @property
    def position(self) -> int | None:
        """Its place in timelines."""
        return self.card.position

    @property
    def record(self) -> Record:
        """The record as it was signed (of a post: the first version)."""
        if self._record is None:
            self._record = self.card.record()
        return self._record

    @property
    def body(self) -> Body:
        """What readers see: the newest words at the first version's place, and no media where a
        rule drops it.
        """
        if self._body is None:
            own = self._own if self._own is not None else self.card.body()
            body = compose.edited(own, self.edit.body()) if self.edit is not None else own
            if self.card.marks.drop_media or (self.edit is not None and self.edit.marks.drop_media):
                body = {name: value for name, value in body.items() if name not in _MEDIA_FIELDS}
            self._body = body
        return self._body

    @property
    def labels(self) -> tuple[str, ...]:
        """What this node's rules call it: the first version, and the words that are shown."""
        labels = self.card.marks.labels
        if self.edit is not None and self.edit.marks.labels:
            labels = tuple(dict.fromkeys(labels + self.edit.marks.labels))
        return labels


class Masked(NamedTuple):
    """A record whose content is not shown: the code says what is so, `reason` the class of why.

    `record` has no payload; it is None where nothing but the code may be said.
    """

    account: bytes
    record: Record | None
    code: Code
    reason: str


class Viewer:
    """Answers for one read: the lists as they are now, the store as it is in one snapshot.

    With `cards` it remembers for the readers after it; then it belongs into `Sight.read`, which
    brings them up to the snapshot first. `end` is the newest journal line of the snapshot.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        policy: Policy,
        now_ms: int,
        cards: Cards | None = None,
    ) -> None:
        self._db = db
        self.policy = policy
        self.now_ms = now_ms
        self.end, unjudged = memory.moment(db)
        self.cards = cards if cards is not None else Cards(self.end)
        self._stamp = self.cards.stamp(policy, now_ms)
        #: Accounts to which a change of authority is still being applied: nothing is remembered.
        self._unjudged = frozenset(map(int, unjudged.split(","))) if unjudged else frozenset()
        self._strangers: dict[bytes, Decision | None] = {}
        #: Whether what is shown stays so until the journal says otherwise: entries of lists
        #: expire, and an account that is judged anew comes back, without a line.
        listed = policy.lists_accounts or policy.lists_domains or policy.lists_media
        self.lasting = not (listed or unjudged)
        #: Accounts met in this read.
        self._met: dict[bytes, Known] = {}

    def known(self, account: bytes) -> Known | None:
        """What is remembered of an account of this store."""
        found = self._met.get(account)
        if found is None:
            found = self.cards.known(self._db, account, self.end)
            if found is not None:
                self._met[account] = found
        return found

    def learn(self, accounts: Iterable[bytes]) -> None:
        """Load what will be asked of those accounts that are here, all at once."""
        accounts = list(accounts)
        self._met |= self.cards.learn(self._db, accounts, self.end)
        if self.policy.lists_accounts:
            known = [one for one in map(self.known, accounts) if one is not None]
            self.cards.learn_hosts(self._db, known, self.end)

    def hosts(self, known: Known) -> tuple[bytes, ...]:
        """Nodes that host an account."""
        return self.cards.hosts(self._db, known, self.end)

    def hidden(self, numbers: Collection[int]) -> frozenset[int]:
        """Those of some accounts (by number) of whom nothing may be read now."""
        found = self.cards.learn_numbers(self._db, list(numbers), self.end)
        return frozenset(
            one.n
            for one in found
            if one.vanished or one.n in self._unjudged or self._blocks(one.id)
        )

    def _blocks(self, account: bytes) -> bool:
        decision = self.of_account(account)
        return decision is not None and decision.verdict >= HIDDEN_FROM

    def of_account(self, account: bytes) -> Decision | None:
        """What the lists say of an account now; None if nothing."""
        if not self.policy.lists_accounts:
            return None
        known = self.known(account)
        if known is None:
            return self._of_stranger(account)
        stamp, decision = known.judged
        if stamp is not self._stamp:
            nodes = self.hosts(known) or (account,)
            decision = self.policy.account_decision(account, nodes, self._stamp.now_ms)
            if known.hosts is not None:  # else it is of an older snapshot than the account
                known.judged = (self._stamp, decision)
        return decision

    def _of_stranger(self, account: bytes) -> Decision | None:
        """As `of_account` for one who is not here, yet may be named and hosted."""
        if account not in self._strangers:
            nodes = read.hosts(self._db, account) or (account,)
            decision = self.policy.account_decision(account, nodes, self.now_ms)
            self._strangers[account] = decision
        return self._strangers[account]

    # --- records -------------------------------------------------------------------------

    def look_at(self, numbers: Sequence[int]) -> list[Item | Masked | None]:
        """Stored records as they may be read now, by this store's numbers; None: not here."""
        found = [self._see(card) if card else None for card in self.cards.cards(numbers)]
        missing = [n for n, one in zip(numbers, found, strict=True) if one is None]
        if missing:
            loaded = self._load(missing)
            for at, n in enumerate(numbers):
                if found[at] is None:
                    found[at] = loaded.get(n)
        return found

    def _load(self, numbers: Sequence[int]) -> dict[int, Item | Masked]:
        """Records that are not remembered, and remember them."""
        rows = listed_store.listed_numbers(self._db, numbers)
        self.learn(dict.fromkeys(one.account for one in rows))
        edits = self._edits(rows)
        made: list[Card] = []
        found = {one.row.n: self._look(one, edits, made) for one in rows}
        self.cards.keep_cards(made, self.end)
        return found

    def look(self, listed: Listed) -> Item | Masked:
        """A stored record as it may be read now."""
        made: list[Card] = []
        found = self._look(listed, self._edits([listed]), made)
        self.cards.keep_cards(made, self.end)
        return found

    def _look(self, listed: Listed, edits: Mapping[int, Listed], made: list[Card]) -> Item | Masked:
        """As `look`, with the newest edits of posts, by numbers of posts; `made` gets the card."""
        row = listed.row
        code = read.code_of(row)
        if code is not Code.STORED or listed.hidden:
            return self._masked(listed, code)
        decoded = _decoded(row)
        if decoded is None:  # damaged on disk: the scrubber mends it
            return Masked(listed.account, _bare(row), Code.DROPPED, "")
        card = self._card(row, decoded)
        if row.n in edits:
            card.edit = self._edit(edits[row.n])
        if row.account not in self._unjudged:
            made.append(card)
        return self._judged(card, decoded)

    def _masked(self, listed: Listed, code: Code) -> Masked:
        """A record whose row does not let it be read."""
        row = listed.row
        if code is Code.LEGAL:
            return Masked(listed.account, None, code, Code.LEGAL.value)
        bare = _bare(row)
        if bare is None or code is Code.UNKNOWN_KEY:  # damaged on disk, or what proves it is
            return Masked(listed.account, None, Code.DROPPED, "")
        if code is not Code.STORED:
            return Masked(listed.account, bare, code, listed_store.reason(self._db, row.n))
        return Masked(listed.account, bare, Code.GONE if listed.vanished else Code.REVOKED, "")

    def _card(self, row: Row, decoded: Decoded) -> Card:
        """What is remembered of a record."""
        kind, body = row.kind, decoded.body
        shown, named = shown_accounts(kind, body), None
        if kind in (kinds.REPOST, kinds.POST, kinds.EDIT):
            named = body.get("target") if kind == kinds.REPOST else body.get("quote")
        if isinstance(named, bytes):
            author = listed_store.author_of(self._db, named)
            if author is not None:  # whatever the record says of it
                shown, named = tuple({*shown, author}), None
        else:
            named = None
        links = links_of(kind, body) if may_link(row.payload or b"") else ()
        # Only a decision that is not to accept adds anything.
        marks = judging.marks(self._db, row.n) if row.disposition else NO_MARKS
        files = files_of(bodies.media(kind, body))
        return Card(
            row.n, decoded.record, row.shown, row.disposition, shown, named, links, files, marks
        )

    def _edits(self, rows: Iterable[Listed]) -> dict[int, Listed]:
        """The newest edits of those that are posts, by numbers of posts."""
        posts = [one.row.n for one in rows if one.row.kind == kinds.POST]
        newest = listed_store.edits_of(self._db, posts) if posts else {}
        if not newest:
            return {}
        found = listed_store.listed_numbers(self._db, list(newest.values()))
        loaded = {one.row.n: one for one in found}
        return {post: loaded[edit] for post, edit in newest.items() if edit in loaded}

    def _edit(self, listed: Listed) -> Card | None:
        """The card of an edit, if its own row lets it be read."""
        row = listed.row
        if listed.hidden or read.code_of(row) is not Code.STORED:
            return None
        decoded = _decoded(row)
        return self._card(row, decoded) if decoded is not None else None

    def _see(self, card: Card) -> Item | Masked | None:
        """What a card shows; None if only the store can tell."""
        known = self.known(card.account)
        if known is None or known.vanished or known.n in self._unjudged:
            return None
        return self._judged(card)

    def _judged(self, card: Card, decoded: Decoded | None = None) -> Item | Masked:
        """A card as the lists let it be read."""
        found = self._decision(card)
        if found is not None and found.verdict >= HIDDEN_FROM:
            code = Code.HELD if found.verdict is Verdict.HOLD else Code.WITHHELD
            bare = card.record()._replace(payload=None)
            return Masked(card.account, bare, code, found.reason)
        verdict = card.disposition
        if found is not None and found.verdict > verdict:
            verdict = found.verdict
        edit = card.edit
        if edit is not None:
            of_edit = self._decision(edit)
            if of_edit is not None and of_edit.verdict >= HIDDEN_FROM:
                edit = None
            else:
                verdict = max(verdict, edit.disposition, of_edit.verdict if of_edit else 0)
        return Item(card, _VERDICTS[verdict], edit, decoded)

    def _decision(self, card: Card) -> Decision | None:
        """The strongest of what the lists say; an allowed author ends it, as at the gate."""
        own = self.of_account(card.account)
        if own is not None and own.verdict is Verdict.ACCEPT:
            return own
        best = own
        for account in card.shown:
            best = self._with(best, account)
        if card.named is not None:
            author = listed_store.author_of(self._db, card.named)
            if author is not None:
                best = self._with(best, author)
        if card.links:
            best = stronger(best, self._of_links(card.links))
        if card.files and self.policy.lists_media:
            found = self.policy.media_decision(card.files, (), self._stamp.now_ms)
            best = stronger(best, found)
        return best

    def _with(self, best: Decision | None, account: bytes) -> Decision | None:
        found = self.of_account(account)
        if found is None or found.verdict is Verdict.ACCEPT:
            return best
        return stronger(best, found)

    def _of_links(self, links: tuple[str, ...]) -> Decision | None:
        known = self._stamp.domains
        if links not in known:
            known[links] = self.policy.domain_decision(links, self._stamp.now_ms)
        return known[links]


def _decoded(row: Row) -> Decoded | None:
    """The whole record, if the bytes on disk are still those that were signed."""
    if row.payload is None or record.record_id(row.header) != row.id:
        return None
    header = record.known_header(row.header)
    try:
        record.check_payload_fits(header, row.payload)
    except ProtocolError:
        return None
    found = Record(row.id, header, row.header, row.signature, row.payload)
    return Decoded(found, bodies.own(header.kind, record.known_body(row.payload)))


def _bare(row: Row) -> Record | None:
    """A record without its payload, if the header is still the one that was signed."""
    if record.record_id(row.header) != row.id:
        return None
    return Record(row.id, record.known_header(row.header), row.header, row.signature, None)


@contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Every query inside sees the same commit; inside another one it is that one."""
    if db.in_transaction:
        yield
        return
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("COMMIT")


class Sight:
    """How readers look at the store: one hop, one snapshot, one memory for all of them."""

    def __init__(self, db: Db, clock: Clock, policy: Callable[[], Policy]) -> None:
        self._db = db
        self._clock = clock
        self._policy = policy
        self.cards = Cards()

    async def read(self, fn: Callable[[sqlite3.Connection, Viewer], T]) -> T:
        """`fn` on a reader, with a viewer of its snapshot."""
        policy, now_ms = self._policy(), self._clock.now_ms()

        def run(db: sqlite3.Connection) -> T:
            while True:
                with snapshot(db):
                    viewer = Viewer(db, policy, now_ms, self.cards)
                    if self.cards.advance(db, viewer.end):
                        return fn(db, viewer)

        return await self._db.read(run)
