"""Each kind's body: the vectors, and what others are told about a checked body."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_protocol import bodies, codec, kinds
from ratoon_protocol.bodies import References, check_body
from ratoon_protocol.errors import Code, IdentityError, ProtocolError
from ratoon_protocol.limits import VERSION
from ratoon_protocol.record import Header
from tests.protocol import vectors_bodies
from tests.protocol.test_codec import ascii_keys, nested
from tests.protocol.vectors_bodies import LEAST, MEDIA_FULL, MOST, OTHER
from tests.protocol.vectors_records import ACCOUNT, CREATED_MS, ID, KEY, NETWORK

VECTORS = vectors_bodies.bodies()
UNKNOWN = 200 << 8 | 0x22


def header(kind, slot=None):
    return Header(
        VERSION, NETWORK, kind, ACCOUNT, KEY.public, 1, None, CREATED_MS, slot, 64, bytes(32)
    )


def judge(case):
    slot = case["slot"] and bytes.fromhex(case["slot"])
    check_body(header(case["kind"], slot), codec.decode(bytes.fromhex(case["body"]), 3))


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["name"])
def test_valid_vectors(case):
    judge(case)


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda case: case["name"])
def test_invalid_vectors(case):
    with pytest.raises(ProtocolError) as caught:
        judge(case)
    assert caught.value.code == case["expect"]


@given(st.sampled_from(sorted(kinds.NAMES)), st.dictionaries(ascii_keys, nested(2), max_size=4))
def test_a_foreign_body_is_refused_with_a_code(kind, body):
    with pytest.raises(ProtocolError):
        check_body(header(kind, bytes(16) if kind & 8 else None), body)


@given(st.sampled_from(sorted(LEAST)), st.data())
def test_a_foreign_value_in_any_field_never_does_harm(kind, data):
    body = LEAST[kind] | MOST.get(kind, {})
    name = data.draw(st.sampled_from(sorted(body)))
    changed = body | {name: data.draw(nested(2))}
    with suppress(ProtocolError):  # any other exception would be a crash
        check_body(header(kind, bytes(16) if kind & 8 else None), changed)


def test_an_identity_body_is_judged_as_an_operation():
    with pytest.raises(IdentityError) as caught:
        check_body(header(kinds.IDENTITY), vectors_bodies.OPERATION | {"keys": []})
    assert caught.value.code is Code.BAD_OPERATION


def full(kind):
    return LEAST[kind] | MOST.get(kind, {})


def test_references():
    post = bodies.references(kinds.POST, full(kinds.POST))
    assert post == References(accounts=(OTHER,), records=(ID,))
    apart = {
        "facets": [[0, 1, 1, b"m" * 32], [1, 2, 0, "https://a"]],
        "parent": b"p" * 32,
        "root": b"r" * 32,
        "quote": b"q" * 32,
        "parent_account": b"P" * 32,
    }
    assert bodies.references(kinds.POST, {"text": "ab"} | apart) == References(
        accounts=(b"P" * 32, b"m" * 32), records=(b"p" * 32, b"r" * 32, b"q" * 32)
    )
    assert bodies.references(kinds.REPOST, full(kinds.REPOST)) == References((OTHER,), (ID,))
    assert bodies.references(kinds.REACTION, full(kinds.REACTION)) == References((OTHER,), (ID,))
    assert bodies.references(kinds.VOTE, full(kinds.VOTE)) == References((), (ID,))
    assert bodies.references(kinds.EDIT, full(kinds.EDIT)) == References((OTHER,), (ID,))
    assert bodies.references(kinds.FOLLOW, full(kinds.FOLLOW)) == References((ID,), ())
    assert bodies.references(kinds.HOSTING, full(kinds.HOSTING)) == References((ID,), ())
    assert bodies.references(kinds.LIST, full(kinds.LIST)) == References((ID, OTHER), ())
    assert bodies.references(kinds.NODE, full(kinds.NODE)) == References((ID, OTHER), ())
    for kind in (kinds.DELETE, kinds.LABEL, kinds.ADVISORY, kinds.PREKEY, kinds.SETTING):
        assert bodies.references(kind, full(kind)) == References((), ())
    assert bodies.references(UNKNOWN, full(kinds.POST)) == References((), ())


def test_texts():
    assert bodies.texts(kinds.POST, full(kinds.POST)) == (
        *("cane \u00e9 link", "burning", "yes", "no"),
        *("A cane\nfield", "elsewhere"),
    )
    profile = full(kinds.PROFILE) | {"name": "Cane", "bio": "Sugar", "fields": [["site", "here"]]}
    found = bodies.texts(kinds.PROFILE, profile)
    assert found == ("Sugar", "Cane", "site", "here", "A cane\nfield")
    node = full(kinds.NODE) | {"name": "Mill", "provider": "Acme"}
    assert bodies.texts(kinds.NODE, node) == ("Be kind.\n", "Mill", "Acme")
    assert bodies.texts(kinds.FOLLOW, full(kinds.FOLLOW)) == ()
    assert bodies.texts(UNKNOWN, full(kinds.POST)) == ()


def test_links_tags_media():
    post = full(kinds.POST)
    assert bodies.links(kinds.POST, post) == ("http://example.org/?a=1#b", "https://example.org/1")
    assert bodies.links(kinds.POST, {"text": "a"}) == ()
    assert bodies.links(UNKNOWN, post) == ()
    assert bodies.tags(kinds.POST, post) == ("cane",)
    assert bodies.tags(UNKNOWN, post) == ()
    assert bodies.media(kinds.POST, post) == (vectors_bodies.MEDIA, MEDIA_FULL)
    assert bodies.media(kinds.PROFILE, full(kinds.PROFILE)) == (vectors_bodies.MEDIA, MEDIA_FULL)
    assert bodies.media(UNKNOWN, post) == ()


def test_slot_target():
    assert bodies.slot_target(kinds.FOLLOW, full(kinds.FOLLOW)) == ID
    assert bodies.slot_target(kinds.PROFILE, full(kinds.PROFILE)) == b""
    assert bodies.slot_target(kinds.REPOST, full(kinds.REPOST)) is None


def test_state():
    assert bodies.state(kinds.FOLLOW, full(kinds.FOLLOW) | {"state": 0}) == 0
    assert bodies.state(kinds.PROFILE, full(kinds.PROFILE)) == 1


def test_own_fields_are_those_no_other_kind_alone_has():
    body = full(kinds.REPOST) | {"text": 5, "later": 6}
    assert bodies.own(kinds.REPOST, body) == full(kinds.REPOST) | {"later": 6}
    assert bodies.own(kinds.POST, full(kinds.POST)) == full(kinds.POST)
    assert bodies.own(UNKNOWN, body) == body


@pytest.mark.parametrize("strange", [5, [7], {"a": 1}, b"x", "x", [[1]], None], ids=repr)
def test_fields_of_other_kinds_mean_nothing(strange):
    names = {name for kind in LEAST for name in full(kind)}
    for kind in LEAST:
        own = full(kind)
        others = own | dict.fromkeys(names - own.keys(), strange)
        for read in (bodies.references, bodies.texts, bodies.media, bodies.links, bodies.tags):
            assert read(kind, others) == read(kind, own)
        assert bodies.slot_target(kind, others) == bodies.slot_target(kind, own)
        assert bodies.state(kind, others) == own.get("state", 1)
