"""Histories that an attacker makes, each judged in every order in which it can arrive."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from ratoon_protocol import kinds
from ratoon_protocol.identity import Added, Form, IdentityLog, Operation
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import DAY_MS, RECORDS_PER_KEY_LANE_DAY_MAX
from ratoon_protocol.status import Status
from tests.protocol.histories import DAY0_MS, NETWORK, History, digest, orders
from tests.protocol.naive_account import statuses

RETIRED, STOLEN = Form.RETIRED, Form.STOLEN
LIVE, GONE, REVOKED = Status.LIVE, Status.GONE, Status.REVOKED
SUPERSEDED, CAPPED = Status.SUPERSEDED, Status.CAPPED
HOUR_MS = 3_600_000


def judged(history: History, count: int = 100) -> tuple[IdentityLog, dict[bytes, Status]]:
    """The one verdict of all orders of arrival of operations and headers."""
    random = Random(1)
    verdicts = []
    for order in orders(history, random, count):
        log = history.arrive(order)
        ids = random.sample(list(history.headers), len(history.headers))
        verdicts.append((log, history.judge(log, ids)))
    log, found = verdicts[0]
    for other, verdict in verdicts[1:]:
        assert other.head == log.head
        assert other.kept == log.kept
        assert other.contested == log.contested
        assert verdict == found
    return log, found


def judged_as_naive(history: History) -> tuple[IdentityLog, dict[bytes, Status]]:
    log, found = judged(history)
    assert found == statuses(history.ops, history.headers, history.deletes)
    return log, found


def all_are(found: dict[bytes, Status], ids: Iterable[bytes], status: Status) -> None:
    assert {found[one] for one in ids} == {status}


def test_1_a_slot_returns_to_the_owner_when_a_deleted_value_was_the_thiefs() -> None:
    h = History()
    g = h.genesis()
    o1 = h.record("D1", kind=kinds.VOTE, slot="poll", at_ms=DAY0_MS)
    t2 = h.record("D1", o1, kind=kinds.VOTE, slot="poll", at_ms=DAY0_MS + 1)
    d = h.delete("D1", [t2])
    _, found = judged_as_naive(h)
    assert (found[o1], found[t2]) == (SUPERSEDED, GONE)
    h.op("K1", g, revoke={"D1": (STOLEN, [o1, d])})
    _, found = judged_as_naive(h)
    assert (found[o1], found[t2], found[d]) == (LIVE, GONE, LIVE)


def test_2_paper_undoes_a_vanish() -> None:
    h = History()
    g = h.genesis()
    posts = h.chain("D1", 3)
    vanish = h.op("K1", g, vanish=True)
    log, found = judged_as_naive(h)
    assert log.vanished
    all_are(found, posts, GONE)
    paper = h.op("K0", g, revoke={"K1": (STOLEN, [])})
    log, found = judged_as_naive(h)
    assert log.head == paper
    assert log.holds(vanish.id)
    assert not log.vanished
    all_are(found, posts, LIVE)


@pytest.mark.parametrize("on_thiefs_head", [False, True])
def test_3_a_stolen_account_key_takes_the_devices_away(on_thiefs_head: bool) -> None:
    h = History()
    g = h.genesis(devices=["D1", "D2"])
    mine = h.chain("D1", 2) + h.chain("D2", 2)
    thiefs = h.chain("TD", 2)
    t = h.op("K1", g, revoke={"D1": (STOLEN, []), "D2": (STOLEN, [])}, add=["TD"])
    _, found = judged_as_naive(h)
    all_are(found, mine, REVOKED)
    all_are(found, thiefs, LIVE)
    if on_thiefs_head:
        h.op("K0", t, revoke={"K1": (STOLEN, []), "TD": (STOLEN, [])}, add=["D1", "D2"])
    else:
        h.op("K0", g, revoke={"K1": (STOLEN, [])})
    _, found = judged_as_naive(h)
    all_are(found, mine, LIVE)
    all_are(found, thiefs, REVOKED)


def test_3_a_thief_cannot_list_again_what_paper_revoked() -> None:
    h = History()
    g = h.genesis()
    p = h.op("K0", g, revoke={"D1": (STOLEN, [])})
    again = h.op("K1", p, add=["D1"])
    log, _ = judged_as_naive(h)
    assert log.head == p
    assert not log.holds(again.id)


def test_4_two_rank_0_operations_on_one_fork_point() -> None:
    h = History()
    g = h.genesis()
    first = h.op("K0", g, add=["D2"], op_id=digest("first"))
    second = h.op("K0", g, add=["D3"], op_id=digest("second"))
    posts = h.chain("D2", 1) + h.chain("D3", 1)
    log, found = judged_as_naive(h)
    winner, loser = sorted([first, second], key=lambda op: op.id)
    assert log.head == winner
    assert log.contested
    assert sorted(found[one] for one in posts) == [LIVE, REVOKED]
    lost = ({"D2", "D3"} - {"D2" if winner is first else "D3"}).pop()
    righted = h.op("K0", winner, add=[lost])
    log, found = judged_as_naive(h)
    assert log.head == righted
    assert not log.contested
    all_are(found, posts, LIVE)
    h.op("K0", loser)
    log, _ = judged_as_naive(h)
    assert log.head == righted
    assert log.contested


def _nine_siblings() -> tuple[History, Operation, Operation]:
    h = History()
    g = h.genesis()
    for number in range(9):
        h.op("K1", g, add=[f"T{number}"], op_id=bytes(31) + bytes([number]))
    o1 = h.op("K1", g, add=["D2"], op_id=b"\xff" * 32)
    return h, o1, h.op("K0", o1, revoke={"K1": (STOLEN, [])})


def test_5_nine_siblings_with_ground_ids_do_not_push_out_papers_branch() -> None:
    h, o1, paper = _nine_siblings()
    posts = h.chain("D2", 2)
    log, found = judged(h, 300)
    assert log.head == paper
    all_are(found, posts, LIVE)
    assert {op.id for op in log.kept if op.prev_op == o1.prev_op} == {
        o1.id,
        *(bytes(31) + bytes([number]) for number in range(7)),
    }


def test_5_the_path_is_judged_as_one_before_anything_is_cut() -> None:
    h, o1, paper = _nine_siblings()
    log = IdentityLog(h.account, NETWORK)
    for op in h.ops.values():
        if op not in (o1, paper):
            log.add(op)
    assert log.add(o1) is Added.CUT
    assert log.add(paper) is Added.PENDING
    assert log.missing == (o1.id,)
    change = log.add_all([o1])
    assert change.added == {o1.id: Added.HEAD, paper.id: Added.HEAD}
    assert change.dropped == (bytes(31) + b"\x07",)
    assert log.head == paper


def test_6_a_backdated_fork_does_not_outlive_the_revocation() -> None:
    h = History()
    g = h.genesis()
    mine = h.chain("D1", 4)
    fork = h.chain("D1", 3, prev=mine[-1], at_ms=DAY0_MS)  # the thief's, and dated like the owner's
    mine += h.chain("D1", 2, prev=mine[-1], at_ms=DAY0_MS + 1)
    hung = [h.record("D1", digest("nowhere"), seq=7), h.record("D1", digest("nowhere"), seq=2)]
    h.op("K1", g, revoke={"D1": (STOLEN, [mine[-1]])})
    _, found = judged_as_naive(h)
    all_are(found, mine, LIVE)
    all_are(found, fork + hung, REVOKED)


def test_7_a_walk_ends_at_a_record_newer_than_what_follows_it() -> None:
    h = History()
    g = h.genesis()
    month = 30 * DAY_MS
    old = h.chain("D1", 2, at_ms=DAY0_MS)
    newer = h.record("D1", old[-1], at_ms=DAY0_MS + month)
    tip = h.record("D1", newer, at_ms=DAY0_MS + month - 1)
    h.op("K1", g, revoke={"D1": (STOLEN, [tip])})
    log, found = judged_as_naive(h)
    assert found == dict.fromkeys([*old, newer], REVOKED) | {tip: LIVE}
    shared = history_within(h, DAY0_MS + DAY_MS)
    assert h.judge(log, shared) == {one: found[one] for one in shared}


def test_8_a_delete_that_turns_out_the_thiefs_takes_nothing() -> None:
    h = History()
    g = h.genesis()
    post = h.record("D1")
    delete = h.delete("D1", [post])
    _, found = judged_as_naive(h)
    assert found[post] is GONE
    h.op("K1", g, revoke={"D1": (STOLEN, [post])})
    _, found = judged_as_naive(h)
    assert (found[post], found[delete]) == (LIVE, REVOKED)


def test_9_of_a_retired_key_backdated_posts_stay_and_backdated_deletes_do_not() -> None:
    h = History()
    g = h.genesis()
    post, unwanted = h.chain("D1", 2)
    mine = h.delete("D1", [unwanted])
    backdated = h.record("D1", post)
    later = h.record("D1", unwanted, at_ms=DAY0_MS + HOUR_MS + 1)
    thiefs = h.delete("D1", [post], prev=mine)
    h.op("K1", g, revoke={"D1": (RETIRED, [mine])}, at_ms=DAY0_MS + HOUR_MS)
    _, found = judged_as_naive(h)
    assert found == {
        post: LIVE, unwanted: GONE, mine: LIVE, backdated: LIVE, later: REVOKED, thiefs: REVOKED
    }  # fmt: skip


def test_10_the_same_rank_may_revoke_more_and_never_less() -> None:
    h = History()
    g = h.genesis()
    mine = h.chain("D1", 3)
    retired = h.op("K1", g, revoke={"D1": (RETIRED, [])}, at_ms=DAY0_MS)
    all_are(judged_as_naive(h)[1], mine, LIVE)
    stolen = h.op("K1", retired, revoke={"D1": (STOLEN, [mine[1]])})
    _, found = judged_as_naive(h)
    assert [found[one] for one in mine] == [LIVE, LIVE, REVOKED]
    fewer = h.op("K1", stolen, revoke={"D1": (STOLEN, [mine[0]])})
    h.op("K1", fewer, revoke={"D1": (RETIRED, [])}, at_ms=DAY0_MS + DAY_MS)
    _, found = judged_as_naive(h)
    assert [found[one] for one in mine] == [LIVE, REVOKED, REVOKED]


def test_10_a_better_rank_may_revoke_less_and_a_worse_one_may_not_speak() -> None:
    h = History()
    g = h.genesis()
    mine = h.chain("D1", 2)
    first = h.op("K1", g, revoke={"D1": (STOLEN, [])})
    paper = h.op("K0", first, revoke={"D1": (STOLEN, [mine[1]])})
    worse = h.op("K1", paper, revoke={"D1": (STOLEN, [])})
    log, found = judged_as_naive(h)
    assert log.head == paper
    assert not log.holds(worse.id)
    all_are(found, mine, LIVE)


@pytest.mark.parametrize("form", [RETIRED, STOLEN, None])
def test_11_paper_takes_over_a_device_that_only_the_thiefs_branch_listed(form: Form | None) -> None:
    h = History()
    g = h.genesis()
    h.op("K1", g, add=["E"])
    posts = h.chain("E", 2)
    all_are(judged_as_naive(h)[1], posts, LIVE)
    paper = h.op("K0", g, revoke={"K1": (STOLEN, [])})
    all_are(judged_as_naive(h)[1], posts, REVOKED)
    if form is None:
        h.op("K0", paper, add=["E"])
    else:
        h.op("K0", paper, revoke={"E": (form, posts[-1:] if form is STOLEN else [])})
    all_are(judged_as_naive(h)[1], posts, LIVE)


def test_12_a_crowded_day_holds_the_same_records_on_every_node() -> None:
    h = History()
    g = h.genesis()
    chain = h.chain("D1", RECORDS_PER_KEY_LANE_DAY_MAX - 2)
    forks = [h.record("D1", chain[0]) for _ in range(3)]
    _, found = judged(h)
    assert [found[one] for one in chain] == [LIVE] * (len(chain) - 1) + [CAPPED]
    all_are(found, forks, LIVE)
    h.op("K1", g, revoke={"D1": (STOLEN, chain[-1:])})
    _, found = judged(h)
    all_are(found, chain, LIVE)
    all_are(found, forks, REVOKED)


def history_within(h: History, horizon_ms: int) -> list[bytes]:
    """What a node with this horizon holds: the window from there on, and the log and states."""
    return [
        one
        for one, header in h.headers.items()
        if header.created_ms >= horizon_ms or header.kind_class.lane in (Lane.LOG, Lane.STATE)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_13_nodes_with_horizons_a_month_apart_agree_on_what_both_hold(seed: int) -> None:
    random = Random(seed)
    h = History()
    g = h.genesis(devices=["D1", "D2"])
    for key in ("D1", "D2"):
        chain: list[bytes] = [h.record(key)]
        for day in range(90):
            at_ms = DAY0_MS + day * DAY_MS + random.choice((0, 0, 5 * DAY_MS))
            slot = random.choice([None, "a", "b"])
            prev = random.choice(chain[-3:])
            kind = kinds.REACTION if slot else kinds.POST
            chain.append(h.record(key, prev, kind=kind, slot=slot, at_ms=at_ms))
    ids = list(h.headers)
    log_tip = h.delete("D1", random.sample(ids, 20), at_ms=DAY0_MS + 50 * DAY_MS)
    mine = [one for one in ids if h.headers[one].key == g.devices[0].key]
    h.op("K1", g, revoke={"D1": (STOLEN, [log_tip, *random.sample(mine, 4)])})
    log = h.arrive()
    wide, narrow = (history_within(h, DAY0_MS + day * DAY_MS) for day in (30, 60))
    of_wide, of_narrow = h.judge(log, wide), h.judge(log, narrow)
    assert of_narrow == {one: of_wide[one] for one in narrow}
    assert {LIVE, REVOKED, GONE, SUPERSEDED} <= set(of_narrow.values())


def test_14_a_device_key_alone_never_changes_the_head() -> None:
    h = History()
    g = h.genesis()
    post = h.record("D1")
    tries = [
        h.op("D1", g, add=["TD"]),
        h.op("D1", g, revoke={"K1": (STOLEN, [])}),
        h.op("D1", g, vanish=True),
        h.op("T", g, add_keys={"T": 2}),
    ]
    h.op("T", tries[-1])
    log, found = judged_as_naive(h)
    assert log.kept == (g,)
    assert log.head == g
    assert found[post] is LIVE
    assert log.authority(h.ops[tries[0].id].devices[-1].key).known is False
