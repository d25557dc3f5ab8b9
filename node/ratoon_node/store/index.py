"""Tables derived in the gate's own transaction: slots, deletes, pointers."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ratoon_node.store.read import IDS_PER_QUERY_MAX
from ratoon_node.store.rows import COLUMNS, Flag, Row, row
from ratoon_protocol import kinds

_NO_CLAIM = int(Flag.REVOKED | Flag.CAPPED | Flag.VANISHED)
#: As the index of slots has it.
COMPETES = f"slot IS NOT NULL AND flags & {_NO_CLAIM} = 0"


def competes(flags: int) -> bool:
    """A gone record still competes for its slot, a revoked or capped one never (R-56)."""
    return not flags & _NO_CLAIM


def slot_winner(
    db: sqlite3.Connection, account: int, slot: bytes, kind: int, but: int = 0
) -> Row | None:
    """The highest (created_ms, id) that competes for a slot, row `but` left out."""
    found = db.execute(
        f"SELECT {COLUMNS} FROM record WHERE account = ? AND slot = ? AND {COMPETES}"
        " AND kind = ? AND n != ?"
        " ORDER BY created_ms DESC, id DESC LIMIT 1",
        (account, slot, kind, but),
    ).fetchone()
    return row(found) if found else None


def name_targets(db: sqlite3.Connection, record: int, targets: Sequence[bytes]) -> None:
    """Remember what a delete names, here already or not."""
    db.executemany(
        "INSERT INTO erasure (target, record) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(target, record) for target in targets],
    )


def named_among(db: sqlite3.Connection, ids: Sequence[bytes]) -> set[bytes]:
    """Those of `ids` that some delete names, whether it is in effect or not."""
    found: set[bytes] = set()
    for start in range(0, len(ids), IDS_PER_QUERY_MAX):
        part = ids[start : start + IDS_PER_QUERY_MAX]
        marks = ",".join("?" * len(part))
        sql = f"SELECT target FROM erasure WHERE target IN ({marks})"
        found.update(target for (target,) in db.execute(sql, part))
    return found


def targets_of(db: sqlite3.Connection, record: int) -> list[bytes]:
    """The ids that a delete names."""
    found = db.execute("SELECT target FROM erasure WHERE record = ?", (record,))
    return [target for (target,) in found]


def deleted(db: sqlite3.Connection, target: bytes, account: int) -> bool:
    """Whether a delete of the same account that is in effect names `target` (R-80)."""
    found = db.execute(
        "SELECT 1 FROM erasure JOIN record ON record.n = erasure.record"
        f" WHERE target = ? AND account = ? AND flags & {_NO_CLAIM} = 0 LIMIT 1",
        (target, account),
    ).fetchone()
    return found is not None


def point(db: sqlite3.Connection, stored: Row, target: bytes, state: int) -> None:
    """A live value of a slot says `state` about `target`."""
    db.execute(
        "INSERT OR REPLACE INTO pointer (record, account, kind, target, state, created_ms)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (stored.n, stored.account, stored.kind, target, state, stored.created_ms),
    )


def unpoint(db: sqlite3.Connection, record: int) -> None:
    """The value no longer holds."""
    db.execute("DELETE FROM pointer WHERE record = ?", (record,))


def note_edit(db: sqlite3.Connection, record: int, post: bytes) -> None:
    """A version of `post` whose bytes were here: they go when the post does (R-82)."""
    db.execute(
        "INSERT INTO edit (post, record) VALUES (?, ?) ON CONFLICT DO NOTHING", (post, record)
    )


def edits_of(db: sqlite3.Connection, post: bytes) -> list[int]:
    """The rows of what edits a post, by whomever."""
    return [number for (number,) in db.execute("SELECT record FROM edit WHERE post = ?", (post,))]


def edits_gone(db: sqlite3.Connection, edit: Row) -> bool:
    """Whether a record is an edit, its bytes once here, of a post that is deleted now."""
    if edit.kind != kinds.EDIT:
        return False
    posts = db.execute("SELECT post FROM edit WHERE record = ?", (edit.n,))
    return any(deleted(db, post, edit.account) for (post,) in posts.fetchall())
