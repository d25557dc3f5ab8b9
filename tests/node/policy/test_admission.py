"""Who is let in, one step of vouching, and budgets for those nobody added."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_node.policy.admission import (
    NODES_ADMITTED_MAX,
    Admission,
    Budgets,
    Charge,
    NodeClass,
    Usage,
)
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import VOUCHED_MAX
from tests.node.policy.records import ident

A, B, C, D, E = (ident(n) for n in range(1, 6))


def number(n: int) -> bytes:
    return n.to_bytes(32)


def test_each_way_in_has_its_class():
    found = Admission([A], [A, B], {A: [C, B], B: [D]})
    classes = [found.class_of(node) for node in (A, B, C, D, E)]
    assert classes == [
        NodeClass.ADDED,
        NodeClass.LINKED,
        NodeClass.VOUCHED,
        NodeClass.VOUCHED,
        None,
    ]
    assert found.admits(C)
    assert not found.admits(E)


def test_vouching_is_one_step():
    found = Admission([A], vouches={A: [B], B: [C], D: [E]})
    assert found.nodes == (A, B)


def test_vouching_can_be_off():
    assert Admission([A], vouches={A: [B]}, vouching=False).nodes == (A,)


def test_the_blocked_are_never_admitted_and_their_word_is_void():
    found = Admission([A, B], [C], {A: [D], B: [E]}, blocked=[B, C, D])
    assert found.nodes == (A,)


def test_a_voucher_names_so_many_and_no_more():
    named = [number(n) for n in range(100)]
    assert len(Admission([A], vouches={A: named}).nodes) == 1 + VOUCHED_MAX


def test_a_full_table_keeps_the_added_then_the_linked_then_the_best_vouched():
    linked = [number(n) for n in range(10, NODES_ADMITTED_MAX + 7)]
    vouches = {linked[0]: [B, C], linked[1]: [C], A: [E], linked[2]: [D, B, C]}
    found = Admission([A], linked, vouches)
    assert len(found.nodes) == NODES_ADMITTED_MAX
    assert found.admits(A)
    assert all(map(found.admits, linked))
    assert [node for node in (B, C, D, E) if found.admits(node)] == [C, E]
    crowded = Admission([A], [*linked, *(number(n) for n in range(70_000, 70_100))], vouches)
    assert not any(map(crowded.admits, (B, C, D, E)))


def test_an_account_is_carried_by_one_admitted_host():
    found = Admission([A])
    assert found.carried([B, A])
    assert not found.carried([B])
    assert not found.carried([])


@given(st.permutations([A, B, C, D]), st.permutations([A, B, C, D]))
def test_the_digest_is_of_the_set(one, other):
    digest = hashlib.sha256(A + B + C + D).digest()
    assert Admission(one[:2], one[2:]).digest() == digest
    assert Admission(linked=other).digest() == digest


BUDGETS = Budgets(new_accounts_per_day=2, headers_per_day=10, bytes_per_day=1000)


@pytest.mark.parametrize(
    ("hosts", "cost", "used", "charge"),
    [
        ([A], Usage(99, 999), {}, Charge(None)),
        ([B, A], Usage(99, 999), {}, Charge(None)),
        ([B], Usage(1, 1), {}, Charge(None, B)),
        ([B], Usage(1, 1), {B: Usage(1, 9)}, Charge(None, B)),
        ([B], Usage(1, 1), {B: Usage(2, 0)}, Charge(Code.RATE)),
        ([B], Usage(0, 1), {B: Usage(2, 9)}, Charge(None, B)),
        ([B], Usage(0, 1), {B: Usage(0, 10)}, Charge(Code.RATE)),
        ([B], Usage(0, 1, 400), {B: Usage(0, 1, 600)}, Charge(None, B)),
        ([B], Usage(0, 1, 400), {B: Usage(0, 1, 601)}, Charge(Code.RATE)),
        ([C, B], Usage(0, 1, 400), {B: Usage(0, 1, 601)}, Charge(None, C)),
        ([C, B], Usage(1, 1), {}, Charge(None, B)),
        ([C, B], Usage(1, 1), {B: Usage(2, 0)}, Charge(None, C)),
        ([E], Usage(0, 1), {}, Charge(Code.NOT_HOSTED)),
        ([E, C], Usage(0, 1), {}, Charge(None, C)),
        ([], Usage(0, 1), {}, Charge(Code.NOT_HOSTED)),
    ],
)
def test_who_pays(hosts, cost, used, charge):
    found = Admission([A], [B], {A: [C]})
    assert found.charge(hosts, cost, used, BUDGETS) == charge
    assert found.charge(list(reversed(hosts)), cost, used, BUDGETS) == charge
