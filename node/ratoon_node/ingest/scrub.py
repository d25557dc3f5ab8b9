"""Reads the whole store again in the background: what the disk has changed is asked of peers.

Of 300 single flipped bits SQLite's own checks noticed 60, so every header and payload is hashed
again. A damaged payload becomes wanted; a damaged header or signature goes, and reconciliation
brings it back. A page that SQLite cannot read is stepped over and counted.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import structlog

from ratoon_node.ingest.accounts import Accounts
from ratoon_node.ingest.standing import Standing
from ratoon_node.runtime import Clock
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_node.store.rows import Bytes, Row, What
from ratoon_node.store.write import Tx, in_set
from ratoon_node.telemetry import Metrics
from ratoon_protocol import keys, kinds, record
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.status import Status

# Rows read and hashed at once: some 4 ms. A burst of 500 took a reader and the interpreter 75 to
# 110 ms, and whoever published meanwhile waited.
SLICE_RECORDS = 25
# Pause between two slices: a million records take an hour and a half, and nobody notices.
PAUSE_MS = 125
# And before each round: where little is stored there is no hurry.
ROUND_PAUSE_MS = 2500

_GIVEN = (Status.LIVE, Status.SUPERSEDED)

log = structlog.get_logger()


class Slice(NamedTuple):
    """What one slice found: how far it came, and the damaged rows among those it read."""

    last: int | None
    sound: int
    payloads: list[int]
    headers: list[int]
    unreadable: int


def read_slice(db: sqlite3.Connection, after: int) -> Slice:
    """Hash the next rows above `after`. `last` is None at the end of the store.

    Row by row, because a walk would end at the first page that cannot be read.
    """
    last = min(after + SLICE_RECORDS, read.last_number(db))
    payloads: list[int] = []
    headers: list[int] = []
    sound = unreadable = 0
    for number in range(after + 1, last + 1):
        try:
            stored = read.by_number(db, number)
        except sqlite3.DatabaseError:
            unreadable += 1
            continue
        if stored is None:
            continue
        damage = headers if not _header_is_sound(stored) else payloads
        if damage is payloads and _payload_is_sound(stored):
            sound += 1
        else:
            damage.append(number)
    return Slice(last if last > after else None, sound, payloads, headers, unreadable)


def _header_is_sound(stored: Row) -> bool:
    if record.record_id(stored.header) != stored.id:
        return False
    try:
        key = record.decode_header(stored.header).key
        keys.verify(key, stored.signature, record.signed_message(stored.header))
    except ProtocolError:
        return False
    return True


def _payload_is_sound(stored: Row) -> bool:
    if stored.payload is None:
        return stored.bytes_state is not Bytes.HERE
    try:
        record.check_payload_fits(record.decode_header(stored.header), stored.payload)
    except ProtocolError:
        return False
    return True


def damaged_operations(db: sqlite3.Connection, account: bytes) -> list[int]:
    """Numbers of the identity records of an account that the disk has changed."""
    return [
        stored.n
        for stored in read.identity_records(db, account)
        if not (_header_is_sound(stored) and _payload_is_sound(stored))
    ]


class Scrub:
    """Walks the store round after round."""

    def __init__(
        self,
        db: Db,
        accounts: Accounts,
        clock: Clock,
        metrics: Metrics,
        changed: Callable[[Tx, set[bytes]], None],
    ) -> None:
        self._db = db
        self._accounts = accounts
        self._clock = clock
        self._metrics = metrics
        self._changed = changed

    async def run(self) -> None:
        """For ever, a slice and a pause."""
        while True:
            after: int | None = 0
            while after is not None:
                await self._clock.sleep_ms(PAUSE_MS if after else ROUND_PAUSE_MS)
                try:
                    after = await self.step(after)
                except sqlite3.Error as error:  # even the number of rows cannot be read
                    log.error("scrub_failed", error=str(error))
                    after = None

    async def step(self, after: int) -> int | None:
        """One slice: hash, and ask again for what is damaged; where the next one begins."""
        found = await self._db.read(lambda db: read_slice(db, after))
        counts = Counter(
            sound=found.sound,
            payload=len(found.payloads),
            header=len(found.headers),
            unreadable=found.unreadable,
        )
        for result, count in counts.items():
            self._metrics.scrub_records.labels(result).inc(count)
        if found.payloads or found.headers:
            log.warning("store_damaged", payloads=len(found.payloads), headers=len(found.headers))
            await self._repair(found)
        return found.last

    async def _repair(self, found: Slice) -> None:
        now_ms = self._clock.now_ms()

        def run(db: sqlite3.Connection) -> tuple[Tx, set[bytes]]:
            tx = Tx(db)
            for number in found.payloads:
                _whole(db, partial(_want_again, tx, number, now_ms))
            marked: set[bytes] = set()
            for number in found.headers:
                _whole(db, partial(self._remove, tx, number, now_ms, marked))
            self._accounts.finish(tx)
            return tx, marked

        self._changed(*await self._db.write(run, self._accounts.clear))

    def _remove(self, tx: Tx, number: int, now_ms: int, marked: set[bytes]) -> None:
        """A header that is not what was signed is nobody's: it goes, and its account is judged
        anew by what is left.
        """
        for stored in tx.rows("n = ?", number):
            account = read.account_id(tx.db, stored.account)
            Standing(tx, account, now_ms).remove(stored)
            self._accounts.forget(account)
            tx.suspect(stored.account, [])
            marked.add(account)


def _want_again(tx: Tx, number: int, now_ms: int) -> None:
    """The bytes go and are asked of peers; what they did stays until they are back.

    Those of what is revoked or capped nobody gives away: they are asked for if it lives again.
    """
    for stored in tx.rows("n = ?", number):
        given = stored.status in _GIVEN or stored.kind == kinds.IDENTITY
        state = Bytes.WANTED if given else Bytes.DROPPED
        stored = tx.set_standing(stored, stored.flags, stored.disposition, state, None)
        if given:
            tx.want(stored.n, now_ms)
        account = read.account_id(tx.db, stored.account)
        tx.log(What.STATUS, stored, account, in_set(stored.flags))


def _whole(db: sqlite3.Connection, work: Callable[[], None]) -> None:
    """`work` or nothing: where the damage reaches an index SQLite cannot even delete."""
    db.execute("SAVEPOINT repair")
    try:
        work()
    except sqlite3.DatabaseError as error:
        log.error("repair_failed", error=str(error))
        db.execute("ROLLBACK TO repair")
    finally:
        db.execute("RELEASE repair")
