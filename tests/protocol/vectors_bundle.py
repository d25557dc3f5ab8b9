"""Makes bundle.json: files of records, whole, cut and damaged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.protocol.vectors_codec import Case
from tests.protocol.vectors_records import CREATED_MS, ID, KEY, NETWORK, pack, record

MAGIC = b"ratoon bundle\x00\x01\n"
END = bytes(5)
NOTE = "Fight night"


def sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def item(tag: int, data: bytes) -> bytes:
    return bytes([tag]) + sized(data)


def manifest(*, signer: bytes = KEY.public, **changes: Any) -> bytes:
    """The manifest's bytes and the signature of the vectors' key."""
    good = {"network": NETWORK, "key": signer, "created_ms": CREATED_MS, "records": 2, "note": NOTE}
    data = pack(list((good | changes).values()))
    return sized(data) + KEY.sign(b"ratoon/1/bundle\x00" + NETWORK + data)


FIRST, SECOND = record(), record(seq=2, prev=ID)
RECORDS = item(1, FIRST) + item(1, SECOND)
WHOLE = MAGIC + manifest() + RECORDS + END


def _valid() -> Iterator[Case]:
    both = [[1, FIRST.hex()], [1, SECOND.hex()]]

    def case(name: str, data: bytes, items: list[Any], signed: bool = True) -> Case:
        return {
            "name": name,
            "requirement": "R-87",
            "bytes": data.hex(),
            "signed": signed,
            "items": items,
            "expect": "ok",
        }

    yield case("two records", WHOLE, both)
    yield case("no records", MAGIC + manifest() + END, [])
    media = item(2, b"a picture")
    yield case(
        "a record and media",
        MAGIC + manifest() + item(1, FIRST) + media + END,
        [
            both[0],
            [2, b"a picture".hex()],
        ],
    )
    later = item(9, b"something of a later version")
    yield case("an unknown item is passed over", MAGIC + manifest() + later + RECORDS + END, both)
    lie = manifest(records=5, note="")
    yield case("the manifest miscounts", MAGIC + lie + RECORDS + END, both)
    other = manifest(signer=ID)
    yield case("the manifest names another key", MAGIC + other + RECORDS + END, both, False)
    junk = item(1, b"not a record")
    yield case(
        "what a record says is judged elsewhere",
        MAGIC + manifest() + junk + END,
        [[1, b"not a record".hex()]],
    )


def _invalid() -> Iterator[tuple[str, str, bytes, str]]:
    head = MAGIC + manifest()
    yield "R-87", "nothing", b"", "truncated"
    yield "R-87", "another file", b"PK\x03\x04" + bytes(100), "malformed"
    yield "R-87", "another version", WHOLE.replace(b"\x00\x01\n", b"\x00\x02\n", 1), "unsupported"
    yield "R-88", "no end mark", head + RECORDS, "truncated"
    yield "R-88", "cut inside a record", head + RECORDS[:-1], "truncated"
    yield "R-88", "cut inside a length", head + RECORDS + b"\x01\x00", "truncated"
    yield "R-88", "cut inside the manifest", head[:40], "truncated"
    yield "R-88", "an end mark with a length", head + b"\0" + sized(b"more"), "too_large"
    yield "R-88", "a record that claims 4 GiB", head + b"\x01" + b"\xff" * 4, "too_large"
    yield "R-88", "media that claims 4 GiB", head + b"\x02" + b"\xff" * 4, "too_large"
    yield "R-88", "a later item that claims 4 GiB", head + b"\x09" + b"\xff" * 4, "too_large"
    huge = MAGIC + (4097).to_bytes(4, "big")
    yield "R-88", "a manifest above 4 KiB", huge, "too_large"
    signature = bytes(64)
    yield "R-89", "an empty manifest", MAGIC + sized(b"") + signature, "empty"
    yield "R-89", "a manifest of four", MAGIC + sized(pack([1, 2, 3, 4])) + signature, "bad_body"
    yield "R-89", "a manifest that is a map", MAGIC + sized(pack({})) + signature, "bad_body"
    short = MAGIC + manifest(network=NETWORK[:7])
    yield "R-89", "a network of 7 bytes", short, "bad_body"
    yield "R-89", "a key of 33 bytes", MAGIC + manifest(key=bytes(33)), "bad_body"
    yield "R-89", "a note of two lines", MAGIC + manifest(note="a\nb"), "bad_text"
    loose = sized(b"\xdc\x00\x05" + pack([NETWORK, ID, 1, 2, ""])[1:])
    yield "R-89", "a manifest in a second spelling", MAGIC + loose + signature, "non_canonical"


def bundle() -> dict[str, Any]:
    """bundle.json: read the file; `items` are [tag, bytes]."""
    return {
        "how": "read `bytes` to the end; items come out as they are, or the first fault",
        "valid": list(_valid()),
        "invalid": [
            {"name": name, "requirement": requirement, "bytes": data.hex(), "expect": code}
            for requirement, name, data, code in _invalid()
        ],
    }
