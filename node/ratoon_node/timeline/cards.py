"""What readers asked for last, ready to be shown again: cards of records, and of accounts.

A card holds what cannot change while its record's row does not: the signed bytes, checked against
their hash, whom and where it shows, and its JSON once somebody made it. So a page that was read
before costs no blob, no hash, no decoding. What lists say is asked on every read all the same.

Everything here is true at one journal position. A reader first brings it up to its own snapshot:
the lines since then name what changed, and that is forgotten. So nothing is ever older than the
reader's own view of the store, whichever thread reads, and nobody has to be told.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from ratoon_node.policy.engine import Policy
from ratoon_node.policy.verdict import Decision
from ratoon_node.store import digested, memory, read
from ratoon_node.store.judging import Marks
from ratoon_node.store.rows import What
from ratoon_node.timeline.recent import Recent
from ratoon_protocol import bodies, codec, kinds, record
from ratoon_protocol.kinds import Lane
from ratoon_protocol.record import Body, Record

if TYPE_CHECKING:
    from ratoon_node.timeline.faces import Face
    from ratoon_node.timeline.tallies import Tally

# Memory for cards: about 20,000 posts, the newest of as many authors as most people follow.
CARDS_BYTES_MAX = 40 * 1024 * 1024
# A card beside its record's bytes and its JSON.
CARD_BYTES = 700
# JSON of a body is about this many times its bytes (ids as digits, names of fields).
JSON_FACTOR = 2
# Accounts whose hosts and newest places are remembered: 1 kB each.
ACCOUNTS_MAX = 20_000
# Accounts that remembered homes follow, all together: 8 bytes each.
FOLLOWS_REMEMBERED_MAX = 1_000_000
# Newest places of an author that are remembered: what a page of many authors takes of one.
PLACES_MAX = 6
# Posts whose counts are remembered: half a kB each.
TALLIES_MAX = 20_000
# Posts whose counts are not made anew at each change.
HEAVY_MAX = 1000
# Journal lines gone over one by one; after more, everything is forgotten at once.
LINES_MAX = 5000


class Stamp:
    """One policy within one second: decisions made under another one are made again.

    The second, because entries of lists expire by time.
    """

    def __init__(self, policy: Policy, now_ms: int) -> None:
        self.policy = policy
        self.now_ms = now_ms
        self.second = now_ms // 1000
        #: What lists say of links, by the links.
        self.domains: dict[tuple[str, ...], Decision | None] = {}


class Known:
    """An account of this store."""

    __slots__ = ("face", "hosts", "id", "judged", "n", "vanished")

    def __init__(self, n: int, id_: bytes, vanished: bool) -> None:
        self.n = n
        self.id = id_
        self.vanished = vanished
        #: Nodes that host it; None: nobody asked yet (see `Cards.hosts`).
        self.hosts: tuple[bytes, ...] | None = None
        #: The decision of lists and under which stamp it was made.
        self.judged: tuple[Stamp | None, Decision | None] = (None, None)
        #: How it is called; None: nobody asked yet.
        self.face: Face | None = None


class Card:
    """A readable record. `edit` is the newest readable edit of a post, `json` what a layer above
    made of it (b"": not yet).

    `shown` are the accounts whose records it shows, `named` the record it shows if that was not
    here, `links` where a reader could go, `files` the hashes of its media, `marks` what this node's
    rules add to it.
    """

    __slots__ = (
        "account",
        "disposition",
        "edit",
        "files",
        "id",
        "json",
        "kind",
        "links",
        "marks",
        "n",
        "named",
        "position",
        "raw",
        "shown",
    )

    def __init__(
        self,
        n: int,
        found: Record,
        position: int | None,
        disposition: int,
        shown: tuple[bytes, ...],
        named: bytes | None,
        links: tuple[str, ...],
        files: tuple[bytes, ...],
        marks: Marks,
    ) -> None:
        self.n = n
        self.id = found.id
        self.account = found.header.account
        self.kind = found.header.kind
        self.position = position
        self.disposition = disposition
        self.shown = shown
        self.named = named
        self.links = links
        self.files = files
        self.marks = marks
        self.raw = found.encode()
        self.edit: Card | None = None
        self.json = b""

    def record(self) -> Record:
        """The record, decoded again."""
        header, signature, payload = codec.decode_known(self.raw)
        return Record(self.id, record.known_header(header), header, signature, payload)

    def body(self) -> Body:
        """Its own body, without an edit."""
        _, _, payload = codec.decode_known(self.raw)
        return bodies.own(self.kind, record.known_body(payload))

    @property
    def cost(self) -> int:
        """Bytes of memory, about."""
        edit = self.edit.cost if self.edit is not None else 0
        return CARD_BYTES + (1 + JSON_FACTOR) * len(self.raw) + edit


class Home(NamedTuple):
    """Whose posts a home shows: numbers of accounts. `top`: if some of those followed are not
    here, the highest number of an account when that was so; else 0.
    """

    accounts: array[int]
    top: int


def _card_cost(card: Card) -> int:
    return card.cost


def _home_cost(home: Home) -> int:
    return len(home.accounts) + 8


class Cards:
    """The node's memory of what it showed. Bounded; threads share it."""

    def __init__(self, position: int = 0) -> None:
        self._lock = Lock()
        #: Everything here is as the store was after this journal line.
        self.position = position
        self._cards: Recent[int, Card] = Recent(CARDS_BYTES_MAX, self._lock, _card_cost)
        self._numbers: Recent[bytes, int] = Recent(ACCOUNTS_MAX, self._lock)
        self._known: Recent[int, Known] = Recent(ACCOUNTS_MAX, self._lock)
        self._places: Recent[int, array[int]] = Recent(ACCOUNTS_MAX, self._lock)
        self._homes: Recent[int, Home] = Recent(FOLLOWS_REMEMBERED_MAX, self._lock, _home_cost)
        self._tallies: Recent[bytes, Tally] = Recent(TALLIES_MAX, self._lock)
        #: Those that took long, also after something else was said.
        self._heavy: Recent[bytes, Tally] = Recent(HEAVY_MAX, self._lock)
        #: What the digest had taken when the tallies were counted.
        self._digested = 0
        self._stamp: Stamp | None = None

    def stamp(self, policy: Policy, now_ms: int) -> Stamp:
        """The stamp of a read that begins now."""
        found = self._stamp
        if found is None or found.policy is not policy or found.second != now_ms // 1000:
            found = self._stamp = Stamp(policy, now_ms)
        return found

    # --- keeping up with the store -------------------------------------------------------

    def advance(self, db: sqlite3.Connection, end: int) -> bool:
        """Forget what changed up to `end`, the newest line of the caller's snapshot.

        False if other readers saw a newer one: then the caller begins again on a newer one.
        """
        if end == self.position:
            return True
        with self._lock:
            if end < self.position:
                return False
            if end - self.position > LINES_MAX:
                self._forget_all()
            else:
                self._forget(db, memory.lines(db, self.position, end))
            self.position = end
        return True

    def _forget_all(self) -> None:
        for each in (self._cards, self._known, self._places, self._homes):
            each.clear()

    def _forget(self, db: sqlite3.Connection, lines: Iterable[memory.Line]) -> None:
        left: set[int] = set()
        for line in lines:
            if line.record is not None:
                self._cards.drop(line.record)
                if line.kind == kinds.EDIT:
                    for post in memory.posts_of_edit(db, line.record):
                        self._cards.drop(post)
            if line.account is not None:
                self._places.drop(line.account)
                self._forget_account(line.account, line.kind)
                if line.kind is None and line.what != What.ACCOUNT:
                    left.add(line.account)
        if left:
            self._leave(memory.account_ids(db, left))

    def _forget_account(self, account: int, kind: int | None) -> None:
        """What a record of this kind (None: a change of the whole account) says of its author."""
        if kind is None or kind == kinds.FOLLOW:
            self._homes.drop(account)
        if kind is None or kind == kinds.PROFILE or kind & 7 == Lane.LOG:
            self._known.drop(account)

    def _leave(self, accounts: set[bytes]) -> None:
        """Headers of these accounts are gone, and their numbers may be given to other records."""
        for n, card in self._cards.items():
            if card.account in accounts or not accounts.isdisjoint(card.shown):
                self._cards.drop(n)

    def follow_digest(self, db: sqlite3.Connection) -> int:
        """Forget tallies that the digest's last lines changed; returns its position."""
        position = digested.position(db)
        if position > self._digested:
            with self._lock:
                lines = position - self._digested
                touched = (
                    memory.touched(db, self._digested, position) if lines < LINES_MAX else None
                )
                if touched is None:
                    self._tallies.clear()
                else:
                    for post in touched:
                        self._tallies.drop(post)
                self._digested = max(self._digested, position)
        return position

    # --- what is kept --------------------------------------------------------------------

    def card(self, n: int) -> Card | None:
        """The card of a record."""
        return self._cards.get(n)

    def cards(self, numbers: Iterable[int]) -> list[Card | None]:
        """As `card`, for each of some records."""
        return self._cards.get_each(numbers)

    def keep_cards(self, cards: Iterable[Card], end: int) -> None:
        """Keep cards as of a snapshot; not if the store has moved on meanwhile."""
        with self._lock:
            if end == self.position:
                for card in cards:
                    self._cards.keep(card.n, card)

    def known(self, db: sqlite3.Connection, id_: bytes, end: int) -> Known | None:
        """An account of this store, or None."""
        found = self._remembered(id_)
        return found if found is not None else self.learn(db, [id_], end).get(id_)

    def learn(self, db: sqlite3.Connection, ids: Iterable[bytes], end: int) -> dict[bytes, Known]:
        """Load those accounts that are here and not remembered: what is asked for next."""
        ids = list(ids)
        numbers = self._numbers.get_each(ids)
        missing = [
            id_
            for id_, n in zip(ids, numbers, strict=True)
            if n is None or self._known.get(n) is None
        ]
        found = {one[1]: Known(*one) for one in memory.accounts(db, missing)} if missing else {}
        self._keep_known(found.values(), end)
        return found

    def learn_numbers(
        self, db: sqlite3.Connection, numbers: Sequence[int], end: int
    ) -> list[Known]:
        """Accounts by this store's numbers of them; those that are gone are left out."""
        here = self._known.get_each(numbers)
        missing = [n for n, one in zip(numbers, here, strict=True) if one is None]
        found = [Known(*one) for one in memory.accounts_of(db, missing)] if missing else []
        self._keep_known(found, end)
        return [*found, *(one for one in here if one is not None)]

    def _keep_known(self, found: Iterable[Known], end: int) -> None:
        with self._lock:
            for one in found:
                self._numbers.keep(one.id, one.n)
                if end == self.position:
                    self._known.keep(one.n, one)

    def hosts(self, db: sqlite3.Connection, known: Known, end: int) -> tuple[bytes, ...]:
        """Nodes that host an account."""
        return known.hosts if known.hosts is not None else self.learn_hosts(db, [known], end)[0]

    def learn_hosts(
        self, db: sqlite3.Connection, accounts: Sequence[Known], end: int
    ) -> list[tuple[bytes, ...]]:
        """As `hosts`, for each of some accounts: what is asked for next."""
        found = read.hosts_of_each(db, [one.id for one in accounts if one.hosts is None])
        answer = [found.get(one.id, one.hosts or ()) for one in accounts]
        with self._lock:
            if end == self.position:
                for one, hosts in zip(accounts, answer, strict=True):
                    one.hosts = hosts
        return answer

    def _remembered(self, id_: bytes) -> Known | None:
        n = self._numbers.get(id_)
        return self._known.get(n) if n is not None else None

    def home(self, db: sqlite3.Connection, own: int, end: int, follows_max: int) -> array[int]:
        """Numbers of an account and of those that it follows."""
        found = self._homes.get(own)
        if found is None or (found.top and found.top != memory.last_account(db)):
            accounts, missing = memory.followed(db, own, follows_max)
            found = Home(array("q", [own, *accounts]), memory.last_account(db) if missing else 0)
            with self._lock:
                if end == self.position:
                    self._homes.keep(own, found)
        return found.accounts

    def newest(self, db: sqlite3.Connection, accounts: Sequence[int], end: int) -> list[array[int]]:
        """The newest places of each author: position, record, position, record …"""
        found = self._places.get_each(accounts)
        missing = [n for n, places in zip(accounts, found, strict=True) if places is None]
        loaded = memory.newest(db, missing, PLACES_MAX) if missing else {}
        with self._lock:
            if end == self.position:
                for account, places in loaded.items():
                    self._places.keep(account, places)
        return [
            loaded[account] if places is None else places
            for account, places in zip(accounts, found, strict=True)
        ]

    def tallies(self, posts: Iterable[bytes]) -> list[Tally | None]:
        """What was counted of some posts."""
        return self._tallies.get_each(posts)

    def heavy_tally(self, post: bytes) -> Tally | None:
        """What was counted of a post for long; something may have been said since."""
        return self._heavy.get(post)

    def keep_tallies(self, counted: Mapping[bytes, Tally], position: int) -> None:
        """Keep what was counted as of a position of the digest; not if it has moved on."""
        with self._lock:
            for post, tally in counted.items():
                if position == self._digested:
                    self._tallies.keep(post, tally)
                if tally.heavy:
                    self._heavy.keep(post, tally)

    @property
    def bytes(self) -> int:
        """What cards take, at most."""
        return self._cards.cost
