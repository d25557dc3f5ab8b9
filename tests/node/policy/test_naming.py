"""Which names are given out, and which look alike."""

from __future__ import annotations

import pytest

from ratoon_node.policy.naming import Handle, likeness, name_fault, parse_handle


@pytest.mark.parametrize("name", ["ann", "a", "a.b", "ann-b_c", "7seas", "x" * 32])
def test_names_that_are_given_out(name: str) -> None:
    assert name_fault(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        *("", ".ann", "ann.", "a..b", "a._b", "Ann", "änn", "a b", "a@b", "x" * 33),
        *("admin", "adm1n", "r00t", "post-master", "well-known", "rat.oon"),
    ],
)
def test_names_that_are_not(name: str) -> None:
    assert name_fault(name) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann", "ann"),
        ("ann", "аnn"),  # a Cyrillic a
        ("paypal", "paypa1"),
        ("paypal", "PayPaI"),
        ("modern", "modem"),
        ("vvave", "wave"),
        ("ann_b", "annb"),
        ("Ann B.", "ann-b"),
        ("zo\u200be", "zoe"),
    ],
)
def test_names_that_look_alike(one: str, other: str) -> None:
    assert likeness(one) == likeness(other) != ""


def test_names_that_do_not() -> None:
    assert len({likeness(name) for name in ("ann", "anna", "hanna", "nan", "李雷", "李磊")}) == 6


@pytest.mark.parametrize(
    ("text", "handle"),
    [
        ("ann@node.example", Handle("ann", "node.example")),
        ("@Ann@Node.Example ", Handle("ann", "node.example")),
        ("ann", None),
        ("ann@", None),
        ("@node.example", None),
        ("ann@node.example.", None),
        ("ann@no de", None),
        ("ann@" + "x" * 300, None),
    ],
)
def test_how_handles_are_spelt(text: str, handle: Handle | None) -> None:
    assert parse_handle(text) == handle
