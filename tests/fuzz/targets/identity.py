"""Histories of one account: any order of arrival gives what the slow, obvious twin says (R-46 …).

An input steers the generators of histories, so every operation is well formed, listed keys sign
and proofs are real. Every fourth input goes through signed bytes besides.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from ratoon_protocol import keys, record
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.identity import IdentityLog
from ratoon_protocol.limits import OPERATION_CHILDREN_MAX, OPERATIONS_PENDING_MAX
from ratoon_protocol.operation import Operation, parse_operation
from tests.fuzz.target import Steered, Target, ask, vectors
from tests.protocol import naive_account
from tests.protocol.histories import NETWORK, History
from tests.protocol.signed_histories import signed
from tests.protocol.thefts import anything, check, theft

ANYTHING, THEFT, SIGNED, WIDE = range(4)


def run(data: bytes) -> None:
    """The first byte says what kind of history the others are."""
    steered = Steered(data)
    match steered.getrandbits(8) % 4:
        case kind if kind == THEFT:
            compare(_answered(steered), steered)
        case kind if kind == SIGNED:
            through_bytes(anything(steered, ops_max=6, records_max=6), steered)
        case kind if kind == WIDE:
            compare(wide(steered), steered)
        case _:
            compare(anything(steered), steered)


def _answered(steered: Steered) -> History:
    """A theft that its owner answered: what the owner made stays, what the thief made goes."""
    story = theft(steered)
    check(story, story.history.judge(story.history.arrive()))
    return story.history


def wide(steered: Steered) -> History:
    """More children of one operation than are kept, with something below each."""
    history = History()
    genesis = history.genesis(("K0", "K1", "K2"))
    for _ in range(steered.randint(1, 14)):
        signer = f"K{steered.randrange(3)}"
        below = history.op(signer, genesis, at_ms=steered.getrandbits(8))
        if steered.random() < 0.5:
            history.op(f"K{steered.randrange(3)}", below)
    return history


def compare(history: History, steered: Steered) -> None:
    """Two orders of arrival and the twin."""
    naive = naive_account.Identity(history.ops)
    expected = naive_account.statuses(history.ops, history.headers, history.deletes)
    ops, ids = list(history.ops.values()), list(history.headers)
    for order in (ops, steered.sample(ops, len(ops))):
        log = history.arrive(order)
        ask({op.id for op in log.kept} == naive.kept, "other operations kept")
        ask((log.head.id if log.head else None) == naive.head, "another head")
        ask(log.contested == naive.contested(), "contested")
        ask(history.judge(log, steered.sample(ids, len(ids))) == expected, "another status")
        bounded(log)


def bounded(log: IdentityLog) -> None:
    """What one account may make a node keep."""
    children: dict[bytes | None, int] = {}
    for op in log.kept:
        children[op.prev_op] = children.get(op.prev_op, 0) + 1
        ask(log.path(op.id)[-1] == op, "no path")
    ask(max(children.values(), default=0) <= OPERATION_CHILDREN_MAX, "too many children")
    ask(len(log.missing) <= OPERATIONS_PENDING_MAX, "too many pending")


def through_bytes(history: History, steered: Steered) -> None:
    """Signed records, some with a byte changed, in any order: those that are valid decide alone."""
    made = signed(history)
    whole = IdentityLog(made.account, NETWORK)
    whole.add_all(made.ops.values())
    log = IdentityLog(made.account, NETWORK)
    for id_ in steered.sample(list(made.ops), len(made.ops)):
        data = made.records[id_]
        if steered.random() < 0.5:
            spoilt = bytearray(data)
            spoilt[steered.getrandbits(16) % len(data)] ^= 1 + steered.getrandbits(7)
            for op in read(bytes(spoilt)):
                ask(op.account != made.account or op == made.ops[id_], "a forged operation")
        for op in read(data):
            ask(op == made.ops[id_], "another operation")
            log.add_all([op])
    log.add_all(made.ops.values())
    ask((log.head and log.head.id) == (whole.head and whole.head.id), "another head")
    ask(log.kept == whole.kept, "other operations kept")


def read(data: bytes) -> Iterator[Operation]:
    """The operation in a record's bytes, if its signature fits."""
    try:
        found = record.decode_record(data)
        message = record.signed_message(found.header_bytes)
        keys.verify(found.header.key, found.signature, message)
        if found.payload is not None:
            body = record.decode_payload(found.payload)
            yield parse_operation(found.id, found.header, body)
    except ProtocolError:
        return


def seeds() -> Iterator[bytes]:
    """Long inputs of each kind; the vectors' cases are histories of the same generators."""
    random = Random(len(vectors("identity")["valid"]))
    for kind in range(4):
        yield from (bytes([kind]) + random.randbytes(size) for size in (0, 24, 120, 400, 700))


TARGET = Target("identity", run, seeds, bytes_max=800)
