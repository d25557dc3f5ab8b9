"""What people are told of: replies, mentions, reactions and the like, and polls that will end.

Derived (`timeline.notices` keeps it), but for when somebody was told: a number is given out once
and never moves. What was taken back is kept as such, so that nobody is told of it again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from ratoon_node.store.read import IDS_PER_QUERY_MAX
from ratoon_node.store.rows import ID_IS
from ratoon_protocol import kinds


class Notice(IntEnum):
    """What somebody is told."""

    REPLY = 0
    MENTION = 1
    REPOST = 2
    QUOTE = 3
    REACTION = 4
    FOLLOW = 5
    POLL = 6  # one that they made or voted in has ended
    REPORT = 7  # what became of their report

    @property
    def word(self) -> str:
        """As the API says it."""
        return self.name.lower()


#: These say where a post stands towards somebody: one a post, the first that fits.
_OF_POSTS = (Notice.REPLY, Notice.QUOTE, Notice.MENTION)
#: These hold as long as the record that says so; the others are about what happened once.
_LASTING = int(Notice.POLL)


class Told(NamedTuple):
    """Something to tell `account`. All are this store's numbers.

    `subject` is what makes it the same thing as before; `target` the record it is about.
    """

    account: int
    what: Notice
    author: int
    subject: int
    record: int
    target: int | None = None
    detail: str = ""


class Line(NamedTuple):
    """Something that somebody was told; `n` is its place."""

    n: int
    what: Notice
    author: int
    record: int
    target: int | None
    detail: str
    at_ms: int


# --- what the digest does ----------------------------------------------------------------------


def forget(db: sqlite3.Connection, records: Iterable[int]) -> None:
    """These records are gone with their headers: their numbers may come to mean others."""
    db.executemany("DELETE FROM notice WHERE record = ?", [(n,) for n in records])


def take_back(db: sqlite3.Connection, records: Iterable[int]) -> None:
    """What these records say holds no more, until they are told again.

    Somebody may have reposted a post twice: then the other repost says so still.
    """
    for n in records:
        found = db.execute(
            "SELECT notice.n, notice.author, record.id FROM notice"
            " LEFT JOIN record ON record.n = notice.target AND notice.what = ?"
            " WHERE notice.record = ? AND notice.what < ? AND notice.holds = 1",
            (Notice.REPOST, n, _LASTING),
        ).fetchall()
        for place, author, reposted in found:
            other = _repost(db, reposted, author) if reposted is not None else None
            if other is None:
                db.execute("UPDATE notice SET holds = 0 WHERE n = ?", (place,))
            else:
                db.execute("UPDATE notice SET record = ? WHERE n = ?", (other, place))


def _repost(db: sqlite3.Connection, id_: bytes, author: int) -> int | None:
    """The newest repost of a record by an account."""
    found = db.execute(
        "SELECT record FROM reference WHERE repost = ? AND author = ?"
        " ORDER BY position DESC LIMIT 1",
        (id_, author),
    ).fetchone()
    return int(found[0]) if found else None


def tell(db: sqlite3.Connection, told: Told, now_ms: int) -> bool:
    """Write it down; False if the account was told before (it holds again, at its old place)."""
    if told.what in _OF_POSTS:
        again = db.execute(
            "UPDATE notice SET holds = 1 WHERE record = ? AND account = ? AND what < ?",
            (told.record, told.account, _LASTING),
        )
    else:
        again = db.execute(
            "UPDATE notice SET holds = 1, record = ?, detail = ?"
            " WHERE account = ? AND what = ? AND author = ? AND subject = ?",
            (told.record, told.detail, told.account, told.what, told.author, told.subject),
        )
    if again.rowcount:
        return False
    db.execute(
        "INSERT INTO notice (account, what, author, subject, record, target, holds, detail, at_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?)",
        (*told[:6], told.detail, now_ms),
    )
    return True


def prune(
    db: sqlite3.Connection, told: Collection[tuple[int, int]], most: int, of_author: int
) -> None:
    """Of each (account, author) keep the newest acts, then of each account the newest of all."""
    db.executemany(
        "DELETE FROM notice WHERE account = ?1 AND author = ?2 AND what < ?3 AND n <= ("
        "SELECT n FROM notice WHERE account = ?1 AND author = ?2"
        " ORDER BY n DESC LIMIT 1 OFFSET ?4)",
        [(account, author, _LASTING, of_author) for account, author in told],
    )
    db.executemany(
        "DELETE FROM notice WHERE account = ? AND n <= ("
        "SELECT n FROM notice WHERE account = ? ORDER BY n DESC LIMIT 1 OFFSET ?)",
        [(account, account, most) for account in {account for account, _ in told}],
    )


def expire(db: sqlite3.Connection, before_ms: int, limit: int) -> None:
    """Let go of what was told before a time, oldest first, so many at once."""
    db.execute(
        "DELETE FROM notice WHERE n IN (SELECT n FROM notice WHERE n > 0 ORDER BY n LIMIT ?)"
        " AND at_ms < ?",
        (limit, before_ms),
    )


class Place(NamedTuple):
    """A record by its number, and its author."""

    n: int
    author: int
    account: bytes


def place_of(db: sqlite3.Connection, id_: bytes) -> Place | None:
    """Where a record is, if its header is here."""
    found = db.execute(
        "SELECT record.n, account.n, account.id FROM record"
        f" JOIN account ON account.n = record.account WHERE {ID_IS}",
        (id_,),
    ).fetchone()
    return Place(*found) if found else None


def number_of(db: sqlite3.Connection, account: bytes) -> int | None:
    """This store's number of an account."""
    found = db.execute("SELECT n FROM account WHERE id = ?", (account,)).fetchone()
    return int(found[0]) if found else None


def hosts(db: sqlite3.Connection, own: int, account: bytes) -> bool:
    """Whether node `own` hosts an account now."""
    found = db.execute(
        "SELECT state FROM pointer WHERE account = ? AND kind = ? AND target = ?"
        " ORDER BY created_ms DESC, state DESC LIMIT 1",
        (own, kinds.HOSTING, account),
    ).fetchone()
    return found is not None and bool(found[0])


_ANSWERED = " OR ".join(
    f"EXISTS (SELECT 1 FROM {where} = asked.id)"
    for where in (
        "reference WHERE parent",
        "reference WHERE quote",
        "reference WHERE repost",
        "opinion WHERE target",
    )
)
# Each part by itself, or all of them are gone over before the first is given.
_ABOUT = " UNION ".join(
    f"SELECT record FROM (SELECT record FROM {where} LIMIT ?3)"
    for where in (
        "reference WHERE parent = ?1",
        "reference WHERE quote = ?1",
        "reference WHERE repost = ?1",
        "opinion WHERE target = ?1 AND kind = ?2",
    )
)


def answered(db: sqlite3.Connection, ids: Sequence[bytes]) -> list[bytes]:
    """Those of `ids` about which some record here is: an answer, a quote, a repost, a reaction."""
    found: list[bytes] = []
    for start in range(0, len(ids), IDS_PER_QUERY_MAX):
        part = ids[start : start + IDS_PER_QUERY_MAX]
        marks = ",".join(["(?)"] * len(part))
        sql = f"WITH asked (id) AS (VALUES {marks}) SELECT id FROM asked WHERE {_ANSWERED}"
        found.extend(id_ for (id_,) in db.execute(sql, part))
    return found


def about(db: sqlite3.Connection, id_: bytes, limit: int) -> list[int]:
    """Records that answer, quote, repost or react to a record, in the order of their arrival; of
    each kind at most so many.
    """
    found = db.execute(_ABOUT, (id_, kinds.REACTION, limit))
    return sorted(n for (n,) in found)


# --- polls -------------------------------------------------------------------------------------


def await_poll(db: sqlite3.Connection, record: int, ends_ms: int) -> None:
    """A poll ends at a time that may have changed."""
    db.execute(
        "INSERT INTO poll_due (record, ends_ms) VALUES (?, ?)"
        " ON CONFLICT (record) DO UPDATE SET ends_ms = excluded.ends_ms",
        (record, ends_ms),
    )


def move_poll(db: sqlite3.Connection, record: int, ends_ms: int) -> None:
    """A poll ends at another time, if it is awaited."""
    db.execute("UPDATE poll_due SET ends_ms = ? WHERE record = ?", (ends_ms, record))


def drop_poll(db: sqlite3.Connection, record: int) -> None:
    """A poll's end is awaited no more."""
    db.execute("DELETE FROM poll_due WHERE record = ?", (record,))


def bound_polls(db: sqlite3.Connection, most: int) -> None:
    """Await the ends of so many polls, those that end first."""
    db.execute(
        "DELETE FROM poll_due WHERE record IN (SELECT record FROM poll_due WHERE ends_ms > 0"
        " ORDER BY ends_ms LIMIT -1 OFFSET ?)",
        (most,),
    )


def polls_due(db: sqlite3.Connection, now_ms: int, limit: int) -> list[int]:
    """Polls that have ended, the first ones."""
    found = db.execute(
        "SELECT record FROM poll_due WHERE ends_ms <= ? ORDER BY ends_ms LIMIT ?", (now_ms, limit)
    )
    return [n for (n,) in found]


def voters(db: sqlite3.Connection, own: int, poll: bytes, after: int, limit: int) -> list[int]:
    """Who of those hosted by node `own` voted in a poll, above a number, in that order."""
    found = db.execute(
        "SELECT DISTINCT opinion.author FROM opinion CROSS JOIN account"
        " ON account.n = opinion.author CROSS JOIN pointer ON pointer.account = ?"
        " AND pointer.kind = ? AND pointer.target = account.id AND pointer.state = 1"
        " WHERE opinion.target = ? AND opinion.kind = ? AND opinion.author > ?"
        " ORDER BY opinion.author LIMIT ?",
        (own, kinds.HOSTING, poll, kinds.VOTE, after, limit),
    )
    return [author for (author,) in found]


# --- what readers ask --------------------------------------------------------------------------

_LINE = "SELECT n, what, author, record, target, detail, at_ms FROM notice"


def _lines(found: Iterable[tuple[int, int, int, int, int | None, str, int]]) -> list[Line]:
    return [Line(fields[0], Notice(fields[1]), *fields[2:]) for fields in found]


def before(
    db: sqlite3.Connection, account: int, n: int, only: Sequence[Notice], limit: int
) -> list[Line]:
    """What an account was told at places below `n`, newest first."""
    marks = ",".join("?" * len(only))
    return _lines(
        db.execute(
            f"{_LINE} WHERE account = ? AND holds = 1 AND n < ? AND what IN ({marks})"
            " ORDER BY n DESC LIMIT ?",
            (account, n, *only, limit),
        )
    )


def since(
    db: sqlite3.Connection, account: int, n: int, only: Sequence[Notice], limit: int
) -> list[Line]:
    """What an account was told at places above `n`, oldest first."""
    marks = ",".join("?" * len(only))
    return _lines(
        db.execute(
            f"{_LINE} WHERE account = ? AND holds = 1 AND n > ? AND what IN ({marks})"
            " ORDER BY n LIMIT ?",
            (account, n, *only, limit),
        )
    )


def end(db: sqlite3.Connection) -> int:
    """The highest place that was ever given out, held or not; 0 for none."""
    found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'notice'").fetchone()
    return int(found[0]) if found else 0


def ids_of(db: sqlite3.Connection, records: Sequence[int]) -> dict[int, bytes]:
    """The ids of records by their numbers."""
    found: dict[int, bytes] = {}
    for start in range(0, len(records), IDS_PER_QUERY_MAX):
        part = records[start : start + IDS_PER_QUERY_MAX]
        sql = f"SELECT n, id FROM record WHERE n IN ({','.join('?' * len(part))})"
        found.update(db.execute(sql, part))
    return found
