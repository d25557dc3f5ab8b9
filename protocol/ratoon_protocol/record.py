"""Records: a signed header and a payload it only hashes (R-20 to R-29).

    record  := [ header: bin, signature: bin(64), payload: bin | nil ]
    header  := [ version, network, kind, account, key, seq, prev, created_ms, slot,
                 payload_len, payload_hash ]
    payload := [ salt: bin(16), padding: bin, body: map ]

The bytes that were signed are kept and sent as they came; nothing here re-encodes them.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgpack

from ratoon_protocol import codec, kinds
from ratoon_protocol.errors import Code, DecodeError, RecordError, UsageError
from ratoon_protocol.kinds import KindClass, Lane
from ratoon_protocol.limits import (
    ENVELOPE_PAYLOAD_BYTES_MAX,
    EPOCH_MS,
    FUTURE_SKEW_MS_MAX,
    HEADER_BYTES_MAX,
    INT_MAX,
    PAYLOAD_BYTES_MAX,
    PAYLOAD_PAD_BYTES,
    RECORD_BYTES_MAX,
    SALT_BYTES,
    SLOT_BYTES,
    VERSION,
)

RECORD_CONTEXT = b"ratoon/1/record\x00"
ACCOUNT_CONTEXT = b"ratoon/1/account\x00"
SLOT_CONTEXT = b"ratoon/1/slot\x00"

Body = dict[str, codec.Value]


class Header(NamedTuple):
    """What is signed. Ids, hashes and keys are 32 bytes, `network` 8, `slot` 16; times are ms."""

    version: int
    network: bytes
    kind: int
    account: bytes
    key: bytes
    seq: int
    prev: bytes | None
    created_ms: int
    slot: bytes | None
    payload_len: int
    payload_hash: bytes

    @property
    def kind_class(self) -> KindClass:
        """Lane, slot, capability and scope, read from the kind."""
        return kinds.kind_class(self.kind)


class Record(NamedTuple):
    """A decoded record beside the exact bytes it came in."""

    id: bytes
    header: Header
    header_bytes: bytes
    signature: bytes
    payload: bytes | None

    def encode(self) -> bytes:
        """The record as it travels."""
        return bytes(msgpack.packb([self.header_bytes, self.signature, self.payload]))


def record_id(header_bytes: bytes) -> bytes:
    """The id (32 bytes). The signature is not part of it: two valid ones are one record (R-22)."""
    return hashlib.sha256(RECORD_CONTEXT + header_bytes).digest()


def signed_message(header_bytes: bytes) -> bytes:
    """What the record's key signs (R-21)."""
    return RECORD_CONTEXT + header_bytes


def account_id(network: bytes, genesis_payload_hash: bytes) -> bytes:
    """An account is named by its genesis operation (R-40)."""
    return hashlib.sha256(ACCOUNT_CONTEXT + network + genesis_payload_hash).digest()


def slot_id(account: bytes, kind: int, salt: bytes, target: bytes) -> bytes:
    """The slot (16 bytes) of a value: it does not tell the target once the body is gone (R-27)."""
    fields = account + kind.to_bytes(2) + salt + target
    return hashlib.sha256(SLOT_CONTEXT + fields).digest()[:SLOT_BYTES]


def decode_record(data: bytes) -> Record:
    """Take a record apart; checks everything but signature, authority and the body (R-23).

    Raises `DecodeError` or `RecordError`. The caller verifies the signature next
    (`keys.verify(header.key, signature, signed_message(header_bytes))`).
    """
    header_bytes, signature, payload = parts_in(data)
    return assemble(header_bytes, signature, payload)


def header_bytes_in(data: bytes) -> bytes:
    """The header's bytes in an encoded record, unchecked. Raises `DecodeError`."""
    header_bytes = parts_in(data)[0]
    if type(header_bytes) is not bytes:
        raise DecodeError(Code.BAD_TYPE, "record")
    return header_bytes


def parts_in(data: bytes) -> list[codec.Value]:
    """Header, signature and payload of an encoded record (R-20), of whatever type they are.
    Raises `DecodeError`.
    """
    if len(data) > RECORD_BYTES_MAX:
        raise DecodeError(Code.TOO_LARGE)
    parts = codec.decode(data, depth_max=1)
    if type(parts) is not list:
        raise DecodeError(Code.BAD_TYPE, "record")
    if len(parts) != 3:
        raise DecodeError(Code.BAD_LENGTH, "record")
    return parts


def assemble(
    header_bytes: codec.Value, signature: codec.Value, payload: codec.Value, known: bytes = b""
) -> Record:
    """A record from its three parts, as frames carry them. Checks as `decode_record` does."""
    if type(header_bytes) is not bytes or type(signature) is not bytes:
        raise DecodeError(Code.BAD_TYPE, "record")
    if payload is not None and type(payload) is not bytes:
        raise DecodeError(Code.BAD_TYPE, "payload")
    if len(signature) != 64:
        raise DecodeError(Code.BAD_LENGTH, "signature")
    header = decode_header(header_bytes)
    if payload is not None:
        check_payload_fits(header, payload)
    return Record(known or record_id(header_bytes), header, header_bytes, signature, payload)


def decode_header(data: bytes) -> Header:
    """The header in `data`, every field checked by itself (R-24)."""
    if len(data) > HEADER_BYTES_MAX:
        raise DecodeError(Code.TOO_LARGE, "header")
    fields = codec.decode(data, depth_max=1)
    if type(fields) is not list:
        raise DecodeError(Code.BAD_TYPE, "header")
    if not fields or type(fields[0]) is not int:
        raise DecodeError(Code.BAD_TYPE, "version")
    if fields[0] != VERSION:  # before the shape: another version may have another one
        raise RecordError(Code.UNSUPPORTED, f"version {fields[0]}")
    if len(fields) != len(Header._fields):
        raise DecodeError(Code.BAD_LENGTH, "header")
    header = Header(*fields)
    _check_types(header)
    _check_shape(header)
    return header


def known_header(data: bytes) -> Header:
    """The header in bytes that `decode_header` took before, and that still have their id (R-22)."""
    return Header(*codec.decode_known(data))


def known_body(payload: bytes) -> Body:
    """The body in a payload that was taken before, and that still fits its header (R-26)."""
    body: Body = codec.decode_known(payload)[2]
    return body


def _check_types(header: Header) -> None:
    """All at once, because nearly every header is right; else one by one, for the reason."""
    _, network, kind, account, key, seq, prev, created_ms, slot, payload_len, payload_hash = header
    right = (
        type(kind) is type(seq) is type(created_ms) is type(payload_len) is int
        and type(network) is type(account) is type(key) is type(payload_hash) is bytes
        and len(network) == 8
        and len(account) == len(key) == len(payload_hash) == 32
        and (prev is None or (type(prev) is bytes and len(prev) == 32))
        and (slot is None or (type(slot) is bytes and len(slot) == SLOT_BYTES))
    )
    if right:
        return
    for name in ("kind", "seq", "created_ms", "payload_len"):
        if type(getattr(header, name)) is not int:
            raise DecodeError(Code.BAD_TYPE, name)
    _check_bytes("network", header.network, 8)
    _check_bytes("account", header.account, 32)
    _check_bytes("key", header.key, 32)
    _check_bytes("payload_hash", header.payload_hash, 32)
    if header.prev is not None:
        _check_bytes("prev", header.prev, 32)
    if header.slot is not None:
        _check_bytes("slot", header.slot, SLOT_BYTES)


def _check_bytes(name: str, value: codec.Value, length: int) -> None:
    if type(value) is not bytes:
        raise DecodeError(Code.BAD_TYPE, name)
    if len(value) != length:
        raise DecodeError(Code.BAD_LENGTH, name)


def _check_shape(header: Header) -> None:
    """What the kind's class asks of the other fields (R-25)."""
    class_ = header.kind_class
    if class_.slot != (header.slot is not None):
        raise RecordError(Code.BAD_SLOT)
    chained = class_.lane is not Lane.NONE
    if chained != (header.seq > 0) or (header.prev is not None) != (header.seq > 1):
        raise RecordError(Code.BAD_CHAIN)
    if header.created_ms < EPOCH_MS:
        raise RecordError(Code.TOO_OLD)
    limit = PAYLOAD_BYTES_MAX if chained else ENVELOPE_PAYLOAD_BYTES_MAX
    if header.payload_len > limit:
        raise DecodeError(Code.TOO_LARGE, "payload")
    if header.payload_len % PAYLOAD_PAD_BYTES or not header.payload_len:
        raise RecordError(Code.BAD_LENGTH, "payload")


def check_payload_fits(header: Header, payload: bytes) -> None:
    """The payload is the one that was signed, else it is the *peer's* fault (R-26)."""
    if len(payload) != header.payload_len:
        raise RecordError(Code.PAYLOAD_MISMATCH, "length")
    if hashlib.sha256(payload).digest() != header.payload_hash:
        raise RecordError(Code.PAYLOAD_MISMATCH, "hash")


def check_time(header: Header, now_ms: int) -> None:
    """Refuse what is too far ahead of this clock; never remembered (R-28)."""
    if header.created_ms > now_ms + FUTURE_SKEW_MS_MAX:
        raise RecordError(Code.FUTURE)


def check_network(header: Header, network: bytes) -> None:
    """Records of another network are not ours to keep."""
    if header.network != network:
        raise RecordError(Code.WRONG_NETWORK)


def decode_payload(payload: bytes) -> Body:
    """The body inside a payload that fits its header; a `DecodeError` is the author's (R-26)."""
    parts = codec.decode(payload)
    if type(parts) is not list:
        raise DecodeError(Code.BAD_TYPE, "payload")
    if len(parts) != 3:
        raise DecodeError(Code.BAD_LENGTH, "payload")
    salt, padding, body = parts
    if type(salt) is not bytes or type(padding) is not bytes or type(body) is not dict:
        raise DecodeError(Code.BAD_TYPE, "payload")
    if len(salt) != SALT_BYTES:
        raise DecodeError(Code.BAD_LENGTH, "salt")
    if len(padding) >= PAYLOAD_PAD_BYTES or padding.strip(b"\x00"):
        raise DecodeError(Code.NON_CANONICAL, "padding")
    return body


def encode_payload(body: Body, salt: bytes) -> bytes:
    """A payload padded with zeros to the next multiple of 64 bytes (R-29). `salt`: 16 random."""
    if len(salt) != SALT_BYTES:
        raise UsageError("a salt has 16 bytes")
    bare = codec.encode([salt, b"", body])
    padding = bytes(-len(bare) % PAYLOAD_PAD_BYTES)
    return codec.encode([salt, padding, body])


def encode_header(header: Header) -> bytes:
    """The one spelling of a header that this side is about to sign."""
    data = codec.encode(list(header))
    decode_header(data)
    return data


def new_header(
    *,
    network: bytes,
    kind: int,
    account: bytes,
    key: bytes,
    seq: int,
    prev: bytes | None,
    created_ms: int,
    payload: bytes,
    slot: bytes | None = None,
) -> Header:
    """A header for `payload`; the caller keeps seq, prev and time of its chain (R-34)."""
    if not 0 <= created_ms <= INT_MAX:
        raise UsageError("created_ms is out of range")
    digest = hashlib.sha256(payload).digest()
    return Header(
        VERSION, network, kind, account, key, seq, prev, created_ms, slot, len(payload), digest
    )
