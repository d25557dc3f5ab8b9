"""How often a post was answered, quoted and reposted, what people feel about it, how they voted.

Each account counts once for a repost, an emoji and a vote; where one says two things (its slots
were salted twice) the later one counts alone. Whom the lists hide now, who has vanished and whose
authority is being judged anew counts for nothing, nor does a reply that quotes one of them; what
is hidden for a link in it alone is still counted. A vote counts if its options fit the poll and
it says that it was made before the end; whoever votes again after the end has taken the vote
back. Replies that their root's author did not invite are in the thread, so they count.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from ratoon_node.store import references
from ratoon_node.store.references import Held, Mention
from ratoon_node.timeline.visibility import Item, Viewer
from ratoon_protocol import kinds
from ratoon_protocol.record import Body

#: Rows counted of one kind for one post; what is above it is not looked at, and `more` is set.
ROWS_MAX = 5000
# Replies that quote somebody, looked at one by one while lists say something of accounts.
SHOWING_MAX = 200
# Posts counted in one statement.
IDS_AT_ONCE_MAX = 250
#: Different emoji told of one post, those used most.
EMOJI_MAX = 32


class Counts(NamedTuple):
    """What is counted of one post. With `more`, some of it is only "at least so many".

    `votes`: accounts an option, None where there is no poll.
    """

    replies: int = 0
    quotes: int = 0
    reposts: int = 0
    reactions: Mapping[str, int] = {}
    votes: Sequence[int] | None = None
    more: bool = False


#: What is counted of most posts.
NOTHING = Counts()


class _Rows(NamedTuple):
    mentions: Sequence[Mention]
    held: Sequence[Held]
    more: frozenset[bytes]


def counts(
    db: sqlite3.Connection, viewer: Viewer, posts: Mapping[bytes, Body]
) -> dict[bytes, Counts]:
    """Counts of some posts (id and body as it is read now)."""
    found: dict[bytes, Counts] = {}
    ids = list(posts)
    for start in range(0, len(ids), IDS_AT_ONCE_MAX):
        part = ids[start : start + IDS_AT_ONCE_MAX]
        found |= _counts(db, viewer, {id_: posts[id_] for id_ in part})
    return found


def _counts(
    db: sqlite3.Connection, viewer: Viewer, posts: Mapping[bytes, Body]
) -> dict[bytes, Counts]:
    rows = _rows(db, list(posts))
    hidden = viewer.hidden({row.author for part in (rows.mentions, rows.held) for row in part})
    mentions = Counter(_mentioned(rows.mentions, hidden))
    if viewer.policy.lists_accounts:
        mentions.subtract(_showing_hidden(db, viewer, list(posts), hidden))
    last = {
        (row.target, row.kind, row.author): row for row in rows.held if row.author not in hidden
    }
    by_target: dict[bytes, list[Held]] = {}
    for held in last.values():
        by_target.setdefault(held.target, []).append(held)
    of = mentions.get  # not by index: some are not there, and a `Counter` is slow to say so
    found = dict.fromkeys(posts, NOTHING)
    named = {id_ for id_, _ in mentions} | by_target.keys() | rows.more
    for id_, body in posts.items():
        if id_ in named or "poll" in body:
            held_of = by_target.get(id_, ())
            found[id_] = Counts(
                max(of((id_, 0), 0), 0),
                of((id_, 1), 0),
                of((id_, 2), 0),
                _reactions(held_of),
                _votes(body["poll"], held_of) if "poll" in body else None,
                id_ in rows.more,
            )
    return found


def _rows(db: sqlite3.Connection, ids: Sequence[bytes]) -> _Rows:
    """Everything about all the posts at once; one by one if that is more than enough for one."""
    mentions = references.references_to(db, ids, ROWS_MAX + 1)
    held = references.opinions_on(db, ids, ROWS_MAX + 1)
    if len(mentions) <= ROWS_MAX and len(held) <= ROWS_MAX:
        return _Rows(mentions, held, frozenset())
    found: list[Mention] = []
    opinions: list[Held] = []
    more: set[bytes] = set()
    for id_ in ids:
        parts = [references.related(db, how, id_, ROWS_MAX + 1) for how in references.COUNTED]
        voices = [references.held(db, id_, kind, ROWS_MAX + 1) for kind in _OPINIONS]
        for part in parts:
            found += part[:ROWS_MAX]
        for voice in voices:
            opinions += voice[:ROWS_MAX]
        if max(*map(len, parts), *map(len, voices)) > ROWS_MAX:
            more.add(id_)
    return _Rows(found, opinions, frozenset(more))


_OPINIONS = (kinds.REACTION, kinds.VOTE)


def _mentioned(rows: Iterable[Mention], hidden: Collection[int]) -> Iterable[tuple[bytes, int]]:
    """(post, how) for each that counts; of reposts one an account."""
    reposted: set[tuple[bytes, int]] = set()
    for how, target, author in rows:
        if author in hidden:
            continue
        if how == references.REPOST:
            if (target, author) in reposted:
                continue
            reposted.add((target, author))
        yield target, how


def _showing_hidden(
    db: sqlite3.Connection, viewer: Viewer, ids: Sequence[bytes], hidden: Collection[int]
) -> list[tuple[bytes, int]]:
    """Replies of others than hidden authors that are hidden all the same: for what they quote."""
    rows = references.quoting_replies(db, ids, SHOWING_MAX)
    seen = viewer.look_at([row.record for row in rows])
    return [
        (row.parent, 0)
        for row, one in zip(rows, seen, strict=True)
        if row.author not in hidden and not isinstance(one, Item)
    ]


def _reactions(held: Collection[Held]) -> dict[str, int]:
    if not held:
        return {}  # most posts
    found = Counter(row.value for row in held if row.kind == kinds.REACTION)
    order = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    return dict(order[:EMOJI_MAX])


def _votes(poll: Body, held: Iterable[Held]) -> list[int]:
    found = [0] * len(poll["options"])
    for row in held:
        if row.kind != kinds.VOTE or row.created_ms > poll["ends_ms"]:
            continue
        choices = list(map(int, row.value.split(",")))
        if choices[-1] >= len(found) or (len(choices) > 1 and not poll["many"]):
            continue
        for choice in choices:
            found[choice] += 1
    return found
