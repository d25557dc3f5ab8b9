"""How a stored record's standing changes, and what follows from it (R-53 to R-58, R-80).

Flags say why a record has its status. Every change goes through `Standing.change`: it writes the
row, journals it, and carries on to what depends on it: a delete's targets, a slot's other values,
the pointer table, wanted bytes. Nothing here asks policy: status never depends on it (R-57).

A row passed in must be as it is stored now: what an earlier change brought with it may have
changed it since it was read.
"""

from __future__ import annotations

from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import index
from ratoon_node.store.rows import ID_IS, Bytes, Flag, Row, What, status_of
from ratoon_node.store.write import Tx, in_set
from ratoon_protocol import bodies, kinds, record
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import EDIT_VERSIONS_MAX
from ratoon_protocol.record import Header
from ratoon_protocol.status import Status


class Standing:
    """Standing of records of one account inside one transaction."""

    def __init__(self, tx: Tx, account: bytes, now_ms: int) -> None:
        self._tx = tx
        self._account = account
        self._now_ms = now_ms

    # --- new rows ------------------------------------------------------------------------

    def rival(self, account: int, header: Header, flags: int) -> Row | None:
        """Who holds the slot that a new record wants; None if it has none or may not compete."""
        if header.slot is None or not index.competes(flags):
            return None
        return index.slot_winner(self._tx.db, account, header.slot, header.kind)

    def enter(self, stored: Row, body: record.Body | None, rival: Row | None) -> None:
        """What follows from a row that was just added: it takes its slot, then it acts."""
        if rival is not None and not stored.flags & Flag.BEATEN:
            self.change(rival, rival.flags | Flag.BEATEN)
        if body is not None:
            self.act(stored, body)

    def act(self, stored: Row, body: record.Body) -> None:
        """A payload that is here takes effect: a delete names targets, a value points."""
        if stored.kind == kinds.DELETE:
            index.name_targets(self._tx.db, stored.n, body["ids"])
            self._tx.named.update(body["ids"])
            self._judge_targets(stored)
            return
        if stored.kind == kinds.EDIT:
            index.note_edit(self._tx.db, stored.n, body["target"])
            self._trim_edits(stored)
        if stored.slot is not None and stored.status is Status.LIVE:
            self._point(stored, body)

    # --- changes -------------------------------------------------------------------------

    def change(self, stored: Row, flags: int) -> Row:
        """Give a stored record other flags and carry on to what depends on them."""
        before = stored
        claimed, claims = index.competes(before.flags), index.competes(flags)
        turned: list[tuple[Row, int]] = []
        if stored.slot is not None and claims != claimed:
            flags, turned = self._claim(stored, flags, claims)
        if flags == stored.flags:
            return stored
        bytes_state, payload = _bytes_after(stored, flags)
        if payload is None and index.edits_gone(self._tx.db, stored):
            bytes_state = Bytes.ERASED  # of a gone post nobody has them any more
        stored = self._tx.set_standing(stored, flags, stored.disposition, bytes_state, payload)
        self._want(before, stored)
        # Bytes that nobody was given while they were revoked count as new.
        back = stored.status is Status.LIVE and bytes_state is Bytes.HERE
        what = What.BYTES if back and before.status is not Status.LIVE else What.STATUS
        self._tx.log(what, stored, self._account, in_set(flags))
        if stored.kind == kinds.DELETE and claimed != claims:
            self._judge_targets(stored)
        if stored.slot is not None:
            self._follow_pointer(before, stored)
        for rival, rival_flags in turned:
            self.change(rival, rival_flags)
        return stored

    def _claim(self, stored: Row, flags: int, claims: bool) -> tuple[int, list[tuple[Row, int]]]:
        """The flags of a value that begins or stops to compete for its slot, and whom it turns:
        the winner that it beats, or the heir that it no longer does (R-57).
        """
        was_winner = not stored.flags & Flag.BEATEN
        flags &= ~Flag.BEATEN
        assert stored.slot is not None, "only values of slots compete"
        if not claims and not was_winner:
            return flags, []
        rival = index.slot_winner(
            self._tx.db, stored.account, stored.slot, stored.kind, but=stored.n
        )
        if claims and rival is not None and is_beaten(rival, stored.created_ms, stored.id):
            return flags | Flag.BEATEN, []
        if rival is None:
            return flags, []
        return flags, [(rival, rival.flags & ~Flag.BEATEN | (Flag.BEATEN if claims else 0))]

    def _want(self, before: Row, stored: Row) -> None:
        """Keep the list of wanted bytes as the rows are."""
        wanted = stored.bytes_state is Bytes.WANTED
        if wanted and before.bytes_state is not Bytes.WANTED:
            self._tx.want(stored.n, self._now_ms)
        elif before.bytes_state is Bytes.WANTED and not wanted:
            self._tx.want_no_more(stored.n)

    def remove(self, stored: Row) -> None:
        """Take a header out of the store; what depends on it first does without it."""
        stored = self.change(stored, stored.flags | Flag.REVOKED)
        self._tx.remove_record(stored, self._account)

    # --- deletes -------------------------------------------------------------------------

    def _judge_targets(self, delete: Row) -> None:
        for target in index.targets_of(self._tx.db, delete.n):
            for stored in self._tx.rows(ID_IS, target):
                self._judge_target(stored, delete.account)

    def _judge_target(self, stored: Row, account: int) -> None:
        if stored.account != account or kinds.kind_class(stored.kind).lane is Lane.LOG:
            return
        named = index.deleted(self._tx.db, stored.id, account)
        stored = self.change(stored, stored.flags & ~Flag.DELETED | (Flag.DELETED if named else 0))
        if stored.kind == kinds.POST:
            self._follow_post(stored, named)

    def _follow_post(self, post: Row, gone: bool) -> None:
        """Bytes of the edits of a gone post go too; their status stays their own (R-82)."""
        for number in index.edits_of(self._tx.db, post.id):
            for edit in self._tx.rows("n = ?", number):
                if edit.account != post.account:
                    continue
                if gone and edit.bytes_state in (Bytes.HERE, Bytes.WANTED):
                    self._drop(edit, Bytes.ERASED)
                elif not gone and edit.bytes_state is Bytes.ERASED:
                    live = edit.status is Status.LIVE and edit.disposition < Verdict.WITHHOLD
                    self._drop(edit, Bytes.WANTED if live else Bytes.DROPPED)

    # --- slots ---------------------------------------------------------------------------

    def _follow_pointer(self, before: Row, stored: Row) -> None:
        """A live value points at what it is about, any other does not."""
        if stored.status is not Status.LIVE:
            index.unpoint(self._tx.db, stored.n)
            if before.status is Status.LIVE:
                self._pointed_no_more(before)
        elif before.status is not Status.LIVE and stored.payload is not None:
            body = body_of(stored.payload)  # bytes still wanted point once they are here
            if body is not None:
                self._point(stored, body)

    def _point(self, stored: Row, body: record.Body) -> None:
        target = bodies.slot_target(stored.kind, body)
        if target is None or kinds.kind_class(stored.kind).lane is Lane.SELF:
            return
        index.point(self._tx.db, stored, target, bodies.state(stored.kind, body))
        if stored.kind == kinds.HOSTING:
            self._tx.moved.add(target)
        elif stored.kind == kinds.NODE:
            self._tx.log_account(What.NODES, 0, self._account)

    def _pointed_no_more(self, before: Row) -> None:
        if before.kind == kinds.NODE:
            self._tx.log_account(What.NODES, 0, self._account)
        elif before.kind == kinds.HOSTING and before.payload is not None:
            body = body_of(before.payload)
            target = bodies.slot_target(before.kind, body) if body is not None else None
            if target is not None:
                self._tx.moved.add(target)

    def _trim_edits(self, newest: Row) -> None:
        """Of edits the last versions stay for the history, of anything else none (R-85)."""
        old = self._tx.rows(
            f"account = ? AND slot = ? AND {index.COMPETES} AND kind = ? AND payload IS NOT NULL"
            " ORDER BY created_ms DESC, id DESC LIMIT -1 OFFSET ?",
            newest.account,
            newest.slot,
            newest.kind,
            EDIT_VERSIONS_MAX,
        )
        for version in old:
            self._drop(version, Bytes.DROPPED)

    def _drop(self, stored: Row, bytes_state: Bytes) -> None:
        """Bytes go (or are asked for again) while the status stays."""
        before = stored
        stored = self._tx.set_standing(
            stored, stored.flags, stored.disposition, bytes_state, payload=None
        )
        self._want(before, stored)
        self._tx.log(What.STATUS, stored, self._account, in_set(stored.flags))


def is_beaten(rival: Row, created_ms: int, id_: bytes) -> bool:
    """Whether the holder of a slot keeps it against another value (R-57)."""
    return (rival.created_ms, rival.id) > (created_ms, id_)


def body_of(payload: bytes) -> record.Body | None:
    """The body of a stored payload; None if a disk has changed it."""
    try:
        return record.decode_payload(payload)
    except ProtocolError:
        return None


def _bytes_after(stored: Row, flags: int) -> tuple[Bytes, bytes | None]:
    """Where the payload is once the flags change; an author's erasure is at once."""
    status, state = status_of(flags), stored.bytes_state
    if state is Bytes.INVALID:
        return state, None
    if stored.kind == kinds.IDENTITY:
        return state, stored.payload  # all else is judged by operations: these are always wanted
    if flags & Flag.DELETED:
        return Bytes.ERASED, None
    if status is Status.LIVE and state in (Bytes.ERASED, Bytes.DROPPED):
        wanted = stored.disposition < Verdict.WITHHOLD
        return (Bytes.WANTED if wanted else Bytes.DROPPED), None
    history = stored.kind == kinds.EDIT and status is Status.SUPERSEDED
    if status is Status.SUPERSEDED and state is Bytes.HERE and not history:
        return Bytes.DROPPED, None
    if state is Bytes.ERASED or (state is Bytes.WANTED and status is not Status.LIVE):
        return (state if history and state is Bytes.WANTED else Bytes.DROPPED), None
    return state, stored.payload
