"""Every question that a request asks of the store: add a line here with each new one.

`test_plans` asks SQLite how it would answer; no question may look at a whole table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from ratoon_node.store import (
    circles,
    digested,
    listed,
    listings,
    memory,
    names,
    notices,
    read,
    references,
    sessions,
    trends,
    words,
)
from ratoon_node.store.listings import Listing
from ratoon_node.store.references import Relation
from ratoon_protocol import kinds

ID, KEY = b"i" * 32, b"k" * 32

Question = Callable[[sqlite3.Connection], Any]

QUESTIONS: dict[str, Question] = {
    "by id": lambda db: listed.listed_id(db, ID),
    "network": lambda db: listed.places_before(db, 99, 20),
    "network since": lambda db: listed.places_since(db, 0, 20),
    "author": lambda db: listed.places_by_before(db, 1, 99, 20),
    "author since": lambda db: listed.places_by_since(db, 1, 0, 20),
    "by number": lambda db: listed.listed_numbers(db, [1, 2, 3]),
    "edits": lambda db: listed.edits_of(db, [1, 2]),
    "lines": lambda db: list(memory.lines(db, 0, 99)),
    "posts of an edit": lambda db: memory.posts_of_edit(db, 1),
    "ids": lambda db: memory.account_ids(db, {1, 2}),
    "moment": memory.moment,
    "known": lambda db: memory.accounts(db, [ID, KEY]),
    "last account": memory.last_account,
    "followed": lambda db: memory.followed(db, 1, 100),
    "changed": lambda db: memory.changed(db, 0, 99),
    "touched": lambda db: memory.touched(db, 0, 99),
    "profiles": lambda db: memory.profiles(db, [1, 2]),
    "followed ids": lambda db: memory.followed_ids(db, ID, 100),
    "newest places": lambda db: memory.newest(db, [1, 2], 6),
    "records of one": lambda db: listed.listed_all_by(db, 1, 0, 20),
    "records of all": lambda db: listed.listed_all(db, 0, 20),
    "newest of": lambda db: listed.newest_of(db, [1, 2, 3], 99),
    "oldest of": lambda db: listed.oldest_of(db, [1, 2, 3], 0),
    "numbers": lambda db: listed.numbers_of(db, [ID, KEY]),
    "prefix": lambda db: listed.ids_between(db, ID, ID),
    "author of": lambda db: listed.author_of(db, ID),
    "reason": lambda db: listed.reason(db, 1),
    "sizes": listed.sizes,
    "account": lambda db: read.account(db, ID),
    "by key": lambda db: read.accounts_by_key(db, KEY),
    "hosts": lambda db: read.hosts(db, ID),
    "follows": lambda db: read.follows(db, 1, 100),
    "profile": lambda db: read.current(db, 1, kinds.PROFILE),
    "heads": lambda db: read.heads(db, 1),
    "log": lambda db: read.identity_records(db, ID),
    "by ids": lambda db: read.by_ids(db, [ID, KEY]),
    "acks": lambda db: read.acks(db, 1),
    "journal": read.journal_end,
    "position": digested.position,
    "local": lambda db: listings.listed_before(db, Listing.LOCAL, "", 99, 20),
    "tag": lambda db: listings.listed_before(db, Listing.TAG, "x", 99, 20),
    "tag since": lambda db: listings.listed_since(db, Listing.TAG, "x", 0, 20),
    "media": lambda db: listings.listed_before(db, Listing.MEDIA, 1, 99, 20),
    "moving": listings.moving,
    "replies": lambda db: references.referring_before(db, Relation.REPLY, ID, 99, 20),
    "replies since": lambda db: references.referring_since(db, Relation.REPLY, ID, 0, 20),
    "thread": lambda db: references.thread_since(db, ID, 0, 20),
    "quotes": lambda db: references.referring_before(db, Relation.QUOTE, ID, 99, 20),
    "reposts": lambda db: references.referring_before(db, Relation.REPOST, ID, 99, 20),
    "replies by": lambda db: references.replies_by_before(db, 1, 99, 20),
    "replies by since": lambda db: references.replies_by_since(db, 1, 0, 20),
    "references to": lambda db: references.references_to(db, [ID, KEY], 99),
    "quoting replies": lambda db: references.quoting_replies(db, [ID, KEY], 99),
    "replies, bounded": lambda db: references.related(db, Relation.REPLY, ID, 99),
    "reposts, bounded": lambda db: references.related(db, Relation.REPOST, ID, 99),
    "opinions": lambda db: references.opinions_on(db, [ID], 99),
    "opinions, bounded": lambda db: references.held(db, ID, kinds.REACTION, 99),
    "reactions": lambda db: references.reactions_to(db, ID, kinds.REACTION, 0, 20),
    "authors": lambda db: references.accounts(db, [1, 2]),
    "numbers of records": lambda db: references.numbers_by_id(db, [ID, KEY]),
    "unlisted": lambda db: references.unlisted(db, [ID, KEY]),
    "root of": lambda db: references.root_of(db, ID),
    "versions": lambda db: references.versions(db, 1, ID),
    "follows of": lambda db: circles.said_after(db, 1, kinds.FOLLOW, b"", 20),
    "followers of": lambda db: circles.followers_before(db, ID, 99, 20),
    "followers counted": lambda db: circles.followers(db, ID, 20),
    "follows counted": lambda db: circles.count_follows(db, 1, 20),
    "posts counted": lambda db: circles.count_posts(db, 1, 20),
    "name": lambda db: names.holder(db, "ann"),
    "names of": lambda db: names.held_by(db, ID),
    "handle": lambda db: names.verified_account(db, "ann@x.org", 0),
    "handles": lambda db: names.verified_handles(db, [1, 2], 0),
    "likeness": lambda db: names.others_like(db, {1: "ann"}),
    "notices": notices.end,
    "session": lambda db: sessions.find(db, KEY),
    "read marks": lambda db: sessions.marks(db, ID),
    "shards": lambda db: words.shards_below(db, words.Words.POSTS, 99, 9),
    "next tag": lambda db: words.next_key(db, 0, "a", "b"),
    "users": lambda db: trends.users(db, trends.Trend.TAG, "x", range(9), 9),
}

#: Those that are read in the order of an index: nothing is sorted on the way.
IN_ORDER = (
    "network",
    "network since",
    "author",
    "author since",
    "records of all",
    "local",
    "tag",
    "tag since",
    "media",
    "replies",
    "replies since",
    "thread",
    "quotes",
    "reposts",
    "replies by",
    "replies by since",
    "replies, bounded",
    "opinions, bounded",
    "reactions",
    "follows of",
    "followers of",
)
