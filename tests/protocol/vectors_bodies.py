"""Makes bodies.json: every kind with as little and as much as it may hold, and one fault each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgpack

from ratoon_protocol import kinds
from ratoon_protocol.bodies import entity_hash
from ratoon_protocol.record import slot_id
from tests.protocol.vectors_codec import Case
from tests.protocol.vectors_records import ACCOUNT, ID, KEY, SALT

Body = dict[str, Any]
Found = tuple[str, int, str, Body, str]

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
OTHER = hashlib.sha256(b"vector other").digest()
SLOT: Body = {"slot_salt": SALT}
MEDIA: Body = {"alt": "", "blur": "", "hash": ID, "height": 1, "size": 1, "type": "a/b", "width": 1}
MEDIA_FULL = MEDIA | {"alt": "A cane\nfield", "ms": 9, "preview": OTHER, "preview_size": 5}
POLL: Body = {"ends_ms": 0, "many": 1, "options": ["yes", "no"]}
ORIGIN: Body = {"created_ms": 0, "source": "elsewhere", "url": "https://example.org/1"}
NODE: Body = SLOT | {
    "addresses": ["wss://node.example/link"],
    "admits": [],
    "country": "",
    "home_open": 0,
    "name": "",
    "network": "",
    "provider": "",
    "software": "",
    "target": b"",
}
ADVISORY: Body = SLOT | {
    "entity": None,
    "entity_type": "domain",
    "reason": "spam",
    "recommend": "limit",
    "state": 1,
    "target": ID,
}
LEAST: dict[int, Body] = {
    kinds.DELETE: {"ids": [ID]},
    kinds.NODE: NODE,
    kinds.HOSTING: SLOT | {"state": 1, "target": ID},
    kinds.PROFILE: SLOT | {"bio": "", "name": "", "target": b""},
    kinds.FOLLOW: SLOT | {"state": 0, "target": ID},
    kinds.LIST: SLOT | {"members": [], "state": 1, "target": bytes(16), "title": ""},
    kinds.PREKEY: SLOT | {"agreement": ID, "expires_ms": 0, "target": KEY.public},
    kinds.ADVISORY: ADVISORY,
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
    kinds.NODE: {"admits": [ID, OTHER], "country": "DE", "home_open": 2, "rules": "Be kind.\n"},
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
WRONG_TYPE: dict[type, Any] = {str: 1, bytes: "a", int: "1", list: 1, dict: 1, type(None): 1}


def _valid() -> Iterator[Found]:
    for kind, body in LEAST.items():
        name = kinds.name(kind)
        yield f"{name}: the least", kind, REQUIREMENT[kind], body, "ok"
        yield f"{name}: an unknown key", kind, "R-90", body | {"zzz": [1]}, "ok"
        if kind in MOST:
            yield f"{name}: all of it", kind, REQUIREMENT[kind], body | MOST[kind], "ok"
    kind = kinds.POST
    texts = {
        "8 KiB": "a" * 8192,
        "tabs and new lines": "a\n\tb",
        "eight marks": "e" + "\u0301" * 8,
        "nine marks with a letter between": "e" + "\u0301" * 8 + "e\u0301",
        "right to left with its marks": "\u200f\u202bshalom\u202c",
        "an emoji of seven signs": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    }
    for name, text in texts.items():
        yield f"text: {name}", kind, "R-91", {"text": text}, "ok"
    yield "post: a picture and no text", kind, "R-107", {"media": [MEDIA], "text": ""}, "ok"
    yield "post: a quote and no text", kind, "R-107", {"quote": ID, "text": ""}, "ok"
    yield "post: a poll and no text", kind, "R-107", {"poll": POLL, "text": ""}, "ok"
    later = {"facets": [[0, 1, 3, "later"], [1, 2, 255, b"later"]], "text": "ab"}
    yield "facet: types of a later version", kind, "R-93", later, "ok"
    yield "an unknown kind", 200 << 8 | 0x22, "R-33", {"anything": 1}, "ok"
    slotted = SLOT | {"target": bytes(64)}
    yield "an unknown kind with a slot", 200 << 8 | 0x2A, "R-33", slotted, "ok"


def _by_table() -> Iterator[Found]:
    """Each field missing, of another type, or of another length."""
    for kind, least in LEAST.items():
        requirement = REQUIREMENT[kind]
        for field in least:
            rest = {key: value for key, value in least.items() if key != field}
            yield f"{kinds.name(kind)}: without {field}", kind, requirement, rest, "bad_body"
        full = least | MOST.get(kind, {})
        for field, value in full.items():
            where = f"{kinds.name(kind)}: {field}"
            wrong = full | {field: WRONG_TYPE[type(value)]}
            yield f"{where} of another type", kind, requirement, wrong, "bad_type"
            if field == "target":
                long = full | {field: bytes(65) if kind == kinds.NODE else value + b"\0"}
                yield f"{where} too long", kind, requirement, long, "bad_target"
            elif type(value) is bytes and len(value) in (16, 32) and field != "data":
                yield (
                    f"{where} too long",
                    kind,
                    requirement,
                    full | {field: bytes(33)},
                    "bad_length",
                )


def _post(name: str, requirement: str, code: str, **fields: Any) -> Found:
    return name, kinds.POST, requirement, {"text": "abc"} | fields, code


def _texts() -> Iterator[Found]:
    for point in (1, 8, 11, 12, 13, 27, 31, 127, 128, 159):
        yield _post(f"text: U+{point:04X}", "R-91", "bad_text", text=f"a{chr(point)}b")
    for mark in (0x301, 0x489, 0x5B0, 0x650, 0xE47, 0xF7E, 0x1AB0, 0x20D0, 0xFE0F, 0xFE20, 0xE0100):
        stack = "e" + chr(mark) * 9
        yield _post(f"text: nine times U+{mark:04X}", "R-91", "bad_text", text=stack)
    yield _post("text: 8,193 bytes", "R-91", "too_long", text="a" * 8193)
    yield _post("text: 8,193 bytes in fewer characters", "R-91", "too_long", text="\u00e9" * 4097)
    turns = (0x2028, 0x2029, 0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069)
    for point in (0x09, 0x0A, 0x7F, 0x9F, *turns):
        body = LEAST[kinds.PROFILE] | {"name": f"a{chr(point)}b"}
        yield f"line: U+{point:04X}", kinds.PROFILE, "R-92", body, "bad_text"
    long = LEAST[kinds.PROFILE] | {"name": "a" * 257}
    yield "line: 257 bytes", kinds.PROFILE, "R-92", long, "too_long"
    zalgo = LEAST[kinds.PROFILE] | {"name": "\u0301" * 9}
    yield "line: nine marks", kinds.PROFILE, "R-92", zalgo, "bad_text"
    for space in ("\u0020", "\u00a0", "\u2003", "\u3000"):
        body = LEAST[kinds.LABEL] | {"value": f"a{space}b"}
        yield f"word: U+{ord(space):04X}", kinds.LABEL, "R-92", body, "bad_text"
    empty = LEAST[kinds.LABEL] | {"value": ""}
    yield "word: empty", kinds.LABEL, "R-92", empty, "bad_body"


def _facets() -> Iterator[Found]:
    def facet(
        name: str, code: str, *rows: Any, text: str = "a\u00e9b", rule: str = "R-93"
    ) -> Found:
        return _post(f"facet: {name}", rule, code, text=text, facets=list(rows))

    yield facet("start inside a character", "bad_body", [2, 3, 2, "a"])
    yield facet("end inside a character", "bad_body", [0, 2, 2, "a"])
    yield facet("beyond the text", "bad_body", [0, 5, 2, "a"])
    yield facet("empty", "bad_body", [1, 1, 2, "a"])
    yield facet("backwards", "bad_body", [3, 1, 2, "a"])
    yield facet("overlapping", "bad_body", [0, 3, 2, "a"], [1, 4, 2, "b"])
    yield facet("out of order", "bad_body", [3, 4, 2, "a"], [0, 1, 2, "b"])
    yield facet("65 of them", "too_many", *([n, n + 1, 2, "a"] for n in range(65)), text="a" * 65)
    yield facet("three items", "bad_length", [0, 1, 2])
    yield facet("no row", "bad_type", 1)
    yield facet("start as text", "bad_type", ["0", 1, 2, "a"])
    yield facet("start above 8 KiB", "out_of_range", [8193, 8194, 2, "a"])
    yield facet("type 256", "out_of_range", [0, 1, 256, "a"])
    yield facet("mention with text", "bad_type", [0, 1, 1, "a"])
    yield facet("mention of 31 bytes", "bad_length", [0, 1, 1, bytes(31)])
    yield facet("tag with bytes", "bad_type", [0, 1, 2, b"a"])
    yield facet("a later type, too long", "too_long", [0, 1, 9, bytes(2049)])
    yield facet("a later type with a number", "bad_type", [0, 1, 9, 1])
    links = {
        "javascript": "javascript:alert(1)",
        "data": "data:text/html,a",
        "no scheme": "example.org",
        "capital scheme": "HTTPS://example.org",
        "no host": "https://",
        "no host but a path": "https:///a",
        "with a space": "https://example.org/a b",
        "with a new line": "https://example.org/\na",
    }
    for name, link in links.items():
        yield facet(f"link {name}", "bad_text", [0, 1, 0, link], rule="R-94")
    long = "https://example.org/" + "a" * 2048
    yield facet("link too long", "too_long", [0, 1, 0, long], rule="R-94")
    yield facet("link empty", "bad_body", [0, 1, 0, ""], rule="R-94")
    yield facet("tag with its sign", "bad_text", [0, 1, 2, "#a"], rule="R-94")
    yield facet("tag with a space", "bad_text", [0, 1, 2, "a b"], rule="R-94")
    yield facet("tag empty", "bad_body", [0, 1, 2, ""], rule="R-94")
    yield facet("tag of 129 bytes", "too_long", [0, 1, 2, "a" * 129], rule="R-94")


def _posts() -> Iterator[Found]:
    yield _post("post: nothing in it", "R-107", "bad_body", text="")
    yield _post("post: empty lists", "R-107", "bad_body", text="", media=[])
    yield _post("post: parent without root", "R-107", "bad_body", parent=ID)
    yield _post("post: root without parent", "R-107", "bad_body", root=ID)
    yield _post("post: five pictures", "R-107", "too_many", media=[MEDIA] * 5)
    yield _post("post: replies 4", "R-107", "out_of_range", replies=4)
    for lang in ("", "e", "english language", "en_GB", "en-", "en-a-b-c-d-e"):
        yield _post(f"post: language {lang!r}", "R-95", "bad_text", lang=lang)
    for field in MEDIA:
        short = {key: value for key, value in MEDIA.items() if key != field}
        yield _post(f"media: no {field}", "R-96", "bad_body", media=[short])
    yield _post("media: no map", "R-96", "bad_type", media=[1])
    yield _post(
        "media: hash of 31 bytes", "R-96", "bad_length", media=[MEDIA | {"hash": bytes(31)}]
    )
    yield _post("media: too wide", "R-96", "out_of_range", media=[MEDIA | {"width": 65536}])
    yield _post(
        "media: description too long", "R-96", "too_long", media=[MEDIA | {"alt": "a" * 2049}]
    )
    yield _post("media: blur too long", "R-96", "too_long", media=[MEDIA | {"blur": "a" * 193}])
    yield _post("media: type with a space", "R-96", "bad_text", media=[MEDIA | {"type": "a /b"}])
    yield _post("poll: one option", "R-97", "bad_body", poll=POLL | {"options": ["a"]})
    yield _post("poll: nine options", "R-97", "too_many", poll=POLL | {"options": ["a"] * 9})
    yield _post("poll: empty option", "R-97", "bad_body", poll=POLL | {"options": ["a", ""]})
    yield _post("poll: many 2", "R-97", "out_of_range", poll=POLL | {"many": 2})
    yield _post("poll: no end", "R-97", "bad_body", poll={"many": 0, "options": ["a", "b"]})
    yield _post("origin: no source", "R-98", "bad_body", origin={"created_ms": 0})
    yield _post("origin: empty source", "R-98", "bad_body", origin=ORIGIN | {"source": ""})
    yield _post("origin: bad address", "R-98", "bad_text", origin=ORIGIN | {"url": "ftp://a"})


def _others() -> Iterator[Found]:
    many = [hashlib.sha256(bytes([n >> 8, n & 255])).digest() for n in range(257)]

    def change(kind: int, name: str, code: str, **fields: Any) -> Found:
        where = f"{kinds.name(kind)}: {name}"
        return where, kind, REQUIREMENT[kind], LEAST[kind] | fields, code

    yield change(kinds.DELETE, "no ids", "bad_body", ids=[])
    yield change(kinds.DELETE, "129 ids", "too_many", ids=many[:129])
    yield change(kinds.DELETE, "an id twice", "bad_body", ids=[ID, ID])
    yield change(kinds.DELETE, "an id of 31 bytes", "bad_length", ids=[bytes(31)])
    yield change(kinds.NODE, "17 addresses", "too_many", addresses=[f"a{n}" for n in range(17)])
    yield change(kinds.NODE, "an address twice", "bad_body", addresses=["a", "a"])
    yield change(kinds.NODE, "an address with a space", "bad_text", addresses=["a b"])
    yield change(kinds.NODE, "65 vouched nodes", "too_many", admits=many[:65])
    yield change(kinds.NODE, "a vouched node twice", "bad_body", admits=[ID, ID])
    yield change(kinds.NODE, "country in small letters", "bad_text", country="de")
    yield change(kinds.NODE, "home_open 3", "out_of_range", home_open=3)
    yield change(kinds.HOSTING, "state 2", "out_of_range", state=2)
    yield change(kinds.PROFILE, "bio too long", "too_long", bio="a" * 2049)
    yield change(kinds.PROFILE, "nine fields", "too_many", fields=[["a", "b"]] * 9)
    yield change(kinds.PROFILE, "a field of three", "bad_length", fields=[["a", "b", "c"]])
    yield change(kinds.PROFILE, "a field that is no row", "bad_type", fields=["a"])
    yield change(kinds.FOLLOW, "state 2", "out_of_range", state=2)
    yield change(kinds.LIST, "257 members", "too_many", members=many)
    yield change(kinds.LIST, "a member twice", "bad_body", members=[ID, ID])
    yield change(kinds.PREKEY, "another device's", "bad_target", target=ID)
    yield change(kinds.ADVISORY, "another entity", "bad_target", entity="example.org")
    yield change(kinds.ADVISORY, "empty entity", "bad_body", entity="")
    yield change(kinds.ADVISORY, "65 pieces of evidence", "too_many", evidence=many[:65])
    yield change(kinds.REACTION, "no emoji", "bad_body", emoji="")
    yield change(kinds.REACTION, "emoji too long", "too_long", emoji="a" * 65)
    yield change(kinds.VOTE, "ninth option", "out_of_range", choices=[8])
    yield change(kinds.VOTE, "an option twice", "bad_body", choices=[1, 1])
    yield change(kinds.VOTE, "options out of order", "non_canonical", choices=[2, 1])
    yield change(kinds.VOTE, "nine options", "too_many", choices=list(range(9)))
    yield change(kinds.MESSAGE, "token too long", "too_long", token=bytes(257))
    yield change(kinds.REPOST, "target too short", "bad_target", target=bytes(31))
    yield change(kinds.FOLLOW, "salt of 15 bytes", "bad_length", slot_salt=SALT[:15])
    unknown = 200 << 8 | 0x2A
    yield "an unknown kind with a slot: no target", unknown, "R-33", SLOT, "bad_body"
    yield "an unknown kind with a slot: no salt", unknown, "R-33", {"target": b""}, "bad_body"
    long = SLOT | {"target": bytes(65)}
    yield "an unknown kind with a slot: target too long", unknown, "R-33", long, "too_long"


DEVICE = [OTHER, ID, 2, bytes(64), None]
OPERATION: Body = {
    "devices": [],
    "handles": [],
    "homes": [],
    "keys": [[0, ID, bytes(64)]],
    "prev_op": ID,
    "revoked": [],
    "tips": [],
}


def _operation(name: str, requirement: str, code: str, **fields: Any) -> Found:
    return f"identity: {name}", kinds.IDENTITY, requirement, OPERATION | fields, code


def _valid_operations() -> Iterator[Found]:
    yield _operation("the least", "R-41", "ok")
    yield _operation("vanish", "R-41", "ok", vanish=1)
    yield _operation("an unknown key", "R-90", "ok", zzz=1)
    yield _operation(
        "all sorts of rows",
        "R-41",
        "ok",
        devices=[DEVICE, [KEY.public, ID, 0b1111110, bytes(64), None]],
        handles=["a_b.c-1@example.org", "x@localhost"],
        homes=[OTHER, ID],
        keys=[[7, ACCOUNT, bytes(64)], [0, ID, bytes(64)]],
        revoked=[[bytes(32), 1, 0], [b"\1" * 32, 0, 5]],
        tips=[[bytes(32), lane, 1, bytes([lane]) * 32] for lane in range(4)],
    )
    held = [OTHER, ID, 2, bytes(64), ACCOUNT]
    yield _operation("a key that a node holds", "R-43", "ok", devices=[held])


def _operations() -> Iterator[Found]:
    def devices(name: str, code: str, place: int, value: Any) -> Found:
        row = [*DEVICE[:place], value, *DEVICE[place + 1 :]]
        return _operation(f"device {name}", "R-43", code, devices=[row])

    many = [hashlib.sha256(bytes([n >> 8, n & 255])).digest() for n in range(300)]
    for field in OPERATION:
        rest = {key: value for key, value in OPERATION.items() if key != field}
        yield f"identity: without {field}", kinds.IDENTITY, "R-41", rest, "bad_body"
        yield _operation(f"{field} of another type", "R-41", "bad_type", **{field: 1})
    yield _operation("prev_op of 31 bytes", "R-41", "bad_length", prev_op=bytes(31))
    yield _operation("vanish 0", "R-41", "bad_body", vanish=0)
    yield _operation("vanish as text", "R-41", "bad_body", vanish="1")
    yield _operation("no key of rank 0", "R-41", "bad_operation", keys=[[1, ID, bytes(64)]])
    yield _operation("no keys", "R-41", "bad_operation", keys=[])
    two = [[0, ID, bytes(64)], [0, OTHER, bytes(64)]]
    yield _operation("two keys of one rank", "R-41", "bad_operation", keys=two)
    yield _operation("rank 8", "R-41", "out_of_range", keys=[[8, ID, bytes(64)]])
    yield _operation("a key row of two", "R-41", "bad_length", keys=[[0, ID]])
    yield _operation("a proof of 63 bytes", "R-41", "bad_length", keys=[[0, ID, bytes(63)]])
    nine = [[rank % 8, many[rank], bytes(64)] for rank in range(9)]
    yield _operation("nine account keys", "R-41", "too_many", keys=nine)
    both = [[ID, *DEVICE[1:]]]
    yield _operation("a key both account and device", "R-41", "bad_operation", devices=both)
    yield _operation("a device twice", "R-41", "bad_operation", devices=[DEVICE, DEVICE])
    rows = [[key, *DEVICE[1:]] for key in many[:33]]
    yield _operation("33 devices", "R-41", "too_many", devices=rows)
    yield devices("key of 31 bytes", "bad_length", 0, bytes(31))
    yield devices("agreement key as text", "bad_type", 1, "a")
    yield devices("that may sign operations", "out_of_range", 2, 1)
    yield devices("with the one-time bit", "out_of_range", 2, 128)
    yield devices("with a bit of a later version", "out_of_range", 2, 256)
    yield devices("held by 31 bytes", "bad_length", 4, bytes(31))
    held = [[OTHER, ID, 8, bytes(64), ACCOUNT]]
    yield _operation("a held key that may delete", "R-43", "out_of_range", devices=held)
    yield _operation("a home twice", "R-41", "bad_operation", homes=[ID, ID])
    yield _operation("nine homes", "R-41", "too_many", homes=many[:9])
    yield _operation("a home of 33 bytes", "R-41", "bad_length", homes=[bytes(33)])
    five = [f"a@{n}.example" for n in range(5)]
    yield _operation("five handles", "R-41", "too_many", handles=five)
    yield _operation("a handle twice", "R-41", "bad_operation", handles=["a@b", "a@b"])
    long = "a@" + "b" * 319
    yield _operation("a handle too long", "R-41", "too_long", handles=[long])
    for handle in ("a", "@b", "a@", "A@b", "a b@c", "a@b@c", "-a@b", "a@-b", "a@b.", "\u00e9@b"):
        yield _operation(f"handle {handle!r}", "R-41", "bad_text", handles=[handle])
    gone = [[OTHER, 0, 0]]
    yield _operation("revoked twice", "R-49", "bad_operation", revoked=gone * 2)
    yield _operation("revoked and listed", "R-49", "bad_operation", revoked=gone, devices=[DEVICE])
    yield _operation("a third form", "R-49", "out_of_range", revoked=[[OTHER, 2, 0]])
    yield _operation("65 revoked", "R-49", "too_many", revoked=[[key, 0, 0] for key in many[:65]])
    tip = [OTHER, 2, 1, ID]
    yield _operation("a tip of no revoked key", "R-50", "bad_operation", tips=[tip])
    yield _operation("a tip twice", "R-50", "bad_operation", revoked=gone, tips=[tip, tip])
    yield _operation(
        "a tip of seq 0", "R-50", "out_of_range", revoked=gone, tips=[[OTHER, 2, 0, ID]]
    )
    none = [[OTHER, 4, 1, ID]]
    yield _operation("a tip of lane 4", "R-50", "out_of_range", revoked=gone, tips=none)
    lane = [[OTHER, 2, 1, key] for key in many[:17]]
    yield _operation("17 tips of one lane", "R-50", "too_many", revoked=gone, tips=lane)
    flood = [[OTHER, 2, 1, key] for key in many[:257]]
    yield _operation("257 tips", "R-50", "too_many", revoked=gone, tips=flood)


def _slot_of(kind: int, body: Body) -> bytes | None:
    """The slot that fits, as far as the body names one, so that it is never the fault."""
    if not kind & 8:
        return None
    salt, target = body.get("slot_salt"), body.get("target")
    if isinstance(salt, bytes) and isinstance(target, bytes):
        return slot_id(ACCOUNT, kind, salt, target)
    return bytes(16)


def _pack(body: Body) -> bytes:
    return bytes(msgpack.packb(_sorted(body), use_bin_type=True))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _case(found: Found, slot: bytes | None = None) -> Case:
    name, kind, requirement, body, code = found
    fits = _slot_of(kind, body) if slot is None else slot
    return {
        "name": name,
        "requirement": requirement,
        "kind": kind,
        "slot": fits and fits.hex(),
        "body": _pack(body).hex(),
        "expect": code,
    }


def _wrong_slots() -> Iterator[Case]:
    for kind, body in LEAST.items():
        if kind & 8:
            found = (f"{kinds.name(kind)}: another slot", kind, "R-27", body, "bad_slot")
            yield _case(found, bytes(16))
    unknown = ("an unknown kind: another slot", 200 << 8 | 0x2A, "R-33", SLOT | {"target": b""})
    yield _case((*unknown, "bad_slot"), bytes(16))


def bodies() -> dict[str, Any]:
    """bodies.json: bodies as bytes, with those header fields that they are judged by."""
    faults = (*_by_table(), *_texts(), *_facets(), *_posts(), *_others(), *_operations())
    return {
        "how": "decode `body`, depth at most 3; judge it with kind, account, key, slot of a header",
        "account": ACCOUNT.hex(),
        "key": KEY.public.hex(),
        "valid": [_case(found) for found in (*_valid(), *_valid_operations())],
        "invalid": [*map(_case, faults), *_wrong_slots()],
    }
