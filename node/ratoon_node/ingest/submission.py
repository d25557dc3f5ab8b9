"""What comes to the gate and what it answers, and the checks that need no store."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from ratoon_protocol import bodies, kinds, record
from ratoon_protocol.errors import Code, DecodeError, ProtocolError, RecordError
from ratoon_protocol.record import Body, Record


class Way(StrEnum):
    """The ways in. All end in the same transaction."""

    SELF = "self"  # what this node says of itself
    API = "api"
    LINK = "link"
    BUNDLE = "bundle"


#: Somebody here asks to publish it: it is stored as it should be, or not at all.
_STRICT = (Way.API, Way.SELF)


class Origin(NamedTuple):
    """Where a submission came from; `peer` is the node account behind a link."""

    way: Way
    peer: bytes | None = None


class Parts(NamedTuple):
    """A record taken apart, as a link carries it. `code` says why a payload is missing; `id` is
    what the link made of the header, so that it is not hashed again.
    """

    header: bytes
    signature: bytes
    payload: bytes | None
    code: Code | None = None
    id: bytes = b""


#: A whole encoded record, or its parts.
Submission = bytes | Parts


def size_of(item: Submission) -> int:
    """Bytes that a submission holds in memory while it waits."""
    if isinstance(item, Parts):
        return len(item.header) + len(item.signature) + len(item.payload or b"")
    return len(item)


class Outcome(NamedTuple):
    """The gate's answer for one submission. `id` is None when its header could not be read, and
    whenever what a link brought was refused unstored.
    """

    id: bytes | None
    code: Code
    detail: str = ""
    #: The sender sent a payload that the author never signed: it loses score.
    peer_fault: bool = False


class Candidate(NamedTuple):
    """A submission that decodes and is signed; everything left needs the store."""

    record: Record
    origin: Origin
    body: Body | None
    #: The payload fits its hash and is no valid body: the author's fault (R-26).
    invalid: Code | None
    peer_fault: bool

    @property
    def strict(self) -> bool:
        """Whether it came as `_STRICT` says."""
        return self.origin.way in _STRICT


def read(item: Submission, origin: Origin, network: bytes, now_ms: int) -> Candidate:
    """Decode one submission and check what needs neither key nor store.

    Raises `ProtocolError`. From people here the record must be whole and right; from a link or a
    bundle (R-89) a payload that does not fit is the sender's fault and one that is no valid body
    the author's, and the header counts all the same.
    """
    strict = origin.way in _STRICT
    peer_fault = False
    parts = item if isinstance(item, Parts) else record.parts_in(item)
    header_bytes, signature, payload = parts[:3]
    known = item.id if isinstance(item, Parts) else b""
    try:
        found = record.assemble(header_bytes, signature, payload, known)
    except RecordError as error:
        if strict or error.code is not Code.PAYLOAD_MISMATCH:
            raise
        peer_fault = True
        found = record.assemble(header_bytes, signature, None, known)
    header = found.header
    record.check_network(header, network)
    record.check_time(header, now_ms)
    if strict and found.payload is None:
        raise DecodeError(Code.EMPTY, "payload")
    body, invalid = read_body(found)
    if invalid is not None and strict:
        raise DecodeError(invalid, f"body of {kinds.name(header.kind)}")
    return Candidate(found, origin, body, invalid, peer_fault)


def read_body(found: Record) -> tuple[Body | None, Code | None]:
    """The body of a record, or the code that says why its payload is none."""
    if found.payload is None:
        return None, None
    try:
        body = record.decode_payload(found.payload)
        bodies.check_body(found.header, body)
    except ProtocolError as error:
        return None, error.code
    return body, None


def read_all(
    items: Sequence[tuple[Submission, Origin]], network: bytes, now_ms: int
) -> list[Candidate | Outcome]:
    """Each submission as a candidate, or the refusal it gets. Runs in a worker thread."""
    found: list[Candidate | Outcome] = []
    for item, origin in items:
        try:
            found.append(read(item, origin, network, now_ms))
        except ProtocolError as error:
            id_ = _id_of(item) if origin.way in _STRICT else None
            found.append(Outcome(id_, error.code, error.detail))
    return found


def _id_of(item: Submission) -> bytes | None:
    """The id of what was refused, if its header can be read: who published it knows it by that."""
    try:
        header = item.header if isinstance(item, Parts) else record.header_bytes_in(item)
        record.decode_header(header)
    except ProtocolError:
        return None
    return record.record_id(header)


def signed(item: Candidate) -> tuple[bytes, bytes, bytes]:
    """(key, signature, message) of a candidate, for whoever checks it."""
    found = item.record
    return found.header.key, found.signature, record.signed_message(found.header_bytes)
