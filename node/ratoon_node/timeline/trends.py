"""Trends: what more accounts than usual, at several nodes, speak of now.

What counts is accounts, never records: in the last `WINDOW_HOURS` hours, by the time that stands
in the record, so that old posts that are synced late make no trend. An account counts if

- it has a home: a node that its newest operation lists and that says it hosts the account,
- policy lets it into public timelines, and the record by which it counts too,
- it is not the author of the post that is trending.

An account counts for one node: of its homes the one at which most of the accounts here are. The
node with the most accounts counts for no more than all other nodes together, and for no more than
`ACCOUNTS_PER_NODE_MAX`. So a single node, however many accounts it makes, counts for nothing, and
with a few accounts elsewhere for as few again.

A trend has at least `ACCOUNTS_MIN` such accounts, hence at two nodes at least, and `RISE_MIN`
times as many as is usual: the same count in each window of the `USUAL_HOURS` hours before, on
average. The steeper the rise, the higher it stands.
"""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import structlog

from ratoon_node.policy import fold
from ratoon_node.policy.engine import Policy
from ratoon_node.policy.verdict import Verdict
from ratoon_node.runtime import Clock, Spawn
from ratoon_node.store import read, trends
from ratoon_node.store.db import Db
from ratoon_node.store.trends import Target, Trend, Use
from ratoon_node.timeline.digest import Seen, kept
from ratoon_node.timeline.visibility import PUBLIC_HIDDEN_FROM, Item, Viewer, snapshot
from ratoon_protocol import bodies, kinds

#: What is now, and what it is compared with.
WINDOW_HOURS = 6
USUAL_HOURS = 7 * 24
#: Accounts that count, at least.
ACCOUNTS_MIN = 5
#: Times the usual, at least.
RISE_MIN = 2
#: Accounts of one node that are looked at, the newest here first.
ACCOUNTS_PER_NODE_MAX = 200
#: Trends of a kind that are kept, and targets that are judged to find them.
TRENDS_MAX = 20
TARGETS_MAX = 1000
#: How old what readers get may be.
AGE_MS_MAX = 60_000
# Uses of one target that are read, now and of the week before.
USES_MAX = 5000
# Tags of one post that count: more is no conversation.
TAGS_PER_POST_MAX = 8
# Rows kept: a week of two million posts and opinions, about 200 MB with its indexes.
ROWS_MAX = 2_000_000
# Rows taken out with a slice of the digest, which brings in fewer.
_PRUNED_MAX = 4000
# Targets judged in one read.
_TARGETS_AT_ONCE = 10
_HOUR_MS = 3_600_000
log = structlog.get_logger()


def hour_of(at_ms: int) -> int:
    """Hours since 1970."""
    return at_ms // _HOUR_MS


# --- the chapter ---------------------------------------------------------------------------


class TrendChapter:
    """See `digest.Chapter`."""

    def take(self, db: sqlite3.Connection, seen: Sequence[Seen], now_ms: int) -> None:
        """Replace what these records use."""
        last = hour_of(now_ms)
        first = last - USUAL_HOURS - WINDOW_HOURS
        uses = [use for one in seen for use in _uses(one, last) if use.hour >= first]
        trends.replace(db, kept(seen), uses)
        trends.prune(db, first, ROWS_MAX, _PRUNED_MAX)


def _uses(one: Seen, last_hour: int) -> list[Use]:
    row = one.row
    if row is None or one.body is None or row.disposition >= Verdict.LIMIT:
        return []
    # A clock that is ahead by some minutes makes nothing last longer.
    hour = min(hour_of(row.created_ms), last_hour)
    return [
        Use(row.n, what, target, hour, row.account) for what, target in dict.fromkeys(_targets(one))
    ]


def _targets(one: Seen) -> list[tuple[Trend, Target]]:
    """What a record uses: tags; the post that it answers, quotes, shows again or likes."""
    assert one.row is not None, "asked of what can be read"
    assert one.body is not None, "asked of what can be read"
    kind, body = one.row.kind, one.body
    if kind == kinds.POST:
        tags = dict.fromkeys(map(fold.tag, bodies.tags(kind, body)))
        found: list[tuple[Trend, Target]] = [
            (Trend.TAG, tag) for tag in list(tags)[:TAGS_PER_POST_MAX] if tag
        ]
        return found + [(Trend.POST, body[name]) for name in ("parent", "quote") if name in body]
    if kind == kinds.REPOST or (kind == kinds.REACTION and body["state"]):
        return [(Trend.POST, body["target"])]
    return []


# --- the judgement -------------------------------------------------------------------------


class Trending(NamedTuple):
    """A tag or a post's id; the accounts that count, at how many nodes, and how many usually do.

    `n` is this store's number of the post, 0 for a tag.
    """

    target: Target
    accounts: int
    nodes: int
    usual: float
    n: int = 0

    @property
    def rise(self) -> float:
        """How far above the usual, measured in what it varies by."""
        return (self.accounts - self.usual) / math.sqrt(self.usual + 1)


class Board(NamedTuple):
    """What trends, the steepest first, as it was at a time."""

    made_ms: int
    tags: tuple[Trending, ...] = ()
    posts: tuple[Trending, ...] = ()


class Homes:
    """Where accounts count, looked up once each."""

    def __init__(self, db: sqlite3.Connection, viewer: Viewer) -> None:
        self._db = db
        self._viewer = viewer
        self._found: dict[int, tuple[bytes, ...]] = {}

    def of(self, author: int) -> tuple[bytes, ...]:
        """The homes of an account; none if it does not count."""
        if author not in self._found:
            self._found[author] = self._look(read.account_id(self._db, author))
        return self._found[author]

    def _look(self, account: bytes) -> tuple[bytes, ...]:
        known, decision = self._viewer.known(account), self._viewer.of_account(account)
        if known is None or known.vanished:
            return ()
        if decision is not None and decision.verdict >= PUBLIC_HIDDEN_FROM:
            return ()
        return read.homes(self._db, account)


def at_nodes(homes: Mapping[int, tuple[bytes, ...]]) -> dict[int, bytes]:
    """For each account with a home the node it counts for: where most of them are."""
    tally = Counter(node for nodes in homes.values() for node in nodes)
    return {
        author: max(nodes, key=lambda node: (tally[node], node))
        for author, nodes in homes.items()
        if nodes
    }


def counted(nodes: Iterable[bytes]) -> int:
    """How many of accounts at these nodes count: the largest node as many as the others."""
    tally = Counter(nodes)
    total = tally.total()
    return min(total, 2 * (total - max(tally.values(), default=0)))


def judge(
    db: sqlite3.Connection, viewer: Viewer, homes: Homes, what: Trend, target: Target, hour: int
) -> Trending | None:
    """A trend, if a target is one in the window that ends with `hour`."""
    now = range(hour - WINDOW_HOURS + 1, hour + 1)
    post = _post(db, viewer, target) if isinstance(target, bytes) else None
    if post is None and what is Trend.POST:
        return None
    users = trends.users(db, what, target, now, USES_MAX)
    own = post.account if post is not None else None
    places = at_nodes({user.author: homes.of(user.author) for user in users if user.author != own})
    if counted(places.values()) < ACCOUNTS_MIN:
        return None  # most are no trend, and it is seen without looking at a record
    newest = sorted(
        ((user.record, user.author) for user in users if user.author in places), reverse=True
    )
    seen = _readable(viewer, places, newest)
    accounts = counted(places[author] for author in seen)
    usual = _usual(db, homes, what, target, range(now[0] - USUAL_HOURS, now[0]), own)
    if accounts < ACCOUNTS_MIN or accounts < RISE_MIN * usual:
        return None
    nodes = len({places[author] for author in seen})
    return Trending(target, accounts, nodes, usual, post.n if post is not None else 0)


class _Post(NamedTuple):
    n: int
    account: int


def _post(db: sqlite3.Connection, viewer: Viewer, id_: bytes) -> _Post | None:
    """A post that may be shown in public."""
    row = read.by_id(db, id_)
    if row is None or row.kind != kinds.POST:
        return None
    (item,) = viewer.look_at([row.n])
    shown = isinstance(item, Item) and item.verdict < PUBLIC_HIDDEN_FROM
    return _Post(row.n, row.account) if shown else None


def _readable(
    viewer: Viewer, places: Mapping[int, bytes], newest: Sequence[tuple[int, int]]
) -> list[int]:
    """Authors whose record may be shown in public, of each node so many and no more."""
    taken = Counter[bytes]()
    some: list[tuple[int, int]] = []
    for record, author in newest:
        taken[places[author]] += 1
        if taken[places[author]] <= ACCOUNTS_PER_NODE_MAX:
            some.append((record, author))
    found = viewer.look_at([record for record, _ in some])
    return [
        author
        for (_, author), item in zip(some, found, strict=True)
        if isinstance(item, Item) and item.verdict < PUBLIC_HIDDEN_FROM
    ]


def _usual(
    db: sqlite3.Connection,
    homes: Homes,
    what: Trend,
    target: Target,
    hours: range,
    own: int | None,
) -> float:
    """The count of a window, on average over some hours; an account counts where it is now."""
    windows: dict[int, set[int]] = {}
    for hour, author in trends.by_hour(db, what, target, hours, USES_MAX):
        if author != own:
            windows.setdefault((hour - hours[0]) // WINDOW_HOURS, set()).add(author)
    total = sum(
        counted(at_nodes({author: homes.of(author) for author in window}).values())
        for window in windows.values()
    )
    return total / (USUAL_HOURS // WINDOW_HOURS)


# --- what readers get ----------------------------------------------------------------------


class Trends:
    """Makes the board anew once in `AGE_MS_MAX`, behind everybody's back; readers only look."""

    def __init__(self, db: Db, clock: Clock, spawn: Spawn, policy: Callable[[], Policy]) -> None:
        self._db = db
        self._clock = clock
        self._spawn = spawn
        self._policy = policy
        #: What trends; empty until the first look.
        self.board = Board(0)

    def start(self) -> None:
        """Begin to look."""
        self._spawn(self._run(), "timeline.trends")

    async def _run(self) -> None:
        while True:
            await self._clock.sleep_ms(AGE_MS_MAX)
            try:
                await self.look()
            except sqlite3.Error as error:
                log.warning("trends_wait", error=type(error).__name__)

    async def look(self) -> Board:
        """Make the board now. A few targets are one read, so that nobody waits long for it."""
        now_ms = self._clock.now_ms()
        tags = await self._of(Trend.TAG, now_ms)
        self.board = Board(now_ms, tags, await self._of(Trend.POST, now_ms))
        return self.board

    async def _of(self, what: Trend, now_ms: int) -> tuple[Trending, ...]:
        hour = hour_of(now_ms)
        hours = range(hour - WINDOW_HOURS + 1, hour + 1)
        targets = await self._db.read(
            lambda db: trends.busiest(db, what, hours, ACCOUNTS_MIN, TARGETS_MAX)
        )
        found: list[Trending] = []
        for at in range(0, len(targets), _TARGETS_AT_ONCE):
            some = targets[at : at + _TARGETS_AT_ONCE]
            found += await self._db.read(partial(self._judged, what, some, now_ms))
        # Of two that rise alike the one with the lower name: everybody sees one order.
        found.sort(key=lambda one: (-one.rise, str(one.target)))
        return tuple(found[:TRENDS_MAX])

    def _judged(
        self, what: Trend, targets: Sequence[Target], now_ms: int, db: sqlite3.Connection
    ) -> list[Trending]:
        with snapshot(db):
            viewer = Viewer(db, self._policy(), now_ms)
            homes = Homes(db, viewer)
            found = (judge(db, viewer, homes, what, one, hour_of(now_ms)) for one in targets)
            return [one for one in found if one is not None]
