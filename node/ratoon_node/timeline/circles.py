"""Who follows whom, and how many: those that lists hide now or that have vanished are left out."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from ratoon_node.store import circles
from ratoon_node.timeline.counts import ROWS_MAX
from ratoon_node.timeline.visibility import HIDDEN_FROM, Item, Viewer, snapshot
from ratoon_protocol import kinds

# Posts of one account that are counted; what is above it is "at least".
POSTS_COUNTED_MAX = 50_000


class Friend(NamedTuple):
    """Somebody at the other end of a follow."""

    account: bytes
    created_ms: int


class Follows(NamedTuple):
    """A page; `next` is the account to go on after, None at the end."""

    accounts: list[Friend]
    next: bytes | None


class Followers(NamedTuple):
    """A page, those heard of last first; `next` is the place to go on below, None at the end."""

    accounts: list[Friend]
    next: int | None


class Lists(NamedTuple):
    """A page of list records; `next` is the target to go on after, None at the end."""

    items: list[Item]
    next: bytes | None


class Sizes(NamedTuple):
    """How many; with `more` some of it is only "at least so many"."""

    posts: int
    follows: int
    followers: int
    more: bool


def follows(
    db: sqlite3.Connection, viewer: Viewer, account: bytes, after: bytes, limit: int
) -> Follows:
    """Whom an account follows, in the order of their ids."""
    with snapshot(db):
        known = viewer.known(account)
        rows = circles.said_after(db, known.n, kinds.FOLLOW, after, limit) if known else []
        friends = [
            Friend(row.target, row.created_ms)
            for row in rows
            if row.state and _shown(viewer, row.target)
        ]
        return Follows(friends, rows[-1].target if len(rows) == limit else None)


def _shown(viewer: Viewer, account: bytes) -> bool:
    known, decision = viewer.known(account), viewer.of_account(account)
    if known is not None and known.vanished:
        return False
    return decision is None or decision.verdict < HIDDEN_FROM


def followers(
    db: sqlite3.Connection, viewer: Viewer, account: bytes, before: int, limit: int
) -> Followers:
    """Who follows an account."""
    with snapshot(db):
        rows = circles.followers_before(db, account, before, limit)
        hidden = viewer.hidden({row.n for row in rows})
        friends = [
            Friend(row.id, row.created_ms) for row in rows if row.state and row.n not in hidden
        ]
        return Followers(friends, rows[-1].record if len(rows) == limit else None)


def lists(
    db: sqlite3.Connection, viewer: Viewer, account: bytes, after: bytes, limit: int
) -> Lists:
    """An account's lists."""
    with snapshot(db):
        known = viewer.known(account)
        rows = circles.said_after(db, known.n, kinds.LIST, after, limit) if known else []
        seen = viewer.look_at([row.record for row in rows if row.state])
        items = [one for one in seen if isinstance(one, Item)]
        return Lists(items, rows[-1].target if len(rows) == limit else None)


def sizes(db: sqlite3.Connection, viewer: Viewer, account: bytes) -> Sizes:
    """How many posts, follows and followers an account has, as far as one counts."""
    with snapshot(db):
        known = viewer.known(account)
        if known is None:
            return Sizes(0, 0, 0, more=False)
        posts = circles.count_posts(db, known.n, POSTS_COUNTED_MAX)
        following = circles.count_follows(db, known.n, ROWS_MAX)
        behind = circles.followers(db, account, ROWS_MAX)
        hidden = viewer.hidden(behind)
        bounds = (posts == POSTS_COUNTED_MAX, following == ROWS_MAX, len(behind) == ROWS_MAX)
        return Sizes(posts, following, len(behind) - len(hidden), any(bounds))
