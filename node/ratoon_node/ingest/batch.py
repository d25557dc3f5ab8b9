"""One batch in one transaction: in which order, and a second look at what came too early."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ratoon_node.fanout import Committed
from ratoon_node.ingest.accounts import Accounts
from ratoon_node.ingest.judge import Judge, Place
from ratoon_node.ingest.rulings import Rulings
from ratoon_node.ingest.submission import Candidate, Outcome
from ratoon_node.policy.engine import Policy
from ratoon_node.store import index, read
from ratoon_node.store.write import Tx
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code, ProtocolError
from ratoon_protocol.record import Record

# Looks at one batch: hosting, then identity, then the rest is three deep, and one to spare.
PASSES_MAX = 4
#: Refusals that another item of the same batch may cure.
_EARLY = frozenset(
    {Code.NOT_HOSTED, Code.UNKNOWN_ACCOUNT, Code.UNKNOWN_KEY, Code.PENDING, Code.NOT_HOME}
)
#: What others depend on goes first.
_FIRST = {kinds.HOSTING: 0, kinds.NODE: 0, kinds.IDENTITY: 1}

Answer = Outcome | ProtocolError


class Applied(NamedTuple):
    """What a committed batch did."""

    outcomes: list[Outcome]
    committed: Committed
    postponed: set[bytes]
    erased: bool


def apply(
    db: sqlite3.Connection,
    items: Sequence[Candidate | Outcome],
    known: frozenset[bytes],
    accounts: Accounts,
    policy: Policy,
    place: Place,
) -> Applied:
    """Judge and store a batch inside the transaction that `db` is in.

    `known`: ids whose signatures were not checked, because their headers were here then.
    """
    tx = Tx(db)
    candidates = {at: item for at, item in enumerate(items) if type(item) is Candidate}
    ids = [item.record.id for item in candidates.values()]
    here = set(read.known(db, ids))
    tx.named |= index.named_among(db, ids)
    judge = Judge(tx, accounts, Rulings(tx, accounts, policy), place, here, known)
    answers: dict[int, Answer] = {}
    waiting = sorted(candidates, key=lambda at: _FIRST.get(candidates[at].record.header.kind, 2))
    for _ in range(PASSES_MAX):
        early: list[int] = []
        for at, answer in _look(judge, candidates, waiting):
            answers[at] = answer
            if isinstance(answer, ProtocolError) and answer.code in _EARLY:
                early.append(at)
        if not early or len(early) == len(waiting):
            break
        waiting = early
    judge.finish()
    outcomes = [
        item if isinstance(item, Outcome) else _outcome(item, answers[at])
        for at, item in enumerate(items)
    ]
    records = _fresh(candidates.values(), outcomes)
    return Applied(outcomes, Committed(tuple(tx.changes), records), judge.postponed, tx.erased)


def _look(
    judge: Judge, candidates: dict[int, Candidate], waiting: Sequence[int]
) -> list[tuple[int, Answer]]:
    """An answer for each item; readable identity operations of one account go as one."""
    found: list[tuple[int, Answer]] = []
    paths: dict[bytes, list[int]] = {}
    for at in waiting:
        item = candidates[at]
        if item.record.header.kind == kinds.IDENTITY and item.body is not None:
            paths.setdefault(item.record.header.account, []).append(at)
    for at in waiting:
        header = candidates[at].record.header
        if header.kind == kinds.IDENTITY and candidates[at].body is not None:
            path = paths.pop(header.account, [])
            if path:
                answers = judge.admit_operations([candidates[one] for one in path])
                found.extend(zip(path, answers, strict=True))
            continue
        try:
            found.append((at, judge.admit(candidates[at])))
        except ProtocolError as error:
            found.append((at, error))
    return found


def _outcome(item: Candidate, answer: Answer) -> Outcome:
    if isinstance(answer, Outcome):
        return answer
    return Outcome(item.record.id, answer.code, answer.detail, item.peer_fault)


def _fresh(candidates: Iterable[Candidate], outcomes: Sequence[Outcome]) -> dict[bytes, Record]:
    """The records of this batch whose bytes are kept and may be passed on; of one that came more
    than once the one that brought them.
    """
    stored = {outcome.id for outcome in outcomes if outcome.code is Code.STORED}
    return {
        item.record.id: item.record
        for item in candidates
        if item.record.id in stored and item.record.payload is not None
    }
