"""Search: posts, people and tags that fit a query, as far as the reader may see them.

The newest first, a search walks the tables of words from the newest down and stops when a page is
full. The best first, it ranks the newest matches, so many and no more. Either way each hit passes
`Viewer` before anybody is shown it, and nothing that policy keeps out of public timelines is found.

Pages go on from a cursor, the last hit of the page before: its number, and the best first also its
score and the highest number there was. What arrives meanwhile is in no later page.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from enum import IntEnum
from functools import partial
from typing import NamedTuple, TypeVar

from ratoon_node.errors import NodeError
from ratoon_node.policy import fold
from ratoon_node.store import listings, names, read, words
from ratoon_node.store.listings import Listing
from ratoon_node.store.words import Shard, Words
from ratoon_node.timeline import terms
from ratoon_node.timeline.naming import VERIFIED_MS_MAX
from ratoon_node.timeline.terms import Query, Term
from ratoon_node.timeline.visibility import PUBLIC_HIDDEN_FROM, Item, Viewer
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import INT_MAX

# Hits looked at for one page: behind so many hidden ones the page ends and its cursor goes on.
LOOKED_AT_MAX = 400
# Tables of one page, 16,384 records each: then the page ends and its cursor goes on.
SHARDS_MAX = 256
# Hits that are ranked, the newest of all, and their text: what 20 ms can count words in.
RANKED_MAX = 1000
RANKED_CHARS_MAX = 400_000
# Hits read beyond what a page takes: most pages hold a few that are hidden.
_MORE = 4
# Tags looked at for one page, and of each the newest posts that bear it.
TAGS_LOOKED_AT_MAX = 100
TAG_USES_MAX = 10
# The end of all strings that begin alike.
_LAST_SIGN = "\U0010ffff"
# How much more a word in somebody's name counts than one in the bio.
_NAME_WEIGHT = 4
_MARK_OF_NOBODY = terms.author_mark(0)
_ACCOUNT = re.compile("[0-9a-fA-F]{64}")
_NUMBER = re.compile(r"(\d{1,16})")
_RANK = re.compile(r"(\d{1,16})\.(\d{1,12})\.(\d{1,16})")
T = TypeVar("T")


class Order(IntEnum):
    """What comes first."""

    NEW = 0
    BEST = 1


class Hit(NamedTuple):
    """A match: the number of a record or of an account, and how well it fits (0: not ranked)."""

    n: int
    score: int = 0


class After(NamedTuple):
    """Where to go on: below this hit; the best first, among numbers up to `ceiling`."""

    hit: Hit = Hit(INT_MAX, INT_MAX)
    ceiling: int = INT_MAX


class Found(NamedTuple):
    """Readable posts, and the cursor to go on from; None: the end."""

    items: list[Item]
    next: str | None


class Person(NamedTuple):
    """Somebody found; `profile` is None for one with a handle and no profile."""

    account: bytes
    n: int
    profile: Item | None


class People(NamedTuple):
    """Who was found, and the cursor to go on from; None: the end."""

    people: list[Person]
    next: str | None


class Tag(NamedTuple):
    """A tag in use: how many of its newest posts can be read, and whether there are older ones."""

    tag: str
    posts: int
    more: bool


def after(cursor: str | None, order: Order) -> After:
    """The place that a cursor means. Raises `NodeError(bad_request)`."""
    if cursor is None:
        return After()
    found = (_NUMBER if order is Order.NEW else _RANK).fullmatch(cursor)
    if found is None:
        raise NodeError(Code.BAD_REQUEST, safe="after is the next of an earlier page.")
    n, score, ceiling = map(int, (*found.groups(), 0, INT_MAX)[:3])
    return After(Hit(min(n, INT_MAX), score), min(ceiling, INT_MAX - 1))


# --- posts ---------------------------------------------------------------------------------


def posts(
    db: sqlite3.Connection,
    viewer: Viewer,
    query: Query,
    order: Order,
    after: After,
    limit: int,
    now_ms: int,
) -> Found:
    """Posts that fit. Call it in a snapshot."""
    asked = _expression(db, query, now_ms)
    if asked is None:
        return Found([], None)
    search = _Search(db, Words.POSTS, asked, query.wanted)
    return Found(*search.page(partial(_readable, viewer), order, after, limit))


def _readable(viewer: Viewer, numbers: Sequence[int]) -> list[Item | None]:
    return [
        one if isinstance(one, Item) and _findable(one) else None for one in viewer.look_at(numbers)
    ]


def _findable(item: Item) -> bool:
    """Not limited; nor one whose newest words, which are what was found, may not be shown."""
    return item.verdict < PUBLIC_HIDDEN_FROM and item.edit is item.card.edit


def _expression(db: sqlite3.Connection, query: Query, now_ms: int) -> str | None:
    """A query about posts in the index's language; None if nothing can fit."""
    groups: list[Sequence[Term]] = [[term] for term in query.wanted]
    if query.authors is not None:
        groups += [[_author(db, name, now_ms)] for name in query.authors]
    if query.since is not None or query.until is not None:
        days = _days(query.since, query.until, terms.day_of(now_ms))
        if not days:
            return None
        groups.append(days)
    others = [_author(db, name, now_ms) for name in query.others]
    return terms.expression(groups, [*query.unwanted, *others])


def _days(since: date | None, until: date | None, today: date) -> list[Term]:
    """Only days on which there can be posts: a query costs what the network's age costs."""
    first, last = terms.first_day(), terms.day_after(today)
    return terms.days_between(max(since or first, first), min(until or last, last))


def _author(db: sqlite3.Connection, name: str, now_ms: int) -> Term:
    """The mark of an author by account or proven handle; one that fits nothing for a stranger."""
    account: bytes | None = None
    if _ACCOUNT.fullmatch(name):
        account = bytes.fromhex(name)
    elif "@" in name:
        account = names.verified_account(db, name.lower(), now_ms - VERIFIED_MS_MAX)
    else:
        account = names.holder(db, name.lower())
    found = read.account(db, account) if account is not None else None
    return Term((terms.author_mark(found.n) if found is not None else _MARK_OF_NOBODY,))


# --- people --------------------------------------------------------------------------------


def people(
    db: sqlite3.Connection, viewer: Viewer, query: Query, order: Order, after: After, limit: int
) -> People:
    """People whose name, bio or handle fits; the newest are those that came here last."""
    asked = terms.expression([[term] for term in query.wanted], query.unwanted)
    search = _Search(db, Words.PEOPLE, asked, query.wanted)
    return People(*search.page(partial(_people, db, viewer), order, after, limit))


def _people(db: sqlite3.Connection, viewer: Viewer, numbers: Sequence[int]) -> list[Person | None]:
    profiles = words.profiles_of(db, numbers)
    shown = [n for n in profiles.values() if n is not None]
    items = dict(zip(shown, viewer.look_at(shown), strict=True))
    found: list[Person | None] = []
    for n in numbers:
        profile = profiles.get(n)
        item = items.get(profile) if profile is not None else None
        found.append(_person(db, viewer, n, item, n in profiles and profile is None))
    return found


def _person(
    db: sqlite3.Connection, viewer: Viewer, n: int, item: object, bare: bool
) -> Person | None:
    """Somebody, if what was found of them may be shown."""
    if isinstance(item, Item):
        return Person(item.account, n, item) if item.verdict < PUBLIC_HIDDEN_FROM else None
    if not bare:
        return None
    account = read.account_id(db, n)
    known, decision = viewer.known(account), viewer.of_account(account)
    hidden = known is None or known.vanished
    hidden = hidden or (decision is not None and decision.verdict >= PUBLIC_HIDDEN_FROM)
    return None if hidden else Person(account, n, None)


# --- tags ----------------------------------------------------------------------------------


def tags(
    db: sqlite3.Connection, viewer: Viewer, beginning: str, above: str, limit: int
) -> tuple[list[Tag], str | None]:
    """Tags that begin so, in order of their letters, above one; and the cursor to go on from."""
    prefix = fold.tag(beginning.strip())
    if not prefix:
        raise NodeError(Code.BAD_REQUEST, safe="Say how the tag begins.")
    found: list[Tag] = []
    # The prefix itself is a tag that begins so: start right before it.
    at = max(above, prefix[:-1] + chr(ord(prefix[-1]) - 1) + _LAST_SIGN)
    for _ in range(TAGS_LOOKED_AT_MAX):
        key = words.next_key(db, Listing.TAG, at, prefix + _LAST_SIGN)
        if key is None:
            return found, None
        at = key
        tag = _tag(db, viewer, key)
        if tag.posts:
            found.append(tag)
        if len(found) == limit:
            break
    return found, at


def _tag(db: sqlite3.Connection, viewer: Viewer, key: str) -> Tag:
    places = listings.listed_before(db, Listing.TAG, key, INT_MAX, TAG_USES_MAX + 1)
    numbers = [one.n for one in places[:TAG_USES_MAX]]
    shown = sum(one is not None for one in _readable(viewer, numbers))
    return Tag(key, shown, len(places) > TAG_USES_MAX)


# --- the walk ------------------------------------------------------------------------------

#: What readers see of hits, by their numbers, each at its place; None: nothing.
Look = Callable[[Sequence[int]], list[T | None]]


class _Search(NamedTuple):
    """One query to the words of posts or people."""

    db: sqlite3.Connection
    what: Words
    expression: str
    wanted: Sequence[Term]

    def page(
        self, look: Look[T], order: Order, after: After, limit: int
    ) -> tuple[list[T], str | None]:
        """What is shown of the hits below a place, and the cursor to go on from."""
        top = after.hit.n if order is Order.NEW else after.ceiling + 1
        tables = words.shards_below(self.db, self.what, top, SHARDS_MAX + 1)
        if order is Order.NEW:
            found, last = _shown(look, self._newest(tables[:SHARDS_MAX], top, limit), limit)
            if last is None and len(tables) > SHARDS_MAX:
                last = Hit(tables[SHARDS_MAX - 1].number << words.SHARD_BITS)
            return found, None if last is None else str(last.n)
        ranked = self._ranked(tables[:SHARDS_MAX], top)
        ceiling = max((hit.n for hit in ranked), default=0)
        rest = [hit for hit in ranked if (-hit.score, -hit.n) > (-after.hit.score, -after.hit.n)]
        found, last = _shown(look, _cut(rest, limit + _MORE), limit)
        if last is None:
            return found, None
        return found, f"{last.n}.{last.score}.{min(after.ceiling, ceiling)}"

    def _newest(self, tables: Iterable[Shard], top: int, limit: int) -> Iterator[list[Hit]]:
        """All hits below a number, highest first, some at a time."""
        size = limit + _MORE
        for shard in tables:
            below = top
            while True:
                numbers = words.newest(self.db, shard, self.expression, below, size)
                if numbers:
                    yield [Hit(n) for n in numbers]
                if len(numbers) < size:
                    break
                below = numbers[-1]

    def _ranked(self, tables: Iterable[Shard], top: int) -> list[Hit]:
        """The newest hits, those that fit best first."""
        found: list[Hit] = []
        chars = 0
        for n, texts in self._newest_texts(tables, top):
            first, *others = (terms.score(self.wanted, text) for text in texts)
            found.append(Hit(n, _NAME_WEIGHT * first + sum(others)))
            chars += sum(map(len, texts))
            if len(found) == RANKED_MAX or chars >= RANKED_CHARS_MAX:
                break
        return sorted(found, key=lambda hit: (-hit.score, -hit.n))

    def _newest_texts(
        self, tables: Iterable[Shard], top: int
    ) -> Iterator[tuple[int, tuple[str, ...]]]:
        for shard in tables:
            yield from words.newest_texts(self.db, shard, self.expression, top)


def _cut(hits: list[Hit], size: int) -> Iterator[list[Hit]]:
    return (hits[at : at + size] for at in range(0, len(hits), size))


def _shown(look: Look[T], chunks: Iterable[list[Hit]], limit: int) -> tuple[list[T], Hit | None]:
    """What is shown of hits, and the last one looked at if that was not the last there is."""
    found: list[T] = []
    looked_at = 0
    for chunk in chunks:
        for hit, one in zip(chunk, look([hit.n for hit in chunk]), strict=True):
            looked_at += 1
            if one is not None:
                found.append(one)
            if len(found) == limit or looked_at == LOOKED_AT_MAX:
                return found, hit
    return found, None
