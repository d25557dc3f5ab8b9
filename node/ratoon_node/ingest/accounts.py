"""What the gate knows of the accounts it is busy with: identity log, hosts, chains, rates.

A view is rebuilt from the store whenever it is not in the cache, so the cache is only speed:
it is emptied when a transaction fails and when the admission changes.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field

from ratoon_node.ingest.caps import Days
from ratoon_node.policy.likeness import Likeness
from ratoon_node.policy.nodecounts import NodeCounts
from ratoon_node.store import read
from ratoon_node.store.arrivals import Arrivals
from ratoon_node.store.rows import COLUMNS, ID_IS, Row, What, row
from ratoon_node.store.write import Tx
from ratoon_protocol import kinds, record
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.identity import IdentityLog, parse_operation
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import RECORDS_PER_KEY_LANE_DAY_MAX
from ratoon_protocol.record import Header
from ratoon_protocol.status import Walk, walks

# About 5 KiB a view: 40 MiB when full.
ACCOUNTS_CACHED_MAX = 8192
# Accounts whose homes are remembered: some 200 bytes each.
HOSTS_CACHED_MAX = 65_536
# Places of a chain that are known to be free: some 100 bytes each, 25 MiB in all views at worst.
GAPS_MAX = 32
HOUR_MS = 3_600_000

ChainKey = tuple[bytes, Lane]
NO_TIPS: frozenset[bytes] = frozenset()


@dataclass(slots=True)
class ChainView:
    """One hash chain: its number in the store, its highest seq, its size while that is small."""

    n: int
    seq_max: int
    size: int
    days: Days | None = None
    #: Places below the highest that nobody holds, those that were passed over last.
    gaps: set[int] = field(default_factory=set)

    def is_new(self, seq: int) -> bool:
        """Note a record at `seq`; whether it is known without asking that no other is there."""
        if seq <= self.seq_max:
            if seq not in self.gaps:
                return False
            self.gaps.discard(seq)
            return True
        if seq > self.seq_max + 1:
            if len(self.gaps) >= GAPS_MAX:
                self.gaps.clear()
            self.gaps.update(range(max(self.seq_max + 1, seq - GAPS_MAX), seq))
        self.seq_max = seq
        return True


@dataclass(slots=True)
class AccountView:
    """One account as the gate sees it inside a transaction."""

    id: bytes
    n: int
    first_seen_ms: int
    #: When the vanish that rules became the head here.
    vanished_ms: int | None
    #: Slices of a change are under way; they begin again when this is set (again).
    restart: bool
    log: IdentityLog
    #: The operation that ruled last, as stored; a damaged one may be missing in the log.
    head: bytes | None = None
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

    @property
    def whole(self) -> bool:
        """Whether the log has the operation that rules: none on the way to it is damaged."""
        return self.head is not None and self.log.holds(self.head)

    def count_post(self, now_ms: int) -> None:
        """Count one post seen now."""
        self._turn(now_ms)
        self.posts_in_hour += 1

    def posts_last_hour(self, now_ms: int) -> int:
        """Posts seen in the running hour."""
        self._turn(now_ms)
        return self.posts_in_hour

    def deletes(self, key: bytes, now_ms: int) -> int:
        """Records that `key` has deleted in the running hour."""
        self._turn(now_ms)
        return self.deletes_in_hour.get(key, 0)

    def count_deletes(self, key: bytes, count: int, now_ms: int) -> None:
        """Count records that `key` deletes now."""
        self.deletes_in_hour[key] = self.deletes(key, now_ms) + count

    def _turn(self, now_ms: int) -> None:
        if now_ms // HOUR_MS != self.hour:
            self.hour, self.posts_in_hour = now_ms // HOUR_MS, 0
            self.deletes_in_hour.clear()


class InEach(Set[bytes]):
    """What is in every one of several sets, without making a set of it."""

    def __init__(self, sets: Sequence[Set[bytes]]) -> None:
        self._sets = sets

    def __contains__(self, one: object) -> bool:
        return bool(self._sets) and all(one in each for each in self._sets)

    def __iter__(self) -> Iterator[bytes]:
        return (one for one in self._sets[0] if one in self) if self._sets else iter(())

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Accounts:
    """Views of the accounts that were used last. Touched by the writer's thread alone."""

    def __init__(self, network: bytes, secret: bytes, arrivals: Arrivals) -> None:
        self._network = network
        #: What the last hours brought, beside any account's view; `secret` keys it.
        self.likeness = Likeness(secret)
        self.node_counts = NodeCounts()
        self._arrivals = arrivals
        self._views: OrderedDict[bytes, AccountView] = OrderedDict()
        self._hosts: dict[bytes, tuple[bytes, ...]] = {}

    def clear(self) -> None:
        """Forget everything: the store did not take what it says."""
        self._views.clear()
        self._hosts.clear()
        self._arrivals.clear()

    def hosts(self, tx: Tx, account: bytes) -> tuple[bytes, ...]:
        """Nodes whose current hosting record names the account."""
        if account in tx.moved:
            return read.hosts(tx.db, account)
        found = self._hosts.get(account)
        if found is None:
            if len(self._hosts) >= HOSTS_CACHED_MAX:
                self._hosts.clear()
            found = self._hosts[account] = read.hosts(tx.db, account)
        return found

    def finish(self, tx: Tx) -> None:
        """The end of a transaction: accounts whose homes changed may have come in or gone out of
        what is carried, so the sets look again; then the journal is written.
        """
        for account in sorted(tx.moved):
            self._hosts.pop(account, None)
            view = self.find(tx, account)
            if view is not None:
                tx.log_account(What.ACCOUNT, view.n, account)
        self._arrivals.note(tx.arrived.values(), tx.changed)
        tx.finish()

    def forget(self, account: bytes) -> None:
        """Drop one view: it knows more than the store."""
        self._views.pop(account, None)

    def put(self, view: AccountView) -> None:
        """Keep the view of an account that was just made."""
        self._views[view.id] = view
        while len(self._views) > ACCOUNTS_CACHED_MAX:
            self._views.popitem(last=False)

    def find(self, tx: Tx, account: bytes) -> AccountView | None:
        """The view of an account that has a row here."""
        view = self._views.get(account)
        if view is not None:
            self._views.move_to_end(account)
            return view
        found = tx.db.execute(
            "SELECT n, first_seen_ms, judged, vanished_ms, head FROM account WHERE id = ?",
            (account,),
        ).fetchone()
        if found is None:
            return None
        number, first_seen_ms, judged, vanished_ms, head = found
        log = load_log(tx.db, account, number, self._network)
        view = AccountView(account, number, first_seen_ms, vanished_ms, not judged, log, head)
        self.put(view)
        return view

    def chain(self, tx: Tx, view: AccountView, header: Header) -> ChainView | None:
        """The chain a header belongs to, if this store has it."""
        lane = header.kind_class.lane
        key = b"" if lane is Lane.NONE else header.key
        chain = view.chains.get((key, lane))
        if chain is None:
            found = tx.db.execute(
                "SELECT n FROM chain WHERE account = ? AND key = ? AND lane = ?",
                (view.n, key, lane),
            ).fetchone()
            if found is None:
                return None
            chain = ChainView(found[0], *_extent(tx.db, found[0]))
            view.chains[key, lane] = chain
        return chain

    def walks(self, tx: Tx, view: AccountView, key: bytes, lane: Lane) -> list[Walk]:
        """The walks from a revoked key's tips in a lane; none if no tips limit it (R-55)."""
        found = view.walks.get((key, lane))
        if found is None:
            db = tx.db  # kept with the walk for longer than the transaction

            def lookup(id_: bytes) -> Header | None:
                held = db.execute(f"SELECT header FROM record WHERE {ID_IS}", (id_,)).fetchone()
                return record.decode_header(held[0]) if held else None

            found = walks(view.id, view.log.authority(key), lane, lookup)
            view.walks[key, lane] = found
        return found

    def reached(self, tx: Tx, view: AccountView, key: bytes, lane: Lane) -> Set[bytes]:
        """The ids that a revoked key's tips reach in a lane."""
        found = self.walks(tx, view, key, lane)
        return found[0].reached if len(found) == 1 else InEach([walk.reached for walk in found])

    def tips(self, tx: Tx, view: AccountView, key: bytes, lane: Lane) -> Set[bytes]:
        """As `reached`; empty, and nothing is walked, for a lane that no tips limit."""
        authority = view.log.authority(key)
        if not authority.marks or not authority.limiting_tips(lane):
            return NO_TIPS
        return self.reached(tx, view, key, lane)

    def days(self, tx: Tx, chain: ChainView) -> Days | None:
        """The days of a chain; None while it is too small for one to be over the cap."""
        if chain.days is None and chain.size >= RECORDS_PER_KEY_LANE_DAY_MAX:
            chain.days = Days.read(tx.db, chain.n)
        return chain.days


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
        if stored.payload is None or record.record_id(stored.header) != stored.id:
            continue  # a disk may even have changed whose it is
        try:
            header = record.decode_header(stored.header)
            body = record.decode_payload(stored.payload)
            operations.append(parse_operation(stored.id, header, body))
        except ProtocolError:
            continue  # kept as a header in its set, without effect
    log.add_all(operations, proven=True)
    return log
