"""Makes codec.json: values in their one spelling, and every other way of writing them.

Values stand in JSON as they are, but bytes as {"$bin": hex}. Invalid cases have one fault each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Case = dict[str, Any]

R_SHAPE = "R-10"
R_INTEGER = "R-11"
R_BYTES = "R-12"
R_TEXT = "R-13"
R_MAP = "R-14"
R_DEPTH = "R-15"
R_WHOLE = "R-16"


def shown(value: Any) -> Any:
    """A value as the vector files write it."""
    if isinstance(value, bytes):
        return {"$bin": value.hex()}
    if isinstance(value, list):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    return value


def read(value: Any) -> Any:
    """What `shown` was given."""
    if isinstance(value, dict):
        if value.keys() == {"$bin"}:
            return bytes.fromhex(value["$bin"])
        return {key: read(item) for key, item in value.items()}
    if isinstance(value, list):
        return [read(item) for item in value]
    return value


# Bytes are written by hand here: a generator that encoded them would prove nothing.
VALID: list[tuple[str, str, Any, str]] = [
    (R_SHAPE, "nil", None, "c0"),
    (R_INTEGER, "0", 0, "00"),
    (R_INTEGER, "127", 127, "7f"),
    (R_INTEGER, "128", 128, "cc80"),
    (R_INTEGER, "255", 255, "ccff"),
    (R_INTEGER, "256", 256, "cd0100"),
    (R_INTEGER, "65535", 65535, "cdffff"),
    (R_INTEGER, "65536", 65536, "ce00010000"),
    (R_INTEGER, "2^32 - 1", 2**32 - 1, "ceffffffff"),
    (R_INTEGER, "2^32", 2**32, "cf0000000100000000"),
    (R_INTEGER, "2^53 - 1", 2**53 - 1, "cf001fffffffffffff"),
    (R_BYTES, "no bytes", b"", "c400"),
    (R_BYTES, "one byte", b"\xff", "c401ff"),
    (R_BYTES, "255 bytes", b"\x01" * 255, "c4ff" + "01" * 255),
    (R_BYTES, "256 bytes", b"\x01" * 256, "c50100" + "01" * 256),
    (R_TEXT, "no text", "", "a0"),
    (R_TEXT, "31 bytes of text", "a" * 31, "bf" + "61" * 31),
    (R_TEXT, "32 bytes of text", "a" * 32, "d920" + "61" * 32),
    (R_TEXT, "255 bytes of text", "a" * 255, "d9ff" + "61" * 255),
    (R_TEXT, "256 bytes of text", "a" * 256, "da0100" + "61" * 256),
    (R_TEXT, "e with acute, composed", "\u00e9", "a2c3a9"),
    (R_TEXT, "e with acute, decomposed: another text", "e\u0301", "a365cc81"),
    (R_TEXT, "beyond the basic plane", "\U0001f426", "a4f09f90a6"),
    (R_SHAPE, "empty list", [], "90"),
    (R_SHAPE, "list of 15", [1] * 15, "9f" + "01" * 15),
    (R_SHAPE, "list of 16", [1] * 16, "dc0010" + "01" * 16),
    (R_SHAPE, "list of 1,024", [1] * 1024, "dc0400" + "01" * 1024),
    (R_MAP, "empty map", {}, "80"),
    (R_MAP, "keys in bytewise order", {"B": 1, "a": 2, "aa": 3}, "83a14201a16102a2616103"),
    (R_DEPTH, "four deep", [[[[1]]]], "9191919101"),
    (R_DEPTH, "four deep with an empty list", [[[[]]]], "91919190"),
    (R_DEPTH, "map, list, map, list", {"a": [{"b": [1]}]}, "81a1619181a1629101"),
]

INVALID: list[tuple[str, str, str, str]] = [
    (R_WHOLE, "nothing", "", "empty"),
    (R_WHOLE, "a byte behind the value", "0000", "trailing"),
    (R_WHOLE, "a value behind the value", "9001", "trailing"),
    (R_WHOLE, "unused type c1", "c1", "malformed"),
    (R_WHOLE, "an integer cut short", "cd01", "malformed"),
    (R_WHOLE, "bytes cut short", "c40201", "malformed"),
    (R_WHOLE, "text cut short", "a261", "malformed"),
    (R_WHOLE, "a list cut short", "9201", "malformed"),
    (R_WHOLE, "a map cut short", "81a161", "malformed"),
    (R_WHOLE, "text that claims 4 GiB", "dbffffffff61", "malformed"),
    (R_WHOLE, "bytes that claim 4 GiB", "c6ffffffff61", "malformed"),
    (R_WHOLE, "a list that claims 4 G items", "ddffffffff01", "malformed"),
    (R_WHOLE, "a map that claims 4 G items", "dfffffffff01", "malformed"),
    (R_SHAPE, "true", "c3", "bad_type"),
    (R_SHAPE, "false", "c2", "bad_type"),
    (R_SHAPE, "a float of 32 bits", "ca3f800000", "bad_type"),
    (R_SHAPE, "a float of 64 bits", "cb3ff0000000000000", "bad_type"),
    (R_SHAPE, "not a number", "cb7ff8000000000000", "bad_type"),
    (R_SHAPE, "minus zero", "cb8000000000000000", "bad_type"),
    (R_SHAPE, "an extension", "d40100", "bad_type"),
    (R_SHAPE, "an extension of 8 bits length", "c7010100", "bad_type"),
    (R_SHAPE, "a timestamp", "d6ff00000000", "bad_type"),
    (R_SHAPE, "a list of 16 in 32 bits", "dd00000010" + "01" * 16, "non_canonical"),
    (R_SHAPE, "a list of 10 in 16 bits", "dc000a" + "01" * 10, "non_canonical"),
    (R_SHAPE, "a list of 1,025", "dc0401" + "01" * 1025, "too_many"),
    (R_INTEGER, "minus one", "ff", "out_of_range"),
    (R_INTEGER, "minus 128", "d080", "out_of_range"),
    (R_INTEGER, "minus 2^63", "d38000000000000000", "out_of_range"),
    (R_INTEGER, "2^53", "cf0020000000000000", "out_of_range"),
    (R_INTEGER, "2^64 - 1", "cfffffffffffffffff", "out_of_range"),
    (R_INTEGER, "1 in 8 bits", "cc01", "non_canonical"),
    (R_INTEGER, "1 in 16 bits", "cd0001", "non_canonical"),
    (R_INTEGER, "256 in 32 bits", "ce00000100", "non_canonical"),
    (R_INTEGER, "1 in 64 bits", "cf0000000000000001", "non_canonical"),
    (R_INTEGER, "1 as a signed integer", "d001", "non_canonical"),
    (R_INTEGER, "1,000 as a signed integer", "d103e8", "non_canonical"),
    (R_BYTES, "one byte with 16 bits of length", "c50001ff", "non_canonical"),
    (R_BYTES, "one byte with 32 bits of length", "c600000001ff", "non_canonical"),
    (R_TEXT, "a with 8 bits of length", "d90161", "non_canonical"),
    (R_TEXT, "a with 16 bits of length", "da000161", "non_canonical"),
    (R_TEXT, "a with 32 bits of length", "db0000000161", "non_canonical"),
    (R_TEXT, "a stray continuation byte", "a180", "bad_utf8"),
    (R_TEXT, "an overlong slash", "a2c0af", "bad_utf8"),
    (R_TEXT, "half a surrogate pair", "a3eda080", "bad_utf8"),
    (R_TEXT, "above U+10FFFF", "a4f4908080", "bad_utf8"),
    (R_TEXT, "a character cut short", "a2e282", "bad_utf8"),
    (R_TEXT, "U+0000", "a100", "bad_text"),
    (R_TEXT, "U+0000 inside", "a3610062", "bad_text"),
    (R_TEXT, "U+0000 in a key", "81a361006201", "bad_text"),
    (R_MAP, "keys out of order", "82a16201a16102", "non_canonical"),
    (R_MAP, "an empty key", "81a001", "non_canonical"),
    (R_MAP, "a key twice", "82a16101a16102", "non_canonical"),
    (R_MAP, "a key that is not ASCII", "81a2c3a901", "non_canonical"),
    (R_MAP, "an integer as a key", "810101", "bad_type"),
    (R_MAP, "bytes as a key", "81c4016101", "bad_type"),
    (R_MAP, "nil as a key", "81c001", "bad_type"),
    (R_MAP, "a list as a key", "819001", "bad_type"),
    (R_MAP, "a map of 1 in 16 bits", "de0001a16101", "non_canonical"),
    (R_MAP, "a map of 1 in 32 bits", "df00000001a16101", "non_canonical"),
    (R_DEPTH, "five deep", "919191919101", "too_deep"),
    (R_DEPTH, "five deep with an empty list", "9191919190", "too_deep"),
    (R_DEPTH, "five deep with an empty map", "9191919180", "too_deep"),
    (R_DEPTH, "1,023 deep", "91" * 1022 + "90", "too_deep"),
    (R_DEPTH, "20,000 deep", "91" * 19_999 + "90", "too_deep"),
]


def _valid() -> Iterator[Case]:
    for requirement, name, value, data in VALID:
        yield {
            "name": name,
            "requirement": requirement,
            "bytes": data,
            "value": shown(value),
            "expect": "ok",
        }


def codec() -> dict[str, Any]:
    """codec.json: decode(bytes) with a depth of 4."""
    return {
        "how": 'decode `bytes`, depth at most 4; `value` has byte strings as {"$bin": hex}',
        "valid": list(_valid()),
        "invalid": [
            {"name": name, "requirement": requirement, "bytes": data, "expect": code}
            for requirement, name, data, code in INVALID
        ],
    }
