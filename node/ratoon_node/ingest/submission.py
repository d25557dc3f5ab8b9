"""What comes to the gate and what it answers, and the checks that need no store."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from ratoon_node.policy.verdict import Decision
from ratoon_protocol import bodies, codec, keys, kinds, record
from ratoon_protocol.errors import Code, DecodeError, ProtocolError, RecordError, SignatureError
from ratoon_protocol.record import Body, Record


class Way(StrEnum):
    """The ways in. All end in the same transaction."""

    SELF = "self"  # what this node says of itself
    API = "api"
    LINK = "link"
    BUNDLE = "bundle"


_STRICT = (Way.API, Way.SELF)


class Origin(NamedTuple):
    """Where a submission came from; `peer` is the node account behind a link."""

    way: Way
    peer: bytes | None = None

    @property
    def strict(self) -> bool:
        """Somebody here asks to publish it: it is stored as it should be, or not at all."""
        return self.way in _STRICT


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
    #: What the operator's own programs say of it, if they were asked and object.
    said: Decision | None = None

    @property
    def strict(self) -> bool:
        """See `Origin.strict`."""
        return self.origin.strict


class Finding(NamedTuple):
    """What was found of one submission without a store: plain values, for it comes from a process
    that checks. `code` None: it decodes and is signed. `id` stands where an `Outcome` has one.
    With `internal` the detail says where the program failed, which is for the log alone.
    """

    code: Code | None = None
    detail: str = ""
    id: bytes | None = None
    #: See `Candidate`.
    invalid: Code | None = None
    #: The sender sent what the author never signed.
    peer_fault: bool = False


#: Nothing is wrong with it.
GOOD = Finding()


class Question(NamedTuple):
    """A submission to look at. `known`: its header is here, so its signature is not checked."""

    item: Submission
    strict: bool
    known: bool


def examine(asked: Question, network: bytes, now_ms: int) -> Finding:
    """Decode one submission and check all that needs no store, its signature last.

    From people here the record must be whole and right; from a link or a bundle (R-89) a payload
    that does not fit is the sender's fault and one that is no valid body the author's, and the
    header counts all the same.
    """
    try:
        found, peer_fault = _read(asked.item, asked.strict)
        record.check_network(found.header, network)
        record.check_time(found.header, now_ms)
        if asked.strict and found.payload is None:
            raise DecodeError(Code.EMPTY, "payload")
        invalid = read_body(found)[1]
        if invalid is not None and asked.strict:
            raise DecodeError(invalid, f"body of {kinds.name(found.header.kind)}")
    except ProtocolError as error:
        return Finding(error.code, error.detail, _id_of(asked.item) if asked.strict else None)
    if not asked.known:
        message = record.signed_message(found.header_bytes)
        try:
            keys.verify(found.header.key, found.signature, message)
        except SignatureError as error:
            return Finding(error.code, id=found.id, peer_fault=True)
    return Finding(None, "", None, invalid, peer_fault) if invalid or peer_fault else GOOD


def _read(item: Submission, strict: bool) -> tuple[Record, bool]:
    """The record, and whether its payload was left out because it is not the one signed for."""
    header_bytes: codec.Value
    signature: codec.Value
    payload: codec.Value
    if isinstance(item, Parts):
        header_bytes, signature, payload, _, id_ = item
    else:
        (header_bytes, signature, payload), id_ = record.parts_in(item), b""
    try:
        return record.assemble(header_bytes, signature, payload, id_), False
    except RecordError as error:
        if strict or error.code is not Code.PAYLOAD_MISMATCH:
            raise
    return record.assemble(header_bytes, signature, None, id_), True


def accept(item: Submission, origin: Origin, finding: Finding) -> Candidate | Outcome:
    """A submission as what `examine` found it to be; its bytes are not looked at again."""
    if finding.code is not None:
        detail = "" if finding.code is Code.INTERNAL else finding.detail
        return Outcome(finding.id, finding.code, detail, finding.peer_fault)
    id_ = b""
    if isinstance(item, Parts):
        header_bytes, signature, payload, _, id_ = item
    else:
        header_bytes, signature, payload = codec.decode_known(item)
    if finding.peer_fault:
        payload = None
    header = record.known_header(header_bytes)
    id_ = id_ or record.record_id(header_bytes)
    found = Record(id_, header, header_bytes, signature, payload)
    readable = payload is not None and finding.invalid is None
    body = record.known_body(payload) if readable and payload is not None else None
    return Candidate(found, origin, body, finding.invalid, finding.peer_fault)


def examine_all(asked: Sequence[Question], network: bytes, now_ms: int) -> list[Finding]:
    """Each of them; a crash (a bug) costs one. For a thread or a process of its own."""
    return [_examined(one, network, now_ms) for one in asked]


def _examined(asked: Question, network: bytes, now_ms: int) -> Finding:
    try:
        return examine(asked, network, now_ms)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return Finding(Code.INTERNAL, f"{type(error).__name__} in {last.name}, line {last.lineno}")


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


def _id_of(item: Submission) -> bytes | None:
    """The id of what was refused, if its header can be read: who published it knows it by that."""
    try:
        header = item.header if isinstance(item, Parts) else record.header_bytes_in(item)
        record.decode_header(header)
    except ProtocolError:
        return None
    return record.record_id(header)
