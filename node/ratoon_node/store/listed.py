"""Questions of readers and of the operator: what a timeline may list, and their own tables."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from ratoon_node.store.read import IDS_PER_QUERY_MAX
from ratoon_node.store.rows import ID_IS, Row, row
from ratoon_protocol import kinds
from ratoon_protocol.kinds import Lane


class Listed(NamedTuple):
    """A record with its author, and what hides it now: a vanish, or a change of authority that
    is still being applied.
    """

    row: Row
    account: bytes
    vanished: bool
    suspect: bool

    @property
    def hidden(self) -> bool:
        """Hidden for one of the two."""
        return self.vanished or self.suspect


_LISTED_COLUMNS = (
    f"{', '.join('record.' + name for name in Row._fields)}, account.id,"
    " account.vanished_ms IS NOT NULL, chain.suspect"
)
_WITH_AUTHOR = (
    "CROSS JOIN account ON account.n = record.account CROSS JOIN chain ON chain.n = record.chain"
)
_LISTED = f"SELECT {_LISTED_COLUMNS} FROM record {_WITH_AUTHOR}"


def _listed(fields: tuple[Any, ...]) -> Listed:
    return Listed(row(fields[:-3]), fields[-3], bool(fields[-2]), bool(fields[-1]))


def listed_id(db: sqlite3.Connection, id_: bytes) -> Listed | None:
    """One record by its id, as a reader may ask for it."""
    found = db.execute(f"{_LISTED} WHERE {ID_IS}", (id_,)).fetchone()
    return _listed(found) if found else None


def listed_numbers(db: sqlite3.Connection, numbers: Sequence[int]) -> list[Listed]:
    """Records by this store's numbers, in any order; those that are gone are left out."""
    found: list[Listed] = []
    sql = (
        f"SELECT {_LISTED_COLUMNS} FROM json_each(?) AS wanted"
        f" CROSS JOIN record ON record.n = wanted.value {_WITH_AUTHOR}"
    )
    for start in range(0, len(numbers), IDS_PER_QUERY_MAX):
        part = numbers[start : start + IDS_PER_QUERY_MAX]
        found += map(_listed, db.execute(sql, (json.dumps(part),)))
    return found


def edits_of(db: sqlite3.Connection, posts: Sequence[int]) -> dict[int, int]:
    """The live edits of posts, by the account that wrote each; the newest where there are several.

    Numbers of records by numbers of posts; most posts have none.
    """
    found = db.execute(
        "SELECT post.n, edit.n FROM json_each(?) AS wanted"
        " CROSS JOIN record AS post ON post.n = wanted.value"
        " CROSS JOIN pointer ON pointer.account = post.account AND pointer.kind = ?"
        " AND pointer.target = post.id CROSS JOIN record AS edit ON edit.n = pointer.record"
        " ORDER BY pointer.created_ms, edit.id",
        (json.dumps(posts), kinds.EDIT),
    )
    return dict(found.fetchall())


class Place(NamedTuple):
    """A record in a timeline: its position, and this store's number of it."""

    position: int
    n: int


def places_before(db: sqlite3.Connection, before: int, limit: int) -> list[Place]:
    """Timeline records with a position below `before`, newest first. Reads the index alone."""
    sql = "SELECT shown, n FROM record WHERE shown < ? ORDER BY shown DESC LIMIT ?"
    return list(map(Place._make, db.execute(sql, (before, limit))))


def places_since(db: sqlite3.Connection, since: int, limit: int) -> list[Place]:
    """Timeline records with a position above `since`, oldest first."""
    sql = "SELECT shown, n FROM record WHERE shown > ? ORDER BY shown LIMIT ?"
    return list(map(Place._make, db.execute(sql, (since, limit))))


def places_by_before(db: sqlite3.Connection, account_: int, before: int, limit: int) -> list[Place]:
    """One author's timeline records with a position below `before`, newest first."""
    sql = "SELECT shown, n FROM record WHERE account = ? AND shown < ? ORDER BY shown DESC LIMIT ?"
    return list(map(Place._make, db.execute(sql, (account_, before, limit))))


def places_by_since(db: sqlite3.Connection, account_: int, since: int, limit: int) -> list[Place]:
    """One author's timeline records with a position above `since`, oldest first."""
    sql = "SELECT shown, n FROM record WHERE account = ? AND shown > ? ORDER BY shown LIMIT ?"
    return list(map(Place._make, db.execute(sql, (account_, since, limit))))


def listed_all_by(db: sqlite3.Connection, account_: int, after: int, limit: int) -> list[Listed]:
    """An author's public records of any kind with a store number above `after`, by number.

    Goes over the index of the author's chains, which is 0.1 µs a record of theirs.
    """
    sql = (
        f"{_LISTED} WHERE record.n IN (SELECT n FROM record WHERE chain IN"
        " (SELECT n FROM chain WHERE account = ? AND lane < ?) AND n > ? ORDER BY n LIMIT ?)"
        " ORDER BY record.n"
    )
    found = db.execute(sql, (account_, int(Lane.SELF), after, limit))
    return [_listed(fields) for fields in found]


def listed_all(db: sqlite3.Connection, after: int, limit: int) -> list[Listed]:
    """Everybody's public records with a store number above `after`, by number."""
    sql = f"{_LISTED} WHERE record.n > ? AND chain.lane < ? ORDER BY record.n LIMIT ?"
    return [_listed(fields) for fields in db.execute(sql, (after, int(Lane.SELF), limit))]


def newest_of(
    db: sqlite3.Connection, accounts: Sequence[int], before: int
) -> list[tuple[int, int]]:
    """(position, account) of each account's newest timeline record below `before`.

    One seek an account, all in one statement: what a merge of many authors starts from.
    """
    return _ends_of(db, accounts, before, "max", "<")


def oldest_of(db: sqlite3.Connection, accounts: Sequence[int], since: int) -> list[tuple[int, int]]:
    """(position, account) of each account's oldest timeline record above `since`."""
    return _ends_of(db, accounts, since, "min", ">")


def _ends_of(
    db: sqlite3.Connection, accounts: Sequence[int], at: int, pick: str, side: str
) -> list[tuple[int, int]]:
    found = db.execute(
        f"SELECT (SELECT {pick}(shown) FROM record WHERE account = wanted.value AND shown {side} ?)"
        " AS position, wanted.value FROM json_each(?) AS wanted",
        (at, json.dumps(list(accounts))),
    )
    return [(position, account_) for position, account_ in found if position is not None]


def numbers_of(db: sqlite3.Connection, ids: Sequence[bytes]) -> list[int]:
    """This store's numbers of those of `ids` that are here."""
    found: list[int] = []
    for start in range(0, len(ids), IDS_PER_QUERY_MAX):
        part = ids[start : start + IDS_PER_QUERY_MAX]
        sql = f"SELECT n FROM account WHERE id IN ({','.join('?' * len(part))})"
        found.extend(number for (number,) in db.execute(sql, part))
    return found


def ids_between(db: sqlite3.Connection, low: bytes, high: bytes) -> list[bytes]:
    """Accounts with an id from `low` to `high`, two at most: one is found, two are too many."""
    found = db.execute("SELECT id FROM account WHERE id BETWEEN ? AND ? LIMIT 2", (low, high))
    return [id_ for (id_,) in found]


def author_of(db: sqlite3.Connection, id_: bytes) -> bytes | None:
    """The account that signed a record, if it is here."""
    found = db.execute(
        f"SELECT account.id FROM record JOIN account ON account.n = record.account WHERE {ID_IS}",
        (id_,),
    ).fetchone()
    return bytes(found[0]) if found else None


def reason(db: sqlite3.Connection, record: int) -> str:
    """The reason of the newest decision about a record, "" if there is none."""
    found = db.execute(
        "SELECT reason FROM decision WHERE record = ? ORDER BY n DESC LIMIT 1", (record,)
    ).fetchone()
    return str(found[0]) if found else ""


class Sizes(NamedTuple):
    """How many accounts and records this store has numbered so far."""

    accounts: int
    records: int


def sizes(db: sqlite3.Connection) -> Sizes:
    """Upper bounds that cost two seeks; what a vanish took out is still counted."""
    found = db.execute(
        "SELECT (SELECT coalesce(max(n), 0) FROM account), (SELECT coalesce(max(n), 0) FROM record)"
    ).fetchone()
    return Sizes(*found)


# --- the operator's tables ---------------------------------------------------------------


class BlockRow(NamedTuple):
    """An entry of the operator's lists as stored."""

    subject: str
    entity: str
    verdict: int
    reason: str
    expires_ms: int | None
    made_by: str
    at_ms: int


def blocks(db: sqlite3.Connection) -> list[BlockRow]:
    """Every entry of the operator's lists, newest first."""
    found = db.execute(
        f"SELECT {', '.join(BlockRow._fields)} FROM block ORDER BY at_ms DESC, subject, entity"
    )
    return [BlockRow._make(fields) for fields in found]
