"""One candidate inside the gate's transaction: authority, caps, policy, the row, its effects.

`Judge.admit` raises `ProtocolError` before it writes anything, so a refused item leaves no trace
in its batch. The order is invariant 1; an id is looked up before all else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass

from ratoon_node.ingest import caps
from ratoon_node.ingest.accounts import Accounts, AccountView
from ratoon_node.ingest.operations import Operations
from ratoon_node.ingest.rejudge import Rejudge
from ratoon_node.ingest.retention import behind
from ratoon_node.ingest.review import Review
from ratoon_node.ingest.rulings import Rulings
from ratoon_node.ingest.shelf import Shelf
from ratoon_node.ingest.standing import Standing
from ratoon_node.ingest.submission import Candidate, Origin, Outcome, Way
from ratoon_node.policy.admission import Admission, Budgets, Usage
from ratoon_node.policy.verdict import Decision, Verdict
from ratoon_node.store import index
from ratoon_node.store.read import code_of
from ratoon_node.store.rows import ID_IS, Bytes, Flag, Row, What
from ratoon_node.store.write import Tx, in_set
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code, ProtocolError, RecordError
from ratoon_protocol.keys import SIGNATURE_BYTES
from ratoon_protocol.kinds import Lane, Scope
from ratoon_protocol.limits import DELETES_PER_KEY_HOUR_MAX
from ratoon_protocol.record import Header, Record
from ratoon_protocol.status import Status, authority_status


@dataclass(frozen=True, slots=True)
class Place:
    """Where the gate stands while it judges: who this node is, what time it is."""

    network: bytes
    node: bytes
    now_ms: int
    admission: Admission
    budgets: Budgets
    #: What is older is kept for accounts at home here alone; 0: everything is.
    horizon_ms: int


class Judge:
    """Judges the candidates of one transaction."""

    def __init__(
        self,
        tx: Tx,
        accounts: Accounts,
        rulings: Rulings,
        place: Place,
        here: set[bytes],
        unchecked: frozenset[bytes],
    ) -> None:
        self._tx = tx
        self._accounts = accounts
        self._rulings = rulings
        self._place = place
        #: Ids of the batch whose header is stored.
        self._here = here
        #: Ids whose header was here when signatures were checked: theirs were not.
        self._unchecked = unchecked
        self._shelf = Shelf(tx, accounts, place.now_ms)
        self._rejudge = Rejudge(tx, accounts, place.now_ms)
        self._operations = Operations(tx, accounts, self._shelf, self._rejudge, place.network)
        self._purse = caps.Purse(tx, place.admission, place.budgets, place.now_ms)
        #: Accounts with too much to re-judge now, for slices to come.
        self.postponed = self._rejudge.postponed

    def finish(self) -> None:
        """The end of the transaction."""
        if self._rulings.labelled:
            policy, place = self._rulings.policy, self._place
            review = Review(self._tx, self._accounts, policy, place.node, place.now_ms)
            review.labelled(self._rulings.labelled)
        self._purse.finish()
        self._accounts.finish(self._tx)

    def admit(self, item: Candidate) -> Outcome:
        """Store a candidate or say why not. Raises `ProtocolError` for a refusal."""
        known = self._known(item)
        if known is not None:
            return known
        header = item.record.header
        nodes = self._accounts.hosts(self._tx, header.account)
        self._check_carried(header, nodes, item.origin)
        view = self._accounts.find(self._tx, header.account)
        if header.kind == kinds.IDENTITY:
            return self._invalid_operation(item, view, nodes)
        if view is None or view.log.head is None:
            raise RecordError(Code.UNKNOWN_ACCOUNT)
        if view.log.vanished and header.kind_class.lane is not Lane.LOG:
            raise RecordError(Code.GONE, "the account has vanished")
        flags, tips = self._authority(view, item)
        if header.kind == kinds.DELETE or header.kind_class.lane is Lane.NONE:
            self._check_rates(view, item)
        return self._store(view, item, nodes, flags, tips)

    def admit_operations(self, items: Sequence[Candidate]) -> list[Outcome | ProtocolError]:
        """Identity operations of one account with readable bodies, judged together (R-48)."""
        account = items[0].record.header.account
        nodes = self._accounts.hosts(self._tx, account)
        found: dict[bytes, Outcome | ProtocolError] = {}
        fresh: dict[bytes, Candidate] = {}
        for item in items:
            try:
                known = self._known(item)
                if known is not None:
                    found[item.record.id] = known
                    continue
                self._check_carried(item.record.header, nodes, item.origin)
                self._check_purse(nodes, item, fresh.values())
            except RecordError as error:
                found[item.record.id] = error
            else:
                fresh[item.record.id] = item
        if fresh:
            new = self._accounts.find(self._tx, account) is None
            found |= self._operations.admit(list(fresh.values()))
            for id_, item in fresh.items():
                if isinstance(found[id_], Outcome):
                    self._here.add(id_)
                    self._charge(nodes, item, new)
                    new = False
        return [found[item.record.id] for item in items]

    def _known(self, item: Candidate) -> Outcome | None:
        """The answer for a header that is here. Raises for one that was here a moment ago: its
        signature was not checked, because it was known.
        """
        id_ = item.record.id
        if id_ in self._here:
            found = self._tx.rows(ID_IS, id_)
            if found:
                return self._again(found[0], item)
        if id_ in self._unchecked:
            raise RecordError(Code.BUSY, "it was just removed")
        return None

    def _invalid_operation(
        self, item: Candidate, view: AccountView | None, nodes: tuple[bytes, ...]
    ) -> Outcome:
        """An identity header whose payload is missing or no operation: no effect (R-26)."""
        if item.invalid is None or view is None:
            raise RecordError(Code.PENDING, "the operation itself is missing")
        if not view.log.authority(item.record.header.key).known:
            raise RecordError(Code.UNKNOWN_KEY)
        return self._store(view, item, nodes, int(Flag.REVOKED), frozenset())

    # --- who may be here -----------------------------------------------------------------

    def _check_carried(self, header: Header, nodes: tuple[bytes, ...], origin: Origin) -> None:
        """R-64: carried if a current hosting record is by an admitted node, or it is one."""
        admission = self._place.admission
        own = header.account == self._place.node or self._place.node in nodes
        if header.kind_class.scope is Scope.PRIVATE and not own:
            raise RecordError(Code.NOT_HOME)
        if origin.way is Way.API and not own:
            raise RecordError(Code.NOT_HOME)
        if not (own or admission.admits(header.account) or any(map(admission.admits, nodes))):
            raise RecordError(Code.NOT_HOSTED)

    def _authority(self, view: AccountView, item: Candidate) -> tuple[int, Set[bytes]]:
        """`Flag` bits that the key's authority gives the record (R-54), and what tips reach.

        Walks begin before the record is stored, so that it can be what they were waiting for.
        """
        header = item.record.header
        lane = header.kind_class.lane
        if lane is Lane.NONE:
            return 0, frozenset()
        tips = self._accounts.tips(self._tx, view, header.key, lane)
        verdict = authority_status(view.log, item.record.id, header, lambda _key, _lane: tips)
        if verdict is Status.UNPROVEN:
            raise RecordError(Code.UNKNOWN_KEY)
        if verdict is Status.LIVE:
            return 0, tips
        if item.strict and not self._is_awaited(view, item):
            raise RecordError(Code.REVOKED)
        return int(Flag.REVOKED), tips

    def _is_awaited(self, view: AccountView, item: Candidate) -> bool:
        """Whether walks from the key's tips stop here for want of this record: it will be live."""
        id_, header = item.record.id, item.record.header
        walks = self._accounts.walks(self._tx, view, header.key, header.kind_class.lane)
        return bool(walks) and all(id_ in walk.missing or id_ in walk.reached for walk in walks)

    def _check_rates(self, view: AccountView, item: Candidate) -> None:
        header = item.record.header
        if header.kind == kinds.DELETE and item.body is not None and item.strict:
            count = view.deletes(header.key, self._place.now_ms) + len(item.body["ids"])
            if count > DELETES_PER_KEY_HOUR_MAX:
                raise RecordError(Code.RATE, "deletes of one key in an hour")
        if header.kind_class.lane is Lane.NONE:
            caps.check_mailbox(self._tx.db, view.n, header, self._place.now_ms)

    # --- budgets of nodes that nobody added (R-66) ---------------------------------------

    def _payers(
        self, nodes: tuple[bytes, ...], account: bytes, origin: Origin
    ) -> tuple[bytes, ...]:
        """The nodes one of which pays; none for what this node itself is a home of."""
        if origin.way in (Way.API, Way.SELF) or self._place.node in nodes:
            return ()
        # A node's own account pays for itself too: others may say that they host it.
        return (*nodes, account)

    def _check_purse(
        self, nodes: tuple[bytes, ...], item: Candidate, others: Collection[Candidate]
    ) -> None:
        """Whether somebody can pay for one more operation beside `others` that come with it."""
        account = item.record.header.account
        payers = self._payers(nodes, account, item.origin)
        if payers:
            known = self._accounts.find(self._tx, account) is not None
            size = sum(_size(one.record) for one in (item, *others))
            self._purse.check(payers, Usage(0 if known else 1, 1 + len(others), size))

    def _charge(self, nodes: tuple[bytes, ...], item: Candidate, new: bool) -> None:
        self._pay(nodes, item, Usage(int(new), 1, _size(item.record)))

    def _pay(self, nodes: tuple[bytes, ...], item: Candidate, cost: Usage) -> None:
        payers = self._payers(nodes, item.record.header.account, item.origin)
        if payers:
            self._purse.pay(self._purse.check(payers, cost), cost)

    # --- storing -------------------------------------------------------------------------

    def _store(
        self,
        view: AccountView,
        item: Candidate,
        nodes: tuple[bytes, ...],
        flags: int,
        tips: Set[bytes],
    ) -> Outcome:
        found, header = item.record, item.record.header
        lane = header.kind_class.lane
        if self._shelf.over_cap(view, found, tips):
            if item.strict:
                raise RecordError(Code.RATE, "records of one key and lane in a day")
            flags |= Flag.CAPPED
        if (
            found.id in self._tx.named
            and lane is not Lane.LOG
            and index.deleted(self._tx.db, found.id, view.n)
        ):
            flags |= Flag.DELETED
        self._charge(nodes, item, new=False)
        decision = self._rulings.judge(item, view, nodes, self._place.node, self._place.now_ms)
        bytes_state = self._bytes_state(item, view, flags, decision)
        stored = self._shelf.put(view, found, item.body, flags, decision, bytes_state, tips)
        self._here.add(found.id)
        self._count(view, item)
        self._rejudge.arrived(view, header, found.id)
        if flags & Flag.REVOKED:  # a walk that waited for it may have made it live
            stored = self._tx.rows(ID_IS, found.id)[0]
        return Outcome(found.id, code_of(stored), peer_fault=item.peer_fault)

    def _count(self, view: AccountView, item: Candidate) -> None:
        """Rates of this node: posts and deletes of an hour, envelopes of a day."""
        header, now_ms = item.record.header, self._place.now_ms
        if header.kind == kinds.POST:
            view.count_post(now_ms)
        elif header.kind == kinds.DELETE and item.body is not None:
            view.count_deletes(header.key, len(item.body["ids"]), now_ms)
        elif header.kind_class.lane is Lane.NONE:
            self._tx.post_in(view.n, header.payload_len, caps.day_of(now_ms))

    def _bytes_state(
        self, item: Candidate, view: AccountView, flags: int, decision: Decision
    ) -> Bytes:
        if flags & Flag.DELETED:
            return Bytes.ERASED
        if item.invalid is not None:
            return Bytes.INVALID
        if item.record.header.kind == kinds.IDENTITY:
            return Bytes.HERE  # no status or rule keeps an operation out
        if decision.verdict >= Verdict.WITHHOLD or flags & Flag.CAPPED:
            return Bytes.DROPPED
        if flags & Flag.REVOKED and not _was_allowed(view, item.record.header):
            return Bytes.DROPPED
        if self._is_behind(item.record.header):
            return Bytes.DROPPED
        if item.body is None:
            return Bytes.DROPPED if flags & Flag.REVOKED else Bytes.WANTED
        if item.record.header.kind == kinds.EDIT and index.deleted(
            self._tx.db, item.body["target"], view.n
        ):
            return Bytes.ERASED  # never stored again
        return Bytes.HERE

    def _is_behind(self, header: Header) -> bool:
        """Older than this node keeps for accounts at home elsewhere."""
        place = self._place
        return behind(header.kind, header.created_ms, place.horizon_ms) and (
            place.node not in self._accounts.hosts(self._tx, header.account)
        )

    # --- known records -------------------------------------------------------------------

    def _again(self, stored: Row, item: Candidate) -> Outcome:
        """A record that is here: its bytes may have been missing, else say what is true now."""
        if stored.bytes_state is Bytes.WANTED and item.record.payload is not None:
            return self._fill(stored, item)
        code = code_of(stored)
        if code is Code.STORED:
            code = Code.DUPLICATE
        return Outcome(stored.id, code, peer_fault=item.peer_fault)

    def _fill(self, stored: Row, item: Candidate) -> Outcome:
        """Wanted bytes arrived. The header was verified; the hash ties the payload to it."""
        header = item.record.header
        view = self._accounts.find(self._tx, header.account)
        assert view is not None, "a stored record has an account"
        nodes = self._accounts.hosts(self._tx, header.account)
        decision = self._rulings.judge(item, view, nodes, self._place.node, self._place.now_ms)
        bytes_state = self._bytes_state(item, view, stored.flags, decision)
        payload = item.record.payload if bytes_state is Bytes.HERE else None
        if payload is not None:  # the header was paid for when it came
            self._pay(nodes, item, Usage(size=len(payload)))
        stored = self._tx.set_standing(
            stored, stored.flags, int(decision.verdict), bytes_state, payload
        )
        self._tx.want_no_more(stored.n)
        self._shelf.keep_decision(stored, decision)
        self._tx.log(What.BYTES, stored, view.id, in_set(stored.flags))
        if header.kind == kinds.IDENTITY:
            self._accounts.forget(view.id)  # made while the operation was not here
            self._tx.suspect(stored.account, [])  # and so was what was judged meanwhile
            self.postponed.add(view.id)
        if item.body is not None and bytes_state is Bytes.HERE:
            Standing(self._tx, view.id, self._place.now_ms).act(stored, item.body)
        return Outcome(stored.id, code_of(stored))


def _size(found: Record) -> int:
    """Bytes that keeping a record takes, without what indexes add."""
    return len(found.header_bytes) + SIGNATURE_BYTES + len(found.payload or b"")


def _was_allowed(view: AccountView, header: Header) -> bool:
    """Whether the key could ever sign this kind, so that the record may turn live again.

    Its bytes are then kept out of sight; those of a key that never could are not kept at all.
    """
    authority = view.log.authority(header.key)
    allowed = authority.capabilities >> header.kind_class.capability & 1
    return authority.lost or bool(allowed and authority.marks)
