"""Identity operations: their shape, their proofs, their place, and the log that keeps them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ratoon_protocol import kinds
from ratoon_protocol.bodies import check_body
from ratoon_protocol.errors import Code, IdentityError, ProtocolError, UsageError
from ratoon_protocol.identity import (
    Added,
    Authority,
    Form,
    IdentityLog,
    Operation,
    parse_operation,
)
from ratoon_protocol.keys import verify
from ratoon_protocol.kinds import Capability, Lane
from ratoon_protocol.limits import OPERATION_DEPTH_MAX, OPERATIONS_PENDING_MAX
from ratoon_protocol.record import (
    Body,
    Header,
    Record,
    account_id,
    decode_payload,
    decode_record,
    signed_message,
)
from ratoon_protocol.status import judge
from tests.protocol import vectors_identity
from tests.protocol.histories import (
    ACCOUNT,
    DAY0_MS,
    EVERYTHING,
    NETWORK,
    WRITE,
    History,
    account_key,
    device,
    digest,
    orders,
    public,
)
from tests.protocol.vectors_identity import (
    ALLOWED,
    FORBIDDEN,
    KEYS,
    SHAPES,
    TIP,
    UNPROVEN,
    body_of,
    device_rows,
    header_of,
    three_keys,
)

RETIRED, STOLEN = Form.RETIRED, Form.STOLEN


# --- the shape of one operation ------------------------------------------------------------
def parsed(header: Header | None = None, **change: Any) -> Operation:
    return parse_operation(digest("op"), header or header_of(), body_of(**change))


def test_an_operation_states_the_whole() -> None:
    op = parsed(more=1, vanish=1, keys=body_of()["keys"][::-1])
    assert op.keys == (account_key("K0", 0), account_key("K1", 1))
    assert op.devices == (device("D1"),)
    assert (op.homes, op.handles) == ((digest("home"),), ("ann@example.org",))
    assert op.revoked == ((public("D2"), STOLEN, DAY0_MS),)
    assert op.tips == ((public("D2"), Lane.PUBLIC, 5, digest("tip")),)
    assert (op.id, op.account, op.signer) == (digest("op"), ACCOUNT, public("K0"))
    assert (op.created_ms, op.prev_op, op.vanish) == (DAY0_MS, digest("before"), True)


def test_a_genesis_names_the_account_and_is_signed_by_its_first_key() -> None:
    account = account_id(NETWORK, digest("payload"))
    assert parsed(header_of(account=account), prev_op=None).prev_op is None
    for header in (header_of(), header_of("K1", account)):
        with pytest.raises(IdentityError) as error:
            parsed(header, prev_op=None)
        assert error.value.code is Code.BAD_OPERATION


@pytest.mark.parametrize(("change", "code"), SHAPES)
def test_a_shape_that_does_not_fit(change: dict[str, Any], code: Code) -> None:
    with pytest.raises(ProtocolError) as error:
        parsed(**change)
    assert error.value.code is code


def test_what_is_just_within_the_limits() -> None:
    assert len(parsed(keys=KEYS).keys) == 8
    held = parsed(devices=device_rows(capabilities=WRITE, held_by=bytes(32)))
    assert held.devices[0].held_by == bytes(32)
    tips = [[*TIP[:3], digest(number)] for number in range(16)]
    assert len(parsed(tips=tips).tips) == 16


def test_only_an_identity_record_holds_an_operation() -> None:
    with pytest.raises(IdentityError):
        parsed(header_of(kind=kinds.POST))


# --- the place of an operation -------------------------------------------------------------
@pytest.mark.parametrize("name", FORBIDDEN)
def test_an_operation_that_its_place_forbids(name: str) -> None:
    history, genesis = three_keys()
    op = FORBIDDEN[name](history, genesis)
    log = IdentityLog(ACCOUNT, NETWORK)
    before = [one for one in history.ops.values() if one.id != op.id]
    assert Added.INVALID not in log.add_all(before).added.values()
    child = op._replace(id=digest("child"), prev_op=op.id)
    change = log.add_all([child, op])
    assert change.added == {op.id: Added.INVALID, child.id: Added.INVALID}
    assert {error.code for error in change.reasons.values()} == {Code.BAD_OPERATION}
    assert not change.tree_changed
    assert not log.holds(op.id)
    assert not log.missing


@pytest.mark.parametrize("name", ALLOWED)
def test_an_operation_that_its_place_allows(name: str) -> None:
    history, genesis = three_keys()
    op = ALLOWED[name](history, genesis)
    log = history.arrive()
    assert log.head == op
    assert log.path(op.id)[0] == genesis
    assert log.state[:4] == (op.keys, op.devices, op.homes, op.handles)
    assert log.vanished is op.vanish


def test_the_same_words_twice_are_one_and_a_rank_has_sixteen() -> None:
    history, op = three_keys()
    for number in range(20):
        op = history.op("K1", op, revoke={"D1": (RETIRED, [])}, at_ms=DAY0_MS - number // 2)
    log = history.arrive()
    assert len(log.authority(public("D1")).marks) == 10
    for number in range(6):
        op = history.op("K1", op, revoke={"D1": (STOLEN, [])}, at_ms=number)
    assert history.arrive().head == op
    history.op("K1", op, revoke={"D1": (RETIRED, [])}, at_ms=1)
    assert history.arrive().head == op


# --- proofs --------------------------------------------------------------------------------
@pytest.mark.parametrize("change", UNPROVEN.values(), ids=UNPROVEN)
def test_every_listed_key_proves_that_it_agrees(change: dict) -> None:
    genesis = History().genesis()._replace(**change)
    log = IdentityLog(ACCOUNT, NETWORK)
    change_ = log.add_all([genesis])
    assert change_.reasons[genesis.id].code is Code.BAD_PROOF
    assert log.head is None
    assert log.kept == ()
    assert log.add(History().genesis()) is Added.HEAD


def test_rows_that_stand_and_rows_of_the_own_store_are_not_proven_again() -> None:
    history = History()
    genesis = history.genesis()
    forged = genesis._replace(devices=(device("D1")._replace(proof=bytes(64)),))
    log = IdentityLog(ACCOUNT, NETWORK)
    log.add_all([forged], proven=True)
    assert log.head == forged
    assert log.add(history.op("K1", forged)) is Added.HEAD


# --- the log -------------------------------------------------------------------------------
def test_an_empty_log() -> None:
    log = IdentityLog(ACCOUNT, NETWORK)
    assert (log.head, log.kept, log.missing, log.named_keys()) == (None, (), (), ())
    assert not log.contested
    assert not log.vanished
    assert log.authority(public("K0")) == Authority(known=False)
    assert not log.holds(b"")
    for ask in (lambda: log.state, lambda: log.path(b"")):
        with pytest.raises(UsageError):
            ask()
    with pytest.raises(UsageError):
        log.add(History(account=digest("another")).genesis())


def test_what_the_caller_learns_of_each_operation() -> None:
    history = History()
    genesis = history.genesis()
    child = history.op("K1", genesis)
    head = history.op("K0", genesis)
    log = IdentityLog(ACCOUNT, NETWORK)
    assert log.add(head) is Added.PENDING
    assert log.add(head) is Added.PENDING
    assert log.missing == (genesis.id,)
    assert log.add_all([genesis]).added == {genesis.id: Added.HEAD, head.id: Added.HEAD}
    assert log.add(child) is Added.BRANCH
    assert log.add(child) is Added.KNOWN
    assert log.path(head.id) == (genesis, head)
    assert set(log.named_keys()) == {public(name) for name in ("K0", "K1", "D1")}


def test_two_holders_of_one_key_are_a_draw_until_paper_speaks() -> None:
    history = History()
    genesis = history.genesis()
    one, two = (history.op("K1", genesis, add=[name]) for name in ("D2", "D3"))
    log = history.arrive()
    assert log.head == min(one, two, key=lambda op: op.id)
    assert log.contested
    loser = max(one, two, key=lambda op: op.id)
    paper = history.op("K0", loser, revoke={"K1": (STOLEN, [])})
    log = history.arrive()
    assert log.head == paper
    assert not log.contested


def test_authority_of_keys_in_use_removed_and_lost() -> None:
    history = History()
    genesis = history.genesis(devices=["D1", "D2", "D3"])
    history.op("K1", genesis, add=["TD"])
    post = history.record("D2")
    history.op(
        "K0", genesis, revoke={"D2": (STOLEN, [post]), "D3": (RETIRED, [])}, at_ms=DAY0_MS + 9
    )
    log = history.arrive()
    assert log.authority(public("K1")) == Authority(True, 1 << Capability.ACCOUNT, 1)
    assert log.authority(public("D1")) == Authority(True, EVERYTHING)
    assert log.authority(public("TD")) == Authority(True, lost=True)
    stolen, retired = (log.authority(public(name)) for name in ("D2", "D3"))
    assert stolen.stolen
    assert stolen.retired_at_ms is None
    assert [[tip.id for tip in tips] for tips in stolen.limiting_tips(Lane.PUBLIC)] == [[post]]
    assert stolen.limiting_tips(Lane.STATE) == ((),)
    assert not retired.stolen
    assert retired.retired_at_ms == DAY0_MS + 9
    assert retired.limiting_tips(Lane.PUBLIC) == ()
    assert retired.limiting_tips(Lane.LOG) == ((),)
    assert log.state.revoked.keys() == {public("D2"), public("D3")}
    assert log.authority(public("D2")) is stolen


def test_a_second_genesis_record_of_one_payload_is_a_fork_like_any_other() -> None:
    history = History()
    genesis = history.genesis()
    twin = genesis._replace(id=digest("twin"))
    log = IdentityLog(ACCOUNT, NETWORK)
    log.add_all([genesis, twin])
    first, second = sorted([genesis, twin], key=lambda op: op.id)
    assert log.head == first
    assert log.contested
    assert log.add(history.op("K0", second)) is Added.BRANCH
    assert log.add(history.op("K0", history.op("K1", first))) is Added.PENDING


def test_pending_operations_are_few_and_strangers_do_not_crowd_them_out() -> None:
    history = History()
    genesis = history.genesis()
    log = IdentityLog(ACCOUNT, NETWORK)
    log.add(genesis)
    unknown = genesis._replace(id=digest("unknown"))
    mine = history.op("K1", unknown, op_id=b"\xff" * 32)
    log.add(mine)
    for number in range(OPERATIONS_PENDING_MAX + 9):
        log.add(mine._replace(id=digest(number), signer=public("T"), prev_op=digest(-number - 1)))
    assert len(log.missing) == OPERATIONS_PENDING_MAX
    assert unknown.id in log.missing


def long_path(count: int) -> list[Operation]:
    ops = [History().genesis()]
    while len(ops) < count:
        number = len(ops)
        ops.append(
            ops[-1]._replace(
                id=digest(number),
                prev_op=ops[-1].id,
                signer=public("K0" if number % 1000 == 999 else "K1"),
            )
        )
    return ops


def test_a_path_has_4096_operations_and_no_more() -> None:
    ops = long_path(OPERATION_DEPTH_MAX + 1)
    log = IdentityLog(ACCOUNT, NETWORK)
    for op in ops[:-1]:
        assert log.add(op) is Added.HEAD
    assert log.add(ops[-1]) is Added.INVALID
    shuffled = random.Random(1).sample(ops, len(ops))
    other = IdentityLog(ACCOUNT, NETWORK)
    assert other.add_all(shuffled).added[ops[-1].id] is Added.INVALID
    assert other.head == log.head
    assert len(other.path(ops[-2].id)) == OPERATION_DEPTH_MAX
    assert not other.contested


def test_a_cut_subtree_is_forgotten_whole() -> None:
    history = History()
    genesis = history.genesis(("K0", "K1", "K2"))
    low = history.op("K2", genesis, add=["D5"])
    below = history.op("K2", low, add=["D6"])
    log = IdentityLog(ACCOUNT, NETWORK)
    log.add_all([genesis, low, below])
    assert log.authority(public("D6")).known
    change = log.add_all([history.op("K1", genesis) for _ in range(8)])
    assert set(change.dropped) == {low.id, below.id}
    assert not log.authority(public("D6")).known
    assert not log.authority(public("D5")).known
    nine = [history.op("K2", low) for _ in range(9)]
    assert set(log.add_all([low, *nine]).added.values()) == {Added.CUT}
    assert log.add_all([below, low]).added == {below.id: Added.CUT, low.id: Added.CUT}


def test_a_key_that_only_other_branches_listed_may_do_what_they_said() -> None:
    history = History()
    genesis = history.genesis()
    for capabilities in (WRITE, EVERYTHING, WRITE):
        history.op("K1", genesis, add=[device("E", capabilities)])
    history.op("K0", genesis, revoke={"E": (RETIRED, [])})
    for order in orders(history, random.Random(1)):
        assert history.arrive(order).authority(public("E")).capabilities == EVERYTHING


# --- the vectors ---------------------------------------------------------------------------
DOCUMENT = vectors_identity.identity()
STATUSES = vectors_identity.status()


def read(record: str) -> tuple[Record, Body]:
    """A record of a vector, through every check that a node makes before the identity log."""
    found = decode_record(bytes.fromhex(record))
    verify(found.header.key, found.signature, signed_message(found.header_bytes))
    assert found.payload is not None
    return found, decode_payload(found.payload)


def operations(records: list[str]) -> list[Operation]:
    found = [read(record) for record in records]
    return [
        parse_operation(record.id, record.header, body)
        for record, body in found
        if record.header.kind == kinds.IDENTITY
    ]


def offer(log: IdentityLog, op: Operation) -> None:
    """Raises what is wrong with it."""
    reasons = log.add_all([op]).reasons
    if op.id in reasons:
        raise reasons[op.id]


@pytest.mark.parametrize("case", DOCUMENT["valid"], ids=lambda case: case["name"])
def test_valid_vectors(case: dict[str, Any]) -> None:
    log = IdentityLog(bytes.fromhex(case["account"]), NETWORK)
    log.add_all(operations(case["records"]))
    assert sorted(op.id.hex() for op in log.kept) == case["kept"]
    assert (log.head.id.hex() if log.head else None) == case["head"]
    assert log.contested == case["contested"]


@pytest.mark.parametrize("case", DOCUMENT["invalid"], ids=lambda case: case["name"])
def test_invalid_vectors(case: dict[str, Any]) -> None:
    log = IdentityLog(bytes.fromhex(case["account"]), NETWORK)
    log.add_all(operations(case["before"]))
    record, body = read(case["record"])
    with pytest.raises(ProtocolError) as error:
        offer(log, parse_operation(record.id, record.header, body))
    assert error.value.code == case["expect"]


@pytest.mark.parametrize("case", STATUSES["valid"], ids=lambda case: case["name"])
def test_status_vectors(case: dict[str, Any]) -> None:
    log = IdentityLog(bytes.fromhex(case["account"]), NETWORK)
    log.add_all(operations(case["records"]))
    held = [read(record) for record in case["records"]]
    for record, body in held:
        check_body(record.header, body)
    found = judge(
        log,
        {record.id: record.header for record, _ in held},
        {record.id: body["ids"] for record, body in held if record.header.kind == kinds.DELETE},
    )
    assert {one.hex(): word.name.lower() for one, word in found.items()} == case["status"]
