"""Status: equal to the naive twin, whatever the order; and each piece that stores use by itself."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratoon_protocol import identity, kinds, status
from ratoon_protocol.errors import UsageError
from ratoon_protocol.identity import Form, Tip
from ratoon_protocol.kinds import Lane
from ratoon_protocol.status import CapGroup, Status, Walk
from tests.protocol import naive_account
from tests.protocol.histories import (
    ACCOUNT,
    DAY0_MS,
    WRITE,
    History,
    device,
    digest,
    public,
)
from tests.protocol.thefts import anything, search

RETIRED, STOLEN = Form.RETIRED, Form.STOLEN


@pytest.fixture(params=["real", "small"])
def limits(request, monkeypatch):
    """The limits as they are, and so small that random histories meet them."""
    if request.param == "small":
        for module in (identity, naive_account):
            monkeypatch.setattr(module, "OPERATION_CHILDREN_MAX", 2)
            monkeypatch.setattr(module, "OPERATION_DEPTH_MAX", 5)
        monkeypatch.setattr(naive_account, "REVOCATION_MARKS_MAX", 2)
        monkeypatch.setattr("ratoon_protocol.revocation.REVOCATION_MARKS_MAX", 2)
        for module in (status, naive_account):
            monkeypatch.setattr(module, "RECORDS_PER_KEY_LANE_DAY_MAX", 2)


def compare(history: History, random: Random) -> None:
    naive = naive_account.Identity(history.ops)
    found = naive_account.statuses(history.ops, history.headers, history.deletes)
    ops, ids = list(history.ops.values()), list(history.headers)
    for order in (ops, random.sample(ops, len(ops))):
        log = history.arrive(order)
        assert {op.id for op in log.kept} == naive.kept
        assert (log.head.id if log.head else None) == naive.head
        assert log.contested == naive.contested()
        assert history.judge(log, random.sample(ids, len(ids))) == found


@pytest.mark.parametrize("part", range(10))
def test_the_naive_twin_agrees(part: int, limits: None) -> None:
    for seed in range(part * 50, part * 50 + 50):
        random = Random(seed)
        compare(anything(random), random)


@settings(max_examples=150)
@given(st.randoms(use_true_random=False))
def test_the_naive_twin_agrees_on_what_hypothesis_finds(random: Random) -> None:
    compare(anything(random), random)


@pytest.mark.parametrize("part", range(10))
def test_no_theft_that_is_answered_leaves_a_trace(part: int) -> None:
    assert len(list(search(part * 200, 200))) == 200


# --- the walk ------------------------------------------------------------------------------
def tip(history: History, record_id: bytes) -> Tip:
    header = history.headers[record_id]
    return Tip(header.key, header.kind_class.lane, header.seq, record_id)


@pytest.mark.parametrize("seed", range(50))
def test_a_walk_that_headers_arrive_to_ends_like_one_over_all_of_them(seed: int) -> None:
    random = Random(seed)
    history = anything(random, ops_max=0, records_max=40)
    ids = list(history.headers)
    tips = [tip(history, one) for one in random.sample(ids, min(4, len(ids)))]
    whole = Walk(ACCOUNT, tips, history.headers.get)
    held: dict[bytes, object] = {}
    grown = Walk(ACCOUNT, tips, held.get)  # type: ignore[arg-type]
    for one in random.sample(ids, len(ids)):
        held[one] = history.headers[one]
        before = set(grown.reached)
        assert grown.arrived(one) == grown.reached - before
    assert grown.reached == whole.reached
    assert grown.missing == whole.missing
    assert not whole.missing & history.headers.keys()


@pytest.mark.parametrize(
    "change",
    [
        {"account": digest("another")},
        {"key": public("D2")},
        {"kind": kinds.PROFILE, "slot": bytes(16)},
        {"seq": 3},
        {"created_ms": DAY0_MS + 1},
    ],
)
def test_a_link_that_does_not_fit_ends_the_walk(change: dict) -> None:
    history = History()
    first, second = history.chain("D1", 2)
    tips = [tip(history, second)]
    assert Walk(ACCOUNT, tips, history.headers.get).reached == {first, second}
    history.headers[first] = history.headers[first]._replace(**change)
    walk = Walk(ACCOUNT, tips, history.headers.get)
    assert walk.reached == {second}
    assert not walk.missing


def test_a_tip_that_names_another_seq_reaches_nothing() -> None:
    history = History()
    post = history.record("D1")
    tips = [tip(history, post)._replace(seq=2)]
    assert not Walk(ACCOUNT, tips, history.headers.get).reached


def test_a_chain_of_thousands_is_walked_without_recursion() -> None:
    history = History()
    ids = history.chain("D1", 20_000)
    assert Walk(ACCOUNT, [tip(history, ids[-1])], history.headers.get).reached == set(ids)


# --- authority -----------------------------------------------------------------------------
def one_status(history: History, record_id: bytes) -> Status:
    return history.judge(history.arrive())[record_id]


def test_a_capability_is_needed() -> None:
    history = History()
    genesis = history.genesis(devices=[])
    history.op("K1", genesis, add=[device("D1", WRITE)])
    assert one_status(history, history.record("D1")) is Status.LIVE
    assert one_status(history, history.delete("D1", [])) is Status.REVOKED
    assert one_status(history, history.record("K1")) is Status.REVOKED  # account keys do not post


def test_an_unknown_key_is_unproven_and_an_envelope_is_not_judged() -> None:
    history = History()
    envelope = history.record("D9", kind=kinds.MESSAGE, seq=0)
    post = history.record("D1")
    assert history.judge(history.arrive()) == {post: Status.UNPROVEN}
    history.genesis()
    log = history.arrive()
    assert history.judge(log) == {post: Status.LIVE}
    assert status.cap_group(history.headers[envelope]) is None
    with pytest.raises(UsageError):
        status.authority_status(log, envelope, history.headers[envelope], lambda *_: set())


def test_identity_records_are_judged_by_the_fork_rule_alone() -> None:
    history = History()
    genesis = history.genesis()
    lost = history.op("K1", genesis)
    history.op("K0", genesis, revoke={"K1": (STOLEN, [])})
    ids = [genesis.id, lost.id, digest("invalid"), digest("unknown key")]
    for one, key in zip(ids, ("K0", "K1", "K1", "D7"), strict=True):
        history.headers[one] = (
            history.headers.get(one) or history.headers[history.record(key, kind=kinds.IDENTITY)]
        )
    found = history.judge(history.arrive())
    assert [found[one] for one in ids] == [
        Status.LIVE,
        Status.LIVE,
        Status.REVOKED,
        Status.UNPROVEN,
    ]
    assert status.cap_group(history.headers[genesis.id]) is None


def test_a_stolen_key_that_was_retired_is_bound_by_both() -> None:
    history = History()
    genesis = history.genesis()
    first = history.record("D1", at_ms=DAY0_MS)
    second = history.record("D1", first, at_ms=DAY0_MS + 10)
    retired = history.op("K1", genesis, revoke={"D1": (RETIRED, [])}, at_ms=DAY0_MS + 5)
    history.op("K1", retired, revoke={"D1": (STOLEN, [second])})
    found = history.judge(history.arrive())
    assert (found[first], found[second]) == (Status.LIVE, Status.REVOKED)


# --- deletes and slots ---------------------------------------------------------------------
def test_deletes_reach_neither_the_log_nor_another_account() -> None:
    history = History()
    history.genesis()
    first = history.delete("D1", [])
    other = history.record("D1")
    history.headers[other] = history.headers[other]._replace(account=digest("another"))
    second = history.delete("D1", [first, other], prev=first)
    assert history.judge(history.arrive()) == {first: Status.LIVE, second: Status.LIVE}


def test_a_delete_of_another_account_takes_nothing() -> None:
    history = History()
    history.genesis()
    post = history.record("D1")
    delete = history.delete("D1", [post])
    history.headers[delete] = history.headers[delete]._replace(account=digest("another"))
    assert history.judge(history.arrive()) == {post: Status.LIVE}


def test_only_deletes_delete() -> None:
    history = History()
    history.genesis()
    post = history.record("D1")
    history.deletes[history.record("D1", post)] = [post]
    assert one_status(history, post) is Status.LIVE


def test_a_delete_may_come_before_its_target() -> None:
    history = History()
    history.genesis()
    post = history.record("D1")
    delete = history.delete("D1", [post])
    log = history.arrive()
    assert history.judge(log, [delete]) == {delete: Status.LIVE}
    assert history.judge(log, [delete, post])[post] is Status.GONE


def test_an_older_value_never_comes_back_after_a_newer_one_was_deleted() -> None:
    history = History()
    history.genesis()
    old = history.record("D1", kind=kinds.VOTE, slot="a")
    new = history.record("D1", old, kind=kinds.VOTE, slot="a", at_ms=DAY0_MS + 1)
    history.delete("D1", [new])
    found = history.judge(history.arrive())
    assert (found[old], found[new]) == (Status.SUPERSEDED, Status.GONE)


def test_the_kind_belongs_to_the_slot() -> None:
    history = History()
    history.genesis()
    vote = history.record("D1", kind=kinds.VOTE, slot="a")
    profile = history.record("D1", kind=kinds.PROFILE, slot="a", at_ms=DAY0_MS + 1)
    assert set(history.judge(history.arrive()).values()) == {Status.LIVE}
    assert vote != profile


def test_the_higher_id_wins_at_the_same_time() -> None:
    assert status.slot_winner([(1, b"a"), (1, b"b"), (0, b"c")]) == b"b"
    assert status.slot_winner([]) is None


# --- caps ----------------------------------------------------------------------------------
def test_what_is_above_the_cap_has_no_slot_and_no_effect(monkeypatch) -> None:
    monkeypatch.setattr(status, "RECORDS_PER_KEY_LANE_DAY_MAX", 2)
    history = History()
    history.genesis()
    values = [history.record("D1", kind=kinds.VOTE, slot="a", at_ms=DAY0_MS)]
    for _ in range(3):
        values.append(history.record("D1", values[-1], kind=kinds.VOTE, slot="a"))
    deletes = [history.delete("D1", [])]
    for _ in range(2):
        deletes.append(history.delete("D1", [values[1]], prev=deletes[-1]))
    history.deletes[deletes[1]] = []
    found = history.judge(history.arrive())
    assert [found[one] for one in values][2:] == [Status.CAPPED, Status.CAPPED]
    winner = max(values[:2])
    assert found[winner] is Status.LIVE
    assert [found[one] for one in deletes] == [Status.LIVE, Status.LIVE, Status.CAPPED]


def test_a_day_ends_at_midnight_utc() -> None:
    history = History()
    header = history.headers[history.record("D1", at_ms=DAY0_MS)]
    day = DAY0_MS // 86_400_000
    assert status.cap_group(header) == CapGroup(public("D1"), Lane.PUBLIC, day)
    late = header._replace(created_ms=DAY0_MS - 1)
    assert status.cap_group(late) == CapGroup(public("D1"), Lane.PUBLIC, day - 1)
