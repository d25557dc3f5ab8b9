"""What the people of a node do together is counted, the quietest home counts, memory is bounded."""

from __future__ import annotations

from ratoon_node.policy import nodecounts
from ratoon_node.policy.nodecounts import NodeCounts
from tests.node.policy.records import DAY_MS, HOUR_MS, NOW_MS, ident

A, B, C = (ident(n) for n in range(1, 4))
DAWN_MS = NOW_MS - NOW_MS % DAY_MS


def test_posts_of_the_running_hour_of_the_quietest_home():
    counts = NodeCounts()
    for _ in range(3):
        counts.count_post([A, B], DAWN_MS)
    counts.count_post([A], DAWN_MS)
    assert counts.posts([A], DAWN_MS) == 4
    assert counts.posts([A, B], DAWN_MS) == 3
    assert counts.posts([A, C], DAWN_MS) == counts.posts([], DAWN_MS) == 0
    assert counts.posts([A], DAWN_MS + HOUR_MS - 1) == 4
    assert counts.posts([A], DAWN_MS + HOUR_MS) == 0


def test_newcomers_of_the_running_day_count_once():
    counts = NodeCounts()
    for who, first_ms in ((A, DAWN_MS), (A, DAWN_MS), (B, DAWN_MS + 5), (C, DAWN_MS - 1)):
        counts.meet(who, [ident(9)], first_ms, DAWN_MS + HOUR_MS)
    assert counts.newcomers([ident(9)], DAWN_MS + HOUR_MS) == 2
    assert counts.newcomers([ident(9)], DAWN_MS + DAY_MS) == 0
    counts.meet(A, [ident(9)], DAWN_MS + DAY_MS, DAWN_MS + DAY_MS)
    assert counts.newcomers([ident(9)], DAWN_MS + DAY_MS) == 1


def test_both_tables_are_bounded_and_the_oldest_go_first(monkeypatch):
    monkeypatch.setattr(nodecounts, "NODES_MAX", 2)
    monkeypatch.setattr(nodecounts, "NEWCOMERS_MAX", 2)
    counts = NodeCounts()
    for node in (A, B, A, C):
        counts.count_post([node], DAWN_MS)
    assert [counts.posts([node], DAWN_MS) for node in (A, B, C)] == [2, 0, 1]
    for who in (A, B, C, A):
        counts.meet(who, [ident(9)], DAWN_MS, DAWN_MS)
    assert counts.newcomers([ident(9)], DAWN_MS) == 4  # A was forgotten, and counts again
