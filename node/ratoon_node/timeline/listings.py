"""The chapter of lists: posts by tag, by people at home here, with media by their author.

A post stands in a list at its own place in timelines. Where a later edit adds a tag or the first
picture, it stands at the journal line of that edit, so that whoever waits for what is new gets
it; going over the journal anew cannot know that and puts it at its own place. Who moves to this
node brings the past with its places: it fills the local timeline where it belongs, and nobody who
waits for what is new is flooded.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ratoon_node.policy import fold
from ratoon_node.store import digested, listed, listings, read
from ratoon_node.store.listings import LOCAL_KEY, Entry, Key, Listing
from ratoon_node.timeline.digest import Seen
from ratoon_protocol import bodies, kinds
from ratoon_protocol.record import Body

# Posts gone over in one transaction when somebody comes or leaves.
SWEEP_MAX = 500


class Listings:
    """Keeps `listing`. `own` is the node's account."""

    def __init__(self, own: bytes) -> None:
        self._own = own

    def take(self, db: sqlite3.Connection, seen: Sequence[Seen], now_ms: int) -> None:
        """See `digest.Chapter`."""
        done = digested.position(db)
        entries: list[Entry] = []
        for one in seen:
            self._note_resident(db, one)
            before = {} if one.fresh else listings.forget(db, one.n)
            if one.row is None or one.body is None or one.row.shown is None:
                continue
            shown = one.row.shown
            new = shown > done
            entries += [
                Entry(what, key, shown if new else before.get((what, key), one.position), one.n)
                for what, key in lists_of(one.row.account, one.row.kind, one.body)
            ]
            if one.local:
                entries.append(Entry(Listing.LOCAL, LOCAL_KEY, shown, one.n))
        listings.keep(db, entries)

    def waits(self, db: sqlite3.Connection) -> bool:
        """See `digest.Sweeper`."""
        return listings.moving(db) is not None

    def sweep(self, db: sqlite3.Connection) -> None:
        """Go over some posts of somebody who came or left."""
        one = listings.moving(db)
        if one is None:
            return
        upto = digested.position(db)
        places = listed.places_by_since(db, one.account, one.after, SWEEP_MAX)
        known = [place for place in places if place.position <= upto]
        if self._own in read.hosts(db, one.id):
            listings.keep(db, [Entry(Listing.LOCAL, LOCAL_KEY, at.position, at.n) for at in known])
        else:
            listings.take_out(db, Listing.LOCAL, LOCAL_KEY, known)
        more = len(known) == SWEEP_MAX
        listings.moved(db, one.account, known[-1].position if more else None)

    def _note_resident(self, db: sqlite3.Connection, one: Seen) -> None:
        """A hosting record of this node holds, or it does no more."""
        if one.row is None or (one.row.kind == kinds.HOSTING and one.account == self._own):
            holds = one.body is not None and one.body["state"]
            listings.resident(db, one.n, one.body["target"] if one.body and holds else None)


def lists_of(author: int, kind: int, body: Body) -> list[tuple[int, Key]]:
    """The lists that a readable post belongs into by what it says, each once."""
    if kind != kinds.POST:
        return []
    tags = dict.fromkeys(map(fold.tag, bodies.tags(kind, body)))
    found: list[tuple[int, Key]] = [(Listing.TAG, tag) for tag in tags if tag]
    if body.get("media"):
        found.append((Listing.MEDIA, author))
    return found
