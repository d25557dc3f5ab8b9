"""What the gate knows of the accounts it is busy with: identity log, hosts, chains, rates.

A view is rebuilt from the store whenever it is not in the cache, so the cache is only speed:
it is emptied when a transaction fails and when the admission changes.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from dataclasses import dataclass, field

from ratoon_node.store.rows import COLUMNS, Row, row
from ratoon_protocol import kinds, record
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.identity import IdentityLog, parse_operation
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import RECORDS_PER_KEY_LANE_DAY_MAX
from ratoon_protocol.record import Header
from ratoon_protocol.status import Walk, reached_by_all, walks

# About 5 KiB a view: 40 MiB when full.
ACCOUNTS_CACHED_MAX = 8192
HOUR_MS = 3_600_000

ChainKey = tuple[bytes, Lane]


@dataclass(slots=True)
class ChainView:
    """One hash chain: its number in the store, its highest seq, its size while that is small."""

    n: int
    seq_max: int
    size: int


@dataclass(slots=True)
class AccountView:
    """One account as the gate sees it inside a transaction."""

    id: bytes
    n: int
    first_seen_ms: int
    judged: bool
    log: IdentityLog
    chains: dict[ChainKey, ChainView] = field(default_factory=dict)
    walks: dict[ChainKey, list[Walk]] = field(default_factory=dict)
    hour: int = 0
    posts_in_hour: int = 0
    deletes_in_hour: dict[bytes, int] = field(default_factory=dict)

    @property
    def vanish_final(self) -> bool:
        """Rank 0 signed the vanish that rules: bytes and headers go at once (R-84)."""
        head = self.log.head
        return (
            head is not None
            and head.vanish
            and self.log.authority(head.signer).account_key_rank == 0
        )

    def count_post(self, now_ms: int) -> int:
        """Count one post seen now; returns how many this hour has."""
        self._turn(now_ms)
        self.posts_in_hour += 1
        return self.posts_in_hour

    def posts_last_hour(self, now_ms: int) -> int:
        """Posts seen in the running hour."""
        self._turn(now_ms)
        return self.posts_in_hour

    def count_deletes(self, key: bytes, count: int, now_ms: int) -> int:
        """Count records that `key` deletes now; returns its sum in the running hour."""
        self._turn(now_ms)
        self.deletes_in_hour[key] = self.deletes_in_hour.get(key, 0) + count
        return self.deletes_in_hour[key]

    def _turn(self, now_ms: int) -> None:
        if now_ms // HOUR_MS != self.hour:
            self.hour, self.posts_in_hour = now_ms // HOUR_MS, 0
            self.deletes_in_hour.clear()


class Accounts:
    """Views of the accounts that were used last."""

    def __init__(self, network: bytes) -> None:
        self._network = network
        self._views: OrderedDict[bytes, AccountView] = OrderedDict()

    def clear(self) -> None:
        """Forget every view: the store did not take what they say."""
        self._views.clear()

    def forget(self, account: bytes) -> None:
        """Drop one view: it knows more than the store."""
        self._views.pop(account, None)

    def put(self, view: AccountView) -> None:
        """Keep the view of an account that was just made."""
        self._views[view.id] = view
        while len(self._views) > ACCOUNTS_CACHED_MAX:
            self._views.popitem(last=False)

    def find(self, db: sqlite3.Connection, account: bytes) -> AccountView | None:
        """The view of an account that has a row here."""
        view = self._views.get(account)
        if view is not None:
            self._views.move_to_end(account)
            return view
        found = db.execute(
            "SELECT n, first_seen_ms, judged FROM account WHERE id = ?", (account,)
        ).fetchone()
        if found is None:
            return None
        log = load_log(db, account, found[0], self._network)
        view = AccountView(account, found[0], found[1], bool(found[2]), log)
        self.put(view)
        return view

    def chain(self, db: sqlite3.Connection, view: AccountView, header: Header) -> ChainView | None:
        """The chain a header belongs to, if this store has it."""
        lane = header.kind_class.lane
        key = b"" if lane is Lane.NONE else header.key
        chain = view.chains.get((key, lane))
        if chain is None:
            found = db.execute(
                "SELECT n FROM chain WHERE account = ? AND key = ? AND lane = ?",
                (view.n, key, lane),
            ).fetchone()
            if found is None:
                return None
            chain = ChainView(found[0], *_extent(db, found[0]))
            view.chains[key, lane] = chain
        return chain

    def walks(
        self, db: sqlite3.Connection, view: AccountView, key: bytes, lane: Lane
    ) -> list[Walk]:
        """The walks from a revoked key's tips in a lane; none if no tips limit it (R-55)."""
        found = view.walks.get((key, lane))
        if found is None:

            def lookup(id_: bytes) -> Header | None:
                held = db.execute("SELECT header FROM record WHERE id = ?", (id_,)).fetchone()
                return record.decode_header(held[0]) if held else None

            found = walks(view.id, view.log.authority(key), lane, lookup)
            view.walks[key, lane] = found
        return found

    def reached(
        self, db: sqlite3.Connection, view: AccountView, key: bytes, lane: Lane
    ) -> frozenset[bytes]:
        """The ids that a revoked key's tips reach in a lane."""
        return reached_by_all(self.walks(db, view, key, lane))


def _extent(db: sqlite3.Connection, chain: int) -> tuple[int, int]:
    """(highest seq, size) of a chain; a size at the cap stands for "count by day"."""
    (top,) = db.execute(
        "SELECT coalesce(max(seq), 0) FROM record WHERE chain = ?", (chain,)
    ).fetchone()
    (size,) = db.execute(
        "SELECT count(*) FROM (SELECT 1 FROM record WHERE chain = ? LIMIT ?)",
        (chain, RECORDS_PER_KEY_LANE_DAY_MAX),
    ).fetchone()
    return top, size


def identity_rows(db: sqlite3.Connection, account: int) -> list[Row]:
    """The identity records of an account, in order of arrival."""
    found = db.execute(
        f"SELECT {COLUMNS} FROM record WHERE account = ? AND kind = {kinds.IDENTITY} ORDER BY n",
        (account,),
    )
    return [row(fields) for fields in found]


def load_log(db: sqlite3.Connection, account: bytes, number: int, network: bytes) -> IdentityLog:
    """The identity log as stored. Proofs were checked when it was taken in."""
    log = IdentityLog(account, network)
    operations = []
    for stored in identity_rows(db, number):
        if stored.payload is None:
            continue
        try:
            header = record.decode_header(stored.header)
            body = record.decode_payload(stored.payload)
            operations.append(parse_operation(stored.id, header, body))
        except ProtocolError:
            continue  # kept as a header in its set, without effect
    log.add_all(operations, proven=True)
    return log
