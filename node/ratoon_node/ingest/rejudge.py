"""Re-judging what is stored after an account's keys changed (R-52, R-53).

Small accounts are done in the transaction that changed them. Larger ones are marked, their
suspect chains hidden from readers at once, and done in slices; a restart starts a marked account
again from its beginning, which changes nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ratoon_node.ingest import caps
from ratoon_node.ingest.accounts import Accounts, AccountView
from ratoon_node.ingest.standing import Standing
from ratoon_node.store.rows import ID_IS, Flag, Row
from ratoon_node.store.write import Tx
from ratoon_protocol import kinds, record
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import VANISH_GRACE_MS
from ratoon_protocol.record import Header
from ratoon_protocol.status import Status, authority_status

# Headers judged in one transaction: some 30 ms, so that people who post do not wait.
SLICE_RECORDS_MAX = 1000
# What a key's authority says of a record, and a vanish.
_BY_AUTHORITY = int(Flag.REVOKED | Flag.VANISHED | Flag.UNPROVEN)

#: (number, key, lane) of a chain.
Chain = tuple[int, bytes, Lane]


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
        found[b""] = (view.log.vanished, view.vanish_final)
        return found

    def after_operation(self, view: AccountView, before: dict[bytes, object]) -> None:
        """Judge the chains of every key whose authority is another one now."""
        view.walks.clear()
        after = self.authorities(view)
        vanish_changed = before.get(b"", (False, False)) != after[b""]
        changed = [
            (number, key, lane)
            for number, key, lane in self._chains(view)
            if vanish_changed or (key and before.get(key) != after[key])
        ]
        self._run(view, changed)

    def arrived(self, view: AccountView, header: Header, id_: bytes) -> None:
        """A header came; if a walk was waiting for it, what it reaches by it is judged again."""
        key, lane = header.key, header.kind_class.lane
        found = view.walks.get((key, lane))
        if not found:
            return
        self._tx.flush()  # walks look into the store
        new = {reached for walk in found for reached in walk.arrived(id_)}
        if not new:
            return
        standing = Standing(self._tx, view.id, self.now_ms)
        for reached in sorted(new):
            for stored in self._tx.rows(ID_IS, reached):
                self._judge_row(view, standing, lane, stored)
        chain = self._accounts.chain(self._tx, view, header)
        assert chain is not None, "the header that came has one"
        self._settle(view, (chain.n, key, lane))

    def _chains(self, view: AccountView) -> list[Chain]:
        """Every chain, the log first: deletes act on the others."""
        found = self._tx.db.execute(
            "SELECT n, key, lane FROM chain WHERE account = ? ORDER BY lane, n", (view.n,)
        )
        return [(number, key, Lane(lane)) for number, key, lane in found]

    def _run(self, view: AccountView, chains: list[Chain]) -> None:
        if not chains:
            return
        numbers = self._numbers(chains)
        if len(numbers) > SLICE_RECORDS_MAX:
            self._tx.suspect(view.n, [number for number, _, _ in chains])
            view.restart = True
            self.postponed.add(view.id)
            return
        for chain in chains:
            self._judge_rows(view, chain, [n for n, of in numbers if of == chain[0]])
            self._settle(view, chain)

    def _numbers(self, chains: list[Chain]) -> list[tuple[int, int]]:
        """(row, chain) of all records of some chains, but no more than one too many."""
        found: list[tuple[int, int]] = []
        for number, _, _ in chains:
            left = SLICE_RECORDS_MAX + 1 - len(found)
            found += self._tx.db.execute(
                "SELECT n, chain FROM record WHERE chain = ? LIMIT ?", (number, left)
            ).fetchall()
        return found

    # --- slices --------------------------------------------------------------------------

    def slice(self, view: AccountView, cursor: Cursor) -> Cursor | None:
        """Judge the next thousand headers of a marked account; None when it is done.

        When the keys have changed again since the last slice, it begins anew.
        """
        if view.restart:
            view.restart, cursor = False, Cursor()
        left = SLICE_RECORDS_MAX
        for chain in self._chains(view):
            number, _, lane = chain
            if (lane, number) < (cursor.lane, cursor.chain):
                continue
            if (lane, number) != (cursor.lane, cursor.chain):
                cursor = Cursor(lane, number)
            places = self._tx.db.execute(
                "SELECT seq, created_ms, n FROM record WHERE chain = ?"
                " AND (seq, created_ms, n) > (?, ?, ?) ORDER BY seq, created_ms, n LIMIT ?",
                (number, *cursor[2:], left),
            ).fetchall()
            self._judge_rows(view, chain, [place[2] for place in places])
            left -= len(places)
            if not left:
                return Cursor(lane, number, *places[-1])
            self._settle(view, chain)
        self._tx.set_judged(view.n)
        if view.log.vanished and self._leaves(view):
            self._tx.set_left(view.n)
        return None

    def _judge_rows(self, view: AccountView, chain: Chain, numbers: Iterable[int]) -> None:
        standing = Standing(self._tx, view.id, self.now_ms)
        for number in numbers:
            # One by one: judging a row may have changed those behind it.
            for stored in self._tx.rows("n = ?", number):
                self._judge_row(view, standing, chain[2], stored)

    def _settle(self, view: AccountView, chain: Chain) -> None:
        """Sort the full days of a chain again: what its tips reach comes first (R-56)."""
        number, key, lane = chain
        found = view.chains.get((key, lane))
        days = caps.full_days(self._tx.db, number, None if found is None else found.size)
        if not days:
            return
        if found is not None:
            found.days = None  # made anew by what is reached now
        standing = Standing(self._tx, view.id, self.now_ms)
        tips = self._accounts.tips(self._tx, view, key, lane)
        for day in days:
            above = caps.above(caps.ranks_of(self._tx.db, number, day, tips))
            for row, over in above.items():
                for stored in self._tx.rows("n = ?", row):
                    capped = Flag.CAPPED if over else 0
                    standing.change(stored, stored.flags & ~Flag.CAPPED | capped)

    # --- one row -------------------------------------------------------------------------

    def _leaves(self, view: AccountView) -> bool:
        """Whether bytes and headers of a vanished account go now (R-84).

        The grace counts from when the vanish came to rule here: its own time is its signer's.
        """
        if view.vanish_final:
            return True
        since = view.vanished_ms
        return since is not None and since + VANISH_GRACE_MS <= self.now_ms

    def _judge_row(self, view: AccountView, standing: Standing, lane: Lane, stored: Row) -> None:
        if stored.kind == kinds.IDENTITY and view.log.holds(stored.id):
            # The fork rule alone judges operations, unless one before it is damaged.
            standing.change(stored, stored.flags & ~_BY_AUTHORITY)
            return
        if view.log.vanished and lane is not Lane.LOG:
            if self._leaves(view):
                self._remove(view, standing, stored)
            else:
                standing.change(stored, stored.flags | Flag.VANISHED)
            return
        flags = stored.flags & ~_BY_AUTHORITY
        if lane is not Lane.NONE:
            header = record.decode_header(stored.header)
            verdict = authority_status(
                view.log,
                stored.id,
                header,
                lambda key, at: self._accounts.reached(self._tx, view, key, at),
            )
            if verdict is Status.UNPROVEN and view.whole:
                # The one operation that listed the key was cut off: nobody keeps it.
                self._remove(view, standing, stored)
                return
            if verdict is Status.UNPROVEN:  # maybe the last copy there is: the operation may return
                flags |= Flag.REVOKED | Flag.UNPROVEN
            if verdict is Status.REVOKED:
                flags |= Flag.REVOKED
        standing.change(stored, flags)

    def _remove(self, view: AccountView, standing: Standing, stored: Row) -> None:
        standing.remove(stored)
        view.chains.clear()  # their sizes were counted with it
