"""Re-judging what is stored after an account's keys changed (R-52, R-53).

Small accounts are done in the transaction that changed them. Larger ones are marked, their
suspect chains hidden from readers at once, and done in slices; a restart starts a marked account
again from its beginning, which changes nothing twice.
"""

from __future__ import annotations

from typing import NamedTuple

from ratoon_node.ingest.accounts import Accounts, AccountView
from ratoon_node.ingest.standing import Standing
from ratoon_node.store.rows import Flag, Row
from ratoon_node.store.write import Tx
from ratoon_protocol import kinds, record
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import VANISH_GRACE_MS
from ratoon_protocol.record import Header
from ratoon_protocol.status import Status, authority_status

# Headers judged in one transaction: some 30 ms, so that people who post do not wait.
SLICE_RECORDS_MAX = 1000


class Cursor(NamedTuple):
    """How far the slices of one account are: everything up to this row is done."""

    lane: int = -1
    chain: int = 0
    seq: int = -1
    created_ms: int = 0
    record: int = 0


class Rejudge:
    """Judges stored records again, inside one transaction."""

    def __init__(self, tx: Tx, accounts: Accounts, now_ms: int) -> None:
        self._tx = tx
        self._accounts = accounts
        self.now_ms = now_ms
        #: Accounts left for slices.
        self.postponed: set[bytes] = set()

    def authorities(self, view: AccountView) -> dict[bytes, object]:
        """What every key with a chain here may do, to compare with after a change."""
        found: dict[bytes, object] = {
            key: view.log.authority(key) for _, key, _ in self._chains(view) if key
        }
        found[b""] = view.log.vanished
        return found

    def after_operation(self, view: AccountView, before: dict[bytes, object]) -> None:
        """Judge the chains of every key whose authority is another one now."""
        view.walks.clear()
        after = self.authorities(view)
        vanish_changed = before.get(b"", False) != after[b""]
        changed = [
            (number, key, lane)
            for number, key, lane in self._chains(view)
            if vanish_changed or (key and before.get(key) != after[key])
        ]
        self._run(view, changed)

    def arrived(self, view: AccountView, header: Header, id_: bytes) -> None:
        """A header came; if a walk was waiting for it, what it reaches by it is judged again."""
        key, lane = header.key, header.kind_class.lane
        found = view.walks.get((key, lane), [])
        new = {reached for walk in found for reached in walk.arrived(id_)}
        standing = Standing(self._tx, view.id, True, self.now_ms)
        for reached in new:
            for stored in self._tx.rows("id = ?", reached):
                self._judge_row(view, standing, lane, stored)

    def _chains(self, view: AccountView) -> list[tuple[int, bytes, Lane]]:
        """(number, key, lane) of every chain, the log first: deletes act on the others."""
        found = self._tx.db.execute(
            "SELECT n, key, lane FROM chain WHERE account = ? ORDER BY lane, n", (view.n,)
        )
        return [(number, key, Lane(lane)) for number, key, lane in found]

    def _run(self, view: AccountView, chains: list[tuple[int, bytes, Lane]]) -> None:
        if not chains:
            return
        marks = ",".join(str(number) for number, _, _ in chains)
        (size,) = self._tx.db.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM record WHERE chain IN ({marks}) LIMIT ?)",
            (SLICE_RECORDS_MAX + 1,),
        ).fetchone()
        if size > SLICE_RECORDS_MAX:
            self._tx.suspect(view.n, [number for number, _, _ in chains])
            view.judged = False
            self.postponed.add(view.id)
            return
        for chain in chains:
            self._judge_rows(view, chain, self._tx.rows("chain = ? ORDER BY n", chain[0]))

    def slice(self, view: AccountView, cursor: Cursor) -> Cursor | None:
        """Judge the next thousand headers of a marked account; None when it is done."""
        left = SLICE_RECORDS_MAX
        for chain in self._chains(view):
            number, _, lane = chain
            if (lane, number) < (cursor.lane, cursor.chain):
                continue
            if (lane, number) != (cursor.lane, cursor.chain):
                cursor = Cursor(lane, number)
            rows = self._tx.rows(
                "chain = ? AND (seq, created_ms, n) > (?, ?, ?)"
                " ORDER BY seq, created_ms, n LIMIT ?",
                number,
                *cursor[2:],
                left,
            )
            self._judge_rows(view, chain, rows)
            left -= len(rows)
            if not left:
                last = rows[-1]
                return Cursor(lane, number, last.seq, last.created_ms, last.n)
        self._tx.set_judged(view.n)
        view.judged = True
        return None

    def _judge_rows(
        self, view: AccountView, chain: tuple[int, bytes, Lane], rows: list[Row]
    ) -> None:
        standing = Standing(self._tx, view.id, True, self.now_ms)
        for stored in rows:
            self._judge_row(view, standing, chain[2], stored)

    def _grace_over(self, view: AccountView) -> bool:
        head = view.log.head
        return head is not None and head.created_ms + VANISH_GRACE_MS < self.now_ms

    def _judge_row(self, view: AccountView, standing: Standing, lane: Lane, stored: Row) -> None:
        if stored.kind == kinds.IDENTITY:
            return  # the fork rule alone judges operations
        if view.log.vanished and lane is not Lane.LOG:
            if view.vanish_final or self._grace_over(view):
                self._tx.remove_record(stored, view.id)
            else:
                standing.change(stored, stored.flags | Flag.VANISHED)
            return
        flags = stored.flags & ~(Flag.REVOKED | Flag.VANISHED)
        if lane is not Lane.NONE:
            header = record.decode_header(stored.header)
            verdict = authority_status(
                view.log,
                stored.id,
                header,
                lambda key, at: self._accounts.reached(self._tx.db, view, key, at),
            )
            if verdict is not Status.LIVE:
                flags |= Flag.REVOKED
        standing.change(stored, flags)
