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
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgpack

from ratoon_protocol import codec
from ratoon_protocol.codec import Value
from ratoon_protocol.errors import Code, DecodeError, LinkError, UsageError
from ratoon_protocol.frames import (
    CARRY_ALL,
    COUNTED_SCOPES,
    FIND_ACCOUNT_KEY,
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
    Item,
    Outcome,
    Packed,
    Peers,
    Ping,
    Pong,
    Push,
    Receipt,
    Reconcile,
    Reconciled,
    Statement,
)
from ratoon_protocol.keys import NETWORK_BYTES, SIGNATURE_BYTES
from ratoon_protocol.kinds import Lane, Scope
from ratoon_protocol.limits import (
    ADMITTED_MAX,
    CHAIN_HEADERS_MAX,
    FRAME_BYTES_MAX,
    FRAME_IDS_MAX,
    FRAME_PEERS_MAX,
    FRAME_RECORDS_MAX,
    FRAME_STATEMENTS_MAX,
    INTRODUCTION_BYTES_MAX,
    ITEMS_MAX,
    NONCE_BYTES,
    RECONCILE_FRAME_BYTES_MAX,
    RECORD_BYTES_MAX,
    STATEMENT_HOLES_MAX,
    TIPS_PER_LANE_MAX,
    VERSION,
)
from ratoon_protocol.record import RECORD_CONTEXT

ID_BYTES: Final = 32
# The longest word a code may be, known or not.
CODE_BYTES_MAX: Final = 32
# The heads of a push frame around its items: frame, type, request, last, two list heads.
_PUSH_HEAD_BYTES: Final = 32

Reader = Callable[[Value], Any]


# ---------------------------------------------------------------------------------------- fields
def _bad(what: str) -> LinkError:
    return LinkError(Code.BAD_FRAME, what)


def _read_int(value: Value) -> int:
    if type(value) is not int:
        raise _bad("not a number")
    return value


def _one_of(top: int) -> Reader:
    def read(value: Value) -> int:
        if _read_int(value) > top:
            raise _bad("number is too large")
        return int(value)

    return read


def _read_positive(value: Value) -> int:
    if not _read_int(value):
        raise _bad("number is zero")
    return int(value)


def _exactly(length: int) -> Reader:
    def read(value: Value) -> bytes:
        if type(value) is not bytes or len(value) != length:
            raise _bad(f"not {length} bytes")
        return value

    return read


def _or_nil(reader: Reader) -> Reader:
    def read(value: Value) -> Value:
        return None if value is None else reader(value)

    return read


def _bytes_upto(length_max: int) -> Reader:
    def read(value: Value) -> bytes:
        if type(value) is not bytes or not value:
            raise _bad("not bytes")
        if len(value) > length_max:
            raise LinkError(Code.TOO_LARGE, f"above {length_max} bytes")
        return value

    return read


def _listed(value: Value, count_max: int) -> list[Value]:
    if type(value) is not list:
        raise _bad("not a list")
    if len(value) > count_max:
        raise LinkError(Code.TOO_MANY)
    return value


def _list_of(reader: Reader, count_max: int) -> Reader:
    def read(value: Value) -> tuple[Value, ...]:
        return tuple(map(reader, _listed(value, count_max)))

    return read


def _ids(count_max: int, count_min: int = 1) -> Reader:
    def read(value: Value) -> tuple[bytes, ...]:
        if type(value) is not bytes or len(value) % ID_BYTES:
            raise _bad("not ids")
        if len(value) > count_max * ID_BYTES:
            raise LinkError(Code.TOO_MANY, "ids")
        if len(value) < count_min * ID_BYTES:
            raise _bad("no ids")
        return tuple(value[at : at + ID_BYTES] for at in range(0, len(value), ID_BYTES))

    return read


def _read_ascending(value: Value) -> tuple[bytes, ...]:
    accounts: tuple[bytes, ...] = _ids(ADMITTED_MAX, count_min=0)(value)
    if any(one >= next_ for one, next_ in itertools.pairwise(accounts)):
        raise _bad("accounts do not ascend")
    return accounts


def _read_carry(value: Value) -> str:
    if type(value) is not str:
        raise _bad("not a word")
    if value != CARRY_ALL:
        raise LinkError(Code.UNSUPPORTED, "carry")
    return value


_CODES: Final = {code.value: code for code in Code}


def _read_code(value: Value) -> Code:
    """A word that only a later version knows reads as `unsupported`: nothing is remembered."""
    if type(value) is not str:
        raise _bad("not a code")
    if code := _CODES.get(value):
        return code
    if not value.isascii() or not 0 < len(value) <= CODE_BYTES_MAX:
        raise _bad("not a code")
    return Code.UNSUPPORTED


_read_code_ids = _ids(FRAME_IDS_MAX)


def _read_outcomes(value: Value) -> tuple[Outcome, ...]:
    outcomes: list[Outcome] = []
    words: set[str] = set()
    for row in _listed(value, len(_CODES)):
        if type(row) is not list or len(row) != 2:
            raise _bad("not an outcome")
        code = _read_code(row[0])
        if row[0] in words:
            raise _bad("a code twice")
        words.add(row[0])
        outcomes += [Outcome(id_, code) for id_ in _read_code_ids(row[1])]
        if len(outcomes) > FRAME_IDS_MAX:
            raise LinkError(Code.TOO_MANY, "outcomes")
    return tuple(outcomes)


def _read_items(value: Value) -> tuple[Item, ...]:
    """The hot path of a link: no call but the hash and the tuple for an ordinary record."""
    sha256 = hashlib.sha256
    items: list[Item] = []
    for row in _listed(value, FRAME_RECORDS_MAX):
        if type(row) is not list or len(row) != 4:
            raise _bad("not an item")
        header, signature, payload, word = row
        if type(header) is not bytes or type(signature) is not bytes:
            raise _bad("item without header or signature")
        code = None
        if payload is None:
            code = None if word is None else _read_code(word)
        elif type(payload) is not bytes or word is not None:
            raise _bad("item with a bad payload, or with payload and code")
        id_ = sha256(RECORD_CONTEXT + header).digest()
        items.append(Item(id_, header, signature, payload, code))
    return tuple(items)


def _read_holes(value: Value) -> tuple[tuple[int, int], ...]:
    numbers = _listed(value, 2 * STATEMENT_HOLES_MAX)
    if len(numbers) % 2:
        raise _bad("half a hole")
    before = 0
    for first, last in zip(numbers[::2], numbers[1::2], strict=True):
        if not before < _read_int(first) <= _read_int(last):
            raise _bad("holes do not ascend")
        before = last
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _read_statement(value: Value) -> Statement:
    if len(_listed(value, len(_STATEMENT))) != len(_STATEMENT):
        raise _bad("not a statement")
    return Statement(*(read(part) for read, part in zip(_STATEMENT, value, strict=True)))


def _read_counts(value: Value) -> tuple[int, ...]:
    counts = tuple(map(_read_int, _listed(value, COUNTED_SCOPES)))
    if len(counts) != COUNTED_SCOPES:
        raise _bad("not a count a scope")
    return counts


def _write_statements(statements: Sequence[Statement]) -> list[Value]:
    return [[*one[:-1], [end for hole in one.holes for end in hole]] for one in statements]


def _write_code(code: Code | None) -> str | None:
    return None if code is None else code.value


def _write_outcomes(outcomes: Iterable[Outcome]) -> list[Value]:
    by_code: dict[str, list[bytes]] = {}
    for id_, code in outcomes:
        by_code.setdefault(code.value, []).append(id_)
    return [[word, b"".join(ids)] for word, ids in sorted(by_code.items())]


_id = _exactly(ID_BYTES)
_flag = _one_of(1)
_lane = _one_of(Lane.SELF)
_nonce = _exactly(NONCE_BYTES)
_ids_of_frame = _ids(FRAME_IDS_MAX)
_STATEMENT: Final[tuple[Reader, ...]] = (_id, _id, _lane, _read_positive, _id, _read_holes)


class _Shape(NamedTuple):
    """One row of the table: how each field is read, and those that are not written as they are."""

    type: FrameType
    frame: Callable[..., Frame]
    readers: tuple[Reader, ...]
    writers: tuple[tuple[int, Callable[[Any], Value]], ...] = ()  # by place


_JOIN: Final = b"".join
_T = FrameType
_record = _bytes_upto(RECORD_BYTES_MAX)
_SHAPES: Final = (
    _Shape(
        _T.INTRO,
        Intro,
        (
            _list_of(_record, ITEMS_MAX),
            _record,
            _id,
            _exactly(SIGNATURE_BYTES),
        ),
        ((0, list),),
    ),
    _Shape(
        _T.HELLO,
        Hello,
        (
            _read_int,
            _exactly(NETWORK_BYTES),
            _read_carry,
            _read_int,
            _id,
            _id,
            _read_int,
            _read_counts,
        ),
        ((7, list),),
    ),
    _Shape(_T.ADMITTED, Admitted, (_read_ascending,), ((0, _JOIN),)),
    _Shape(_T.BYE, Bye, (_read_code,), ((0, _write_code),)),
    _Shape(_T.PING, Ping, (_read_int,)),
    _Shape(_T.PONG, Pong, (_read_int,)),
    _Shape(_T.PUSH, Push, (_read_int, _flag, _read_items, _read_outcomes)),
    _Shape(_T.HAVE, Have, (_ids_of_frame,), ((0, _JOIN),)),
    _Shape(_T.GET, Get, (_read_positive, _ids_of_frame), ((1, _JOIN),)),
    _Shape(_T.ACK, Ack, (_read_outcomes,), ((0, _write_outcomes),)),
    _Shape(
        _T.CHAIN,
        Chain,
        (
            _read_positive,
            _id,
            _id,
            _lane,
            _read_positive,
            _ids(TIPS_PER_LANE_MAX, count_min=0),
            _one_of(CHAIN_HEADERS_MAX),
        ),
        ((5, _JOIN),),
    ),
    _Shape(_T.FIND, Find, (_read_positive, _one_of(FIND_ACCOUNT_KEY), _id)),
    _Shape(
        _T.RECONCILE,
        Reconcile,
        (
            _read_positive,
            _one_of(Scope.PRIVATE),
            _or_nil(_id),
            _read_int,
            _bytes_upto(RECONCILE_FRAME_BYTES_MAX),
        ),
    ),
    _Shape(_T.RECONCILED, Reconciled, (_read_positive, _or_nil(_read_code)), ((1, _write_code),)),
    _Shape(
        _T.RECEIPT,
        Receipt,
        (_read_int, _list_of(_read_statement, FRAME_STATEMENTS_MAX)),
        ((1, _write_statements),),
    ),
    _Shape(_T.CHALLENGE, Challenge, (_nonce, _id)),
    _Shape(_T.ANSWER, Answer, (_nonce, _id, _or_nil(_id))),
    _Shape(_T.PEERS, Peers, (_list_of(_record, FRAME_PEERS_MAX),), ((0, list),)),
)
_BY_TYPE: Final = {shape.type.value: shape for shape in _SHAPES}
_BY_FRAME: Final = {shape.frame: shape for shape in _SHAPES}


def frame_type(frame: Frame) -> FrameType:
    """The type that stands first in the frame."""
    return _BY_FRAME[type(frame)].type


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
        raise _bad("not a frame")
    return _read_fields(_read_int(fields[0]), fields[1:], len(data))


def _read_fields(number: int, fields: list[Value], size: int) -> Frame:
    shape = _BY_TYPE.get(number)
    if shape is None:
        raise _bad(f"frame type {number}")
    if number == FrameType.INTRO and size > INTRODUCTION_BYTES_MAX:
        raise LinkError(Code.TOO_LARGE, "introduction")
    if number == FrameType.HELLO and fields and _read_int(fields[0]) != VERSION:
        raise LinkError(Code.UNSUPPORTED, "version")  # before the shape: it may be another one
    if len(fields) != len(shape.readers):
        raise _bad(f"{shape.type.name} of {len(fields)} fields")
    return shape.frame(*(read(value) for read, value in zip(shape.readers, fields, strict=True)))


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
    header: bytes, signature: bytes, payload: bytes | None, code: Code | None = None
) -> Packed:
    """A record as an item: with payload, or with the reason why it is not sent (`code`)."""
    if payload is not None and code is not None:
        raise UsageError("an item has a payload or a code")
    data = msgpack.packb([header, signature, payload, _write_code(code)])
    return Packed(hashlib.sha256(RECORD_CONTEXT + header).digest(), data)


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
            msgpack.packb(_write_outcomes(absent)),
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
