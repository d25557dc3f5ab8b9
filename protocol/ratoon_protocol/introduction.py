"""How a node proves on a link that it is the account it says it is (R-74).

The Noise handshake proves that the peer holds a static key, no more. So each side signs, with a
device key that may `serve`, the static key, the handshake's hash and its own side, and shows the
identity log that lists the device:

    proof := signature over LINK context, network, static key (32), handshake hash (32), side (1)

The hash makes a proof worthless on any other link, the side makes it worthless when sent back.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from ratoon_protocol import kinds
from ratoon_protocol.bodies import check_body
from ratoon_protocol.errors import Code, LinkError, SignatureError
from ratoon_protocol.frames import Intro
from ratoon_protocol.identity import Added, IdentityLog, parse_operation
from ratoon_protocol.keys import Context, SigningKey, signed_bytes, verify
from ratoon_protocol.kinds import Capability
from ratoon_protocol.record import (
    Body,
    Record,
    check_network,
    decode_payload,
    decode_record,
    signed_message,
)

_SERVE: Final = 1 << Capability.SERVE


class Side(IntEnum):
    """Which end of a link: the one that dialled, or the one that accepted."""

    DIALER = 0
    ACCEPTOR = 1

    @property
    def other(self) -> Side:
        """The peer's side."""
        return Side(1 - self)


class Own(NamedTuple):
    """What a node says of itself: encoded records, and the device key that may `serve`.

    `identity`: the operations from the genesis to the head, or all of them; with the node record
    at most INTRODUCTION_BYTES_MAX.
    """

    account: bytes
    identity: tuple[bytes, ...]
    node: bytes
    key: SigningKey


class Introduced(NamedTuple):
    """The peer has proved its account, as far as its own records tell.

    A thief may leave out the operation that revokes its key, so the caller adds `identity` to
    what it holds of the account and asks again whether `device` may serve; then it calls
    `welcome`, or `close(blocked)` for an account it does not want.
    """

    account: bytes
    device: bytes
    identity: tuple[Record, ...]
    node: Record
    node_body: Body


class Binding(NamedTuple):
    """What ties a proof to one side of one link."""

    network: bytes
    static: bytes
    handshake_hash: bytes
    side: Side

    @property
    def statement(self) -> bytes:
        """What is signed."""
        body = self.static + self.handshake_hash + self.side.to_bytes(1)
        return signed_bytes(Context.LINK, self.network, body)


def introduce(own: Own, binding: Binding) -> Intro:
    """The frame that proves `own` on the link of `binding`."""
    proof = own.key.sign(binding.statement)
    return Intro(own.identity, own.node, own.key.public, proof)


def check_introduction(
    intro: Intro, binding: Binding, own: bytes, expected: bytes | None
) -> Introduced:
    """Who the peer is. Raises `ProtocolError` with the first reason found.

    `own`: this side's account, `expected`: the one that was dialled, if it is known. Cheap checks
    first: a stranger pays one signature before any operation is looked at.
    """
    try:
        verify(intro.device, intro.proof, binding.statement)
    except SignatureError as error:
        raise LinkError(Code.BAD_PROOF, str(error)) from error
    records = tuple(_signed_record(data, binding.network) for data in intro.identity)
    account = records[0].header.account  # a frame without any is no introduction
    if account == own:
        raise LinkError(Code.SELF_LINK)
    if expected is not None and account != expected:
        raise LinkError(Code.WRONG_ACCOUNT)
    log = _identity_log(account, binding.network, records)
    _check_serves(log, intro.device)
    node = _signed_record(intro.node, binding.network)
    if node.header.kind != kinds.NODE or node.header.account != account:
        raise LinkError(Code.BAD_TARGET, "not the node record of that account")
    _check_serves(log, node.header.key)
    body = _body(node)
    check_body(node.header, body)
    return Introduced(account, intro.device, records, node, body)


def _signed_record(data: bytes, network: bytes) -> Record:
    record = decode_record(data)
    check_network(record.header, network)
    verify(record.header.key, record.signature, signed_message(record.header_bytes))
    return record


def _body(record: Record) -> Body:
    if record.payload is None:
        raise LinkError(Code.BAD_BODY, "without payload")
    return decode_payload(record.payload)


def _identity_log(account: bytes, network: bytes, records: Sequence[Record]) -> IdentityLog:
    log = IdentityLog(account, network)
    operations = []
    for record in records:
        if record.header.account != account:
            raise LinkError(Code.BAD_OPERATION, "operations of two accounts")
        operations.append(parse_operation(record.id, record.header, _body(record)))
    change = log.add_all(operations)
    if Added.INVALID in change.added.values():
        raise LinkError(Code.BAD_OPERATION, "an operation is not valid")
    if log.vanished:
        raise LinkError(Code.GONE, "the account vanished")
    return log


def _check_serves(log: IdentityLog, key: bytes) -> None:
    authority = log.authority(key)
    if authority.marks or not authority.capabilities & _SERVE:
        raise LinkError(Code.UNKNOWN_KEY, "the key may not serve")
