"""The chapter of what refers to what: replies, quotes, reposts, and what people think of a post.

Threads and counts are read from it. Nothing here asks lists: whoever reads does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ratoon_node.store import references
from ratoon_node.store.references import Opinion, Reference
from ratoon_node.timeline.digest import Seen, kept
from ratoon_protocol import kinds


class References:
    """Keeps `reference` and `opinion`."""

    def take(self, db: sqlite3.Connection, seen: Sequence[Seen], now_ms: int) -> None:
        """See `digest.Chapter`."""
        references.forget(db, kept(seen))
        refers = [found for found in map(reference_of, seen) if found is not None]
        opinions = [found for found in map(opinion_of, seen) if found is not None]
        references.keep_references(db, refers)
        references.keep_opinions(db, opinions)


def reference_of(one: Seen) -> Reference | None:
    """What a readable post or repost refers to; None if that is nothing."""
    if one.row is None or one.body is None or one.row.shown is None:
        return None
    row, body, shown = one.row, one.body, one.row.shown
    if row.kind == kinds.REPOST:
        return Reference(row.n, row.account, shown, None, None, None, body["target"])
    if row.kind != kinds.POST or not ("parent" in body or "quote" in body):
        return None
    named = [body.get(name) for name in ("parent", "root", "quote")]
    return Reference(row.n, row.account, shown, named[0], named[1], named[2], None)


def opinion_of(one: Seen) -> Opinion | None:
    """A reaction that holds or a vote that chooses something; None for anything else."""
    if one.row is None or one.body is None:
        return None
    row, body = one.row, one.body
    if row.kind == kinds.REACTION and body["state"]:
        value = body["emoji"]
    elif row.kind == kinds.VOTE and body["choices"]:
        value = ",".join(map(str, body["choices"]))
    else:
        return None
    return Opinion(row.n, row.kind, row.account, body["target"], value, row.created_ms)
