"""Section 12 as a table: each kind with as little and as much as it may hold, and its faults."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from ratoon_protocol import kinds
from ratoon_protocol.bodies import entity_hash

Body = dict[str, Any]


class BodyCase(NamedTuple):
    """A body of a kind, and the code it gets; `stored` for one that is right."""

    requirement: str
    name: str
    kind: int
    body: Body
    code: str


REQUIREMENT = {
    kinds.DELETE: "R-100",
    kinds.NODE: "R-101",
    kinds.HOSTING: "R-102",
    kinds.PROFILE: "R-103",
    kinds.FOLLOW: "R-104",
    kinds.LIST: "R-104",
    kinds.PREKEY: "R-105",
    kinds.ADVISORY: "R-106",
    kinds.POST: "R-107",
    kinds.REPOST: "R-109",
    kinds.SEALED_POST: "R-110",
    kinds.EDIT: "R-108",
    kinds.REACTION: "R-111",
    kinds.VOTE: "R-112",
    kinds.LABEL: "R-113",
    kinds.SETTING: "R-114",
    kinds.MESSAGE: "R-120",
    kinds.REPORT: "R-120",
    kinds.FOLLOWER_KEYS: "R-120",
}


def _id(word: str) -> bytes:
    return hashlib.sha256(b"conformance " + word.encode()).digest()


ID, OTHER, SALT = _id("id"), _id("other"), _id("salt")[:16]
SLOT: Body = {"slot_salt": SALT}
MEDIA: Body = {"alt": "", "blur": "", "hash": ID, "height": 1, "size": 1, "type": "a/b", "width": 1}
MEDIA_FULL = MEDIA | {"alt": "A cane\nfield", "ms": 9, "preview": OTHER, "preview_size": 5}
POLL: Body = {"ends_ms": 0, "many": 1, "options": ["yes", "no"]}
ORIGIN: Body = {"created_ms": 0, "source": "elsewhere", "url": "https://example.org/1"}
_LINES = ("country", "name", "network", "provider", "software")
NODE: Body = SLOT | dict.fromkeys(_LINES, "") | {"addresses": [], "admits": [], "home_open": 0}
ADVISORY: Body = {"entity": None, "entity_type": "domain", "reason": "spam", "recommend": "limit"}
POST_FULL: Body = {
    "facets": [[0, 4, 2, "cane"], [5, 7, 1, OTHER], [7, 12, 0, "http://example.org/?a=1#b"]],
    "lang": "en-GB",
    "media": [MEDIA, MEDIA_FULL],
    "origin": ORIGIN,
    "parent": ID,
    "parent_account": OTHER,
    "poll": POLL,
    "quote": ID,
    "quote_account": OTHER,
    "replies": 3,
    "root": ID,
    "root_account": OTHER,
    "text": "cane \u00e9 link",
    "warning": "burning",
}
MOST: dict[int, Body] = {
    kinds.NODE: {"country": "DE", "rules": "Be kind.\n"},
    kinds.PROFILE: {"avatar": MEDIA, "banner": MEDIA_FULL, "fields": [["site", "a"]] * 8},
    kinds.LIST: {"members": [ID, OTHER]},
    kinds.ADVISORY: {
        "entity": "example.org",
        "evidence": [ID, OTHER],
        "target": entity_hash("domain", "example.org"),
    },
    kinds.POST: POST_FULL,
    kinds.EDIT: POST_FULL,
    kinds.REACTION: {"target_account": OTHER},
    kinds.VOTE: {"choices": [0, 3, 7]},
    kinds.MESSAGE: {"token": bytes(256)},
    kinds.REPORT: {"token": b""},
    kinds.FOLLOWER_KEYS: {"token": b"a"},
}
_WRONG_TYPE: dict[type, Any] = {str: 1, bytes: "a", int: "1", list: 1, dict: 1, type(None): 1}


def least(device: bytes) -> dict[int, Body]:
    """The least that each kind may hold; `device` is the key that signs."""
    return {
        kinds.DELETE: {"ids": [_id("deleted")]},
        kinds.NODE: NODE | {"target": b""},
        kinds.HOSTING: SLOT | {"state": 0, "target": ID},
        kinds.PROFILE: SLOT | {"bio": "", "name": "", "target": b""},
        kinds.FOLLOW: SLOT | {"state": 0, "target": ID},
        kinds.LIST: SLOT | {"members": [], "state": 1, "target": bytes(16), "title": ""},
        kinds.PREKEY: SLOT | {"agreement": ID, "expires_ms": 0, "target": device},
        kinds.ADVISORY: SLOT | ADVISORY | {"state": 1, "target": ID},
        kinds.POST: {"text": "a"},
        kinds.REPOST: {"target": ID, "target_account": OTHER},
        kinds.SEALED_POST: {"data": b"", "epoch": 0},
        kinds.EDIT: SLOT | {"target": ID, "text": "a"},
        kinds.REACTION: SLOT | {"emoji": "\u2764\ufe0f", "state": 1, "target": ID},
        kinds.VOTE: SLOT | {"choices": [], "target": ID},
        kinds.LABEL: SLOT | {"state": 1, "target": ID, "value": "spam"},
        kinds.SETTING: SLOT | {"data": b"", "target": bytes(16)},
        kinds.MESSAGE: {"data": b""},
        kinds.REPORT: {"data": b""},
        kinds.FOLLOWER_KEYS: {"data": b""},
    }


def good(device: bytes) -> Iterator[BodyCase]:
    """Bodies that every node takes."""
    for kind, body in least(device).items():
        name, requirement = kinds.name(kind), REQUIREMENT[kind]
        yield BodyCase(requirement, f"{name}: the least", kind, body, "stored")
        yield BodyCase("R-90", f"{name}: an unknown key", kind, body | {"zzz": [1]}, "stored")
        if kind in MOST:
            full = body | MOST[kind]
            yield BodyCase(requirement, f"{name}: all of it", kind, full, "stored")
    for name, requirement, body in (
        ("text: tabs and new lines", "R-91", {"text": "a\n\tb"}),
        ("text: eight marks", "R-91", {"text": "e" + "\u0301" * 8}),
        ("text: right to left with its marks", "R-91", {"text": "\u200f\u202bshalom\u202c"}),
        ("line: one with spaces", "R-92", {"text": "a", "warning": "burning cane"}),
        ("a link and a tag", "R-94", {"text": "ab", "facets": [
            [0, 1, 0, "https://example.org/"], [1, 2, 2, "tag"]]}),
        ("a language with a region", "R-95", {"text": "a", "lang": "zh-Hant-TW"}),
        ("a picture and no text", "R-96", {"text": "", "media": [MEDIA_FULL]}),
        ("a poll and no text", "R-97", {"text": "", "poll": POLL}),
        ("an imported post", "R-98", {"text": "a", "origin": ORIGIN}),
        ("a quote and no text", "R-107", {"text": "", "quote": ID}),
        ("facets of a later version", "R-93", {
            "facets": [[0, 1, 3, "later"], [1, 2, 255, b"later"]], "text": "ab"}),
    ):  # fmt: skip
        yield BodyCase(requirement, name, kinds.POST, dict(body), "stored")


def faults(device: bytes) -> Iterator[BodyCase]:
    """Bodies with one fault each."""
    table = least(device)
    yield from _by_table(table)
    yield from _texts(table)
    yield from _facets()
    yield from _posts()
    yield from _others(table)


def _by_table(table: dict[int, Body]) -> Iterator[BodyCase]:
    """Each field missing, of another type, or of another length."""
    for kind, body in table.items():
        requirement = REQUIREMENT[kind]
        where = kinds.name(kind)
        for field in body:
            rest = {key: value for key, value in body.items() if key != field}
            yield BodyCase(requirement, f"{where}: without {field}", kind, rest, "bad_body")
        full = body | MOST.get(kind, {})
        for field, value in full.items():
            wrong = full | {field: _WRONG_TYPE[type(value)]}
            name = f"{where}: {field} of another type"
            yield BodyCase(requirement, name, kind, wrong, "bad_type")
            if field == "target":
                long = full | {field: bytes(65) if kind == kinds.NODE else value + b"\0"}
                name = f"{where}: {field} too long"
                yield BodyCase(requirement, name, kind, long, "bad_target")


def _post(name: str, requirement: str, code: str, **fields: Any) -> BodyCase:
    return BodyCase(requirement, name, kinds.POST, {"text": "abc"} | fields, code)


def _texts(table: dict[int, Body]) -> Iterator[BodyCase]:
    for point in (1, 8, 11, 13, 31, 127, 159):
        yield _post(f"text: U+{point:04X}", "R-91", "bad_text", text=f"a{chr(point)}b")
    for mark in (0x301, 0x489, 0x5B0, 0xE47, 0x20D0, 0xFE0F, 0xE0100):
        stack = "e" + chr(mark) * 9
        yield _post(f"text: nine times U+{mark:04X}", "R-91", "bad_text", text=stack)
    yield _post("text: 8,193 bytes", "R-91", "too_long", text="a" * 8193)
    yield _post("text: 8,194 bytes in 4,097 letters", "R-91", "too_long", text="\u00e9" * 4097)
    profile, label = table[kinds.PROFILE], table[kinds.LABEL]
    for point in (0x09, 0x0A, 0x7F, 0x2028, 0x202E, 0x2066):
        body = profile | {"name": f"a{chr(point)}b"}
        yield BodyCase("R-92", f"line: U+{point:04X}", kinds.PROFILE, body, "bad_text")
    long = profile | {"name": "a" * 257}
    yield BodyCase("R-92", "line: 257 bytes", kinds.PROFILE, long, "too_long")
    for space in (0x20, 0xA0, 0x2003, 0x3000):
        body = label | {"value": f"a{chr(space)}b"}
        yield BodyCase("R-92", f"word: U+{space:04X}", kinds.LABEL, body, "bad_text")
    yield BodyCase("R-92", "word: empty", kinds.LABEL, label | {"value": ""}, "bad_body")


def _facets() -> Iterator[BodyCase]:
    rows: tuple[tuple[str, str, str, list[Any]], ...] = (
        ("R-93", "start inside a character", "bad_body", [2, 3, 2, "a"]),
        ("R-93", "end inside a character", "bad_body", [0, 2, 2, "a"]),
        ("R-93", "beyond the text", "bad_body", [0, 5, 2, "a"]),
        ("R-93", "empty", "bad_body", [1, 1, 2, "a"]),
        ("R-93", "backwards", "bad_body", [3, 1, 2, "a"]),
        ("R-93", "three items", "bad_length", [0, 1, 2]),
        ("R-93", "start as text", "bad_type", ["0", 1, 2, "a"]),
        ("R-93", "start above 8 KiB", "out_of_range", [8193, 8194, 2, "a"]),
        ("R-93", "type 256", "out_of_range", [0, 1, 256, "a"]),
        ("R-93", "mention with text", "bad_type", [0, 1, 1, "a"]),
        ("R-93", "mention of 31 bytes", "bad_length", [0, 1, 1, bytes(31)]),
        ("R-93", "a later type, too long", "too_long", [0, 1, 9, bytes(2049)]),
        ("R-94", "link to a script", "bad_text", [0, 1, 0, "javascript:alert(1)"]),
        ("R-94", "link without scheme", "bad_text", [0, 1, 0, "example.org"]),
        ("R-94", "link without host", "bad_text", [0, 1, 0, "https:///a"]),
        ("R-94", "link with a space", "bad_text", [0, 1, 0, "https://example.org/a b"]),
        ("R-94", "link too long", "too_long", [0, 1, 0, "https://example.org/" + "a" * 2048]),
        ("R-94", "tag with its sign", "bad_text", [0, 1, 2, "#a"]),
        ("R-94", "tag empty", "bad_body", [0, 1, 2, ""]),
        ("R-94", "tag of 129 bytes", "too_long", [0, 1, 2, "a" * 129]),
    )
    for requirement, name, code, row in rows:
        yield _post(f"facet: {name}", requirement, code, text="a\u00e9b", facets=[row])
    two = [[0, 3, 2, "a"], [1, 4, 2, "b"]]
    yield _post("facet: overlapping", "R-93", "bad_body", text="a\u00e9b", facets=two)
    turned = [[3, 4, 2, "a"], [0, 1, 2, "b"]]
    yield _post("facet: out of order", "R-93", "bad_body", text="a\u00e9b", facets=turned)
    many = [[n, n + 1, 2, "a"] for n in range(65)]
    yield _post("facet: 65 of them", "R-93", "too_many", text="a" * 65, facets=many)


def _posts() -> Iterator[BodyCase]:
    yield _post("post: nothing in it", "R-107", "bad_body", text="")
    yield _post("post: parent without root", "R-107", "bad_body", parent=ID)
    yield _post("post: root without parent", "R-107", "bad_body", root=ID)
    yield _post("post: five pictures", "R-107", "too_many", media=[MEDIA] * 5)
    yield _post("post: replies 4", "R-107", "out_of_range", replies=4)
    for lang in ("", "e", "en_GB", "en-", "en-a-b-c-d-e"):
        yield _post(f"post: language {lang!r}", "R-95", "bad_text", lang=lang)
    for field in MEDIA:
        short = {key: value for key, value in MEDIA.items() if key != field}
        yield _post(f"media: no {field}", "R-96", "bad_body", media=[short])
    for name, code, change in (
        ("hash of 31 bytes", "bad_length", {"hash": bytes(31)}),
        ("too wide", "out_of_range", {"width": 65536}),
        ("description too long", "too_long", {"alt": "a" * 2049}),
        ("blur too long", "too_long", {"blur": "a" * 193}),
        ("type with a space", "bad_text", {"type": "a /b"}),
    ):
        yield _post(f"media: {name}", "R-96", code, media=[MEDIA | change])
    for name, code, options in (
        ("one option", "bad_body", ["a"]),
        ("nine options", "too_many", ["a"] * 9),
        ("an empty option", "bad_body", ["a", ""]),
    ):
        yield _post(f"poll: {name}", "R-97", code, poll=POLL | {"options": options})
    yield _post("poll: many 2", "R-97", "out_of_range", poll=POLL | {"many": 2})
    yield _post("origin: no source", "R-98", "bad_body", origin={"created_ms": 0})
    yield _post("origin: empty source", "R-98", "bad_body", origin=ORIGIN | {"source": ""})
    yield _post("origin: bad address", "R-98", "bad_text", origin=ORIGIN | {"url": "ftp://a"})


def _others(table: dict[int, Body]) -> Iterator[BodyCase]:
    many = [_id(f"{number}") for number in range(257)]
    rows: tuple[tuple[int, str, str, Body], ...] = (
        (kinds.DELETE, "no ids", "bad_body", {"ids": []}),
        (kinds.DELETE, "129 ids", "too_many", {"ids": many[:129]}),
        (kinds.DELETE, "an id twice", "bad_body", {"ids": [ID, ID]}),
        (kinds.DELETE, "an id of 31 bytes", "bad_length", {"ids": [bytes(31)]}),
        (kinds.NODE, "17 addresses", "too_many", {"addresses": [f"a{n}" for n in range(17)]}),
        (kinds.NODE, "an address twice", "bad_body", {"addresses": ["a", "a"]}),
        (kinds.NODE, "an address with a space", "bad_text", {"addresses": ["a b"]}),
        (kinds.NODE, "65 vouched nodes", "too_many", {"admits": many[:65]}),
        (kinds.NODE, "a vouched node twice", "bad_body", {"admits": [ID, ID]}),
        (kinds.NODE, "country in small letters", "bad_text", {"country": "de"}),
        (kinds.NODE, "home_open 3", "out_of_range", {"home_open": 3}),
        (kinds.HOSTING, "state 2", "out_of_range", {"state": 2}),
        (kinds.PROFILE, "bio too long", "too_long", {"bio": "a" * 2049}),
        (kinds.PROFILE, "nine fields", "too_many", {"fields": [["a", "b"]] * 9}),
        (kinds.PROFILE, "a field of three", "bad_length", {"fields": [["a", "b", "c"]]}),
        (kinds.FOLLOW, "state 2", "out_of_range", {"state": 2}),
        (kinds.FOLLOW, "salt of 15 bytes", "bad_length", {"slot_salt": SALT[:15]}),
        (kinds.LIST, "257 members", "too_many", {"members": many}),
        (kinds.LIST, "a member twice", "bad_body", {"members": [ID, ID]}),
        (kinds.PREKEY, "another device's", "bad_target", {"target": ID}),
        (kinds.ADVISORY, "another entity", "bad_target", {"entity": "example.org"}),
        (kinds.ADVISORY, "65 pieces of evidence", "too_many", {"evidence": many[:65]}),
        (kinds.REPOST, "a target of 31 bytes", "bad_target", {"target": bytes(31)}),
        (kinds.REACTION, "no emoji", "bad_body", {"emoji": ""}),
        (kinds.REACTION, "emoji too long", "too_long", {"emoji": "a" * 65}),
        (kinds.VOTE, "ninth option", "out_of_range", {"choices": [8]}),
        (kinds.VOTE, "an option twice", "bad_body", {"choices": [1, 1]}),
        (kinds.VOTE, "options out of order", "non_canonical", {"choices": [2, 1]}),
        (kinds.LABEL, "state 2", "out_of_range", {"state": 2}),
        (kinds.MESSAGE, "token too long", "too_long", {"token": bytes(257)}),
    )
    for kind, name, code, change in rows:
        where = f"{kinds.name(kind)}: {name}"
        yield BodyCase(REQUIREMENT[kind], where, kind, table[kind] | change, code)
    country = table[kinds.NODE] | {"country": "DEU"}
    yield BodyCase("R-95", "country of three letters", kinds.NODE, country, "bad_text")
