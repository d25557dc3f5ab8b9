"""Turns a history into signed records, with ids, account and slots as they really are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ratoon_protocol import kinds
from ratoon_protocol.identity import Operation, parse_operation
from ratoon_protocol.kinds import Lane
from ratoon_protocol.record import (
    Body,
    Header,
    Record,
    account_id,
    decode_payload,
    encode_header,
    encode_payload,
    new_header,
    record_id,
    signed_message,
    slot_id,
)
from tests.protocol.histories import NETWORK, History, digest, public, signing_key

NAMES = [*(f"{letter}{number}" for letter in "KDT" for number in range(10)), "T", "TD", "E"]
BY_KEY = {public(name): name for name in NAMES}

BODIES: dict[int, Body] = {
    kinds.POST: {"text": "a post"},
    kinds.VOTE: {"choices": [0], "target": digest("poll")},
    kinds.PROFILE: {"bio": "", "name": "Ann", "target": b""},
    kinds.SETTING: {"data": b"sealed", "target": digest("setting")[:16]},
    kinds.IDENTITY: {},
}


class Signed(NamedTuple):
    """Everything by its real id; `ids` leads there from the ids of the history."""

    account: bytes
    ids: dict[bytes, bytes]
    records: dict[bytes, bytes]
    ops: dict[bytes, Operation]
    headers: dict[bytes, Header]
    deletes: dict[bytes, list[bytes]]


def signed(history: History) -> Signed:
    """The genesis, then the records, then the operations, which may name records as tips."""
    genesis = next(op for op in history.ops.values() if op.prev_op is None)
    payload = encode_payload(operation_body(genesis, {}), bytes(16))
    account = account_id(NETWORK, _hash(payload))
    made = Signed(account, {}, {}, {}, {}, {})
    _sign_operation(made, genesis)
    for old, header in history.headers.items():
        if old not in history.ops:
            _sign_record(made, old, header, history.deletes.get(old, ()))
    for op in history.ops.values():
        if op is not genesis:
            _sign_operation(made, op)
    return made


def _hash(payload: bytes) -> bytes:
    header = new_header(
        network=NETWORK, kind=kinds.IDENTITY, account=bytes(32), key=bytes(32), seq=1, prev=None,
        created_ms=0, payload=payload,
    )  # fmt: skip
    return header.payload_hash


def operation_body(op: Operation, ids: Mapping[bytes, bytes]) -> Body:
    """The body that spells `op`, with ids led to the real ones."""
    body: Body = {
        "devices": [list(row) for row in op.devices],
        "handles": list(op.handles),
        "homes": list(op.homes),
        "keys": [list(row) for row in op.keys],
        "prev_op": ids.get(op.prev_op, op.prev_op) if op.prev_op else None,
        "revoked": [[row.key, int(row.form), row.at_ms] for row in op.revoked],
        "tips": [[row.key, int(row.lane), row.seq, ids.get(row.id, row.id)] for row in op.tips],
    }
    return body | {"vanish": 1} if op.vanish else body


def signed_operation(
    account: bytes, signer: str, body: Body, at_ms: int, seq: int = 1, prev: bytes | None = None
) -> Record:
    """An identity record around any body."""
    return _record(account, signer, kinds.IDENTITY, body, at_ms, seq, prev)


def _record(
    account: bytes,
    signer: str,
    kind: int,
    body: Body,
    at_ms: int,
    seq: int,
    prev: bytes | None,
    slot: bytes | None = None,
) -> Record:
    payload = encode_payload(body, bytes(16))
    header = new_header(
        network=NETWORK, kind=kind, account=account, key=public(signer), seq=seq, prev=prev,
        created_ms=at_ms, payload=payload, slot=slot,
    )  # fmt: skip
    data = encode_header(header)
    signature = signing_key(signer).sign(signed_message(data))
    return Record(record_id(data), header, data, signature, payload)


def _keep(made: Signed, old: bytes, record: Record) -> None:
    made.ids[old] = record.id
    made.records[record.id] = record.encode()
    made.headers[record.id] = record.header


def _sign_operation(made: Signed, op: Operation) -> None:
    mine = [h for h in made.headers.values() if h.key == op.signer and h.kind == kinds.IDENTITY]
    last = max(mine, key=lambda header: header.seq, default=None)
    before = [one for one, header in made.headers.items() if header == last]
    record = signed_operation(
        made.account,
        BY_KEY[op.signer],
        operation_body(op, made.ids),
        op.created_ms + len(made.ops),  # so that no two are one record
        seq=last.seq + 1 if last else 1,
        prev=before[0] if before else None,
    )
    _keep(made, op.id, record)
    assert record.payload is not None
    body = decode_payload(record.payload)
    made.ops[record.id] = parse_operation(record.id, record.header, body)


def _sign_record(made: Signed, old: bytes, header: Header, targets: object) -> None:
    body = dict(BODIES.get(header.kind, {}))
    slot = None
    if header.kind == kinds.DELETE:
        assert isinstance(targets, list | tuple)
        body = {"ids": [made.ids.get(one, one) for one in targets if one != old] or [bytes(32)]}
    if header.slot:
        body["slot_salt"] = header.slot
        slot = slot_id(made.account, header.kind, header.slot, body["target"])
    prev = made.ids.get(header.prev, header.prev) if header.prev else None
    record = _record(
        made.account, BY_KEY[header.key], header.kind, body, header.created_ms, header.seq, prev,
        slot,
    )  # fmt: skip
    if record.id in made.headers:  # the same words at the same place: one record
        body["again"] = len(made.headers)
        record = _record(
            made.account, BY_KEY[header.key], header.kind, body, header.created_ms, header.seq,
            prev, slot,
        )  # fmt: skip
    _keep(made, old, record)
    if header.kind == kinds.DELETE:
        made.deletes[record.id] = body["ids"]
    assert header.kind_class.lane is not Lane.NONE
