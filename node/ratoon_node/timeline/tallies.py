"""Counts of posts, remembered for the next reader until something that counts changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ratoon_node.policy.engine import Policy
from ratoon_node.timeline.counts import Counts, counts
from ratoon_node.timeline.visibility import Item, Viewer
from ratoon_protocol import kinds
from ratoon_protocol.record import Body

# What is counted may be this old where the journal does not say that it changed, which is so where
# lists name accounts (an entry expires, somebody moves to another node) or somebody is judged anew.
TALLY_MS_MAX = 10_000
# Counting this many takes some ms: while thousands react to one post it is counted once in
# `HEAVY_MS_MAX`, not for every reader after each of them.
HEAVY_COUNT = 500
HEAVY_MS_MAX = 1000


class Tally:
    """What is counted of one post, as one policy counts it; `json` is what a layer above made."""

    __slots__ = ("counts", "json", "lasting", "made_ms", "policy")

    def __init__(self, found: Counts, policy: Policy, made_ms: int, lasting: bool) -> None:
        self.counts = found
        self.policy = policy
        self.made_ms = made_ms
        self.lasting = lasting
        self.json = b""

    @property
    def heavy(self) -> bool:
        """Whether it took long to count."""
        found = self.counts
        told = [found.replies, found.quotes, found.reposts, *found.reactions.values()]
        return sum(told) + sum(found.votes or ()) >= HEAVY_COUNT

    def holds(self, viewer: Viewer) -> bool:
        """Whether it is still so, unless something was said since."""
        return self.policy is viewer.policy and (self.lasting or self.is_new(viewer, TALLY_MS_MAX))

    def is_new(self, viewer: Viewer, ms_max: int) -> bool:
        """Whether it was counted so lately, by this policy."""
        return self.policy is viewer.policy and viewer.now_ms < self.made_ms + ms_max


def tallies(db: sqlite3.Connection, viewer: Viewer, items: Iterable[Item]) -> dict[bytes, Tally]:
    """What is counted of those items that are posts, by id."""
    cards = viewer.cards
    position = cards.follow_digest(db)
    found: dict[bytes, Tally] = {}
    missing: dict[bytes, Item] = {}
    posts = {item.card.id: item for item in items if item.card.kind == kinds.POST}
    for id_, tally in zip(posts, cards.tallies(posts), strict=True):
        if tally is not None and tally.holds(viewer):
            found[id_] = tally
            continue
        heavy = cards.heavy_tally(id_)
        if heavy is not None and heavy.is_new(viewer, HEAVY_MS_MAX):
            found[id_] = heavy
        else:
            missing[id_] = posts[id_]
    if missing:
        counted = counts(db, viewer, {id_: _poll(item) for id_, item in missing.items()})
        made = {
            id_: Tally(one, viewer.policy, viewer.now_ms, viewer.lasting)
            for id_, one in counted.items()
        }
        cards.keep_tallies(made, position)
        found |= made
    return found


def _poll(item: Item) -> Body:
    """The body of a post that may have a poll; of any other nothing is needed to count."""
    signed = item.edit.raw if item.edit is not None else item.card.raw
    return item.body if b"poll" in signed else {}
