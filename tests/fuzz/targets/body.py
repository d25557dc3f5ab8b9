"""Bodies of every kind, judged by the tables and by their second spelling (R-90 to R-114).

An input is `[kind, body]`; the header is made to fit it, slot and key too.
"""

from __future__ import annotations

from collections.abc import Iterator

from ratoon_node.policy import facts
from ratoon_protocol import bodies, codec, kinds, record
from ratoon_protocol.errors import ProtocolError, UsageError
from ratoon_protocol.limits import VERSION
from tests.fuzz.mutation import pack, unpack, valuewise
from tests.fuzz.target import Target, ask, vectors
from tests.fuzz.targets.record import look_into, network
from tests.protocol import second_bodies, second_decoder

KINDS = (*kinds.NAMES, 2600, 3200, 30 << 8 | 0x2A)


def run(data: bytes) -> None:
    """Both sets of tables say the same."""
    parts = unpack(data)
    if not (isinstance(parts, list) and len(parts) == 2 and isinstance(parts[0], int)):
        return
    kind = KINDS[parts[0] % len(KINDS)]
    try:
        body = codec.decode(codec.encode([parts[1]]))[0]
    except (ProtocolError, UsageError, ValueError, OverflowError):
        return
    if type(body) is not dict:
        return
    header = _header(kind, body)
    accepted = _accepts(header, body)
    if accepted:
        look_into(kind, body)
        ask(len(facts.links_of(kind, body)) <= 64 * 65, "links without bound")
        facts.shown_accounts(kind, body)
    ask(accepted == _second_accepts(header, body), f"one accepts a body of {kind}")


def _header(kind: int, body: record.Body) -> record.Header:
    """A header whose account is 32 times 1, and whose key the target where that can be one."""
    account, slot, key, target = bytes([1]) * 32, None, bytes([2]) * 32, body.get("target")
    if kinds.kind_class(kind).slot:
        slot = bytes(16)
        if type(target) is bytes and type(body.get("slot_salt")) is bytes:
            slot = record.slot_id(account, kind, body["slot_salt"], target)
    if kind == kinds.PREKEY and type(target) is bytes and len(target) == 32:
        key = target
    return record.Header(
        VERSION, network(), kind, account, key, 1, None, 1_760_000_000_000, slot, 64, bytes(32)
    )


def _accepts(header: record.Header, body: record.Body) -> bool:
    if header.kind == kinds.IDENTITY and body.get("prev_op", b"") is None:
        body = body | {
            "prev_op": bytes(32)
        }  # whether a genesis names its account is its own matter
    try:
        bodies.check_body(header, body)
    except ProtocolError:
        return False
    return True


def _second_accepts(header: record.Header, body: record.Body) -> bool:
    try:
        second_bodies.check_body(header._asdict(), body)
    except second_decoder.Fault:
        return False
    return True


def seeds() -> Iterator[bytes]:
    """The vectors' bodies."""
    cases = vectors("bodies")
    for case in (*cases["valid"], *cases["invalid"]):
        body = unpack(bytes.fromhex(case["body"]))
        if case["kind"] in KINDS and body is not None:
            yield pack([KINDS.index(case["kind"]), body])


TARGET = Target("body", run, seeds, bytes_max=4096, mutate=valuewise)
