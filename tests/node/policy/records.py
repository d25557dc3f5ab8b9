"""Headers and facts for policy tests."""

from __future__ import annotations

from typing import Any

from ratoon_node.policy.facts import Facts
from ratoon_protocol import kinds
from ratoon_protocol.record import Header

NOW_MS = 1_900_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
#: Stands for any body: the engine only asks whether there is one.
BODY = {"text": "here"}


def ident(number: int) -> bytes:
    return bytes([number]) * 32


def header(account: bytes = ident(1), kind: int = kinds.POST, payload_len: int = 448) -> Header:
    slot = bytes(16) if kinds.kind_class(kind).slot else None
    key, hash_ = ident(200), ident(201)
    return Header(0, b"ratoon\0\1", kind, account, key, 1, None, NOW_MS, slot, payload_len, hash_)


def facts(*texts: Any, **known: Any) -> Facts:
    return Facts(now_ms=NOW_MS, texts=texts, **known)
