"""Full-text tables: one for each 16,384 record or account numbers, made when it is needed.

A table of its own for a range of numbers keeps each small: a search for the newest looks into as
few as fill a page, and when words must be gone for good only their table is made anew. Removing
the row is not enough: the index keeps the words of a removed row in its segments until they are
merged. But `secure_delete` zeroes every page of a table that is dropped. So whoever removes words
that are to leave every file marks the table, somebody copies what is left to a new one, and the
old one is dropped.

Texts come in cut into words already (`timeline.terms`); the index's own tokenizer only splits
them at spaces. Sizes of rows are not kept (`columnsize=0`): nothing asks for them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence, Set
from enum import IntEnum
from typing import NamedTuple

from ratoon_node.store.read import IDS_PER_QUERY_MAX

#: Numbers of one table, as a power of two.
SHARD_BITS = 14
# Segments that may gather before writing merges some: merging later writes less.
_AUTOMERGE = 8
# Rows copied at once: 10 to 20 ms of the writer.
_COPIED = 1000


class Words(IntEnum):
    """Whose texts a table holds; its rows have the numbers of records or of accounts."""

    POSTS = 0
    PEOPLE = 1


_COLUMNS = {Words.POSTS: ("text",), Words.PEOPLE: ("name", "bio")}


class Shard(NamedTuple):
    """One table."""

    what: Words
    number: int
    made: int = 0

    @property
    def table(self) -> str:
        """Its name."""
        return f"words_{self.what.name.lower()}_{self.number}_{self.made}"


def shards(db: sqlite3.Connection, what: Words) -> dict[int, Shard]:
    """The tables there are, by the numbers in them without their lowest bits."""
    found = db.execute("SELECT shard, made FROM word_shard WHERE what = ?", (what,))
    return {number: Shard(what, number, made) for number, made in found}


def shards_below(db: sqlite3.Connection, what: Words, n: int, limit: int) -> list[Shard]:
    """The tables with numbers below `n`, newest first."""
    found = db.execute(
        "SELECT shard, made FROM word_shard WHERE what = ? AND shard <= ?"
        " ORDER BY shard DESC LIMIT ?",
        (what, n - 1 >> SHARD_BITS, limit),
    )
    return [Shard(what, number, made) for number, made in found]


def _make(db: sqlite3.Connection, shard: Shard) -> None:
    columns = ", ".join(_COLUMNS[shard.what])
    db.execute(
        f"CREATE VIRTUAL TABLE {shard.table} USING fts5({columns}, columnsize = 0,"
        " tokenize = \"ascii tokenchars '_'\")"
    )
    db.execute(
        f"INSERT INTO {shard.table} ({shard.table}, rank) VALUES ('automerge', ?)", (_AUTOMERGE,)
    )


# --- writing -------------------------------------------------------------------------------

#: Texts of one row, a column each; None: there is nothing to find.
Texts = tuple[str, ...] | None


def replace(
    db: sqlite3.Connection,
    what: Words,
    rows: Sequence[tuple[int, Texts]],
    fresh: Set[int] = frozenset(),
) -> set[int]:
    """Keep these texts under these numbers, and nothing else; returns whose words went.

    What is there already is left alone: going over it again costs a look. Under `fresh` numbers
    nothing is.
    """
    there = shards(db, what)
    by_number: dict[int, list[tuple[int, Texts]]] = {}
    for n, texts in rows:
        by_number.setdefault(n >> SHARD_BITS, []).append((n, texts))
    gone: set[int] = set()
    for number, some in by_number.items():
        shard = there.get(number)
        if shard is None and any(texts is not None for _, texts in some):
            shard = Shard(what, number)
            _make(db, shard)
            db.execute("INSERT INTO word_shard (what, shard) VALUES (?, ?)", (what, number))
        if shard is not None:
            gone |= _replace(db, shard, some, fresh)
    return gone


def _replace(
    db: sqlite3.Connection, shard: Shard, rows: Sequence[tuple[int, Texts]], fresh: Set[int]
) -> set[int]:
    before = texts_of(db, shard, [n for n, _ in rows if n not in fresh])
    changed = [(n, texts) for n, texts in rows if before.get(n) != texts]
    gone = [n for n, _ in changed if n in before]
    db.executemany(f"DELETE FROM {shard.table} WHERE rowid = ?", [(n,) for n in gone])
    columns = _COLUMNS[shard.what]
    marks = ", ".join("?" * (len(columns) + 1))
    db.executemany(  # one by one: before a statement of many rows the index writes a segment
        f"INSERT INTO {shard.table} (rowid, {', '.join(columns)}) VALUES ({marks})",
        # In order: the same whenever a lower number follows.
        sorted((n, *texts) for n, texts in changed if texts is not None),
    )
    return set(gone)


def texts_of(
    db: sqlite3.Connection, shard: Shard, numbers: Sequence[int]
) -> dict[int, tuple[str, ...]]:
    """What is kept under these numbers."""
    found: dict[int, tuple[str, ...]] = {}
    columns = ", ".join(_COLUMNS[shard.what])
    for start in range(0, len(numbers), IDS_PER_QUERY_MAX):
        part = numbers[start : start + IDS_PER_QUERY_MAX]
        marks = ",".join("?" * len(part))
        sql = f"SELECT rowid, {columns} FROM {shard.table} WHERE rowid IN ({marks})"
        found.update((n, tuple(texts)) for n, *texts in db.execute(sql, part))
    return found


# --- words that must leave every file ------------------------------------------------------


_ERASED, _MADE_ANEW = 1, 2
# As the index of marked tables has it.
_MARKED = "erased > 0"


def note_erased(db: sqlite3.Connection, what: Words, numbers: Iterable[int]) -> None:
    """The words of these rows were removed and are to be nowhere."""
    db.executemany(
        f"UPDATE word_shard SET erased = {_ERASED} WHERE what = ? AND shard = ?",
        {(what, n >> SHARD_BITS) for n in numbers},
    )


def erased(db: sqlite3.Connection) -> list[Shard]:
    """Tables that still have such words."""
    found = db.execute(
        f"SELECT what, shard, made FROM word_shard WHERE {_MARKED} AND erased = {_ERASED}"
    )
    return [Shard(Words(what), number, made) for what, number, made in found]


def uncut(db: sqlite3.Connection) -> bool:
    """Whether a table was made anew and the write-ahead log was not cut since."""
    sql = f"SELECT 1 FROM word_shard WHERE {_MARKED} AND erased = {_MADE_ANEW} LIMIT 1"
    return db.execute(sql).fetchone() is not None


def begin_anew(db: sqlite3.Connection, shard: Shard) -> Shard:
    """An empty table that is to take the place of one; what a crash left of an earlier try goes."""
    fresh = shard._replace(made=shard.made + 1)
    db.execute(f"DROP TABLE IF EXISTS {fresh.table}")
    _make(db, fresh)
    return fresh


def copy_slice(db: sqlite3.Connection, shard: Shard, fresh: Shard, after: int) -> int | None:
    """Copy some more rows, those above `after`; the last number, None once all are there.

    Nobody may write to the table between the slices.
    """
    columns = ", ".join(_COLUMNS[shard.what])
    db.execute(
        f"INSERT INTO {fresh.table} (rowid, {columns}) SELECT rowid, {columns} FROM {shard.table}"
        " WHERE rowid > ? ORDER BY rowid LIMIT ?",
        (after, _COPIED),
    )
    last = db.execute(f"SELECT max(rowid) FROM {fresh.table}_content").fetchone()[0]
    return None if last is None or last == after else int(last)


def finish_anew(db: sqlite3.Connection, shard: Shard, fresh: Shard) -> None:
    """The copy takes the place of the table, all pages of which are zeroed."""
    db.execute(f"DROP TABLE {shard.table}")
    db.execute(
        f"UPDATE word_shard SET made = ?, erased = {_MADE_ANEW} WHERE what = ? AND shard = ?",
        (fresh.made, shard.what, shard.number),
    )


def note_cut(db: sqlite3.Connection) -> None:
    """The log was cut: what was made anew before is clean."""
    db.execute(f"UPDATE word_shard SET erased = 0 WHERE {_MARKED} AND erased = {_MADE_ANEW}")


# --- searching -----------------------------------------------------------------------------


def newest(
    db: sqlite3.Connection, shard: Shard, expression: str, below: int, limit: int
) -> list[int]:
    """Numbers below `below` whose texts fit, highest first."""
    found = db.execute(
        f"SELECT rowid FROM {shard.table} WHERE {shard.table} MATCH ? AND rowid < ?"
        " ORDER BY rowid DESC LIMIT ?",
        (expression, below, limit),
    )
    return [n for (n,) in found]


def newest_texts(
    db: sqlite3.Connection, shard: Shard, expression: str, below: int
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The same with what is kept of each, read as it is taken."""
    found = db.execute(
        f"SELECT rowid, {', '.join(_COLUMNS[shard.what])} FROM {shard.table}"
        f" WHERE {shard.table} MATCH ? AND rowid < ? ORDER BY rowid DESC",
        (expression, below),
    )
    return ((n, tuple(texts)) for n, *texts in found)


# --- people --------------------------------------------------------------------------------


def people_of_profiles(db: sqlite3.Connection, records: Sequence[int]) -> set[int]:
    """The accounts whose words are from these profiles."""
    found: set[int] = set()
    for start in range(0, len(records), IDS_PER_QUERY_MAX):
        part = records[start : start + IDS_PER_QUERY_MAX]
        sql = f"SELECT account FROM person WHERE profile IN ({','.join('?' * len(part))})"
        found.update(account for (account,) in db.execute(sql, part))
    return found


def keep_person(db: sqlite3.Connection, account: int, profile: int | None) -> None:
    """Somebody has words here, from this profile or from handles alone."""
    db.execute(
        "INSERT INTO person (account, profile) VALUES (?, ?)"
        " ON CONFLICT (account) DO UPDATE SET profile = excluded.profile",
        (account, profile),
    )


def forget_person(db: sqlite3.Connection, account: int) -> None:
    """Somebody has none."""
    db.execute("DELETE FROM person WHERE account = ?", (account,))


def profiles_of(db: sqlite3.Connection, accounts: Sequence[int]) -> dict[int, int | None]:
    """The profiles that the words of these accounts are from."""
    marks = ",".join("?" * len(accounts))
    sql = f"SELECT account, profile FROM person WHERE account IN ({marks})"
    return dict(db.execute(sql, list(accounts)).fetchall())


# --- tags ----------------------------------------------------------------------------------


def next_key(db: sqlite3.Connection, what: int, after: str, before: str) -> str | None:
    """The first key of a listing above `after` and below `before`: one seek a key."""
    found = db.execute(
        "SELECT key FROM listing WHERE what = ? AND key > ? AND key < ? ORDER BY key LIMIT 1",
        (what, after, before),
    ).fetchone()
    return found[0] if found else None
