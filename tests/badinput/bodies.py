"""Bodies that are wrong, of every kind: the header counts on links, the payload nowhere (R-26)."""

from __future__ import annotations

from collections.abc import Iterator

from ratoon_protocol import kinds
from ratoon_protocol.bodies import entity_hash
from tests.badinput.forge import MARK, Case, Fields, Forge, gathered

ID = bytes(32)
PICTURE: Fields = {
    "alt": MARK,
    "blur": "",
    "hash": ID,
    "height": 1,
    "size": 1,
    "type": "image/png",
    "width": 1,
}
#: (code, what of a picture is otherwise) by name.
PICTURES: dict[str, tuple[str, Fields]] = {
    "a file named by half a hash": ("bad_length", {"hash": bytes(16)}),
    "a file named by a path": ("bad_type", {"hash": "../../etc/passwd"}),
    "a picture 65,536 wide": ("out_of_range", {"width": 65_536}),
    "a type with a space": ("bad_text", {"type": "image/png x"}),
    "a type over two lines": ("bad_text", {"type": "a\r\nSet-Cookie: b"}),
    "a blur above its bound": ("too_long", {"blur": "x" * 193}),
    "words for the blind above their bound": ("too_long", {"alt": MARK + "x" * 2048}),
    "a preview that is a text": ("bad_type", {"preview": "x" * 32}),
    "a size that is a text": ("bad_type", {"size": "large"}),
}


def body_cases(forge: Forge) -> list[Case]:
    """Every case of a body."""
    return gathered(
        forge,
        (
            ("R-107", _posts),
            ("R-91", _texts),
            ("R-93", _facets),
            ("R-96", _pictures),
            ("R-97", _attached),
            ("R-100", _deletes),
            ("R-90", _pointers),
            ("R-90", _people),
            ("R-90", _nodes),
            ("R-120", _sealed),
            ("R-33", _later),
        ),
    )


def _posts(forge: Forge) -> Iterator[Case]:
    text = {"text": MARK}
    half = {"parent": bytes(31), "root": ID}
    poll = {"ends_ms": 1, "many": 0, "options": ["a"]}
    bodies: dict[str, tuple[str, Fields]] = {
        "no text at all": ("bad_body", {"lang": "en", "zz": MARK}),
        "a text that is bytes": ("bad_type", {"text": b"bytes"}),
        "a text that is nil": ("bad_type", {"text": None, "zz": MARK}),
        "an empty post": ("bad_body", {"text": "", "zz": MARK}),
        "a root without a parent": ("bad_body", text | {"root": ID}),
        "a parent without a root": ("bad_body", text | {"parent": ID}),
        "a parent of 31 bytes": ("bad_length", text | half),
        "a parent that is a name": ("bad_type", text | {"parent": "x" * 32, "root": ID}),
        "a quote of 33 bytes": ("bad_length", text | {"quote": bytes(33)}),
        "a quoted account of 31 bytes": ("bad_length", text | {"quote_account": bytes(31)}),
        "who may reply: 9": ("out_of_range", text | {"replies": 9}),
        "a language that is none": ("bad_text", text | {"lang": "english!"}),
        "nine media": ("too_many", text | {"media": [{}] * 9}),
        "media that is a map": ("bad_type", text | {"media": {}}),
        "a poll of one": ("bad_body", text | {"poll": poll}),
        "a warning above its bound": ("too_long", text | {"warning": "w" * 257}),
        "a warning of two lines": ("bad_text", text | {"warning": "a\nb"}),
    }
    for name, (code, body) in bodies.items():
        yield forge.body(name, code, body)


def _texts(forge: Forge) -> Iterator[Case]:
    texts = {
        "a text above its bound": ("too_long", MARK + "x" * 8192),
        "a control character": ("bad_text", MARK + "\x07"),
        "an escape for terminals": ("bad_text", MARK + "\x1b[2J"),
        "a control character of Latin 1": ("bad_text", MARK + "\x85"),
        "a carriage return": ("bad_text", MARK + "\r\n"),
        "forty marks on one letter": ("bad_text", MARK + "a" + "\u0301" * 40),
        "four thousand marks": ("bad_text", MARK + "a" + "\u0488" * 4000),
        "nine marks on nothing": ("bad_text", "\u0300" * 9 + MARK),
    }
    for name, (code, text) in texts.items():
        yield forge.body(name, code, {"text": text})


def _facets(forge: Forge) -> Iterator[Case]:
    size = len(MARK)
    rows = {
        "a facet behind the text": ("bad_body", [0, 500, 2, "tag"]),
        "a facet of no length": ("bad_body", [3, 3, 2, "tag"]),
        "a facet inside a character": ("bad_body", [0, size + 1, 2, "tag"]),
        "a facet that ends before it begins": ("bad_body", [5, 2, 2, "tag"]),
        "a facet of five parts": ("bad_length", [0, 3, 2, "tag", 0]),
        "a facet that begins at 2^40": ("out_of_range", [2**40, 2**40 + 1, 2, "tag"]),
        "a facet of type 256": ("out_of_range", [0, 3, 256, "tag"]),
        "a facet of a later type above its bound": ("too_long", [0, 3, 9, "x" * 2049]),
        "a link to a script": ("bad_text", [0, 3, 0, "javascript:alert(1)"]),
        "a link to a file": ("bad_text", [0, 3, 0, "file:///etc/passwd"]),
        "a link without a host": ("bad_text", [0, 3, 0, "https:///x"]),
        "a link with a space": ("bad_text", [0, 3, 0, "https://a.example/ b"]),
        "a link above its bound": ("too_long", [0, 3, 0, "https://a.example/" + "x" * 2048]),
        "a mention of a name": ("bad_type", [0, 3, 1, "ann"]),
        "a mention of half an account": ("bad_length", [0, 3, 1, bytes(16)]),
        "a tag with its sign": ("bad_text", [0, 3, 2, "#tag"]),
        "a tag above its bound": ("too_long", [0, 3, 2, "t" * 129]),
    }
    for name, (code, row) in rows.items():
        yield forge.body(name, code, {"text": MARK + "é", "facets": [row]})
    over = [[0, 4, 2, "a"], [2, 6, 2, "b"]]
    yield forge.body("facets that overlap", "bad_body", {"text": MARK, "facets": over})
    many = [[at, at + 1, 2, "t"] for at in range(0, 65 * 2, 2)]
    crowd = {"text": MARK + "x" * 200, "facets": many}
    yield forge.body("sixty-five facets", "too_many", crowd)
    flood = {"text": MARK + "x" * 2000, "facets": [[at, at + 1, 2, "t"] for at in range(1000)]}
    yield forge.body("a thousand facets", "too_many", flood)


def _pictures(forge: Forge) -> Iterator[Case]:
    for name, (code, change) in PICTURES.items():
        yield forge.body(name, code, {"text": "", "media": [PICTURE | change]})
    lacking = {name: value for name, value in PICTURE.items() if name != "hash"}
    yield forge.body("a picture of no file", "bad_body", {"text": "", "media": [lacking]})
    five = {"text": "", "media": [PICTURE] * 5}
    yield forge.body("five pictures", "too_many", five)


def _attached(forge: Forge) -> Iterator[Case]:
    def poll(**change: object) -> Fields:
        return {"text": MARK, "poll": {"ends_ms": 1, "many": 0, "options": ["a", "b"]} | change}

    polls = {
        "a poll of nine": ("too_many", poll(options=list("abcdefghi"))),
        "a poll with an empty option": ("bad_body", poll(options=["a", ""])),
        "an option that turns around": ("bad_text", poll(options=["a", "\u202eb"])),
        "a poll that allows two": ("out_of_range", poll(many=2)),
        "a poll that ends at a word": ("bad_type", poll(ends_ms="never")),
        "a poll that is a list": ("bad_type", {"text": MARK, "poll": []}),
    }
    origin = {"created_ms": 1, "source": "elsewhere"}
    origins = {
        "an origin without a source": ("bad_body", {"created_ms": 1}),
        "an origin with an empty source": ("bad_body", origin | {"source": ""}),
        "an origin at no address": ("bad_text", origin | {"url": "gopher://a.example"}),
    }
    found = polls | {
        name: (code, {"text": MARK, "origin": body}) for name, (code, body) in origins.items()
    }
    for name, (code, body) in found.items():
        yield forge.body(name, code, body)


def _deletes(forge: Forge) -> Iterator[Case]:
    deletes: dict[str, tuple[str, object]] = {
        "a delete of nothing": ("bad_body", []),
        "a delete of 129": ("too_many", [number.to_bytes(32) for number in range(129)]),
        "a delete of half an id": ("bad_length", [bytes(16)]),
        "a delete of a text": ("bad_type", ["post"]),
        "a delete of one thing twice": ("bad_body", [ID, ID]),
        "a delete of everything": ("bad_type", "*"),
    }
    for name, (code, ids) in deletes.items():
        yield forge.body(name, code, {"ids": ids, "zz": MARK}, kinds.DELETE)


def _pointers(forge: Forge) -> Iterator[Case]:
    repost = {"target": ID, "target_account": ID, "zz": MARK}
    reposts = {
        "a repost of half an id": ("bad_target", repost | {"target": bytes(16)}),
        "a repost of nobody's": ("bad_body", {"target": ID, "zz": MARK}),
        "a repost of a name's": ("bad_type", repost | {"target_account": "ann"}),
    }
    for name, (code, body) in reposts.items():
        yield forge.body(name, code, body, kinds.REPOST)
    rows: dict[str, tuple[str, int, Fields]] = {
        "a reaction of no sign": ("bad_body", kinds.REACTION, {"emoji": "", "state": 1}),
        "a reaction of a page": ("too_long", kinds.REACTION, {"emoji": "x" * 65, "state": 1}),
        "a reaction in state 2": ("out_of_range", kinds.REACTION, {"emoji": "x", "state": 2}),
        "a vote for the ninth": ("out_of_range", kinds.VOTE, {"choices": [8]}),
        "a vote out of order": ("non_canonical", kinds.VOTE, {"choices": [1, 0]}),
        "a vote twice for one": ("bad_body", kinds.VOTE, {"choices": [1, 1]}),
        "a label of no word": ("bad_body", kinds.LABEL, {"state": 1, "value": ""}),
        "a label of two words": ("bad_text", kinds.LABEL, {"state": 1, "value": "a b"}),
        "an edit to nothing": ("bad_body", kinds.EDIT, {"text": ""}),
    }
    for name, (code, kind, body) in rows.items():
        yield forge.slotted(name, code, kind, ID, body)
    short: Fields = {"text": "changed"}
    yield forge.slotted("an edit of half an id", "bad_target", kinds.EDIT, bytes(16), short)
    elsewhere = {"slot_salt": bytes(16), "state": 1, "target": ID, "zz": MARK}
    where: Fields = {"kind": kinds.FOLLOW, "slot": bytes(16)}
    yield forge.case("a follow in another slot", "bad_slot", "invalid", elsewhere, **where)
    unsalted = {"slot_salt": bytes(15), "state": 1, "target": ID, "zz": MARK}
    other: Fields = {"kind": kinds.FOLLOW, "slot": b"x" * 16}
    yield forge.case("a slot salt of 15 bytes", "bad_length", "invalid", unsalted, **other)


def _people(forge: Forge) -> Iterator[Case]:
    follows = {
        "a follow of state 2": ("out_of_range", ID, 2),
        "a follow of half an account": ("bad_target", bytes(31), 1),
    }
    for name, (code, target, state) in follows.items():
        yield forge.slotted(name, code, kinds.FOLLOW, target, {"state": state})
    profile: Fields = {"bio": "", "name": "ann"}
    profiles: dict[str, tuple[str, Fields]] = {
        "a name that turns around": ("bad_text", {"name": "ann\u202e"}),
        "a name that is isolated": ("bad_text", {"name": "\u2066ann"}),
        "a name of two lines": ("bad_text", {"name": "a\nb"}),
        "a name above its bound": ("too_long", {"name": "n" * 257}),
        "a life above its bound": ("too_long", {"bio": "b" * 2049}),
        "nine fields of a profile": ("too_many", {"fields": [["a", "b"]] * 9}),
        "a field of three": ("bad_length", {"fields": [["a", "b", "c"]]}),
        "a face that is a path": ("bad_type", {"avatar": PICTURE | {"hash": "/etc/passwd"}}),
    }
    for name, (code, change) in profiles.items():
        yield forge.slotted(name, code, kinds.PROFILE, b"", profile | change)
    yield forge.slotted("a profile of somebody", "bad_target", kinds.PROFILE, ID, profile)
    row: Fields = {"members": [ID], "state": 1, "title": "friends"}
    lists: dict[str, tuple[str, Fields]] = {
        "a list of 257": ("too_many", {"members": [at.to_bytes(32) for at in range(257)]}),
        "a list with one twice": ("bad_body", {"members": [ID, ID]}),
        "a title that turns around": ("bad_text", {"title": "\u202afriends"}),
    }
    for name, (code, change) in lists.items():
        yield forge.slotted(name, code, kinds.LIST, bytes(16), row | change)
    yield forge.slotted("a list without a number", "bad_target", kinds.LIST, b"", row)
    prekey: Fields = {"agreement": ID, "expires_ms": 1}
    other = "a prekey of another device"
    yield forge.slotted(other, "bad_target", kinds.PREKEY, ID, prekey)
    half: Fields = {"agreement": bytes(16), "expires_ms": 1}
    own = forge.key.public
    yield forge.slotted("half a prekey", "bad_length", kinds.PREKEY, own, half)


def _nodes(forge: Forge) -> Iterator[Case]:
    """Of a person's device: what may not serve is revoked as well, whatever it says."""
    node: Fields = {
        "addresses": ["https://a.example"],
        "admits": [],
        "country": "DE",
        "home_open": 0,
        "name": "",
        "network": "",
        "provider": "",
        "software": "",
    }
    nodes: dict[str, tuple[str, Fields]] = {
        "seventeen addresses": ("too_many", {"addresses": [f"a{at}" for at in range(17)]}),
        "an address with a space": ("bad_text", {"addresses": ["https://a.example b"]}),
        "one address twice": ("bad_body", {"addresses": ["a", "a"]}),
        "sixty-five vouched for": ("too_many", {"admits": [at.to_bytes(32) for at in range(65)]}),
        "a country of three letters": ("bad_text", {"country": "DEU"}),
        "open in a fourth way": ("out_of_range", {"home_open": 3}),
        "rules above their bound": ("too_long", {"rules": "r" * 8193}),
    }
    for name, (code, change) in nodes.items():
        yield forge.slotted(name, code, kinds.NODE, b"", node | change).but(link="revoked")
    hosting: Fields = {"state": 2}
    made = forge.slotted("hosting in state 2", "out_of_range", kinds.HOSTING, ID, hosting)
    yield made.but(link="revoked")
    advice: Fields = {
        "entity": "bad.example",
        "entity_type": "domain",
        "reason": "spam",
        "recommend": "block",
        "state": 1,
    }
    target = entity_hash("domain", "bad.example")
    yield forge.slotted("advice on another entity", "bad_target", kinds.ADVISORY, ID, advice)
    proofs = advice | {"evidence": [at.to_bytes(32) for at in range(65)]}
    yield forge.slotted("sixty-five proofs", "too_many", kinds.ADVISORY, target, proofs)
    blank = advice | {"entity": ""}
    hidden = entity_hash("domain", "")
    yield forge.slotted("advice on nothing", "bad_body", kinds.ADVISORY, hidden, blank)


def _sealed(forge: Forge) -> Iterator[Case]:
    def letter(name: str, code: str, body: Fields, kind: int = kinds.MESSAGE) -> Case:
        return forge.case(name, code, "invalid", body | {"zz": MARK}, kind=kind, seq=0)

    yield letter("a letter without content", "bad_body", {})
    yield letter("a letter in clear words", "bad_type", {"data": MARK})
    token = {"data": b"", "token": bytes(257)}
    yield letter("a token above its bound", "too_long", token)
    yield letter("a report without content", "bad_body", {}, kinds.REPORT)
    yield letter("keys that are a list", "bad_type", {"data": []}, kinds.FOLLOWER_KEYS)
    post = {"data": b"", "zz": MARK}
    yield forge.body("a sealed post of no epoch", "bad_body", post, kinds.SEALED_POST)
    words = {"data": MARK, "epoch": 1}
    yield forge.body("a sealed post in clear words", "bad_type", words, kinds.SEALED_POST)
    setting: Fields = {"data": MARK}
    yield forge.slotted("a setting in clear", "bad_type", kinds.SETTING, bytes(16), setting)
    nameless: Fields = {"data": b""}
    yield forge.slotted("a setting without a name", "bad_target", kinds.SETTING, b"", nameless)


def _later(forge: Forge) -> Iterator[Case]:
    """Kinds of a later version are kept, but their slot has to fit (R-33)."""
    kind = 200 << 8 | 0b00101001
    far = bytes(65)
    yield forge.slotted("a later kind about too much", "too_long", kind, far, {})
    body = {"slot_salt": bytes(16), "target": ID, "zz": MARK}
    name = "a later kind in another slot"
    yield forge.case(name, "bad_slot", "invalid", body, kind=kind, slot=bytes(16))
