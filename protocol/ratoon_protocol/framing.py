"""The bytes of a frame: a table with one row a frame (R-73).

    frame     := [ type: int, field … ]           canonical MessagePack, a fixed count of fields
    ids       := bin(32 * n)                      ids or accounts, one after the other
    outcomes  := [ [ code: str, ids ] … ]         each code once
    item      := [ header: bin, signature: bin, payload: bin | nil, code: str | nil ]
    statement := [ account, key, lane, seq, id, [ from, to … ] ]

A frame that does not fit its row of the table ends the link. What is *inside* an item is not
looked at here: a bad record is an outcome of one record and never ends a link.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgpack

from ratoon_protocol import codec
from ratoon_protocol.codec import Value
from ratoon_protocol.errors import Code, DecodeError, LinkError, UsageError
from ratoon_protocol.fields import (
    FLAG,
    ID,
    IDS,
    LANE,
    NONCE,
    Reader,
    bad,
    bytes_upto,
    exactly,
    ids_upto,
    list_of,
    one_of,
    or_nil,
    read_ascending,
    read_carry,
    read_code,
    read_counts,
    read_int,
    read_items,
    read_outcomes,
    read_positive,
    read_some_outcomes,
    read_statement,
    write_code,
    write_outcomes,
    write_statements,
)
from ratoon_protocol.frames import (
    FIND_ACCOUNT_KEY,
    SCOPE_ACCOUNT,
    Ack,
    Admitted,
    Answer,
    Bye,
    Chain,
    Challenge,
    Find,
    Frame,
    FrameType,
    Get,
    Have,
    Hello,
    Intro,
    Outcome,
    Packed,
    Peers,
    Ping,
    Pong,
    Push,
    Receipt,
    Reconcile,
    Reconciled,
    record_bytes,
)
from ratoon_protocol.keys import NETWORK_BYTES, SIGNATURE_BYTES
from ratoon_protocol.kinds import Scope
from ratoon_protocol.limits import (
    CHAIN_HEADERS_MAX,
    FRAME_BYTES_MAX,
    FRAME_IDS_MAX,
    FRAME_PEERS_MAX,
    FRAME_RECORDS_MAX,
    FRAME_STATEMENTS_MAX,
    INTRODUCTION_BYTES_MAX,
    ITEMS_MAX,
    PEER_BYTES_MAX,
    RECONCILE_FRAME_BYTES_MAX,
    RECORD_BYTES_MAX,
    TIPS_PER_LANE_MAX,
    VERSION,
)
from ratoon_protocol.record import RECORD_CONTEXT

# The heads of a push frame around its items: frame, type, request, last, two list heads.
_PUSH_HEAD_BYTES: Final = 32


class _Shape(NamedTuple):
    """One row of the table: how each field is read, and those that are not written as they are."""

    type: FrameType
    frame: Callable[..., Frame]
    readers: tuple[Reader, ...]
    writers: tuple[tuple[int, Callable[[Any], Value]], ...] = ()  # by place


_JOIN: Final = b"".join
_T = FrameType
_record = bytes_upto(RECORD_BYTES_MAX)
_hint = bytes_upto(PEER_BYTES_MAX)
_SHAPES: Final = (
    _Shape(
        _T.INTRO,
        Intro,
        (
            list_of(_record, ITEMS_MAX),
            _record,
            ID,
            exactly(SIGNATURE_BYTES),
        ),
        ((0, list),),
    ),
    _Shape(
        _T.HELLO,
        Hello,
        (
            read_int,
            exactly(NETWORK_BYTES),
            read_carry,
            read_int,
            ID,
            ID,
            read_int,
            read_counts,
        ),
        ((7, list),),
    ),
    _Shape(_T.ADMITTED, Admitted, (read_ascending,), ((0, _JOIN),)),
    _Shape(_T.BYE, Bye, (read_code,), ((0, write_code),)),
    _Shape(_T.PING, Ping, (read_int,)),
    _Shape(_T.PONG, Pong, (read_int,)),
    _Shape(_T.PUSH, Push, (read_int, FLAG, read_items, read_outcomes)),
    _Shape(_T.HAVE, Have, (IDS,), ((0, _JOIN),)),
    _Shape(_T.GET, Get, (read_positive, IDS), ((1, _JOIN),)),
    _Shape(_T.ACK, Ack, (read_some_outcomes,), ((0, write_outcomes),)),
    _Shape(
        _T.CHAIN,
        Chain,
        (
            read_positive,
            ID,
            ID,
            LANE,
            read_positive,
            ids_upto(TIPS_PER_LANE_MAX, count_min=0),
            one_of(CHAIN_HEADERS_MAX),
        ),
        ((5, _JOIN),),
    ),
    _Shape(_T.FIND, Find, (read_positive, one_of(FIND_ACCOUNT_KEY), ID)),
    _Shape(
        _T.RECONCILE,
        Reconcile,
        (
            read_positive,
            one_of(SCOPE_ACCOUNT),
            or_nil(ID),
            read_int,
            bytes_upto(RECONCILE_FRAME_BYTES_MAX),
        ),
    ),
    _Shape(_T.RECONCILED, Reconciled, (read_positive, or_nil(read_code)), ((1, write_code),)),
    _Shape(
        _T.RECEIPT,
        Receipt,
        (read_int, list_of(read_statement, FRAME_STATEMENTS_MAX)),
        ((1, write_statements),),
    ),
    _Shape(_T.CHALLENGE, Challenge, (NONCE, ID)),
    _Shape(_T.ANSWER, Answer, (NONCE, ID, or_nil(ID))),
    _Shape(_T.PEERS, Peers, (list_of(bytes_upto(PEER_BYTES_MAX), FRAME_PEERS_MAX),), ((0, list),)),
)
_BY_TYPE: Final = {shape.type.value: shape for shape in _SHAPES}
_BY_FRAME: Final = {shape.frame: shape for shape in _SHAPES}


# ---------------------------------------------------------------------------------- the two ways
def decode(data: bytes) -> Frame:
    """The frame in `data`. Raises `LinkError`: `bad_frame`, `too_large`, `too_many`, or
    `unsupported` for another version or carry (R-73).
    """
    if len(data) > FRAME_BYTES_MAX:
        raise LinkError(Code.TOO_LARGE, f"frame of {len(data)} bytes")
    try:
        fields = codec.decode(data)
    except DecodeError as error:
        code = Code.TOO_MANY if error.code is Code.TOO_MANY else Code.BAD_FRAME
        raise LinkError(code, str(error)) from error
    if type(fields) is not list or not fields:
        raise bad("not a frame")
    return _read_fields(read_int(fields[0]), fields[1:], len(data))


def _read_fields(number: int, fields: list[Value], size: int) -> Frame:
    shape = _BY_TYPE.get(number)
    if shape is None:
        raise bad(f"frame type {number}")
    if number == FrameType.INTRO and size > INTRODUCTION_BYTES_MAX:
        raise LinkError(Code.TOO_LARGE, "introduction")
    if number == FrameType.HELLO and fields and read_int(fields[0]) != VERSION:
        raise LinkError(Code.UNSUPPORTED, "version")  # before the shape: it may be another one
    if len(fields) != len(shape.readers):
        raise bad(f"{shape.type.name} of {len(fields)} fields")
    frame = shape.frame(*(read(value) for read, value in zip(shape.readers, fields, strict=True)))
    if type(frame) is Reconcile and (frame.account is None) != (frame.scope < Scope.PRIVATE):
        raise bad("a scope with an account too many or missing")
    return frame


def encode(frame: Frame) -> bytes:
    """The one spelling of `frame`. Raises `UsageError` for what a peer would refuse."""
    if type(frame) is Push:
        items = [pack_item(*item[1:]) for item in frame.items]
        data = _encode_push(frame.request, frame.last, items, frame.absent)
    else:
        shape = _BY_FRAME[type(frame)]
        fields: list[Value] = [shape.type.value, *frame]
        for place, write in shape.writers:
            fields[place + 1] = write(fields[place + 1])
        data = codec.encode(fields)
        try:
            _read_fields(shape.type, fields[1:], len(data))
        except LinkError as error:
            raise UsageError(f"cannot send {shape.type.name}: {error}") from error
    if len(data) > FRAME_BYTES_MAX:
        raise UsageError(f"frame of {len(data)} bytes")
    return data


def pack_item(
    header: bytes,
    signature: bytes,
    payload: bytes | None,
    code: Code | None = None,
    known: bytes = b"",
) -> Packed:
    """A record as an item: with payload, or with the reason why it is not sent (`code`).

    `known`: its id, if the caller has it.
    """
    if payload is not None and code is not None:
        raise UsageError("an item has a payload or a code")
    data = msgpack.packb([header, signature, payload, write_code(code)])
    id_ = known or hashlib.sha256(RECORD_CONTEXT + header).digest()
    return Packed(id_, data, record_bytes(header, payload))


_array_head: Final[Callable[[int], bytes]] = msgpack.Packer().pack_array_header


def _encode_push(
    request: int, last: int, items: Sequence[Packed], absent: Iterable[Outcome]
) -> bytes:
    """Spelt by hand, because the items are encoded already."""
    return _JOIN(
        (
            _array_head(5),
            msgpack.packb(FrameType.PUSH.value),
            msgpack.packb(request),
            msgpack.packb(last),
            _array_head(len(items)),
            *(item.data for item in items),
            msgpack.packb(write_outcomes(absent)),
        )
    )


def encode_pushes(
    items: Sequence[Packed],
    request: int = 0,
    absent: Sequence[Outcome] = (),
    last: bool = False,
) -> list[bytes]:
    """`items` as push frames within the limits, `absent` after them; `last` marks the final one.

    Raises `UsageError` for an item that no frame can hold.
    """
    groups: list[tuple[Sequence[Packed], Sequence[Outcome]]] = [
        (group, ()) for group in _grouped(items)
    ]
    groups += [((), absent[at : at + FRAME_IDS_MAX]) for at in range(0, len(absent), FRAME_IDS_MAX)]
    if not groups and last:
        groups.append(((), ()))
    final = len(groups) - 1
    return [
        _encode_push(request, int(last and at == final), *group) for at, group in enumerate(groups)
    ]


def _grouped(items: Sequence[Packed]) -> Iterator[Sequence[Packed]]:
    """Runs of items that fit a frame each, in order."""
    start, size = 0, _PUSH_HEAD_BYTES
    for at, item in enumerate(items):
        if len(item.data) > FRAME_BYTES_MAX - _PUSH_HEAD_BYTES:
            raise UsageError(f"item of {len(item.data)} bytes")
        if size + len(item.data) > FRAME_BYTES_MAX or at - start == FRAME_RECORDS_MAX:
            yield items[start:at]
            start, size = at, _PUSH_HEAD_BYTES
        size += len(item.data)
    if start < len(items):
        yield items[start:]
