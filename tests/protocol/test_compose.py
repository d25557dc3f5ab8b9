"""What a text marks: links, tags and mentions, at places that every node takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_protocol import compose
from ratoon_protocol.bodies import FACET_LINK, FACET_MENTION, FACET_TAG, _check_facets

ANA = b"\x11" * 32


def marked(text: str, **accounts: bytes) -> list[tuple[str, int, object]]:
    found = compose.facets(text, accounts)
    return [(text.encode()[start:end].decode(), kind, value) for start, end, kind, value in found]


@pytest.mark.parametrize(
    ("text", "words", "kind", "value"),
    [
        ("see https://a.example/x.", "https://a.example/x", FACET_LINK, "https://a.example/x"),
        ("(https://a.example/(x))", "https://a.example/(x)", FACET_LINK, "https://a.example/(x)"),
        ("é #Katze!", "#Katze", FACET_TAG, "Katze"),
        ("今日は#猫です。", "", -1, ""),
        ("今日は #猫 です。", "#猫", FACET_TAG, "猫"),
        ("#نهر", "#نهر", FACET_TAG, "نهر"),
        ("hi @" + ANA.hex(), "@" + ANA.hex(), FACET_MENTION, ANA),
    ],
)
def test_one_thing_is_marked(text, words, kind, value) -> None:
    assert marked(text) == ([(words, kind, value)] if words else [])


def test_handles_are_marked_once_their_account_is_known() -> None:
    text = "hello @Ana@node.example, and @bob@node.example"
    assert compose.mentioned(text) == ("ana@node.example", "bob@node.example")
    found = compose.facets(text, {"ana@node.example": ANA})
    assert [(kind, value) for _, _, kind, value in found] == [(FACET_MENTION, ANA)]


@pytest.mark.parametrize("text", ["#1", "a#b", "mail a@b.example", "https://", "&#39;", "##", "@"])
def test_nothing_is_marked(text) -> None:
    assert marked(text) == []


def test_a_fragment_is_no_tag() -> None:
    assert [kind for _, kind, _ in marked("https://a.example/#part")] == [FACET_LINK]


def test_an_answer_names_the_root_of_the_thread() -> None:
    id_, account, root = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
    first = compose.answer_to(id_, account, {"text": "x"})
    assert (first["root"], first["root_account"]) == (id_, account)
    later = compose.answer_to(id_, account, {"text": "x", "root": root, "root_account": ANA})
    assert (later["root"], later["root_account"], later["parent"]) == (root, ANA, id_)


def test_an_edit_is_read_as_a_post_at_the_place_of_the_first_version() -> None:
    first = {"text": "anser", "lang": "en", "parent": b"\x01" * 32, "root": b"\x01" * 32}
    slot = {"target": b"\x02" * 32, "slot_salt": b"\x03" * 16}
    edit = {"text": "answer", "warning": "w", "parent": b"\x04" * 32, "quote": b"\x04" * 32, **slot}
    place = {"parent": first["parent"], "root": first["root"]}
    assert compose.edited(first, edit) == {"text": "answer", "warning": "w", **place}


@given(st.text(alphabet=st.sampled_from("#@ ahtps:/.é猫0()\u200d-_"), max_size=80))
def test_every_node_takes_what_is_marked(text: str) -> None:
    _check_facets(text.encode(), compose.facets(text, {}))
