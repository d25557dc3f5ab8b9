"""How a stored record's standing changes, and what follows from it (R-53 to R-58, R-80).

Flags say why a record has its status. Every change goes through `Standing.change`: it writes the
row, journals it, and carries on to what depends on it: a delete's targets, a slot's other values,
the pointer table, wanted bytes. Nothing here asks policy: status never depends on it (R-57).
"""

from __future__ import annotations

from ratoon_node.store import index
from ratoon_node.store.rows import Bytes, Flag, Row, What, status_of
from ratoon_node.store.write import READABLE_MAX, Tx, in_set
from ratoon_protocol import bodies, kinds, record
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import EDIT_VERSIONS_MAX
from ratoon_protocol.status import Status


class Standing:
    """Standing of records of one account inside one transaction."""

    def __init__(self, tx: Tx, account: bytes, carried: bool, now_ms: int) -> None:
        self._tx = tx
        self._account = account
        self._carried = carried
        self._now_ms = now_ms

    def member(self, kind: int, flags: int) -> bool:
        """Whether a header with these flags is in its scope's set here."""
        return self._carried and in_set(kind, flags)

    def enter(self, stored: Row, body: record.Body | None) -> Row:
        """What follows from a row that was just added (or whose payload just arrived).

        Order matters: the row first finds its place in its slot, then it acts.
        """
        if stored.slot is not None:
            stored = self._take_slot(stored)
        if body is not None:
            self.act(stored, body)
        return stored

    def act(self, stored: Row, body: record.Body) -> None:
        """A payload that is here takes effect: a delete names targets, a value points."""
        if stored.kind == kinds.DELETE:
            index.name_targets(self._tx.db, stored.n, body["ids"])
            self._judge_targets(stored)
        elif stored.slot is not None and stored.status is Status.LIVE:
            target = bodies.slot_target(body)
            if target is not None and kinds.kind_class(stored.kind).lane is not Lane.SELF:
                index.point(self._tx.db, stored, target, int(body.get("state", 1)))

    def change(self, stored: Row, flags: int) -> Row:
        """Give a stored record other flags and carry on to what depends on them."""
        if flags == stored.flags:
            return stored
        before = stored
        bytes_state, payload = self._bytes_after(stored, flags)
        stored = self._tx.set_standing(stored, flags, stored.disposition, bytes_state, payload)
        if bytes_state is Bytes.WANTED and before.bytes_state is not Bytes.WANTED:
            self._tx.want(stored.n, self._now_ms)
        elif before.bytes_state is Bytes.WANTED and bytes_state is not Bytes.WANTED:
            self._tx.want_no_more(stored.n)
        self._tx.log(What.STATUS, stored, self._account, self.member(stored.kind, flags))
        claim_before, claim = index.competes(before.flags), index.competes(flags)
        if stored.kind == kinds.DELETE and claim_before != claim:
            self._judge_targets(stored)
        if stored.slot is not None:
            self._follow_slot(before, stored, claim_before, claim)
        return stored

    def _bytes_after(self, stored: Row, flags: int) -> tuple[Bytes, bytes | None]:
        """Where the payload is once the flags change; an author's erasure is at once."""
        status = status_of(flags)
        if status is Status.GONE and not flags & Flag.VANISHED:
            return Bytes.ERASED, None
        if status is Status.LIVE and stored.bytes_state in (Bytes.ERASED, Bytes.DROPPED):
            wanted = stored.disposition <= READABLE_MAX
            return (Bytes.WANTED if wanted else Bytes.DROPPED), None
        if status is Status.SUPERSEDED and stored.bytes_state in (Bytes.HERE, Bytes.WANTED):
            if stored.kind != kinds.EDIT:
                return Bytes.DROPPED, None
        elif stored.bytes_state is Bytes.WANTED and status is not Status.LIVE:
            return Bytes.DROPPED, None
        return stored.bytes_state, stored.payload

    # --- deletes -------------------------------------------------------------------------

    def _judge_targets(self, delete: Row) -> None:
        for target in index.targets_of(self._tx.db, delete.n):
            for stored in self._tx.rows("id = ?", target):
                self._judge_target(stored, delete.account)

    def _judge_target(self, stored: Row, account: int) -> None:
        if stored.account != account or kinds.kind_class(stored.kind).lane is Lane.LOG:
            return
        named = index.deleted(self._tx.db, stored.id, account)
        self.change(stored, stored.flags & ~Flag.DELETED | (Flag.DELETED if named else 0))
        if named and stored.kind in (kinds.POST, kinds.EDIT):
            self._erase_edits(stored)

    def _erase_edits(self, post: Row) -> None:
        """Bytes of the edits of a gone post go too; their status stays their own (R-82)."""
        found = self._tx.db.execute(
            "SELECT record FROM pointer WHERE target = ? AND kind = ? AND account = ?",
            (post.id, kinds.EDIT, post.account),
        ).fetchall()
        for (number,) in found:
            for edit in self._tx.rows("n = ?", number):
                versions = self._tx.rows(
                    "account = ? AND slot = ? AND kind = ?", edit.account, edit.slot, edit.kind
                )
                for version in versions:
                    self._drop(version, Bytes.ERASED)

    # --- slots ---------------------------------------------------------------------------

    def _take_slot(self, stored: Row) -> Row:
        """A new value beats the current one, or is beaten by it (R-56)."""
        if stored.slot is None or not index.competes(stored.flags):
            return stored
        rival = index.slot_winner(self._tx.db, stored)
        if rival is None:
            return stored
        if (rival.created_ms, rival.id) > (stored.created_ms, stored.id):
            return self.change(stored, stored.flags | Flag.BEATEN)
        self.change(rival, rival.flags | Flag.BEATEN)
        self._trim_edits(stored)
        return stored

    def _follow_slot(self, before: Row, stored: Row, claim_before: bool, claim: bool) -> None:
        """Keep the pointer and the slot's winner right after a change of one value."""
        if stored.status is not Status.LIVE:
            index.unpoint(self._tx.db, stored.n)
        elif before.status is not Status.LIVE:
            self._point_again(stored)
        if claim and not claim_before:
            self._take_slot(stored)
        elif claim_before and not claim and stored.slot is not None:
            heir = index.slot_winner(self._tx.db, stored)
            if heir is not None:
                self.change(heir, heir.flags & ~Flag.BEATEN)

    def _point_again(self, stored: Row) -> None:
        if stored.payload is None:
            return  # once the bytes are back, `enter` points
        try:
            body = record.decode_payload(stored.payload)
        except ProtocolError:
            return
        self.act(stored, body)

    def _trim_edits(self, newest: Row) -> None:
        """Of edits the last versions stay for the history, of anything else none (R-83)."""
        if newest.kind != kinds.EDIT:
            return
        old = self._tx.rows(
            "account = ? AND slot = ? AND payload IS NOT NULL"
            " ORDER BY created_ms DESC, id DESC LIMIT -1 OFFSET ?",
            newest.account,
            newest.slot,
            EDIT_VERSIONS_MAX,
        )
        for version in old:
            self._drop(version, Bytes.DROPPED)

    def _drop(self, stored: Row, bytes_state: Bytes) -> None:
        stored = self._tx.set_standing(
            stored, stored.flags, stored.disposition, bytes_state, payload=None
        )
        self._tx.want_no_more(stored.n)
        self._tx.log(What.STATUS, stored, self._account, self.member(stored.kind, stored.flags))
