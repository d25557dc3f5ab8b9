"""What readers remember of the store, and what made it old (see `timeline.cards`)."""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ratoon_node.store import read
from ratoon_node.store.rows import What, id_is
from ratoon_protocol import kinds
from ratoon_protocol.status import Status


class Line(NamedTuple):
    """A journal line and its record's kind; None: a whole account, or the header is gone."""

    what: int
    record: int | None
    account: int | None
    kind: int | None


def lines(db: sqlite3.Connection, after: int, end: int) -> Iterator[Line]:
    """What changed after one journal position, up to another one."""
    found = db.execute(
        "SELECT what, journal.record, journal.account, record.kind FROM journal"
        " LEFT JOIN record ON record.n = journal.record"
        " WHERE journal.n > ? AND journal.n <= ? ORDER BY journal.n",
        (after, end),
    )
    return map(Line._make, found)


class Changed(NamedTuple):
    """A journal line about a record: `id` and no `kind` if the header is gone."""

    position: int
    what: int
    record: int | None
    account: bytes | None
    id: bytes | None
    kind: int | None


def changed(db: sqlite3.Connection, after: int, limit: int) -> list[Changed]:
    """The lines after a journal position, in commit order, with what they are about."""
    found = db.execute(
        "SELECT journal.n, what, journal.record, account.id, coalesce(record.id, journal.id),"
        " record.kind FROM journal LEFT JOIN record ON record.n = journal.record"
        " LEFT JOIN account ON account.n = journal.account"
        " WHERE journal.n > ? ORDER BY journal.n LIMIT ?",
        (after, limit),
    )
    return list(map(Changed._make, found))


def posts_of_edit(db: sqlite3.Connection, edit: int) -> list[int]:
    """Numbers of the posts that an edit is of: its own account's, whatever others say of them."""
    found = db.execute(
        "SELECT record.n FROM edit CROSS JOIN record AS version ON version.n = edit.record"
        f" CROSS JOIN record ON {id_is('edit.post')} AND record.account = version.account"
        " WHERE edit.record = ?",
        (edit,),
    )
    return [n for (n,) in found]


# What the journal's lines are about, and which posts it counts for.
_TOUCHED = (
    "SELECT record.kind, record.status, record.shown, record.id, pointer.target, opinion.target,"
    " reference.parent, reference.quote, reference.repost, journal.what"
    " FROM journal LEFT JOIN record ON record.n = journal.record"
    " LEFT JOIN pointer ON pointer.record = journal.record"
    " LEFT JOIN opinion ON opinion.record = journal.record"
    " LEFT JOIN reference ON reference.record = journal.record"
    " WHERE journal.n > ? AND journal.n <= ?"
)
_VALUES = frozenset({kinds.EDIT, kinds.REACTION, kinds.VOTE})


def touched(db: sqlite3.Connection, after: int, upto: int) -> set[bytes] | None:
    """Posts of which something else may be counted after these lines of the journal; None: of any,
    because what some records counted for is not known any more.
    """
    found: set[bytes] = set()
    for kind, status, shown, id_, *posts, what in db.execute(_TOUCHED, (after, upto)):
        named = {post for post in posts if post is not None}
        if kind is None:
            if what == What.REMOVED:
                return None
        elif kind == kinds.IDENTITY:  # who vanishes counts for nothing
            return None
        elif kind in (kinds.POST, kinds.REPOST):
            if shown is None and not named:
                return None
            found |= named | {id_}
        elif kind in _VALUES:
            # What is beaten leaves its slot to a value about the same post.
            if not named and status != Status.SUPERSEDED:
                return None
            found |= named
    return found


def account_ids(db: sqlite3.Connection, numbers: set[int]) -> set[bytes]:
    """The ids behind numbers of accounts."""
    found = db.execute(
        "SELECT account.id FROM json_each(?) AS wanted JOIN account ON account.n = wanted.value",
        (json.dumps(sorted(numbers)),),
    )
    return {id_ for (id_,) in found}


def moment(db: sqlite3.Connection) -> tuple[int, str]:
    """The journal's end, and the accounts to which a change of authority is still being applied
    (numbers with commas). One statement, because each one is a turn at the interpreter's lock.
    """
    found = db.execute(
        "SELECT (SELECT coalesce(max(n), 0) FROM journal),"
        " (SELECT group_concat(n) FROM account WHERE judged = 0)"
    ).fetchone()
    return int(found[0]), found[1] or ""


def accounts(db: sqlite3.Connection, ids: Sequence[bytes]) -> list[tuple[int, bytes, bool]]:
    """(number, id, whether it has vanished) of those accounts that are here."""
    return _accounts(db, "id", ids)


def accounts_of(db: sqlite3.Connection, numbers: Sequence[int]) -> list[tuple[int, bytes, bool]]:
    """As `accounts`, by this store's numbers of them."""
    return _accounts(db, "n", numbers)


def _accounts(
    db: sqlite3.Connection, column: str, wanted: Sequence[bytes] | Sequence[int]
) -> list[tuple[int, bytes, bool]]:
    found: list[tuple[int, bytes, bool]] = []
    for start in range(0, len(wanted), read.IDS_PER_QUERY_MAX):
        part = wanted[start : start + read.IDS_PER_QUERY_MAX]
        marks = ",".join("?" * len(part))
        sql = f"SELECT n, id, vanished_ms IS NOT NULL FROM account WHERE {column} IN ({marks})"
        found += db.execute(sql, part)
    return found


def last_account(db: sqlite3.Connection) -> int:
    """The highest number of an account."""
    return int(db.execute("SELECT coalesce(max(n), 0) FROM account").fetchone()[0])


def followed(db: sqlite3.Connection, own: int, limit: int) -> tuple[list[int], bool]:
    """Numbers of the others that one follows now, and whether some of them are not here.

    The newest word about each of them counts: an unfollow may have come by another slot.
    """
    numbers: dict[bytes, int | None] = {}
    latest: dict[bytes, tuple[int, int]] = {}
    found = db.execute(
        "SELECT target, pointer.created_ms, state, account.n FROM pointer"
        " LEFT JOIN account ON account.id = target WHERE account = ? AND kind = ? LIMIT ?",
        (own, kinds.FOLLOW, limit),
    )
    for target, created_ms, state, number in found:
        latest[target] = max(latest.get(target, (0, 0)), (created_ms, state))
        numbers[target] = number
    wanted = [numbers[target] for target, (_, state) in latest.items() if state]
    here = [number for number in wanted if number is not None and number != own]
    return here, None in wanted


def newest(db: sqlite3.Connection, accounts: Sequence[int], places: int) -> dict[int, array[int]]:
    """The newest places of each author: position, record, position, record …

    One statement and one row for all of them, because each row is a turn at the lock.
    """
    found = db.execute(
        "SELECT group_concat(wanted.value || coalesce("
        "(SELECT group_concat(',' || shown || ',' || n, '') FROM"
        " (SELECT shown, n FROM record WHERE account = wanted.value AND shown IS NOT NULL"
        " ORDER BY shown DESC LIMIT ?)), ''), ';') FROM json_each(?) AS wanted",
        (places, json.dumps(list(accounts))),
    ).fetchone()
    answer: dict[int, array[int]] = {}
    for text in found[0].split(";"):
        number, *rest = map(int, text.split(","))
        answer[number] = array("q", rest)
    return answer


def profiles(db: sqlite3.Connection, accounts: Sequence[int]) -> dict[int, int]:
    """The record of each account's profile, by the account's number; the newest of several."""
    found = db.execute(
        "SELECT account, record FROM json_each(?) AS wanted"
        " JOIN pointer ON account = wanted.value AND kind = ? AND target = x''"
        " ORDER BY created_ms, record",
        (json.dumps(list(accounts)), kinds.PROFILE),
    )
    return dict(found.fetchall())


def followed_ids(db: sqlite3.Connection, account: bytes, limit: int) -> list[bytes]:
    """The accounts that one follows now, whether they are here or not."""
    own = read.account(db, account)
    return read.follows(db, own.n, limit) if own is not None else []
