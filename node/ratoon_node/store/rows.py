"""The small vocabularies of the store and the rows that readers get."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

from ratoon_protocol import kinds
from ratoon_protocol.status import Status

#: Kinds whose records appear in timelines.
TIMELINE_KINDS = frozenset({kinds.POST, kinds.REPOST, kinds.SEALED_POST})


class Bytes(IntEnum):
    """Where a record's payload is. Apart from status and disposition (R-58)."""

    HERE = 0
    WANTED = 1
    INVALID = 2  # fits its hash, is no valid body: never wanted
    ERASED = 3  # deleted by its author
    DROPPED = 4  # not kept: superseded, refused by policy, behind the horizon


class Flag(IntEnum):
    """Why a record has its status; kept so that one change can be applied without the rest.

    Bits of a plain number: an `IntFlag` makes an object at each `&`, and every record needs some.
    """

    REVOKED = 1
    CAPPED = 2
    DELETED = 4
    BEATEN = 8  # a higher (created_ms, id) of its slot competes
    VANISHED = 16
    UNPROVEN = 32  # with REVOKED: the operation that listed its key is damaged here


class What(IntEnum):
    """One line of the journal."""

    ADDED = 0  # a header entered
    BYTES = 1  # its payload arrived
    STATUS = 2  # status or disposition changed
    REMOVED = 3  # the header itself went (vanish); id and created_ms stand in the line
    ACCOUNT = 4  # a whole account: carried or not, masked or not
    NODES = 5  # who is admitted


class Change(NamedTuple):
    """One journal line, as subscribers get it after the commit.

    `member`: the header is in its scope's set now. `shown`: it can be read in timelines now.
    """

    n: int
    what: What
    id: bytes
    account: bytes
    kind: int
    created_ms: int
    member: bool
    shown: bool


class Row(NamedTuple):
    """A record as stored; `account` and `chain` are this store's own numbers."""

    n: int
    id: bytes
    account: int
    chain: int
    kind: int
    seq: int
    created_ms: int
    slot: bytes | None
    status: Status
    flags: int
    disposition: int
    bytes_state: Bytes
    shown: int | None
    header: bytes
    signature: bytes
    payload: bytes | None


#: Columns of `Row`, in its order.
COLUMNS = ", ".join(Row._fields)

# The index of ids has their first bytes alone: it takes the disk half as many pages, and a node
# half the memory. Who makes two ids begin alike pays with 2**32 hashes, and costs a look at a row.
_INDEXED = 8


def id_is(id_: str, record: str = "record") -> str:
    """A condition by which `record` is found through its index; `id_` is a column or parameter."""
    first = f"substr({record}.id, 1, {_INDEXED}) = substr({id_}, 1, {_INDEXED})"
    return f"{first} AND {record}.id = {id_}"


#: The same for a statement's first parameter.
ID_IS = id_is("?1")


def asked(count: int) -> str:
    """What a statement with so many ids as parameters begins with: they are `asked.one` in it."""
    return f"WITH asked (one) AS (VALUES {', '.join(['(?)'] * count)})"


#: Records of `asked`.
FROM_ASKED = f"FROM asked CROSS JOIN record ON {id_is('asked.one')}"


# By number: calling an enum costs ten times a look-up, and every row needs two.
_STATUSES = tuple(Status)
_STATES = tuple(Bytes)


def row(fields: tuple[Any, ...]) -> Row:
    """A `Row` from what SQLite returns for `COLUMNS`."""
    made = list(fields)
    made[8], made[11] = _STATUSES[made[8]], _STATES[made[11]]
    return Row._make(made)


def _first_match(flags: int) -> Status:
    if flags & (Flag.VANISHED | Flag.DELETED):
        return Status.GONE
    if flags & Flag.UNPROVEN:
        return Status.UNPROVEN
    if flags & Flag.REVOKED:
        return Status.REVOKED
    if flags & Flag.CAPPED:
        return Status.CAPPED
    if flags & Flag.BEATEN:
        return Status.SUPERSEDED
    return Status.LIVE


_BY_FLAGS = tuple(_first_match(flags) for flags in range(2 ** len(Flag)))


def status_of(flags: int) -> Status:
    """The status that the flags spell, first match (R-53)."""
    return _BY_FLAGS[flags]
