"""What a thousand nodes would each work out alike, worked out once in this process.

Only pure functions of their arguments are remembered, and nobody changes what they return. It makes
a large world affordable; no node sees another answer than its own code would have given it.
"""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

from ratoon_node.ingest import scrub
from ratoon_node.peering import catchup, roster
from ratoon_node.peering.roster import NodeRecord
from ratoon_protocol import keys, record
from ratoon_protocol.record import Body, Header

T = TypeVar("T")

# Results remembered of each function: a record is worked on by all nodes within a few seconds.
KEPT_MAX = 65_536
# Longer than any world lasts.
NEVER_MS = 86_400_000


@contextmanager
def sharing() -> Iterator[None]:
    """Check each signature once, read each node's record once, and keep one of what is alike; and
    leave out the walk over stores in memory for bits that flipped: it is most of what idling costs.
    """
    replaced: tuple[tuple[ModuleType, str, object], ...] = (
        (keys, "verify", _checked_once()),
        (roster, "record", _Reader()),
        (roster, "NodeRecord", _kept_once()),
        (catchup, "frozenset", _one_set()),
        (scrub, "ROUND_PAUSE_MS", NEVER_MS),
    )
    before = [vars(module).get(name, getattr(builtins, name, None)) for module, name, _ in replaced]
    for module, name, value in replaced:
        vars(module)[name] = value
    try:
        yield
    finally:
        for (module, name, _), value in zip(replaced, before, strict=True):
            vars(module)[name] = value


def _remember(table: dict[Any, T], key: Any, value: T) -> T:
    table[key] = value
    if len(table) > KEPT_MAX:
        del table[next(iter(table))]
    return value


def _checked_once() -> Callable[[bytes, bytes, bytes], None]:
    good: dict[tuple[bytes, bytes, bytes], None] = {}
    check = keys.verify

    def verify(key: bytes, signature: bytes, message: bytes) -> None:
        asked = (key, signature, hashlib.sha256(message).digest())
        if asked not in good:
            _remember(good, asked, check(key, signature, message))

    return verify


class _Reader:
    """`ratoon_protocol.record` for the roster, which reads a thousand nodes' records each time."""

    def __init__(self) -> None:
        self._bodies: dict[bytes, Body] = {}
        self._headers: dict[bytes, Header] = {}

    def decode_payload(self, payload: bytes) -> Body:
        """See `record.decode_payload`."""
        found = self._bodies.get(payload)
        return found or _remember(self._bodies, payload, record.decode_payload(payload))

    def decode_header(self, header: bytes) -> Header:
        """See `record.decode_header`."""
        found = self._headers.get(header)
        return found or _remember(self._headers, header, record.decode_header(header))

    def __getattr__(self, name: str) -> Any:
        return getattr(record, name)


def _kept_once() -> Callable[[bytes, Body, bytes], NodeRecord]:
    known: dict[bytes, NodeRecord] = {}

    def keep(node: bytes, body: Body, stored: bytes) -> NodeRecord:
        found = known.get(stored)
        return found or _remember(known, stored, NodeRecord(node, body, stored))

    return keep


def _one_set() -> Callable[[Iterable[bytes]], frozenset[bytes]]:
    """What a peer admits: the same thousand nodes at each end of each link."""
    known: dict[frozenset[bytes], frozenset[bytes]] = {}

    def keep(nodes: Iterable[bytes]) -> frozenset[bytes]:
        found = frozenset(nodes)
        return known.get(found) or _remember(known, found, found)

    return keep
