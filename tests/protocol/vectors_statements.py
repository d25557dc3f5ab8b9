"""Makes statements.json: what keys say outside of records, and one fault each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.protocol.vectors_codec import Case, shown
from tests.protocol.vectors_records import ACCOUNT, CREATED_MS, ID, KEY, NETWORK, SALT, pack

ORIGIN = "https://node.example"
LATER_MS = CREATED_MS + 120_000
SIGN_IN: list[Any] = [ACCOUNT, ID, ORIGIN, SALT, LATER_MS]

VALID: list[tuple[str, str, list[Any]]] = [
    ("sign in", "session", SIGN_IN),
    ("sign in at a port", "session", [ACCOUNT, ID, "http://127.0.0.1:7420", SALT, LATER_MS]),
    ("sign in at an onion", "session", [ACCOUNT, ID, f"http://{'a' * 56}.onion", SALT, LATER_MS]),
    ("sign in, the last moment there is", "session", [ACCOUNT, ID, ORIGIN, SALT, 2**53 - 1]),
    ("one sender may write", "token", [ACCOUNT, ID, LATER_MS]),
    ("anybody may write", "token", [ACCOUNT, None, LATER_MS]),
    ("an invite", "invite", [ACCOUNT, SALT, LATER_MS]),
    ("bytes are gone", "erasure", [ACCOUNT, ID, CREATED_MS]),
    ("head of a moderation log", "audit", [ACCOUNT, 7, ID, CREATED_MS]),
]


def wrapped(content: bytes, context: str = "session", network: bytes = NETWORK) -> bytes:
    """A statement with a good signature of whatever its content is."""
    signature = KEY.sign(b"ratoon/1/" + context.encode() + b"\0" + network + content)
    return pack([content, KEY.public, signature])


def statement(parts: Any, context: str = "session") -> bytes:
    return wrapped(pack(parts), context)


def _part(place: int, value: Any) -> bytes:
    parts: list[Any] = list(SIGN_IN)
    parts[place] = value
    return statement(parts)


def _shapes() -> Iterator[tuple[str, bytes, str]]:
    good, content = statement(SIGN_IN), pack(SIGN_IN)
    signature = good[-64:]
    yield "nothing", b"", "empty"
    yield "cut short", good[:-1], "malformed"
    yield "a byte behind it", good + b"\0", "trailing"
    yield "above every limit", wrapped(pack([*SIGN_IN[:2], "a" * 4096, *SIGN_IN[3:]])), "too_large"
    yield "a map", pack({"content": content}), "bad_type"
    yield "two parts", pack([content, KEY.public]), "bad_length"
    yield "content that is not packed", pack([SIGN_IN, KEY.public, signature]), "too_deep"
    yield "content as text", pack(["content", KEY.public, signature]), "bad_type"
    yield "a key of 31 bytes", pack([content, KEY.public[:31], signature]), "bad_length"
    yield "a signature of 65 bytes", pack([content, KEY.public, signature + b"\0"]), "bad_length"
    yield "list head of 16 bits", b"\xdc\x00\x03" + good[1:], "non_canonical"
    yield "content: list head of 16 bits", wrapped(b"\xdc\x00\x05" + content[1:]), "non_canonical"
    yield "content: a byte behind it", wrapped(content + b"\0"), "trailing"
    yield "content: a map", statement({"account": ACCOUNT}), "bad_type"
    yield "content: four parts", statement(SIGN_IN[:4]), "bad_length"
    yield "content: six parts", statement([*SIGN_IN, None]), "bad_length"


def _parts() -> Iterator[tuple[str, bytes, str]]:
    yield "account of 31 bytes", _part(0, ACCOUNT[:31]), "bad_length"
    yield "account as text", _part(0, ACCOUNT.hex()), "bad_type"
    yield "no audience", _part(1, None), "bad_type"
    yield "no origin", _part(2, ""), "bad_body"
    yield "origin as bytes", _part(2, ORIGIN.encode()), "bad_type"
    yield "origin with a space", _part(2, ORIGIN + " "), "bad_text"
    yield "origin of two lines", _part(2, ORIGIN + "\n"), "bad_text"
    yield "origin of 257 bytes", _part(2, "a" * 257), "too_long"
    yield "nonce of 15 bytes", _part(3, SALT[:15]), "bad_length"
    yield "expiry as text", _part(4, str(LATER_MS)), "bad_type"
    yield "expiry above 2^53 - 1", _part(4, 2**53), "out_of_range"


def _signatures() -> Iterator[tuple[str, bytes, str]]:
    good, content = statement(SIGN_IN), pack(SIGN_IN)
    flipped = good[:-1] + bytes([good[-1] ^ 1])
    yield "a flipped bit in the signature", flipped, "bad_signature"
    yield "signed as a link's proof", wrapped(content, "link"), "bad_signature"
    yield "signed as a contact token", wrapped(content, "token"), "bad_signature"
    yield "signed for another network", wrapped(content, network=b"others\0\0"), "bad_signature"
    bare = pack([content, KEY.public, KEY.sign(content)])
    yield "signed without its context", bare, "bad_signature"
    other = pack([pack([ID, *SIGN_IN[1:]]), KEY.public, good[-64:]])
    yield "the signature of another account's", other, "bad_signature"
    yield "a key of small order", pack([content, bytes(32), good[-64:]]), "bad_key"


def statements() -> dict[str, Any]:
    """statements.json: judge `bytes` in `context`; `parts` are those of the content."""
    valid: list[Case] = [
        {
            "name": name,
            "requirement": "R-127",
            "context": context,
            "bytes": statement(parts, context).hex(),
            "key": KEY.public.hex(),
            "parts": shown(parts),
            "expect": "ok",
        }
        for name, context, parts in VALID
    ]
    return {
        "how": "judge `bytes` as a statement in `context`: its shape, its parts, its signature",
        "network": NETWORK.hex(),
        "valid": valid,
        "invalid": [
            {
                "name": name,
                "requirement": "R-127",
                "context": "session",
                "bytes": data.hex(),
                "expect": code,
            }
            for name, data, code in (*_shapes(), *_parts(), *_signatures())
        ],
    }
