"""Changes to the store, inside the gate's transaction. Only `ingest` may import this.

`Tx` lives for one transaction: it hands out journal positions and collects the changes that
are told to subscribers once the commit is on disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from ratoon_node.store import bulk
from ratoon_node.store.arrivals import Taken
from ratoon_node.store.rows import (
    COLUMNS,
    TIMELINE_KINDS,
    Bytes,
    Change,
    Flag,
    Row,
    What,
    row,
    status_of,
)
from ratoon_protocol import kinds
from ratoon_protocol.kinds import Lane
from ratoon_protocol.record import Record
from ratoon_protocol.status import Status

_RECORD = f"record ({COLUMNS})"
_JOURNAL = "journal (n, what, record, account, id, created_ms)"
# The strongest disposition whose bytes anybody may read (accept, label, limit).
READABLE_MAX = 2


class Tx:
    """One transaction's journal and the statements that go with it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.changes: list[Change] = []
        self.erased = False
        #: Accounts whose hosting records changed: what is remembered of their homes is old.
        self.moved: set[bytes] = set()
        #: Ids that a delete may name: a look-up saved for all others of a batch.
        self.named: set[bytes] = set()
        #: Rows that were added and are as they were added, by their numbers.
        self.arrived: dict[int, Taken] = {}
        #: Numbers of rows that were changed, or are gone.
        self.changed: set[int] = set()
        self._lines: list[tuple[int, What, int | None, int | None, bytes | None, int | None]] = []
        #: Rows of records that are not yet written: all that come before the next question.
        self._rows: list[tuple[Any, ...]] = []
        self._number = 0
        self._next = int(db.execute("SELECT coalesce(max(n), 0) FROM journal").fetchone()[0]) + 1

    @property
    def db(self) -> sqlite3.Connection:
        """The store with everything that was done to it so far."""
        self.flush()
        return self._db

    def flush(self) -> None:
        """Write the rows that wait."""
        if self._rows:
            bulk.insert(self._db, _RECORD, self._rows)
            self._rows.clear()

    # --- journal -------------------------------------------------------------------------

    def log(
        self, what: What, stored: Row, account: bytes, member: bool, shown: bool | None = None
    ) -> int:
        """Append a line about a record; returns its position."""
        at = self._append(what, stored.n, stored.account, None, None)
        if shown is None:
            shown = stored.shown is not None
        self.changes.append(
            Change(at, what, stored.id, account, stored.kind, stored.created_ms, member, shown)
        )
        return at

    def log_account(self, what: What, number: int, account: bytes) -> int:
        """Append a line about a whole account, or (with number 0) about who is admitted."""
        at = self._append(what, None, number or None, None, None)
        self.changes.append(Change(at, what, b"", account, 0, 0, False, False))
        return at

    def _append(
        self,
        what: What,
        record: int | None,
        account: int | None,
        id_: bytes | None,
        created_ms: int | None,
    ) -> int:
        at = self._next
        self._next += 1
        self._lines.append((at, what, record, account, id_, created_ms))
        return at

    def finish(self) -> None:
        """Write the journal's lines; the last thing in a transaction."""
        bulk.insert(self.db, _JOURNAL, self._lines)
        self._lines.clear()

    # --- accounts and chains -------------------------------------------------------------

    def add_account(self, account: bytes, now_ms: int) -> int:
        """A new account row; returns its number."""
        found = self.db.execute(
            "INSERT INTO account (id, first_seen_ms) VALUES (?, ?)", (account, now_ms)
        )
        return int(found.lastrowid or 0)

    def set_head(
        self, number: int, head: bytes, vanished_ms: int | None, vanish_final: bool
    ) -> None:
        """Which identity operation rules, and whether it is a vanish."""
        self.db.execute(
            "UPDATE account SET head = ?, vanished_ms = ?, vanish_final = ? WHERE n = ?",
            (head, vanished_ms, vanish_final, number),
        )

    def suspect(self, number: int, chains: list[int]) -> None:
        """A change of authority waits to be applied: these chains are hidden until then."""
        self.db.execute("UPDATE account SET judged = 0 WHERE n = ?", (number,))
        self.db.executemany("UPDATE chain SET suspect = 1 WHERE n = ?", [(n,) for n in chains])

    def set_left(self, number: int) -> None:
        """The grace of a vanish by a lower key is over and nothing is left to take."""
        self.db.execute("UPDATE account SET vanish_final = 1 WHERE n = ?", (number,))

    def set_judged(self, number: int) -> None:
        """Every stored status of the account follows its head again."""
        self.db.execute("UPDATE account SET judged = 1 WHERE n = ?", (number,))
        self.db.execute("UPDATE chain SET suspect = 0 WHERE account = ?", (number,))

    def set_account_keys(self, number: int, keys: list[tuple[bytes, int]]) -> None:
        """The account keys that recovery words are looked up by: (key, rank)."""
        self.db.execute("DELETE FROM account_key WHERE account = ?", (number,))
        self.db.executemany(
            "INSERT INTO account_key (key, account, rank) VALUES (?, ?, ?)",
            [(key, number, rank) for key, rank in keys],
        )

    def add_chain(self, account: int, key: bytes, lane: int) -> int:
        """A new chain row; returns its number."""
        found = self.db.execute(
            "INSERT INTO chain (account, key, lane) VALUES (?, ?, ?)", (account, key, lane)
        )
        return int(found.lastrowid or 0)

    def set_forked(self, chain: int) -> None:
        """Two records with one seq are held: evidence, no verdict (R-36)."""
        self.db.execute("UPDATE chain SET forked = 1 WHERE n = ?", (chain,))

    # --- records -------------------------------------------------------------------------

    def add_record(
        self,
        record: Record,
        account: int,
        chain: int,
        flags: int,
        disposition: int,
        bytes_: Bytes,
        keep_payload: bool,
    ) -> Row:
        """Add a header, with its payload if it is kept here."""
        header = record.header
        status = status_of(flags)
        shown = None
        if header.kind in TIMELINE_KINDS:
            shown = self._shown_now(header.kind, status, disposition, bytes_)
        payload = record.payload if keep_payload else None
        values = (
            self._new_number(),
            record.id,
            account,
            chain,
            header.kind,
            header.seq,
            header.created_ms,
            header.slot,
            int(status),
            flags,
            disposition,
            int(bytes_),
            shown,
            record.header_bytes,
            record.signature,
            payload,
        )
        self._rows.append(values)
        return Row(*values[:8], status, flags, disposition, bytes_, *values[12:])

    def _new_number(self) -> int:
        """As SQLite gives them; of rows that this transaction removes none is used again."""
        if not self._number:
            found = self._db.execute("SELECT coalesce(max(n), 0) FROM record").fetchone()
            self._number = int(found[0])
        self._number += 1
        return self._number

    def set_standing(
        self, stored: Row, flags: int, disposition: int, bytes_: Bytes, payload: bytes | None
    ) -> Row:
        """Write a record's new standing; returns the row as it is now.

        `payload` is what stays: None removes the bytes from the row (secure_delete zeroes them,
        and the caller's commit is followed by a fold, which zeroes what copies there are).
        """
        status = status_of(flags)
        shown = stored.shown
        visible = self._shown_now(stored.kind, status, disposition, bytes_)
        if visible is None or shown is None:
            shown = visible
        if payload is None and stored.payload is not None:
            self.erased = True
        self._touch(stored.n)
        self.db.execute(
            "UPDATE record SET status = ?, flags = ?, disposition = ?, bytes_state = ?, shown = ?,"
            " payload = ? WHERE n = ?",
            (int(status), flags, disposition, int(bytes_), shown, payload, stored.n),
        )
        return stored._replace(
            status=status,
            flags=flags,
            disposition=disposition,
            bytes_state=bytes_,
            shown=shown,
            payload=payload,
        )

    def _touch(self, number: int) -> None:
        """A row is not as it was added."""
        self.arrived.pop(number, None)
        self.changed.add(number)

    def _shown_now(self, kind: int, status: Status, disposition: int, bytes_: Bytes) -> int | None:
        """The timeline position of a record that becomes readable with the next journal line."""
        readable = (
            kind in TIMELINE_KINDS
            and status is Status.LIVE
            and bytes_ is Bytes.HERE
            and disposition <= READABLE_MAX
        )
        return self._next if readable else None

    def remove_record(self, stored: Row, account: bytes) -> None:
        """Take a header out altogether (vanish, R-84); the journal keeps its id for the sets."""
        for table in ("pointer", "wanted", "ack", "decision", "erasure", "edit"):
            self.db.execute(f"DELETE FROM {table} WHERE record = ?", (stored.n,))
        self.db.execute("DELETE FROM record WHERE n = ?", (stored.n,))
        self._touch(stored.n)
        if kinds.kind_class(stored.kind).lane is Lane.NONE:
            self.db.execute(
                "UPDATE mailbox SET records = records - 1, bytes = bytes - ? WHERE account = ?",
                (len(stored.payload or b""), stored.account),
            )
        self.erased = True
        at = self._append(What.REMOVED, stored.n, stored.account, stored.id, stored.created_ms)
        self.changes.append(
            Change(
                at, What.REMOVED, stored.id, account, stored.kind, stored.created_ms, False, False
            )
        )

    def rows(self, sql: str, *parameters: object) -> list[Row]:
        """Records by a condition (`sql` follows `WHERE`)."""
        found = self.db.execute(f"SELECT {COLUMNS} FROM record WHERE {sql}", parameters)
        return [row(fields) for fields in found]

    def holds(self, sql: str, *parameters: object) -> bool:
        """Whether any record fulfils a condition."""
        found = self.db.execute(f"SELECT 1 FROM record WHERE {sql} LIMIT 1", parameters)
        return found.fetchone() is not None

    # --- what goes with a record ---------------------------------------------------------

    def want(self, record: int, ask_ms: int) -> None:
        """Ask others for a record's bytes from `ask_ms` on."""
        self.db.execute(
            "INSERT INTO wanted (record, ask_ms) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (record, ask_ms),
        )

    def want_no_more(self, record: int) -> None:
        """The bytes came, or nobody should be asked for them."""
        self.db.execute("DELETE FROM wanted WHERE record = ?", (record,))

    def decide(
        self,
        record: int,
        verdict: int,
        reason: str,
        rule: str,
        policy: str,
        at_ms: int,
        labels: Sequence[str] = (),
        drop_media: bool = False,
    ) -> None:
        """Keep why policy did what it did, and what it adds: labels, and that media is hidden."""
        self.db.execute(
            "INSERT INTO decision"
            " (record, verdict, reason, rule, policy, at_ms, labels, drop_media)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (record, verdict, reason, rule, policy, at_ms, " ".join(labels), drop_media),
        )

    def post_in(self, account: int, size: int, day: int) -> None:
        """Count an envelope of `size` bytes that arrived on `day` into a mailbox."""
        self.db.execute(
            "INSERT INTO mailbox (account, records, bytes, day, today) VALUES (?, 1, ?, ?, 1)"
            " ON CONFLICT (account) DO UPDATE SET records = records + 1,"
            " bytes = bytes + excluded.bytes,"
            " today = CASE WHEN day = excluded.day THEN today + 1 ELSE 1 END,"
            " day = excluded.day",
            (account, size, day),
        )

    def spend(self, node: bytes, day: int, accounts: int, headers: int, size: int) -> None:
        """Charge a node's budget of one day."""
        self.db.execute(
            "INSERT INTO budget (node, day, accounts, headers, size) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (node, day) DO UPDATE SET accounts = accounts + excluded.accounts,"
            " headers = headers + excluded.headers, size = size + excluded.size",
            (node, day, accounts, headers, size),
        )


def in_set(flags: int) -> bool:
    """Whether a header of a carried account is in its scope's set (R-61).

    Everything that verified is, whatever policy made of it; not what is above the cap, what a
    vanish took or what no operation here proves, so that nodes with and without those headers
    still agree.
    """
    return not flags & (Flag.CAPPED | Flag.VANISHED | Flag.UNPROVEN)
