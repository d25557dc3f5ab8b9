"""One identity operation: its rows, its shape and its proofs of possession (R-40 to R-43).

    body := { devices: [[ed25519, x25519, capabilities, proof, held_by | nil] …],
              handles: [text …], homes: [account …], keys: [[rank, ed25519, proof] …],
              prev_op: id | nil, revoked: [[key, form, at_ms] …],
              tips: [[key, lane, seq, id] …], vanish: 1 }        (vanish only if so)

An operation states the whole: what it does not list is not there. What can be checked without the
operations before it is checked here; `identity.IdentityLog` checks the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import NamedTuple, TypeVar

from ratoon_protocol import codec, keys, kinds
from ratoon_protocol.errors import Code, DecodeError, IdentityError, SignatureError
from ratoon_protocol.keys import Context
from ratoon_protocol.kinds import Capability, Lane
from ratoon_protocol.limits import (
    ACCOUNT_KEYS_MAX,
    DEVICES_MAX,
    HANDLE_BYTES_MAX,
    HANDLES_MAX,
    HOMES_MAX,
    REVOCATIONS_MAX,
    TIPS_MAX,
    TIPS_PER_LANE_MAX,
)
from ratoon_protocol.record import Body, Header, account_id

#: Capabilities a device may have: an account key's and a one-time key's are not among them.
DEVICE_CAPABILITIES = sum(1 << one for one in Capability) & ~(
    1 << Capability.ACCOUNT | 1 << Capability.NONE
)
#: What a node may be given for somebody whose app cannot sign, and nothing else (R-43).
HELD_CAPABILITIES = 1 << Capability.WRITE

T = TypeVar("T")

_HANDLE = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,63}@[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


class Form(IntEnum):
    """How a key is revoked (R-49)."""

    RETIRED = 0
    STOLEN = 1


class AccountKey(NamedTuple):
    """A ranked key that signs identity operations only. `proof`: `account_key_statement`."""

    rank: int
    key: bytes
    proof: bytes


class Device(NamedTuple):
    """A key that signs records. `capabilities`: bits `1 << Capability`; `held_by`: a node."""

    key: bytes
    agreement: bytes
    capabilities: int
    proof: bytes
    held_by: bytes | None


class Revocation(NamedTuple):
    """What an operation says of one key: gone at `at_ms` (R-49)."""

    key: bytes
    form: Form
    at_ms: int


class Tip(NamedTuple):
    """The last record of a key and lane that its owner made (R-50)."""

    key: bytes
    lane: Lane
    seq: int
    id: bytes


class Operation(NamedTuple):
    """A decoded operation. Ids, accounts and keys have 32 bytes; `prev_op` None: the genesis."""

    id: bytes
    account: bytes
    signer: bytes
    created_ms: int
    prev_op: bytes | None
    keys: tuple[AccountKey, ...]  # in order of rank
    devices: tuple[Device, ...]
    homes: tuple[bytes, ...]
    handles: tuple[str, ...]
    revoked: tuple[Revocation, ...] = ()
    tips: tuple[Tip, ...] = ()
    vanish: bool = False


def account_key_statement(network: bytes, anchor: bytes, rank: int, key: bytes) -> bytes:
    """What `key` signs to be listed at `rank`. `anchor`: the genesis' rank-0 key (R-42)."""
    return keys.signed_bytes(Context.ACCOUNT_KEY, network, anchor + rank.to_bytes(1) + key)


def device_statement(network: bytes, anchor: bytes, device: Device) -> bytes:
    """What `device.key` signs to be listed with all that its row says (R-42)."""
    fields = device.key + device.agreement + device.capabilities.to_bytes(2)
    return keys.signed_bytes(Context.DEVICE, network, anchor + fields + (device.held_by or b""))


def check_account_key_proof(network: bytes, anchor: bytes, row: AccountKey) -> None:
    """Raises `IdentityError(bad_proof)` (R-42)."""
    statement = account_key_statement(network, anchor, row.rank, row.key)
    _check_proof(row.key, row.proof, statement)


def check_device_proof(network: bytes, anchor: bytes, row: Device) -> None:
    """Raises `IdentityError(bad_proof)` (R-42)."""
    _check_proof(row.key, row.proof, device_statement(network, anchor, row))


def _check_proof(key: bytes, proof: bytes, statement: bytes) -> None:
    try:
        keys.check_new_public_key(key)
        keys.verify(key, proof, statement)
    except SignatureError as error:
        raise IdentityError(Code.BAD_PROOF, str(error)) from error


def parse_operation(record_id: bytes, header: Header, body: Body) -> Operation:
    """The operation in the body of an identity record whose signature was verified.

    Raises `DecodeError` (`bad_body`, `bad_type`, `bad_length`, `out_of_range`, `too_many`,
    `too_long`, `bad_text`) for its shape, `IdentityError(bad_operation)` for contradictions.
    Proofs need the account's genesis: `IdentityLog.add` checks them.
    """
    if header.kind != kinds.IDENTITY:
        raise IdentityError(Code.BAD_OPERATION, "not an identity record")
    prev_op = _field(body, "prev_op")
    if prev_op is not None:
        _bytes("prev_op", prev_op, 32)
    vanish = body.get("vanish", 0)
    if "vanish" in body and (type(vanish) is not int or vanish != 1):
        raise DecodeError(Code.BAD_BODY, "vanish")
    account_keys = _rows(body, "keys", ACCOUNT_KEYS_MAX, _account_key)
    operation = Operation(
        id=record_id,
        account=header.account,
        signer=header.key,
        created_ms=header.created_ms,
        prev_op=prev_op,
        keys=tuple(sorted(account_keys)),
        devices=_rows(body, "devices", DEVICES_MAX, _device),
        homes=_rows(body, "homes", HOMES_MAX, _home),
        handles=_rows(body, "handles", HANDLES_MAX, _handle),
        revoked=_rows(body, "revoked", REVOCATIONS_MAX, _revocation),
        tips=_rows(body, "tips", TIPS_MAX, _tip),
        vanish=bool(vanish),
    )
    _check_whole(operation)
    if prev_op is None:
        _check_genesis(operation, header)
    return operation


def _check_whole(op: Operation) -> None:
    """What the rows of one operation owe each other (R-41, R-49, R-50)."""
    ranks = [row.rank for row in op.keys]
    _unique("rank", ranks)
    if 0 not in ranks:
        raise IdentityError(Code.BAD_OPERATION, "no key of rank 0")
    listed = [row.key for row in op.keys] + [row.key for row in op.devices]
    revoked = [row.key for row in op.revoked]
    _unique("key", listed + revoked)
    _unique("home", op.homes)
    _unique("handle", op.handles)
    _unique("tip", [row.id for row in op.tips])
    lanes: dict[tuple[bytes, Lane], int] = {}
    for tip in op.tips:
        if tip.key not in revoked:
            raise IdentityError(Code.BAD_OPERATION, "a tip of a key that is not revoked here")
        lanes[tip.key, tip.lane] = lanes.get((tip.key, tip.lane), 0) + 1
    if any(count > TIPS_PER_LANE_MAX for count in lanes.values()):
        raise DecodeError(Code.TOO_MANY, "tips of one lane")


def _unique(name: str, values: Sequence[object]) -> None:
    if len(set(values)) != len(values):
        raise IdentityError(Code.BAD_OPERATION, f"{name} stands twice")


def _check_genesis(op: Operation, header: Header) -> None:
    """The account's name commits to its first operation, so nobody can choose it (R-40)."""
    if op.keys[0].key != op.signer:
        raise IdentityError(Code.BAD_OPERATION, "the genesis is not signed by its rank-0 key")
    if account_id(header.network, header.payload_hash) != op.account:
        raise IdentityError(Code.BAD_OPERATION, "the genesis is another account's")


def _field(body: Body, name: str) -> codec.Value:
    if name not in body:
        raise DecodeError(Code.BAD_BODY, name)
    return body[name]


def _rows(body: Body, name: str, count_max: int, read: Callable[[codec.Value], T]) -> tuple[T, ...]:
    rows = _field(body, name)
    if type(rows) is not list:
        raise DecodeError(Code.BAD_TYPE, name)
    if len(rows) > count_max:
        raise DecodeError(Code.TOO_MANY, name)
    return tuple(read(row) for row in rows)


def _fields(name: str, row: codec.Value, count: int) -> list[codec.Value]:
    if type(row) is not list:
        raise DecodeError(Code.BAD_TYPE, name)
    if len(row) != count:
        raise DecodeError(Code.BAD_LENGTH, name)
    return row


def _bytes(name: str, value: codec.Value, length: int) -> bytes:
    if type(value) is not bytes:
        raise DecodeError(Code.BAD_TYPE, name)
    if len(value) != length:
        raise DecodeError(Code.BAD_LENGTH, name)
    return value


def _integer(name: str, value: codec.Value, least: int, most: int | None = None) -> int:
    if type(value) is not int:
        raise DecodeError(Code.BAD_TYPE, name)
    if value < least or (most is not None and value > most):
        raise DecodeError(Code.OUT_OF_RANGE, name)
    return value


def _account_key(row: codec.Value) -> AccountKey:
    rank, key, proof = _fields("keys", row, 3)
    return AccountKey(
        _integer("rank", rank, 0, ACCOUNT_KEYS_MAX - 1),
        _bytes("key", key, 32),
        _bytes("proof", proof, 64),
    )


def _device(row: codec.Value) -> Device:
    key, agreement, capabilities, proof, held_by = _fields("devices", row, 5)
    device = Device(
        _bytes("key", key, 32),
        _bytes("agreement", agreement, 32),
        _integer("capabilities", capabilities, 0),
        _bytes("proof", proof, 64),
        None if held_by is None else _bytes("held_by", held_by, 32),
    )
    allowed = DEVICE_CAPABILITIES if held_by is None else HELD_CAPABILITIES
    if device.capabilities & ~allowed:
        raise DecodeError(Code.OUT_OF_RANGE, "capabilities")
    return device


def _home(row: codec.Value) -> bytes:
    return _bytes("homes", row, 32)


def _handle(row: codec.Value) -> str:
    if type(row) is not str:
        raise DecodeError(Code.BAD_TYPE, "handles")
    if len(row.encode()) > HANDLE_BYTES_MAX:
        raise DecodeError(Code.TOO_LONG, "handles")
    if not _HANDLE.fullmatch(row):
        raise DecodeError(Code.BAD_TEXT, "handles")
    return row


def _revocation(row: codec.Value) -> Revocation:
    key, form, at_ms = _fields("revoked", row, 3)
    return Revocation(
        _bytes("key", key, 32),
        Form(_integer("form", form, Form.RETIRED, Form.STOLEN)),
        _integer("at_ms", at_ms, 0),
    )


def _tip(row: codec.Value) -> Tip:
    key, lane, seq, tip_id = _fields("tips", row, 4)
    return Tip(
        _bytes("key", key, 32),
        Lane(_integer("lane", lane, Lane.LOG, Lane.SELF)),
        _integer("seq", seq, 1),
        _bytes("id", tip_id, 32),
    )
