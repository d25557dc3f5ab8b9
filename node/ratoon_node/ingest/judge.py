"""One candidate inside the gate's transaction: authority, caps, policy, the row, its effects.

`Judge.admit` raises `ProtocolError` before it writes anything, so a refused item leaves no trace
in its batch. The order is invariant 1; an id is looked up before all else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ratoon_node.ingest import caps
from ratoon_node.ingest.accounts import Accounts, AccountView
from ratoon_node.ingest.operations import Operations
from ratoon_node.ingest.rejudge import Rejudge
from ratoon_node.ingest.rulings import Rulings
from ratoon_node.ingest.shelf import Shelf
from ratoon_node.ingest.standing import Standing
from ratoon_node.ingest.submission import Candidate, Origin, Outcome, Way
from ratoon_node.policy.admission import Admission, Budgets
from ratoon_node.policy.verdict import Decision, Verdict
from ratoon_node.store import index
from ratoon_node.store.read import code_of, hosts
from ratoon_node.store.rows import Bytes, Flag, Row, What
from ratoon_node.store.write import Tx
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code, ProtocolError, RecordError
from ratoon_protocol.kinds import Lane, Scope
from ratoon_protocol.limits import DELETES_PER_KEY_HOUR_MAX, RECORDS_PER_KEY_LANE_DAY_MAX
from ratoon_protocol.record import Body, Header
from ratoon_protocol.status import Status, authority_status, cap_group


@dataclass(frozen=True, slots=True)
class Place:
    """Where the gate stands while it judges: who this node is, what time it is."""

    network: bytes
    node: bytes
    now_ms: int
    admission: Admission
    budgets: Budgets


class Judge:
    """Judges the candidates of one transaction."""

    def __init__(self, tx: Tx, accounts: Accounts, rulings: Rulings, place: Place) -> None:
        self._tx = tx
        self._accounts = accounts
        self._rulings = rulings
        self._place = place
        self._shelf = Shelf(tx, accounts, place.now_ms)
        self._rejudge = Rejudge(tx, accounts, place.now_ms)
        self._operations = Operations(tx, accounts, self._shelf, self._rejudge, place.network)
        #: Accounts with too much to re-judge now: (account id, number), for slices to come.
        self.postponed = self._rejudge.postponed

    def admit(self, item: Candidate) -> Outcome:
        """Store a candidate or say why not. Raises `ProtocolError` for a refusal."""
        found = self._tx.rows("id = ?", item.record.id)
        if found:
            return self._again(found[0], item)
        header = item.record.header
        nodes = hosts(self._tx.db, header.account)
        carried = self._check_carried(header, nodes, item.origin)
        if header.kind == kinds.IDENTITY:
            return self._invalid_operation(item, nodes, carried)
        view = self._accounts.find(self._tx.db, header.account)
        if view is None or view.log.head is None:
            raise RecordError(Code.UNKNOWN_ACCOUNT)
        lane = header.kind_class.lane
        if view.log.vanished and lane is not Lane.LOG:
            raise RecordError(Code.GONE, "the account has vanished")
        flags = self._authority(view, item)
        self._check_rates(view, item)
        self._charge(nodes, header.account, item.origin)
        return self._store(view, item, nodes, carried, flags)

    def admit_operations(self, items: Sequence[Candidate]) -> list[Outcome | ProtocolError]:
        """Identity operations of one account with readable bodies, judged together (R-48)."""
        found: dict[bytes, Outcome | ProtocolError] = {}
        fresh: list[Candidate] = []
        for item in items:
            known = self._tx.rows("id = ?", item.record.id)
            if known:
                found[item.record.id] = self._again(known[0], item)
            else:
                fresh.append(item)
        if fresh:
            header = fresh[0].record.header
            nodes = hosts(self._tx.db, header.account)
            try:
                carried = self._check_carried(header, nodes, fresh[0].origin)
                for item in fresh:
                    self._charge(nodes, header.account, item.origin)
            except RecordError as error:
                found |= dict.fromkeys([item.record.id for item in fresh], error)
            else:
                found |= self._operations.admit(fresh, carried)
        return [found[item.record.id] for item in items]

    def _invalid_operation(
        self, item: Candidate, nodes: tuple[bytes, ...], carried: bool
    ) -> Outcome:
        """An identity header whose payload is missing or no operation: no effect (R-26)."""
        header = item.record.header
        view = self._accounts.find(self._tx.db, header.account)
        if item.invalid is None or view is None:
            raise RecordError(Code.PENDING, "the operation itself is missing")
        if not view.log.authority(header.key).known:
            raise RecordError(Code.UNKNOWN_KEY)
        self._charge(nodes, header.account, item.origin)
        return self._store(view, item, nodes, carried, int(Flag.REVOKED))

    # --- who may be here -----------------------------------------------------------------

    def _check_carried(self, header: Header, nodes: tuple[bytes, ...], origin: Origin) -> bool:
        """R-64: carried if a current hosting record is by an admitted node, or it is one."""
        admission = self._place.admission
        own = header.account == self._place.node or self._place.node in nodes
        if header.kind_class.scope is Scope.PRIVATE and not own:
            raise RecordError(Code.NOT_HOME)
        if origin.way is Way.API and not own:
            raise RecordError(Code.NOT_HOME)
        if own or admission.admits(header.account) or any(map(admission.admits, nodes)):
            return True
        raise RecordError(Code.NOT_HOSTED)

    def _authority(self, view: AccountView, item: Candidate) -> int:
        """`Flag` bits that the key's authority gives the record (R-54)."""
        header = item.record.header
        if header.kind_class.lane is Lane.NONE:
            return 0
        verdict = authority_status(
            view.log,
            item.record.id,
            header,
            lambda key, lane: self._accounts.reached(self._tx.db, view, key, lane),
        )
        if verdict is Status.UNPROVEN:
            raise RecordError(Code.UNKNOWN_KEY)
        if verdict is Status.REVOKED:
            if item.origin.way in (Way.API, Way.SELF):
                raise RecordError(Code.REVOKED)
            return int(Flag.REVOKED)
        return 0

    def _check_rates(self, view: AccountView, item: Candidate) -> None:
        header = item.record.header
        if header.kind == kinds.DELETE and item.body is not None and item.origin.way is Way.API:
            count = view.count_deletes(header.key, len(item.body["ids"]), self._place.now_ms)
            if count > DELETES_PER_KEY_HOUR_MAX:
                raise RecordError(Code.RATE, "deletes of one key in an hour")
        if header.kind_class.lane is Lane.NONE:
            caps.check_mailbox(self._tx.db, view.n, header, self._place.now_ms)

    def _charge(self, nodes: tuple[bytes, ...], account: bytes, origin: Origin) -> None:
        """Budgets of nodes that nobody added by hand (R-66)."""
        if origin.way in (Way.API, Way.SELF) or self._place.node in nodes:
            return
        known = self._accounts.find(self._tx.db, account) is not None
        caps.charge_budget(
            self._tx,
            self._place.admission,
            self._place.budgets,
            nodes or (account,),
            known,
            self._place.now_ms,
        )

    # --- storing -------------------------------------------------------------------------

    def _store(
        self,
        view: AccountView,
        item: Candidate,
        nodes: tuple[bytes, ...],
        carried: bool,
        flags: int,
    ) -> Outcome:
        header, body = item.record.header, item.body
        strict = item.origin.way in (Way.API, Way.SELF)
        if self._over_cap(view, item):
            if strict:
                raise RecordError(Code.RATE, "records of one key and lane in a day")
            flags |= Flag.CAPPED
        if index.deleted(self._tx.db, item.record.id, view.n) and not _is_log(header):
            flags |= Flag.DELETED
        decision = self._rulings.judge(item, view, nodes, self._place.node, self._place.now_ms)
        bytes_state = self._bytes_state(item, flags, decision)
        stored = self._shelf.put(view, item.record, body, carried, flags, decision, bytes_state)
        self._after(view, item, stored, nodes)
        return Outcome(stored.id, code_of(stored), peer_fault=item.peer_fault)

    def _after(
        self, view: AccountView, item: Candidate, stored: Row, nodes: tuple[bytes, ...]
    ) -> None:
        header = item.record.header
        if header.kind == kinds.POST:
            view.count_post(self._place.now_ms)
        if header.kind == kinds.HOSTING and item.body is not None:
            self._hosting_changed(item.body)
        if header.kind == kinds.NODE:
            self._tx.log_account(What.NODES, 0, view.id)
        self._settle_day(view, stored, header)
        self._rejudge.arrived(view, header, stored.id)

    def _tips(self, view: AccountView, header: Header) -> frozenset[bytes] | None:
        """What the key's tips reach in the lane; None for a key that has none."""
        if not view.log.authority(header.key).limiting_tips(header.kind_class.lane):
            return None
        return self._accounts.reached(self._tx.db, view, header.key, header.kind_class.lane)

    def _over_cap(self, view: AccountView, item: Candidate) -> bool:
        header = item.record.header
        if cap_group(header) is None:
            return False
        chain = self._accounts.chain(self._tx.db, view, header)
        if chain is None or chain.size < RECORDS_PER_KEY_LANE_DAY_MAX:
            return False
        tips = self._tips(view, header)
        return caps.over(self._tx, chain.n, item.record.id, header, tips)

    def _settle_day(self, view: AccountView, stored: Row, header: Header) -> None:
        chain = self._shelf.chain(view, header)
        if chain.size <= RECORDS_PER_KEY_LANE_DAY_MAX or stored.flags & Flag.CAPPED:
            return
        standing = Standing(self._tx, view.id, True, self._place.now_ms)
        tips = self._tips(view, header)
        caps.settle(self._tx, standing, chain.n, header.created_ms, tips)

    def _hosting_changed(self, body: Body) -> None:
        """An account may have come in or gone out of what is carried: the sets look again."""
        view = self._accounts.find(self._tx.db, body["target"])
        if view is not None:
            self._tx.log_account(What.ACCOUNT, view.n, view.id)

    def _bytes_state(self, item: Candidate, flags: int, decision: Decision) -> Bytes:
        if flags & Flag.DELETED:
            return Bytes.ERASED
        if item.invalid is not None:
            return Bytes.INVALID
        refused = decision.verdict >= Verdict.WITHHOLD
        if refused or flags & Flag.CAPPED or self._edits_gone(item):
            return Bytes.DROPPED
        if item.body is not None:
            return Bytes.HERE
        return Bytes.DROPPED if flags & Flag.REVOKED else Bytes.WANTED

    def _edits_gone(self, item: Candidate) -> bool:
        """Bytes of an edit of a gone post are never stored again (R-82)."""
        header, body = item.record.header, item.body
        if header.kind != kinds.EDIT or body is None:
            return False
        view = self._accounts.find(self._tx.db, header.account)
        return view is not None and index.deleted(self._tx.db, body["target"], view.n)

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
        view = self._accounts.find(self._tx.db, header.account)
        assert view is not None, "a stored record has an account"
        nodes = hosts(self._tx.db, header.account)
        decision = self._rulings.judge(item, view, nodes, self._place.node, self._place.now_ms)
        bytes_state = self._bytes_state(item, stored.flags, decision)
        payload = item.record.payload if bytes_state is Bytes.HERE else None
        stored = self._tx.set_standing(
            stored, stored.flags, int(decision.verdict), bytes_state, payload
        )
        self._tx.want_no_more(stored.n)
        self._shelf.keep_decision(stored, decision)
        standing = Standing(self._tx, view.id, carried=True, now_ms=self._place.now_ms)
        self._tx.log(What.BYTES, stored, view.id, standing.member(stored.kind, stored.flags))
        if item.body is not None and bytes_state is Bytes.HERE:
            standing.act(stored, item.body)
            self._after(view, item, stored, nodes)
        return Outcome(stored.id, code_of(stored))


def _is_log(header: Header) -> bool:
    return header.kind_class.lane is Lane.LOG
