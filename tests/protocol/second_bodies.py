"""The bodies of every kind once more, written from SPEC.md alone: see `second_decoder`."""

from __future__ import annotations

import hashlib
import re

from tests.protocol.second_decoder import ask, check_signature, decode, octets, slot_of

KNOWN = {
    272: "identity",
    624: "delete",
    952: "node",
    1208: "hosting",
    1353: "profile",
    1577: "follow",
    1833: "list",
    2185: "prekey",
    2505: "advisory",
    2594: "post",
    2850: "repost",
    3106: "sealed_post",
    3370: "edit",
    3626: "reaction",
    3882: "vote",
    4298: "label",
    4491: "setting",
    4836: "message",
    5092: "report",
    5348: "follower_keys",
}
# ---------------------------------------------------------------------------------- text (R-91 …)
MARKS = """300-36F 483-489 591-5BD 610-61A 64B-65F 670-670 6D6-6DC 6DF-6E4 6E7-6E8 6EA-6ED E31-E31
E34-E3A E47-E4E EB1-EB1 EB4-EBC EC8-ECD F71-F7E F80-F84 F8D-FBC 1AB0-1AFF 1DC0-1DFF 20D0-20FF
302A-302F 3099-309A FE00-FE0F FE20-FE2F E0100-E01EF"""
MARK_RANGES = [tuple(int(end, 16) for end in pair.split("-")) for pair in MARKS.split()]
SPACES = {0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000}
TURNS = {0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def text(value, most, lines=True, spaces=True, empty=True):
    ask(isinstance(value, str), "bad_type")
    ask(len(value.encode()) <= most, "too_long")
    row = 0
    for point in map(ord, value):
        control = point < 0x20 or 0x7F <= point < 0xA0
        ask(not control or (lines and point in (9, 10)), "bad_text")
        ask(lines or point not in TURNS, "bad_text")
        row = row + 1 if any(low <= point <= high for low, high in MARK_RANGES) else 0
        ask(row <= 8, "bad_text")
    ask(value or empty, "bad_body")
    ask(spaces or not any(ord(sign) in SPACES for sign in value), "bad_text")


def line(value, most=256, empty=True):
    text(value, most, lines=False, empty=empty)


def word(value, most=256):
    text(value, most, lines=False, spaces=False, empty=False)


def shaped(value, shape):
    line(value)
    ask(re.fullmatch(shape, value), "bad_text")


def link(value):
    word(value, 2048)
    ask(re.match("https?://[^/?#]", value), "bad_text")


def tag(value):
    word(value, 128)
    ask("#" not in value, "bad_text")


# ------------------------------------------------------------------------------- bodies (R-96 …)
def whole(value, top=2**53 - 1):
    ask(isinstance(value, int), "bad_type")
    ask(value <= top, "out_of_range")


def bit(value):
    whole(value, 1)


def blob(value, most):
    ask(isinstance(value, bytes), "bad_type")
    ask(len(value) <= most, "too_long")


def id32(value):
    octets(value, 32)


def target(length):
    def check(value):
        ask(isinstance(value, bytes), "bad_type")
        ask(len(value) == length, "bad_target")

    return check


def listing(value, check, most, least=0, once=False):
    ask(isinstance(value, list), "bad_type")
    ask(len(value) <= most, "too_many")
    ask(len(value) >= least, "bad_body")
    for item in value:
        check(item)
    ask(not once or len(set(value)) == len(value), "bad_body")


def list_of(check, most, least=0, once=False):
    return lambda value: listing(value, check, most, least, once)


def row_of(*checks):
    def check(value):
        ask(isinstance(value, list), "bad_type")
        ask(len(value) == len(checks), "bad_length")
        for one, item in zip(checks, value, strict=True):
            one(item)

    return check


def fields(body, must, may=()):
    for name, check in must.items():
        ask(name in body, "bad_body")
        check(body[name])
    for name, check in dict(may).items():
        if name in body:
            check(body[name])


def shape(must, may=()):
    def check(value):
        ask(isinstance(value, dict), "bad_type")
        fields(value, must, may)

    return check


def prose(most):
    return lambda value: text(value, most)


def filled(value):
    line(value, empty=False)


def side(value):
    whole(value, 65535)


def facet(value):
    row_of(
        lambda v: whole(v, 8192), lambda v: whole(v, 8192), lambda v: whole(v, 255), lambda v: None
    )(value)
    what = value[3]
    if value[2] == 0:
        link(what)
    elif value[2] == 1:
        id32(what)
    elif value[2] == 2:
        tag(what)
    elif isinstance(what, bytes):
        blob(what, 2048)
    else:
        text(what, 2048)


MEDIA = shape(
    {
        "alt": prose(2048),
        "blur": lambda v: line(v, 192),
        "hash": id32,
        "height": side,
        "size": whole,
        "type": word,
        "width": side,
    },
    {"ms": whole, "preview": id32, "preview_size": whole},
)


def post(body):
    fields(
        body,
        {"text": prose(8192)},
        {
            "facets": list_of(facet, 64),
            "lang": lambda v: shaped(v, "[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}"),
            "media": list_of(MEDIA, 4),
            "origin": shape({"created_ms": whole, "source": filled}, {"url": link}),
            "poll": shape({"ends_ms": whole, "many": bit, "options": list_of(filled, 8, 2)}),
            "replies": lambda v: whole(v, 3),
            "warning": line,
            **dict.fromkeys(
                ("parent", "root", "quote", "parent_account", "root_account", "quote_account"), id32
            ),
        },
    )
    ask(("parent" in body) == ("root" in body), "bad_body")
    ask(any(body.get(name) for name in ("text", "media", "poll", "quote")), "bad_body")
    raw, last = body["text"].encode(), 0
    borders = {0}
    for sign in body["text"]:
        borders.add(max(borders) + len(sign.encode()))
    for start, end, _, _ in body.get("facets", []):
        ask(last <= start < end <= len(raw), "bad_body")
        ask(start in borders and end in borders, "bad_body")
        last = end


def choices(value):
    listing(value, lambda v: whole(v, 7), 8, once=True)
    ask(value == sorted(value), "non_canonical")


ENVELOPES = ("message", "report", "follower_keys")
PLAIN = {
    "delete": {"ids": list_of(id32, 128, 1, once=True)},
    "node": {
        "addresses": list_of(word, 16, once=True),
        "admits": list_of(id32, 64, once=True),
        "country": lambda v: shaped(v, "([A-Z]{2})?"),
        "home_open": lambda v: whole(v, 2),
        "name": line,
        "network": line,
        "provider": line,
        "software": line,
    },
    "hosting": {"state": bit},
    "profile": {"bio": prose(2048), "name": line},
    "follow": {"state": bit},
    "list": {"members": list_of(id32, 256, once=True), "state": bit, "title": line},
    "prekey": {"agreement": id32, "expires_ms": whole},
    "advisory": {
        "entity": lambda v: v is None or filled(v),
        "entity_type": word,
        "reason": word,
        "recommend": word,
        "state": bit,
    },
    "repost": {"target": target(32), "target_account": id32},
    "sealed_post": {"data": lambda v: blob(v, 16384), "epoch": whole},
    "reaction": {"emoji": lambda v: line(v, 64, empty=False), "state": bit},
    "vote": {"choices": choices},
    "label": {"state": bit, "value": word},
    "setting": {"data": lambda v: blob(v, 16384)},
    **{name: {"data": lambda v: blob(v, 65536)} for name in ENVELOPES},
}
MAY = {
    "node": {"rules": prose(8192)},
    "profile": {
        "avatar": MEDIA,
        "banner": MEDIA,
        "fields": list_of(row_of(line, line), 8),
    },
    "advisory": {"evidence": list_of(id32, 64)},
    "reaction": {"target_account": id32},
    **{name: {"token": lambda v: blob(v, 256)} for name in ENVELOPES},
}
TARGETS = {"node": 0, "profile": 0, "list": 16, "setting": 16}


HANDLE = r"[a-z0-9_][a-z0-9_.-]{0,63}@[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"


def operation(body):
    """R-41, R-43, R-49, R-50: the shape; proofs and the genesis are judged elsewhere."""

    def exactly(count, *checks):
        def check(row):
            ask(isinstance(row, list), "bad_type")
            ask(len(row) == count, "bad_length")
            for one, value in zip(checks, row, strict=True):
                one(value)

        return check

    def between(low, high):
        def check(value):
            ask(isinstance(value, int), "bad_type")
            ask(low <= value <= high, "out_of_range")

        return check

    def device(row):
        exactly(5, id32, id32, whole, proof, lambda v: v is None or id32(v))(row)
        ask(row[2] & ~(0b1111110 if row[4] is None else 2) == 0, "out_of_range")

    def handle(value):
        ask(isinstance(value, str), "bad_type")
        ask(len(value.encode()) <= 320, "too_long")
        ask(re.fullmatch(HANDLE, value), "bad_text")

    def proof(value):
        octets(value, 64)

    fields(
        body,
        {
            "devices": list_of(device, 32),
            "handles": list_of(handle, 4),
            "homes": list_of(id32, 8),
            "keys": list_of(exactly(3, between(0, 7), id32, proof), 8),
            "prev_op": lambda v: v is None or id32(v),
            "revoked": list_of(exactly(3, id32, between(0, 1), whole), 64),
            "tips": list_of(exactly(4, id32, between(0, 3), between(1, 2**53), id32), 256),
        },
    )
    ask(body.get("vanish", 1) == 1, "bad_body")
    ranks = [row[0] for row in body["keys"]]
    gone = [row[0] for row in body["revoked"]]
    named = [row[1] for row in body["keys"]] + [row[0] for row in body["devices"]] + gone
    for values in (ranks, named, body["homes"], body["handles"], [row[3] for row in body["tips"]]):
        ask(len(set(values)) == len(values), "bad_operation")
    ask(0 in ranks, "bad_operation")
    for key, lane, _, _ in body["tips"]:
        ask(key in gone, "bad_operation")
        ask(sum(row[:2] == [key, lane] for row in body["tips"]) <= 16, "too_many")


def check_body(header, body):
    """R-90: `Fault` unless the body fits its kind."""
    name = KNOWN.get(header["kind"], "")
    if name == "identity":
        operation(body)
        return
    if header["slot"] is not None:
        wanted = target(TARGETS.get(name, 32)) if name else lambda v: blob(v, 64)
        fields(body, {"slot_salt": lambda v: octets(v, 16), "target": wanted})
    fields(body, PLAIN.get(name, {}), MAY.get(name, {}))
    if name in ("post", "edit"):
        post(body)
    if header["slot"] is not None:
        slot = slot_of(header["account"], header["kind"], body["slot_salt"], body["target"])
        ask(slot == header["slot"], "bad_slot")
    if name == "prekey":
        ask(body["target"] == header["key"], "bad_target")
    if name == "advisory" and body["entity"] is not None:
        named = body["entity_type"].encode() + b"\0" + body["entity"].encode()
        ask(hashlib.sha256(named).digest() == body["target"], "bad_target")


# ------------------------------------------------------------------------- statements
def nonce(value):
    octets(value, 16)


def id_or_nil(value):
    if value is not None:
        id32(value)


STATEMENTS = {
    "token": (id32, id_or_nil, whole),
    "session": (id32, id32, word, nonce, whole),
    "invite": (id32, nonce, whole),
    "erasure": (id32, id32, whole),
    "audit": (id32, whole, id32, whole),
}


def judge_statement(context, network, data):
    """The key and the parts of a statement whose signature fits; else `Fault`."""
    ask(len(data) <= 4096, "too_large")
    row = decode(data, 1)
    ask(isinstance(row, list), "bad_type")
    ask(len(row) == 3, "bad_length")
    content, key, signature = row
    ask(isinstance(content, bytes), "bad_type")
    octets(key, 32)
    octets(signature, 64)
    parts = decode(content, 1)
    row_of(*STATEMENTS[context])(parts)
    message = b"ratoon/1/" + context.encode() + b"\0" + network + content
    check_signature(key, signature, message)
    return key, parts
