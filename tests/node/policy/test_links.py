"""Where a record leads: marked links, and addresses that only stand in its words."""

from __future__ import annotations

import pytest

from ratoon_node.policy.domain import host_of
from ratoon_node.policy.facts import PLAIN_LINKS_MAX, links_of
from ratoon_protocol import kinds


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("nothing here", []),
        ("see https://bad.example/x?y=1 now", ["bad.example"]),
        ("HTTP://Bad.Example", ["bad.example"]),
        ("www.bad.example is it", ["www.bad.example"]),
        ("(https://a.example) https://b.example", ["a.example", "b.example"]),
        ("mail me at ann@example.org", []),
    ],
)
def test_addresses_in_words_are_found(text: str, hosts: list[str]) -> None:
    assert [host_of(link) for link in links_of(kinds.POST, {"text": text})] == hosts


def test_a_marked_link_counts_once() -> None:
    body = {"text": "https://a.example", "facets": [[0, 17, 0, "https://a.example"]]}
    assert links_of(kinds.POST, body) == ("https://a.example",)


def test_a_text_of_addresses_is_bounded() -> None:
    assert len(links_of(kinds.POST, {"text": " ".join(f"www.{n}" for n in range(900))})) == (
        PLAIN_LINKS_MAX
    )
