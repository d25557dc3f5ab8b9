"""Section 5: kinds and their classes, chains, forks; and what section 1 asks of what is unknown."""

from __future__ import annotations

from ratoon_node.cli.client import join_records
from ratoon_node.cli.conformance.bench import Bench
from ratoon_node.cli.conformance.encoding import Case
from ratoon_node.cli.conformance.people import Person, fresh_key, fresh_salt, now_ms
from ratoon_node.cli.conformance.suite import check
from ratoon_protocol import kinds
from ratoon_protocol.codec import encode
from ratoon_protocol.errors import Code
from ratoon_protocol.record import Record, slot_id

# A number that no version of the protocol has given to a kind yet.
_NUMBER = 251 << 8
UNKNOWN = _NUMBER | 0b001_0_0_010  # public, write
UNKNOWN_SLOT = _NUMBER | 0b001_0_1_001  # state, write, with a slot
UNKNOWN_CRITICAL = _NUMBER | 0b001_1_0_010


def class_cases(who: Person) -> list[Case]:
    """Kinds whose class nobody may use."""
    rows = {
        "lane 5": _NUMBER | 0b001_0_0_101,
        "lane 6": _NUMBER | 0b001_0_0_110,
        "lane 7": _NUMBER | 0b001_0_0_111,
        "capability account in another kind": _NUMBER | 0b000_0_0_010,
        "capability none in a chain": _NUMBER | 0b111_0_0_010,
        "lane none with a capability": _NUMBER | 0b001_0_0_100,
        "lane none with a slot": _NUMBER | 0b111_0_1_100,
    }
    found: list[Case] = []
    for case, kind in rows.items():
        slot = bytes(16) if kind & 8 else None
        seq = 0 if kind & 7 == 4 else 1
        made = who.bad(who.payload(), kind=kind, slot=slot, seq=seq)
        found.append(("R-31", case, made, "unsupported"))
    above = who.bad(who.payload(), kind=1 << 16 | 0x22)
    return [*found, ("R-30", "a kind of 2^16", above, "unsupported")]


@check("R-30", "R-31", title="classes nobody may use")
async def classes(bench: Bench) -> None:
    """They are refused; the kinds of the table are taken elsewhere."""
    who = await bench.resident()
    await bench.refused(class_cases(who))


@check("R-6", "R-32", title="unknown versions and critical kinds are refused and forgotten")
async def unknown_critical(bench: Bench) -> None:
    """`unsupported`, and nothing is left of them."""
    who = await bench.resident()
    critical = who.bad(who.payload(), kind=UNKNOWN_CRITICAL)
    version = who.bad(who.payload(), version=2)
    rows: list[Case] = [
        ("R-32", "an unknown critical kind", critical, "unsupported"),
        ("R-6", "a later version", version, "unsupported"),
    ]
    await bench.refused(rows)
    for requirement, case, record, _ in rows:
        assert not isinstance(record, bytes)
        found = await bench.http.code(record.id)
        bench.same(requirement, f"{case} is asked for", found, "not_found")


@check("R-6", "R-33", "R-30", title="unknown kinds and keys are kept, judged and given back")
async def unknown_kinds(bench: Bench) -> None:
    """By their class: with lane and slot, byte for byte."""
    who = await bench.resident()
    plain = who.move_on(who.payload({"anything": 1}), UNKNOWN)
    body = {"slot_salt": fresh_salt(), "target": bytes(64)}
    first = who.move_on(who.payload(body), UNKNOWN_SLOT, who.slotted(UNKNOWN_SLOT, body))
    newer = who.move_on(who.payload(body), UNKNOWN_SLOT, who.slotted(UNKNOWN_SLOT, body))
    keys = who.post(zzz=[1, {"later": b"bytes"}])
    rows = [
        ("R-33", "an unknown kind", plain),
        ("R-33", "an unknown kind with a slot", first),
        ("R-33", "a newer value of it", newer),
        ("R-6", "unknown keys in a body", keys),
    ]
    await bench.accepted(rows)
    for requirement, case, record in rows:
        if record is not first:
            given = await bench.http.read(record.id)
            bench.true(requirement, f"{case} comes back", given == record.encode())
    word = await bench.http.code(first.id)
    bench.same("R-33", "the older value", word, frozenset({"superseded", "stored"}))
    wrong = {"slot_salt": fresh_salt(), "target": bytes(65)}
    long = who.bad(who.payload(wrong), kind=UNKNOWN_SLOT, slot=who.slotted(UNKNOWN_SLOT, wrong))
    none = who.bad(who.payload({"a": 1}), kind=UNKNOWN_SLOT, slot=bytes(16))
    other = who.bad(who.payload(body), kind=UNKNOWN_SLOT, slot=bytes(16))
    await bench.refused(
        [
            ("R-33", "an unknown kind whose target is too long", long, "too_long"),
            ("R-33", "an unknown kind with a slot and no target", none, "bad_body"),
            ("R-33", "an unknown kind in another slot", other, "bad_slot"),
        ]
    )
    device = fresh_key()
    by_stranger = who.bad(who.payload({"a": 1}), by=device, kind=UNKNOWN, key=device.public)
    await bench.refused(
        [("R-33", "an unknown kind by a key that nobody lists", by_stranger, "unknown_key")]
    )


@check("R-33", "R-32", title="unknown kinds travel between nodes by their class")
async def unknown_kinds_by_link(bench: Bench) -> None:
    """Pushed, asked for again and told to others; a critical one is refused."""
    who, _, link = await bench.carried()
    plain = who.move_on(who.payload({"anything": 1}), UNKNOWN)
    async with bench.linked() as other:
        passed_on = who.move_on(who.payload({"anything": 2}), UNKNOWN)
        await link.push(passed_on)
        told = await other.hears_of(passed_on.id)
        bench.true("R-33", "an unknown kind is passed on to other nodes", told)
    critical = who.bad(who.payload({"anything": 1}), kind=UNKNOWN_CRITICAL)
    words = await link.push(plain, critical)
    bench.same("R-33", "an unknown kind pushed", words[plain.id], "stored")
    bench.same("R-33", "it is asked for", await link.truth(plain.id), "stored")
    bench.same("R-32", "a critical one pushed", words[critical.id], "unsupported")
    bench.same("R-32", "it is asked for", await link.truth(critical.id), "not_found")


@check("R-34", "R-36", title="gaps and forks refuse nothing")
async def gaps_and_forks(bench: Bench) -> None:
    """A record with an unknown prev counts, and so do two at one place."""
    who = await bench.resident()
    gap = who.bad(who.payload(), seq=500_000, prev=fresh_salt() * 2)
    one = who.bad(who.payload(), seq=600_000, prev=fresh_salt() * 2)
    other = who.bad(who.payload(), seq=600_000, prev=one.header.prev)
    await bench.accepted(
        [
            ("R-34", "a record behind a gap", gap),
            ("R-36", "a record", one),
            ("R-36", "another one with its seq", other),
        ]
    )
    for made in (one, other):
        bench.same("R-36", "both of a fork are here", await bench.http.code(made.id), "stored")


@check("R-37", "R-38", "R-30", title="envelopes and sealed kinds")
async def sealed_kinds(bench: Bench) -> None:
    """An envelope stands in no chain; ciphertext is not looked into."""
    who = await bench.resident()
    body = {"data": b"not what R-121 says"}
    once = fresh_key()

    def envelope(**change: object) -> Record:
        fields = {"kind": kinds.MESSAGE, "key": once.public, "seq": 0, "prev": None}
        return who.bad(who.payload(body), by=once, **fields | change)

    await bench.refused(
        [
            ("R-37", "an envelope with a seq", envelope(seq=1), "bad_chain"),
            ("R-37", "an envelope with a prev", envelope(prev=bytes(32)), "bad_chain"),
            ("R-37", "an envelope with a slot", envelope(slot=bytes(16)), "bad_slot"),
        ]
    )
    salt = fresh_salt()
    slot = slot_id(who.account, kinds.SETTING, salt, bytes(16))
    setting = {"data": b"not sealed", "slot_salt": salt, "target": bytes(16)}
    await bench.accepted(
        [
            ("R-37", "an envelope as it should be", envelope()),
            ("R-38", "a message of bytes that nobody sealed", envelope(created_ms=now_ms() - 5)),
            ("R-38", "a setting of bytes that nobody sealed", who.move_on(
                who.payload(setting), kinds.SETTING, slot
            )),
        ]
    )  # fmt: skip


@check("R-7", title="counts and lengths are judged before they cost anything")
async def costs(bench: Bench) -> None:
    """A request that claims more than it may is refused by its first bytes."""
    claim = b"\xdc\x27\x11"  # an array of 10,001, and nothing behind it
    found = await bench.http.ask(
        "POST", "/v1/records", claim, Content_Type="application/vnd.ratoon.records"
    )
    bench.same("R-7", "a batch that claims 10,001 items", found.code, "too_many")
    claim = b"\x91\xc6\xff\xff\xff\xff"
    found = await bench.http.ask(
        "POST", "/v1/records", claim, Content_Type="application/vnd.ratoon.records"
    )
    bench.same("R-7", "an item that claims 4 GiB", found.code, "malformed")
    zipped = join_records([b""])
    found = await bench.http.ask(
        "POST",
        "/v1/records",
        zipped,
        Content_Type="application/vnd.ratoon.records",
        Content_Encoding="gzip",
    )
    bench.same("R-7", "compressed input", found.code, "encoding_refused")


@check("R-9", title="every code is one of the table")
async def codes(bench: Bench) -> None:
    """All codes that came so far are known, and an unknown one does not disturb a link."""
    known = {code.value for code in Code}
    strange = sorted(code for code in bench.http.codes if code not in known)
    bench.same("R-9", "codes that no table has", strange, [])


@check("R-9", title="an unknown code on a link reads as unsupported")
async def codes_by_link(bench: Bench) -> None:
    """An ack with a word of a later version keeps the link open."""
    async with bench.linked() as link:
        await link.send(encode([10, [["a_later_word", fresh_salt() * 2]]]))
        bench.true("R-9", "a word of a later version does not end the link", await link.alive())
