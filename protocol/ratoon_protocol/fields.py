"""How the fields of a frame are read and written: what each must be, or the link ends (R-73)."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from ratoon_protocol.codec import Value
from ratoon_protocol.errors import Code, LinkError
from ratoon_protocol.frames import (
    CARRY_ALL,
    COUNTED_SCOPES,
    Item,
    Outcome,
    Statement,
)
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import (
    ADMITTED_MAX,
    FRAME_IDS_MAX,
    FRAME_RECORDS_MAX,
    NONCE_BYTES,
    STATEMENT_HOLES_MAX,
)
from ratoon_protocol.record import RECORD_CONTEXT

ID_BYTES: Final = 32
# The longest word a code may be, known or not.
CODE_BYTES_MAX: Final = 32

Reader = Callable[[Value], Any]


def bad(what: str) -> LinkError:
    """The error for a frame that breaks its grammar."""
    return LinkError(Code.BAD_FRAME, what)


def read_int(value: Value) -> int:
    """A number; the codec has checked its range."""
    if type(value) is not int:
        raise bad("not a number")
    return value


def one_of(top: int) -> Reader:
    """Numbers from 0 to `top`."""

    def read(value: Value) -> int:
        if read_int(value) > top:
            raise bad("number is too large")
        return int(value)

    return read


def read_positive(value: Value) -> int:
    """A number above 0."""
    if not read_int(value):
        raise bad("number is zero")
    return int(value)


def exactly(length: int) -> Reader:
    """Byte strings of one length."""

    def read(value: Value) -> bytes:
        if type(value) is not bytes or len(value) != length:
            raise bad(f"not {length} bytes")
        return value

    return read


def or_nil(reader: Reader) -> Reader:
    """What `reader` takes, or nil."""

    def read(value: Value) -> Value:
        return None if value is None else reader(value)

    return read


def bytes_upto(length_max: int) -> Reader:
    """Byte strings that are not empty; `too_large` above the limit."""

    def read(value: Value) -> bytes:
        if type(value) is not bytes or not value:
            raise bad("not bytes")
        if len(value) > length_max:
            raise LinkError(Code.TOO_LARGE, f"above {length_max} bytes")
        return value

    return read


def listed(value: Value, count_max: int) -> list[Value]:
    """A list; `too_many` above the limit, before any item is looked at."""
    if type(value) is not list:
        raise bad("not a list")
    if len(value) > count_max:
        raise LinkError(Code.TOO_MANY)
    return value


def list_of(reader: Reader, count_max: int) -> Reader:
    """Lists that are not empty."""

    def read(value: Value) -> tuple[Value, ...]:
        if not listed(value, count_max):
            raise bad("an empty list")
        return tuple(map(reader, value))

    return read


def ids_upto(count_max: int, count_min: int = 1) -> Reader:
    """Ids or accounts one after the other: one object on the wire whatever their count."""

    def read(value: Value) -> tuple[bytes, ...]:
        if type(value) is not bytes or len(value) % ID_BYTES:
            raise bad("not ids")
        if len(value) > count_max * ID_BYTES:
            raise LinkError(Code.TOO_MANY, "ids")
        if len(value) < count_min * ID_BYTES:
            raise bad("no ids")
        return tuple(value[at : at + ID_BYTES] for at in range(0, len(value), ID_BYTES))

    return read


def read_ascending(value: Value) -> tuple[bytes, ...]:
    """Accounts in order and each once, so that a set has one spelling."""
    accounts: tuple[bytes, ...] = ids_upto(ADMITTED_MAX, count_min=0)(value)
    if any(one >= next_ for one, next_ in itertools.pairwise(accounts)):
        raise bad("accounts do not ascend")
    return accounts


def read_carry(value: Value) -> str:
    """What a node carries: this version knows `all`; `unsupported` for the rest."""
    if type(value) is not str:
        raise bad("not a word")
    if value != CARRY_ALL:
        raise LinkError(Code.UNSUPPORTED, "carry")
    return value


_CODES: Final = {code.value: code for code in Code}


def read_code(value: Value) -> Code:
    """A word that only a later version knows reads as `unsupported`: nothing is remembered."""
    if type(value) is not str:
        raise bad("not a code")
    if code := _CODES.get(value):
        return code
    if not value.isascii() or not 0 < len(value) <= CODE_BYTES_MAX:
        raise bad("not a code")
    return Code.UNSUPPORTED


read_code_ids = ids_upto(FRAME_IDS_MAX)


def read_outcomes(value: Value) -> tuple[Outcome, ...]:
    """Ids grouped by code, at most FRAME_IDS_MAX in all."""
    outcomes: list[Outcome] = []
    words: set[str] = set()
    for row in listed(value, len(_CODES)):
        if type(row) is not list or len(row) != 2:
            raise bad("not an outcome")
        code = read_code(row[0])
        if row[0] in words:
            raise bad("a code twice")
        words.add(row[0])
        outcomes += [Outcome(id_, code) for id_ in read_code_ids(row[1])]
        if len(outcomes) > FRAME_IDS_MAX:
            raise LinkError(Code.TOO_MANY, "outcomes")
    return tuple(outcomes)


def read_some_outcomes(value: Value) -> tuple[Outcome, ...]:
    """Outcomes, at least one."""
    if not value:
        raise bad("no outcomes")
    return read_outcomes(value)


def read_items(value: Value) -> tuple[Item, ...]:
    """The hot path of a link: no call but the hash and the tuple for an ordinary record."""
    sha256 = hashlib.sha256
    items: list[Item] = []
    for row in listed(value, FRAME_RECORDS_MAX):
        if type(row) is not list or len(row) != 4:
            raise bad("not an item")
        header, signature, payload, word = row
        if type(header) is not bytes or type(signature) is not bytes:
            raise bad("item without header or signature")
        code = None
        if payload is None:
            code = None if word is None else read_code(word)
        elif type(payload) is not bytes or word is not None:
            raise bad("item with a bad payload, or with payload and code")
        id_ = sha256(RECORD_CONTEXT + header).digest()
        items.append(Item(id_, header, signature, payload, code))
    return tuple(items)


def read_holes(value: Value) -> tuple[tuple[int, int], ...]:
    """Gaps of a chain, ascending and apart."""
    numbers = listed(value, 2 * STATEMENT_HOLES_MAX)
    if len(numbers) % 2:
        raise bad("half a hole")
    before = 0
    for first, last in zip(numbers[::2], numbers[1::2], strict=True):
        if not before < read_int(first) <= read_int(last):
            raise bad("holes do not ascend")
        before = last
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def read_statement(value: Value) -> Statement:
    """One row of a receipt; its gaps lie below its tip."""
    if len(listed(value, len(_STATEMENT))) != len(_STATEMENT):
        raise bad("not a statement")
    statement = Statement(*(read(part) for read, part in zip(_STATEMENT, value, strict=True)))
    if statement.holes and statement.holes[-1][1] >= statement.seq:
        raise bad("a hole at or above the tip")
    return statement


def read_counts(value: Value) -> tuple[int, ...]:
    """One number a scope."""
    counts = tuple(map(read_int, listed(value, COUNTED_SCOPES)))
    if len(counts) != COUNTED_SCOPES:
        raise bad("not a count a scope")
    return counts


def write_statements(statements: Sequence[Statement]) -> list[Value]:
    """Rows with their gaps as one flat list: a body has four levels and no more."""
    return [[*one[:-1], [end for hole in one.holes for end in hole]] for one in statements]


def write_code(code: Code | None) -> str | None:
    """The word of a code."""
    return None if code is None else code.value


def write_outcomes(outcomes: Iterable[Outcome]) -> list[Value]:
    """Outcomes grouped by code, codes in order."""
    by_code: dict[str, list[bytes]] = {}
    for id_, code in outcomes:
        by_code.setdefault(code.value, []).append(id_)
    return [[word, b"".join(ids)] for word, ids in sorted(by_code.items())]


ID = exactly(ID_BYTES)
FLAG = one_of(1)
LANE = one_of(Lane.SELF)
NONCE = exactly(NONCE_BYTES)
IDS = ids_upto(FRAME_IDS_MAX)
_STATEMENT: Final[tuple[Reader, ...]] = (ID, ID, LANE, read_positive, ID, read_holes)
