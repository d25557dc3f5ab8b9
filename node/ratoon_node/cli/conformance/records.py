"""Section 4: records, headers and payloads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ratoon_node.cli.conformance.bench import Bench
from ratoon_node.cli.conformance.encoding import Case
from ratoon_node.cli.conformance.people import (
    TEXT,
    Person,
    fresh_key,
    fresh_salt,
    now_ms,
    pack,
    padded,
)
from ratoon_node.cli.conformance.probe_link import packed
from ratoon_node.cli.conformance.suite import check
from ratoon_protocol import kinds
from ratoon_protocol.limits import EPOCH_MS, FUTURE_SKEW_MS_MAX, PAYLOAD_BYTES_MAX

Fields = dict[str, Any]

_HEADERS: dict[str, tuple[str, str, Fields]] = {
    "seq is a text": ("R-24", "bad_type", {"seq": "1"}),
    "account is a text": ("R-24", "bad_type", {"account": "a" * 32}),
    "key is nil": ("R-24", "bad_type", {"key": None}),
    "payload_hash is nil": ("R-24", "bad_type", {"payload_hash": None}),
    "network is a number": ("R-24", "bad_type", {"network": 7}),
    "account of 31 bytes": ("R-24", "bad_length", {"account": bytes(31)}),
    "account of 33 bytes": ("R-24", "bad_length", {"account": bytes(33)}),
    "key of 31 bytes": ("R-24", "bad_length", {"key": bytes(31)}),
    "network of 7 bytes": ("R-24", "bad_length", {"network": bytes(7)}),
    "payload_hash of 20 bytes": ("R-24", "bad_length", {"payload_hash": bytes(20)}),
    "prev of 16 bytes": ("R-24", "bad_length", {"seq": 2, "prev": bytes(16)}),
    "created a millisecond before the network": ("R-24", "too_old", {"created_ms": EPOCH_MS - 1}),
    "created at nought": ("R-24", "too_old", {"created_ms": 0}),
    "an unknown version": ("R-24", "unsupported", {"version": 9}),
    "a slot where none belongs": ("R-25", "bad_slot", {"slot": bytes(16)}),
    "no slot where one belongs": ("R-25", "bad_slot", {"kind": kinds.PROFILE}),
    "seq 0 in a chain": ("R-34", "bad_chain", {"seq": 0}),
    "seq 1 with a prev": ("R-34", "bad_chain", {"prev": bytes(32)}),
    "seq 2 without a prev": ("R-34", "bad_chain", {"seq": 2}),
    "another network": ("R-4", "wrong_network", {"network": b"elsewher"}),
    "a payload of nothing": ("R-29", "bad_length", {"payload_len": 0}),
    "a payload of 65 bytes": ("R-29", "bad_length", {"payload_len": 65}),
    "a payload above 16 KiB": ("R-29", "too_large", {"payload_len": PAYLOAD_BYTES_MAX + 64}),
}


def header_cases(who: Person) -> Iterator[Case]:
    """Headers with one wrong field, signed all the same."""
    for case, (requirement, code, change) in _HEADERS.items():
        # A payload of another length than the header says is a fault of its own.
        codes = frozenset({code, "payload_mismatch"} if "payload_len" in change else {code})
        yield requirement, case, who.bad(who.payload(), **change), codes
    good = who.forge(who.payload())
    fields = list(good.header)
    inside = good.payload
    for case, code, header in (
        ("a map for a header", "bad_type", pack({"version": 1})),
        ("a header that begins with a text", "bad_type", pack(["1", *fields[1:]])),
        ("ten fields", "bad_length", pack(fields[:10])),
        ("twelve fields", "bad_length", pack([*fields, 0])),
        ("an array inside the header", "too_deep", pack([*fields[:9], [fields[9]], fields[10]])),
        ("more than 256 bytes", "too_large", pack(fields) + bytes(200)),
        ("another version of another shape", "unsupported", pack([9, 1])),
    ):
        yield "R-24", case, who.raw(header, inside), code


def record_cases(who: Person) -> Iterator[Case]:
    """Records of the wrong shape."""
    good = who.bad(who.payload())
    parts = [good.header_bytes, good.signature, good.payload]
    assert good.payload is not None, "made here"
    yield "R-20", "a text for a record", pack("record"), "bad_type"
    yield "R-20", "a map for a record", pack({"header": 1}), "bad_type"
    yield "R-20", "two parts", pack(parts[:2]), "bad_length"
    yield "R-20", "four parts", pack([*parts, None]), "bad_length"
    yield "R-20", "a text for a signature", pack([parts[0], "s" * 64, parts[2]]), "bad_type"
    yield "R-20", "a number for a payload", pack([*parts[:2], 7]), "bad_type"
    yield "R-20", "more than 65,920 bytes", pack([*parts[:2], bytes(65_900)]), "too_large"
    other = who.payload()
    longer = who.payload({"text": TEXT * 8})
    yield "R-26", "another payload", good._replace(payload=other), "payload_mismatch"
    yield "R-26", "a longer payload", good._replace(payload=longer), "payload_mismatch"
    flipped = good.header_bytes[:-1] + bytes([good.header_bytes[-1] ^ 1])
    changed = good._replace(header_bytes=flipped, payload=None)
    codes = frozenset({"bad_signature", "empty"})
    yield "R-21", "a flipped bit in the header", changed, codes


def payload_cases(who: Person) -> Iterator[Case]:
    """Payloads that fit their header and are none."""
    salt, body = fresh_salt(), pack({"text": TEXT})
    bare = b"\x93\xc4\x10" + salt + b"\xc4\x00" + body
    size = -len(bare) % 64
    filled = b"\x93\xc4\x10" + salt + b"\xc4" + bytes([size]) + b"\1" * size + body
    block = b"\x93\xc4\x10" + salt + b"\xc4" + bytes([size + 64]) + bytes(size + 64) + body
    two = b"\x92\xc4\x10" + salt + b"\xc4" + bytes([64 - 21]) + bytes(64 - 21)
    for case, code, payload in (
        ("padding that is not zero", "non_canonical", filled),
        ("padding of a block too many", "non_canonical", block),
        ("two parts", "bad_length", two),
        ("a salt of 15 bytes", "bad_length", padded(salt[:15], body)),
        ("a body that is a list", "bad_type", padded(salt, b"\x90")),
        ("zeros behind it instead of padding", "trailing", bare + bytes(size)),
    ):
        yield "R-29", case, who.bad(payload), code
    slot = bytes(16)
    follow = {"slot_salt": fresh_salt(), "state": 1, "target": bytes(32)}
    made = who.bad(who.payload(follow), kind=kinds.FOLLOW, slot=slot)
    yield "R-27", "a follow in another slot", made, "bad_slot"


def ordered_cases(who: Person, stranger: Person) -> Iterator[Case]:
    """Two faults at two stages: the earlier one is told."""
    other = who.bad(who.payload(), network=b"elsewher")
    later = who.bad(who.payload(), created_ms=now_ms() + 2 * FUTURE_SKEW_MS_MAX)
    bad_body = who.payload({"text": 7})
    yield (
        "R-23",
        "network before signature",
        other._replace(signature=bytes(64)),
        "wrong_network",
    )
    yield "R-23", "time before signature", later._replace(signature=bytes(64)), "future"
    yield (
        "R-23",
        "payload before network",
        other._replace(payload=who.payload()),
        "payload_mismatch",
    )
    yield (
        "R-23",
        "header before network",
        who.bad(who.payload(), network=b"x", seq="1"),
        frozenset({"bad_length", "bad_type"}),
    )
    thief = stranger.bad(who.payload(), account=who.account, key=stranger.device.public)
    yield (
        "R-23",
        "signature before authority",
        thief._replace(signature=bytes(64)),
        "bad_signature",
    )
    yield "R-28", "eleven minutes ahead", later, "future"
    # A body that is none, of a key that nobody lists: either may be told (the body is later).
    made = stranger.bad(bad_body, account=who.account, key=stranger.device.public)
    yield "R-23", "authority and body", made, frozenset({"unknown_key", "bad_type"})


@check(
    "R-4", "R-20", "R-21", "R-23", "R-24", "R-25", "R-26", "R-27", "R-28", "R-29", "R-34",
    title="shapes of records, headers and payloads",
)  # fmt: skip
async def shapes(bench: Bench) -> None:
    """Each with one fault is refused with its code, by whoever publishes it."""
    who = await bench.resident()
    stranger = Person(bench.network)
    await bench.refused(
        [
            *record_cases(who),
            *header_cases(who),
            *payload_cases(who),
            *ordered_cases(who, stranger),
        ]
    )


@check("R-26", title="publishing refuses a wrong body whole and remembers nothing")
async def nothing_remembered(bench: Bench) -> None:
    """After the refusal nobody gets the record, not even its header."""
    who = await bench.resident()
    bad = who.bad(who.payload({"text": 7}))
    codes = await bench.http.publish(bad)
    bench.same("R-26", "a body with a number for a text", codes, ["bad_type"])
    bench.same(
        "R-26", "the refused record is asked for", await bench.http.code(bad.id), "not_found"
    )


@check("R-26", title="over a link the header counts whatever becomes of its payload")
async def judged_apart(bench: Bench) -> None:
    """Invalid bodies leave the header; payloads that do not fit leave it wanted."""
    who, _, link = await bench.carried()
    bad = who.move_on(who.payload({"text": 7}))
    wrong = who.post()
    word = (await link.push(bad))[bad.id]
    bench.same("R-26", "a header whose payload is no body", word, "invalid")
    bench.same("R-26", "its bytes are asked for", await link.truth(bad.id), "invalid")
    spoilt = packed(wrong._replace(payload=who.payload()))
    word = (await link.push(spoilt))[wrong.id]
    bench.same("R-26", "a header with a payload that does not fit", word, "wanted")
    word = (await link.push(wrong))[wrong.id]
    bench.same("R-26", "the same header with its own payload", word, "stored")
    bench.same("R-26", "the bytes that came later", await link.truth(wrong.id), "stored")


@check("R-5", "R-20", "R-21", "R-24", "R-29", title="what was signed is what is given back")
async def same_bytes(bench: Bench) -> None:
    """A good record is stored and read back byte for byte."""
    who = await bench.resident()
    made = [who.post(), who.post(), who.sign(kinds.PROFILE, {"bio": "", "name": ""}, b"")]
    codes = await bench.http.publish(*made)
    for requirement in ("R-20", "R-21", "R-24", "R-29"):
        bench.same(requirement, "good records", codes, ["stored"] * 3)
    for one in made:
        given = await bench.http.read(one.id)
        bench.true("R-5", "a record comes back as it was signed", given == one.encode())


@check("R-5", title="a link gives the bytes that were signed")
async def same_bytes_by_link(bench: Bench) -> None:
    """Header, signature and payload of an item are those that were pushed."""
    who, _, link = await bench.carried()
    made = [who.post(zzz=["a key of a later version", {"a": 1}]), who.move_on(who.payload())]
    await link.push(*made)
    items, _ = await link.get(*(one.id for one in made))
    for one in made:
        item = items.get(one.id)
        parts = (item.header, item.signature, item.payload) if item else None
        whole = (one.header_bytes, one.signature, one.payload)
        bench.true("R-5", "a record comes over a link as it was signed", parts == whole)


@check("R-28", "R-70", title="a record from the future may come again")
async def from_the_future(bench: Bench) -> None:
    """What is a little ahead is taken, what is far ahead refused and not remembered."""
    who = await bench.resident()
    soon = who.bad(who.payload(), seq=900_001, prev=bytes(32), created_ms=now_ms() + 60_000)
    late = who.bad(who.payload(), created_ms=now_ms() + FUTURE_SKEW_MS_MAX + 120_000)
    codes = await bench.http.publish(soon)
    codes += await bench.http.publish(late)
    bench.same("R-28", "a minute and twelve minutes ahead", codes, ["stored", "future"])
    bench.same("R-70", "the later one is asked for", await bench.http.code(late.id), "not_found")


@check("R-8", title="limits are those of the version: the most that is allowed is taken")
async def at_the_limits(bench: Bench) -> None:
    """Values at their bounds are stored; one above is refused elsewhere."""
    who = await bench.resident()
    facets = [[n, n + 1, 2, "a" * 128] for n in range(64)]
    ids = [fresh_salt() * 2 for _ in range(128)]
    options = ["a" * 256] * 8
    fields = [["a", "b"]] * 8
    members = sorted({fresh_salt() * 2 for _ in range(256)})
    most = {
        "a text of 8,192 bytes": who.sign(kinds.POST, {"text": "a" * 8192}),
        "64 facets with tags of 128 bytes": who.post(text="a" * 64, facets=facets),
        "a poll of 8 lines of 256 bytes": who.post(
            poll={"ends_ms": 0, "many": 0, "options": options}
        ),
        "a delete of 128": who.sign(kinds.DELETE, {"ids": ids}),
        "a profile of 8 fields and 2,048 bytes": who.sign(
            kinds.PROFILE, {"bio": "a" * 2048, "fields": fields, "name": ""}, b""
        ),
        "a list of 256": who.sign(
            kinds.LIST, {"members": members, "state": 1, "title": ""}, fresh_salt()
        ),
        "a payload of 16,384 bytes": who.move_on(padded(fresh_salt(), _filled())),
    }
    await bench.accepted(("R-8", case, one) for case, one in most.items())


def _filled() -> bytes:
    """A post's body that makes the largest payload there may be."""
    room = PAYLOAD_BYTES_MAX - 3 - 16 - 2 - 63  # heads, salt, the least that is left to pad
    body = {"text": TEXT, "zzz": bytes(room - len(pack({"text": TEXT, "zzz": b""})) - 2)}
    return pack(body)


@check("R-22", title="what is known is a duplicate")
async def duplicates(bench: Bench) -> None:
    """The same bytes again are no new record."""
    who = await bench.resident()
    post = who.post()
    codes = await bench.http.publish(post) + await bench.http.publish(post)
    bench.same("R-22", "a record published twice", codes, ["stored", "duplicate"])


@check("R-21", title="a key signs for its account alone")
async def other_keys(bench: Bench) -> None:
    """A signature by another key than the header names is none."""
    who = await bench.resident()
    made = who.bad(who.payload(), by=fresh_key())
    bench.same("R-21", "signed by another key", await bench.http.publish(made), ["bad_signature"])
