"""Identity operations inside the gate's transaction: the log grows, the head may move (R-46)."""

from __future__ import annotations

from collections.abc import Sequence

from ratoon_node.ingest.accounts import Accounts, AccountView, load_log
from ratoon_node.ingest.rejudge import Rejudge
from ratoon_node.ingest.shelf import Shelf
from ratoon_node.ingest.submission import Candidate, Outcome
from ratoon_node.store.rows import ID_IS, Bytes
from ratoon_node.store.write import Tx
from ratoon_protocol.errors import Code, ProtocolError, RecordError
from ratoon_protocol.identity import Added, Change, IdentityLog, Operation, parse_operation

Answers = dict[bytes, "Outcome | ProtocolError"]


class Operations:
    """Takes operations of one account at a time, as many as came together."""

    def __init__(
        self, tx: Tx, accounts: Accounts, shelf: Shelf, rejudge: Rejudge, network: bytes
    ) -> None:
        self._tx = tx
        self._accounts = accounts
        self._shelf = shelf
        self._rejudge = rejudge
        self._network = network

    def admit(self, items: Sequence[Candidate]) -> Answers:
        """Judge fresh operations of one account together: an answer for each id.

        An operation that breaks a rule is refused and not kept: what it builds on may be cut
        off later, and then nobody could tell why it was here.
        """
        account = items[0].record.header.account
        view = self._accounts.find(self._tx, account)
        whole = view is None or view.whole
        if view is not None and not whole:  # what builds on a damaged one waits in the store
            view.log = load_log(self._tx.db, account, view.n, self._network)
        log = view.log if view else IdentityLog(account, self._network)
        answers: Answers = {}
        operations: dict[bytes, tuple[Operation, Candidate]] = {}
        for item in items:
            assert item.body is not None, "only operations with a body come here"
            try:
                found = parse_operation(item.record.id, item.record.header, item.body)
            except ProtocolError as error:
                answers[item.record.id] = error
            else:
                operations[found.id] = found, item
        before = self._rejudge.authorities(view) if view and whole else {}
        change = log.add_all([operation for operation, _ in operations.values()])
        if view is None and log.head is not None:
            view = self._new_account(account, log)
        for id_, (_, item) in operations.items():
            answers[id_] = self._answer(view, item, change)
        if view is not None:
            self._follow(view, change, before)
        log.drop_pending()  # not kept here, and anybody can make them
        return answers

    def _new_account(self, account: bytes, log: IdentityLog) -> AccountView:
        number = self._tx.add_account(account, self._rejudge.now_ms)
        view = AccountView(account, number, self._rejudge.now_ms, None, False, log)
        self._accounts.put(view)
        return view

    def _answer(
        self, view: AccountView | None, item: Candidate, change: Change
    ) -> Outcome | ProtocolError:
        id_ = item.record.id
        added = change.added[id_]
        if added is Added.INVALID:
            return change.reasons[id_]
        if view is None or added is Added.PENDING:
            return RecordError(Code.PENDING, "its path is not here")
        if added is Added.CUT:
            return RecordError(Code.DROPPED, "better operations on the same one are here")
        self._shelf.put(view, item.record, item.body, 0, None, Bytes.HERE)
        return Outcome(id_, Code.STORED)

    def _follow(self, view: AccountView, change: Change, before: dict[bytes, object]) -> None:
        """Make the store follow a grown log: rows cut off, the head, what keys may do."""
        for id_ in change.dropped:
            for stored in self._tx.rows(ID_IS, id_):
                self._tx.remove_record(stored, view.id)
                view.chains.clear()
        head = view.log.head
        if head is None:
            return
        if change.head_moved:
            view.vanished_ms = self._rejudge.now_ms if head.vanish else None
            view.head = head.id
            self._tx.set_head(view.n, head.id, view.vanished_ms, view.vanish_final)
            self._tx.set_account_keys(view.n, [(row.key, row.rank) for row in head.keys])
        if change.tree_changed:
            self._rejudge.after_operation(view, before)
