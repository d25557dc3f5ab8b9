"""Section 2: MessagePack with one spelling, in records, headers and bodies."""

from __future__ import annotations

from collections.abc import Iterator

from ratoon_node.cli.conformance.bench import Bench
from ratoon_node.cli.conformance.people import TEXT, Person, fresh_salt, pack, padded
from ratoon_node.cli.conformance.suite import check
from ratoon_protocol.record import Record

Case = tuple[str, str, Record | bytes, str | frozenset[str]]

_TEXT = b"\x81\xa4text"
_EXTRA = b"\x82\xa4text\xa1a\xa1z"  # a body with a text, and a key to put a value under

# A value in a body that no decoder takes: requirement, case, its bytes, the code.
VALUES: tuple[tuple[str, str, bytes, str], ...] = (
    ("R-10", "true", b"\xc3", "bad_type"),
    ("R-10", "false", b"\xc2", "bad_type"),
    ("R-10", "a float of 32 bits", b"\xca" + bytes(4), "bad_type"),
    ("R-10", "a float of 64 bits", b"\xcb" + bytes(8), "bad_type"),
    ("R-10", "not a number", b"\xcb\x7f\xf8" + bytes(6), "bad_type"),
    ("R-10", "an extension", b"\xd4\x05\x00", "bad_type"),
    ("R-10", "a timestamp", b"\xd6\xff" + bytes(4), "bad_type"),
    ("R-11", "a negative number", b"\xff", "out_of_range"),
    ("R-11", "2^53", b"\xcf" + (2**53).to_bytes(8), "out_of_range"),
    ("R-11", "2^64 - 1", b"\xcf" + b"\xff" * 8, "out_of_range"),
    ("R-11", "1 in two bytes", b"\xcc\x01", "non_canonical"),
    ("R-11", "1 in three bytes", b"\xcd\x00\x01", "non_canonical"),
    ("R-11", "1 in nine bytes", b"\xcf" + (1).to_bytes(8), "non_canonical"),
    ("R-11", "1 as a signed number", b"\xd0\x01", "non_canonical"),
    ("R-12", "a byte with two bytes of length", b"\xc5\x00\x01a", "non_canonical"),
    ("R-12", "a byte with four bytes of length", b"\xc6\x00\x00\x00\x01a", "non_canonical"),
    ("R-13", "a text in a longer spelling", b"\xd9\x01a", "non_canonical"),
    ("R-13", "bytes that are not UTF-8", b"\xa2\xff\xfe", "bad_utf8"),
    ("R-13", "half a surrogate pair", b"\xa3\xed\xa0\x80", "bad_utf8"),
    ("R-13", "an overlong slash", b"\xa2\xc0\xaf", "bad_utf8"),
    ("R-13", "a code point above U+10FFFF", b"\xa4\xf4\x90\x80\x80", "bad_utf8"),
    ("R-13", "U+0000", b"\xa2a\x00", "bad_text"),
    ("R-14", "an array in a longer spelling", b"\xdc\x00\x01\x01", "non_canonical"),
    ("R-14", "a map in a longer spelling", b"\xde\x00\x01\xa1a\x01", "non_canonical"),
    ("R-14", "keys out of order", b"\x82\xa1b\x01\xa1a\x01", "non_canonical"),
    ("R-14", "a longer key that sorts first, behind", b"\x82\xa1b\x01\xa2aa\x01", "non_canonical"),
    ("R-14", "a key twice", b"\x82\xa1a\x01\xa1a\x02", "non_canonical"),
    ("R-14", "a key that is a number", b"\x81\x01\x01", "bad_type"),
    ("R-14", "a key that is bytes", b"\x81\xc4\x01a\x01", "bad_type"),
    ("R-14", "a key that is not ASCII", b"\x81\xa2\xc3\xa9\x01", "non_canonical"),
    ("R-14", "an empty key", b"\x81\xa0\x01", "non_canonical"),
    ("R-15", "arrays to depth 5", b"\x91\x91\x91\x01", "too_deep"),
    ("R-15", "an empty array at depth 5", b"\x91\x91\x90", "too_deep"),
    ("R-15", "an array of 1,025", b"\xdc\x04\x01" + b"\x01" * 1025, "too_many"),
    ("R-16", "a reserved byte", b"\xc1", "malformed"),
    ("R-16", "an array that claims 4 GiB", b"\xdd\xff\xff\xff\xff", "malformed"),
    ("R-16", "a byte string that claims 4 GiB", b"\xc6\xff\xff\xff\xff", "malformed"),
)  # fmt: skip

# Values under a key that nobody knows, and that every decoder takes.
GOOD: tuple[tuple[str, str, bytes], ...] = (
    ("R-10", "nil", b"\xc0"),
    ("R-11", "2^53 - 1", b"\xcf" + (2**53 - 1).to_bytes(8)),
    ("R-11", "127, 128 and 65,536, each shortest", b"\x93\x7f\xcc\x80\xce\x00\x01\x00\x00"),
    ("R-12", "256 bytes", b"\xc5\x01\x00" + bytes(256)),
    ("R-13", "a text that is not normalised", b"\xa3e\xcc\x81"),
    ("R-14", "keys in order", b"\x82\xa1a\x01\xa2aa\x01"),
    ("R-15", "arrays to depth 4", b"\x91\x91\x01"),
    ("R-15", "an array of 1,024", b"\xdc\x04\x00" + b"\x01" * 1024),
)  # fmt: skip


def _body(value: bytes) -> bytes:
    """A post's body with one more value, under a key that sorts behind all others."""
    text = pack(TEXT)
    return b"\x82\xa4text" + text + b"\xa3zzz" + value


def value_cases(who: Person) -> Iterator[Case]:
    """Bodies with one wrong value each."""
    for requirement, case, value, code in VALUES:
        yield requirement, f"in a body: {case}", who.bad(padded(fresh_salt(), _body(value))), code


def whole_cases(who: Person) -> Iterator[Case]:
    """What stands around a record, spelt wrongly."""
    good = who.bad(who.payload())
    data = good.encode()
    header = good.header_bytes
    yield "R-16", "an empty record", b"", frozenset({"empty", "malformed"})
    yield "R-16", "a record cut short", data[:-1], "malformed"
    yield "R-16", "a byte behind a record", data + b"\x00", "trailing"
    yield "R-14", "a record in a longer spelling", b"\xdc\x00\x03" + data[1:], "non_canonical"
    yield "R-15", "a thousand arrays for a record", b"\x91" * 1000 + b"\xc0", "too_deep"
    yield "R-16", "a header cut short", who.raw(header[:-3], who.payload()), "malformed"
    yield "R-16", "a byte behind the header", who.raw(header + b"\x00", who.payload()), "trailing"
    long = b"\xdc\x00\x0b" + header[1:]
    yield "R-14", "a header in a longer spelling", who.raw(long, who.payload()), "non_canonical"
    version = header[:1] + b"\xcf" + header[1].to_bytes(8) + header[2:]
    yield "R-11", "the version in nine bytes", who.raw(version, who.payload()), "non_canonical"


@check("R-10", "R-11", "R-12", "R-13", "R-14", "R-15", "R-16", title="one spelling of a value")
async def encoding(bench: Bench) -> None:
    """Every wrong spelling is refused with its code; right ones that look odd are stored."""
    who = await bench.resident()
    await bench.refused([*value_cases(who), *whole_cases(who)])
    stored = []
    for requirement, case, value in GOOD:
        body = padded(fresh_salt(), _body(value))
        stored.append((requirement, f"in a body: {case}", who.move_on(body)))
    await bench.accepted(stored)
    for requirement, case, record in stored:
        given = await bench.http.read(record.id)
        bench.true(requirement, f"{case} comes back as it was sent", given == record.encode())
