"""Identity operations: their shape, their proofs, their place, and the log that keeps them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from ratoon_protocol import identity, kinds
from ratoon_protocol.errors import Code, IdentityError, ProtocolError, UsageError
from ratoon_protocol.identity import (
    AccountKey,
    Added,
    Authority,
    Form,
    IdentityLog,
    Operation,
    parse_operation,
)
from ratoon_protocol.kinds import Capability, Lane
from ratoon_protocol.limits import OPERATION_DEPTH_MAX, OPERATIONS_PENDING_MAX
from ratoon_protocol.record import Body, Header, account_id
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
    public,
    signing_key,
)

RETIRED, STOLEN = Form.RETIRED, Form.STOLEN


# --- the shape of one operation ------------------------------------------------------------
def body_of(**change: Any) -> Body:
    bare: Body = {
        "devices": [list(device("D1"))],
        "handles": ["ann@example.org"],
        "homes": [digest("home")],
        "keys": [list(account_key("K0", 0)), list(account_key("K1", 1))],
        "prev_op": digest("before"),
        "revoked": [[public("D2"), 1, DAY0_MS]],
        "tips": [[public("D2"), 2, 5, digest("tip")]],
    }
    return {name: value for name, value in (bare | change).items() if value is not ...}


def header_of(signer: str = "K0", account: bytes = ACCOUNT, kind: int = kinds.IDENTITY) -> Header:
    return Header(
        0, NETWORK, kind, account, public(signer), 1, None, DAY0_MS, None, 64, digest("payload")
    )


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


def devices(**change: Any) -> list[list[Any]]:
    return [list(device("D1")._replace(**change))]


KEYS = [list(account_key(f"K{rank}", rank)) for rank in range(8)]
ROW = list(account_key("K0", 0))
TIP = [public("D2"), 2, 5, digest("tip")]
REVOKED = [public("D2"), 1, DAY0_MS]

SHAPES: list[tuple[dict[str, Any], Code]] = [
    *(({name: ...}, Code.BAD_BODY) for name in body_of()),
    *(({name: 7}, Code.BAD_TYPE) for name in body_of()),
    ({"prev_op": bytes(31)}, Code.BAD_LENGTH),
    ({"vanish": 0}, Code.BAD_BODY),
    ({"vanish": None}, Code.BAD_BODY),
    ({"keys": [7]}, Code.BAD_TYPE),
    ({"keys": [ROW[:2]]}, Code.BAD_LENGTH),
    ({"keys": [["0", *ROW[1:]]]}, Code.BAD_TYPE),
    ({"keys": [[8, *ROW[1:]]]}, Code.OUT_OF_RANGE),
    ({"keys": [[0, "key", ROW[2]]]}, Code.BAD_TYPE),
    ({"keys": [[0, bytes(31), ROW[2]]]}, Code.BAD_LENGTH),
    ({"keys": [[0, ROW[1], bytes(63)]]}, Code.BAD_LENGTH),
    ({"keys": [*KEYS, KEYS[0]]}, Code.TOO_MANY),
    ({"keys": []}, Code.BAD_OPERATION),
    ({"keys": KEYS[1:]}, Code.BAD_OPERATION),
    ({"keys": [KEYS[0], list(account_key("K1", 0))]}, Code.BAD_OPERATION),
    ({"keys": [KEYS[0], list(account_key("K0", 1))]}, Code.BAD_OPERATION),
    ({"keys": [KEYS[0], list(account_key("D1", 1))]}, Code.BAD_OPERATION),
    ({"keys": [KEYS[0], list(account_key("D2", 1))]}, Code.BAD_OPERATION),
    ({"devices": devices() * 33}, Code.TOO_MANY),
    ({"devices": devices() * 2}, Code.BAD_OPERATION),
    ({"devices": devices(key=public("D2"))}, Code.BAD_OPERATION),
    ({"devices": devices(capabilities=1 << Capability.ACCOUNT)}, Code.OUT_OF_RANGE),
    ({"devices": devices(capabilities=1 << Capability.NONE)}, Code.OUT_OF_RANGE),
    ({"devices": devices(held_by=bytes(31))}, Code.BAD_LENGTH),
    ({"devices": devices(held_by=bytes(32))}, Code.OUT_OF_RANGE),  # may do more than write
    ({"homes": [bytes(33)]}, Code.BAD_LENGTH),
    ({"homes": [digest(number) for number in range(9)]}, Code.TOO_MANY),
    ({"homes": [bytes(32)] * 2}, Code.BAD_OPERATION),
    ({"handles": [b"ann@example.org"]}, Code.BAD_TYPE),
    ({"handles": ["a" * 320 + "@b"]}, Code.TOO_LONG),
    ({"handles": ["ann"]}, Code.BAD_TEXT),
    ({"handles": ["Ann@example.org"]}, Code.BAD_TEXT),
    ({"handles": ["ann@example.org"] * 2}, Code.BAD_OPERATION),
    ({"revoked": [REVOKED[:2]]}, Code.BAD_LENGTH),
    ({"revoked": [[public("D2"), 2, 0]]}, Code.OUT_OF_RANGE),
    ({"revoked": [[public("D2"), 0, None]]}, Code.BAD_TYPE),
    ({"revoked": [REVOKED, REVOKED]}, Code.BAD_OPERATION),
    ({"revoked": [[public("D1"), 0, 0], REVOKED]}, Code.BAD_OPERATION),  # listed too
    ({"revoked": []}, Code.BAD_OPERATION),  # the tip's key is not revoked
    ({"tips": [[*TIP[:1], 4, *TIP[2:]]]}, Code.OUT_OF_RANGE),
    ({"tips": [[*TIP[:2], 0, TIP[3]]]}, Code.OUT_OF_RANGE),
    ({"tips": [TIP, TIP]}, Code.BAD_OPERATION),
    ({"tips": [[*TIP[:3], digest(number)] for number in range(17)]}, Code.TOO_MANY),
]


@pytest.mark.parametrize(("change", "code"), SHAPES)
def test_a_shape_that_does_not_fit(change: dict[str, Any], code: Code) -> None:
    with pytest.raises(ProtocolError) as error:
        parsed(**change)
    assert error.value.code is code


def test_what_is_just_within_the_limits() -> None:
    assert len(parsed(keys=KEYS).keys) == 8
    held = parsed(devices=devices(capabilities=WRITE, held_by=bytes(32)))
    assert held.devices[0].held_by == bytes(32)
    tips = [[*TIP[:3], digest(number)] for number in range(16)]
    assert len(parsed(tips=tips).tips) == 16


def test_only_an_identity_record_holds_an_operation() -> None:
    with pytest.raises(IdentityError):
        parsed(header_of(kind=kinds.POST))


# --- the place of an operation -------------------------------------------------------------
Build = Callable[[History, Operation], Operation]

INVALID: dict[str, Build] = {
    "signed by a device": lambda h, g: h.op("D1", g),
    "signed by a stranger": lambda h, g: h.op("T", g, add_keys={"T": 3}),
    "a lower key changes a better one": lambda h, g: h.op(
        "K2", g, revoke={"K1": (RETIRED, [])}, add_keys={"T": 1}
    ),
    "a lower key replaces itself": lambda h, g: h.op("K1", g, revoke={"K1": (RETIRED, [])}),
    "a lower key adds one above itself": lambda h, g: h.op(
        "K2", h.op("K0", g, revoke={"K1": (RETIRED, [])}), add_keys={"T": 1}
    ),
    "a key drops out": lambda h, g: g._replace(
        id=digest("x"), prev_op=g.id, devices=(), signer=public("K0")
    ),
    "an account key drops out": lambda h, g: g._replace(
        id=digest("x"), prev_op=g.id, keys=g.keys[:2], signer=public("K0")
    ),
    "builds on a vanish": lambda h, g: h.op("K0", h.op("K1", g, vanish=True)),
    "capabilities change": lambda h, g: g._replace(
        id=digest("x"), prev_op=g.id, devices=(device("D1", WRITE),), signer=public("K0")
    ),
    "capabilities change after a revocation": lambda h, g: h.op(
        "K0", h.op("K1", g, revoke={"D1": (RETIRED, [])}), add=[device("D1", WRITE)]
    ),
    "a device becomes an account key": lambda h, g: h.op(
        "K0", g._replace(devices=()), add_keys={"D1": 3}
    ),
    "an account key becomes a device": lambda h, g: h.op(
        "K0", h.op("K1", g, revoke={"K2": (RETIRED, [])}), add=["K2"]
    ),
    "the same rank lists again": lambda h, g: h.op(
        "K0", h.op("K0", g, revoke={"D1": (STOLEN, [])}), add=["D1"]
    ),
    "a worse rank revokes more": lambda h, g: h.op(
        "K2", h.op("K1", g, revoke={"D1": (RETIRED, [])}), revoke={"D1": (STOLEN, [])}
    ),
}


def three_keys() -> tuple[History, Operation]:
    history = History()
    return history, history.genesis(("K0", "K1", "K2"))


@pytest.mark.parametrize("name", INVALID)
def test_an_operation_that_its_place_forbids(name: str) -> None:
    history, genesis = three_keys()
    op = INVALID[name](history, genesis)
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


VALID: dict[str, Build] = {
    "paper replaces itself": lambda h, g: h.op(
        "K0", g, revoke={"K0": (RETIRED, [])}, add_keys={"K9": 0}
    ),
    "paper moves a key": lambda h, g: h.op(
        "K0", g, revoke={"K2": (RETIRED, [])}, add_keys={"K3": 2}
    ),
    "a key adds one below itself": lambda h, g: h.op("K1", g, add_keys={"K3": 3}),
    "the lowest key vanishes the account": lambda h, g: h.op("K2", g, vanish=True),
    "the same rank revokes more": lambda h, g: h.op(
        "K1", h.op("K1", g, revoke={"D1": (RETIRED, [])}), revoke={"D1": (STOLEN, [])}
    ),
    "a better rank lists again": lambda h, g: h.op(
        "K1", h.op("K2", g, revoke={"D1": (RETIRED, [])}), add=["D1"]
    ),
    "names a key that was never listed": lambda h, g: h.op("K2", g, revoke={"D7": (STOLEN, [])}),
}


@pytest.mark.parametrize("name", VALID)
def test_an_operation_that_its_place_allows(name: str) -> None:
    history, genesis = three_keys()
    op = VALID[name](history, genesis)
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
def other_anchor(row: AccountKey) -> AccountKey:
    statement = identity.account_key_statement(NETWORK, public("T"), row.rank, row.key)
    return row._replace(proof=signing_key("K0").sign(statement))


@pytest.mark.parametrize(
    "change",
    [
        {"keys": (account_key("K0", 0)._replace(proof=bytes(64)),)},
        {"keys": (other_anchor(account_key("K0", 0)),)},
        {"keys": (account_key("K0", 0), account_key("K1", 1)._replace(rank=2))},
        {"keys": (account_key("K0", 0), AccountKey(1, bytes(32), bytes(64)))},
        {"devices": (device("D1")._replace(capabilities=WRITE),)},
        {"devices": (device("D1")._replace(agreement=bytes(32)),)},
        {"devices": (device("D1", WRITE)._replace(held_by=bytes(32)),)},
    ],
)
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
