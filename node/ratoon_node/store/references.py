"""What posts refer to and what people think of them: the tables behind threads and counts.

Both are derived (`timeline.references` keeps them). A position is the post's own place in
timelines.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from ratoon_node.store.listed import Place
from ratoon_node.store.read import IDS_PER_QUERY_MAX
from ratoon_node.store.rows import FROM_ASKED, ID_IS, asked
from ratoon_protocol.limits import EDIT_VERSIONS_MAX


class Reference(NamedTuple):
    """A row: a readable post or repost, and the ids it refers to."""

    record: int
    author: int
    position: int
    parent: bytes | None
    root: bytes | None
    quote: bytes | None
    repost: bytes | None


class Opinion(NamedTuple):
    """A row: a reaction that holds (`value` is the emoji), or a vote (places with commas)."""

    record: int
    kind: int
    author: int
    target: bytes
    value: str
    created_ms: int


class Relation(Enum):
    """How one post refers to another; the value is the column."""

    REPLY = "parent"
    THREAD = "root"
    QUOTE = "quote"
    REPOST = "repost"


# --- what the digest does ----------------------------------------------------------------------


def forget(db: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """These records refer to nothing and mean nothing any more."""
    marks = [(number,) for number in numbers]
    db.executemany("DELETE FROM reference WHERE record = ?", marks)
    db.executemany("DELETE FROM opinion WHERE record = ?", marks)


def keep_references(db: sqlite3.Connection, rows: Iterable[Reference]) -> None:
    """Write down what posts refer to."""
    db.executemany(
        "INSERT INTO reference (record, author, position, parent, root, quote, repost)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def keep_opinions(db: sqlite3.Connection, rows: Iterable[Opinion]) -> None:
    """Write down reactions and votes."""
    db.executemany(
        "INSERT INTO opinion (record, kind, author, target, value, created_ms)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        rows,
    )


# --- what readers ask ----------------------------------------------------------------------------


def referring_before(
    db: sqlite3.Connection, how: Relation, id_: bytes, before: int, limit: int
) -> list[Place]:
    """Places of what refers to a post, below a position, newest first."""
    found = db.execute(
        f"SELECT position, record FROM reference WHERE {how.value} = ? AND position < ?"
        " ORDER BY position DESC LIMIT ?",
        (id_, before, limit),
    )
    return list(map(Place._make, found))


def referring_since(
    db: sqlite3.Connection, how: Relation, id_: bytes, since: int, limit: int
) -> list[Place]:
    """Places of what refers to a post, above a position, oldest first."""
    found = db.execute(
        f"SELECT position, record FROM reference WHERE {how.value} = ? AND position > ?"
        " ORDER BY position LIMIT ?",
        (id_, since, limit),
    )
    return list(map(Place._make, found))


def replies_by_before(db: sqlite3.Connection, author: int, before: int, limit: int) -> list[Place]:
    """Places of an author's replies below a position, newest first."""
    found = db.execute(
        "SELECT position, record FROM reference WHERE author = ? AND parent IS NOT NULL"
        " AND position < ? ORDER BY position DESC LIMIT ?",
        (author, before, limit),
    )
    return list(map(Place._make, found))


def replies_by_since(db: sqlite3.Connection, author: int, since: int, limit: int) -> list[Place]:
    """Places of an author's replies above a position, oldest first."""
    found = db.execute(
        "SELECT position, record FROM reference WHERE author = ? AND parent IS NOT NULL"
        " AND position > ? ORDER BY position LIMIT ?",
        (author, since, limit),
    )
    return list(map(Place._make, found))


class Reply(NamedTuple):
    """A place in a thread, and the post that it answers."""

    position: int
    n: int
    parent: bytes


def thread_since(db: sqlite3.Connection, root: bytes, since: int, limit: int) -> list[Reply]:
    """What stands in the thread of a root above a position, oldest first."""
    found = db.execute(
        "SELECT position, record, parent FROM reference WHERE root = ? AND position > ?"
        " ORDER BY position LIMIT ?",
        (root, since, limit),
    )
    return list(map(Reply._make, found))


def thread_before(db: sqlite3.Connection, root: bytes, before: int, limit: int) -> list[Place]:
    """Places of what stands in the thread of a root below a position, newest first."""
    found = db.execute(
        "SELECT position, record FROM reference WHERE root = ? AND position < ?"
        " ORDER BY position DESC LIMIT ?",
        (root, before, limit),
    )
    return list(map(Place._make, found))


#: What is counted, in the order of `Mention.how`.
COUNTED = (Relation.REPLY, Relation.QUOTE, Relation.REPOST)
REPOST = COUNTED.index(Relation.REPOST)


class Mention(NamedTuple):
    """One post that refers to another one, for counting: `how` is a place in `COUNTED`."""

    how: int
    target: bytes
    author: int


def references_to(db: sqlite3.Connection, ids: Sequence[bytes], limit: int) -> list[Mention]:
    """Who answers, quotes and reposts these posts, at most so many rows in all."""
    marks = ",".join("?" * len(ids))
    found = db.execute(
        f"SELECT 0, parent, author FROM reference WHERE parent IN ({marks})"
        f" UNION ALL SELECT 1, quote, author FROM reference WHERE quote IN ({marks})"
        f" UNION ALL SELECT 2, repost, author FROM reference WHERE repost IN ({marks})"
        " LIMIT ?",
        (*ids, *ids, *ids, limit),
    )
    return list(map(Mention._make, found))


class Showing(NamedTuple):
    """A reply that quotes something besides."""

    record: int
    parent: bytes
    author: int


def quoting_replies(db: sqlite3.Connection, ids: Sequence[bytes], limit: int) -> list[Showing]:
    """Answers to these posts that show something of somebody else, at most so many."""
    found = db.execute(
        "SELECT record, parent, author FROM reference"
        f" WHERE parent IN ({','.join('?' * len(ids))}) AND quote IS NOT NULL LIMIT ?",
        (*ids, limit),
    )
    return list(map(Showing._make, found))


def related(db: sqlite3.Connection, how: Relation, id_: bytes, limit: int) -> list[Mention]:
    """Who refers to one post in one way, the first ones."""
    found = db.execute(
        f"SELECT author FROM reference WHERE {how.value} = ? ORDER BY position LIMIT ?",
        (id_, limit),
    )
    return [Mention(COUNTED.index(how), id_, author) for (author,) in found]


class Held(NamedTuple):
    """What one account thinks of a post; the last one counts where it says several things."""

    target: bytes
    kind: int
    author: int
    created_ms: int
    value: str


def opinions_on(db: sqlite3.Connection, ids: Sequence[bytes], limit: int) -> list[Held]:
    """Reactions to and votes on these posts, those of one account in the order of time; at most
    so many rows in all.
    """
    marks = ",".join("?" * len(ids))
    found = db.execute(
        "SELECT target, kind, author, created_ms, value FROM opinion"
        f" WHERE target IN ({marks}) ORDER BY target, kind, author, created_ms, value LIMIT ?",
        (*ids, limit),
    )
    return list(map(Held._make, found))


def held(db: sqlite3.Connection, id_: bytes, kind: int, limit: int) -> list[Held]:
    """Opinions of one kind on one post, by account and time."""
    found = db.execute(
        "SELECT target, kind, author, created_ms, value FROM opinion"
        " WHERE target = ? AND kind = ? ORDER BY author, created_ms, value LIMIT ?",
        (id_, kind, limit),
    )
    return list(map(Held._make, found))


def numbers_by_id(db: sqlite3.Connection, ids: Sequence[bytes]) -> dict[bytes, int]:
    """This store's numbers of those records that are here."""
    found: dict[bytes, int] = {}
    for start in range(0, len(ids), IDS_PER_QUERY_MAX):
        part = ids[start : start + IDS_PER_QUERY_MAX]
        sql = f"{asked(len(part))} SELECT id, n {FROM_ASKED}"
        found.update(db.execute(sql, part))
    return found


def unlisted(db: sqlite3.Connection, ids: Sequence[bytes]) -> list[bytes]:
    """Those of `ids` that are no readable post which refers to something."""
    listed: set[bytes] = set()
    for start in range(0, len(ids), IDS_PER_QUERY_MAX):
        part = ids[start : start + IDS_PER_QUERY_MAX]
        found = db.execute(
            f"{asked(len(part))} SELECT record.id {FROM_ASKED}"
            " CROSS JOIN reference ON reference.record = record.n",
            part,
        )
        listed.update(id_ for (id_,) in found)
    return [id_ for id_ in ids if id_ not in listed]


def versions(db: sqlite3.Connection, post: int, id_: bytes) -> list[int]:
    """Numbers of the edits of a post by its own account, in the order of their dates: at most as
    many as are kept (R-85), and those whose bytes are no longer here.
    """
    found = db.execute(
        "SELECT record.n FROM edit CROSS JOIN record ON record.n = edit.record"
        " WHERE edit.post = ? AND record.account = (SELECT account FROM record WHERE n = ?)"
        " ORDER BY record.created_ms DESC, record.id DESC LIMIT ?",
        (id_, post, EDIT_VERSIONS_MAX + 1),
    )
    return [number for (number,) in found][::-1]


def root_of(db: sqlite3.Connection, id_: bytes) -> bytes | None:
    """The root of the thread of a post that nobody may read: as its row says, or one below it."""
    found = db.execute(
        "SELECT root FROM record CROSS JOIN reference ON reference.record = record.n"
        f" WHERE {ID_IS}"
        " UNION ALL SELECT * FROM"
        " (SELECT root FROM reference WHERE parent = ?1 ORDER BY position LIMIT 1) LIMIT 1",
        (id_,),
    ).fetchone()
    return found[0] if found else None


class Reacted(NamedTuple):
    """One reaction, for a list of them; `n` is this store's number of the record."""

    n: int
    author: int
    account: bytes
    created_ms: int
    value: str
    record: bytes


def reactions_to(
    db: sqlite3.Connection, id_: bytes, kind: int, after: int, limit: int
) -> list[Reacted]:
    """Reactions to a post by accounts with a number above `after`, by that and by time."""
    found = db.execute(
        "SELECT opinion.record, opinion.author, account.id, opinion.created_ms, opinion.value,"
        " record.id FROM opinion CROSS JOIN account ON account.n = opinion.author"
        " CROSS JOIN record ON record.n = opinion.record"
        " WHERE opinion.target = ? AND opinion.kind = ? AND opinion.author > ?"
        " ORDER BY opinion.author, opinion.created_ms, opinion.value LIMIT ?",
        (id_, kind, after, limit),
    )
    return list(map(Reacted._make, found))
