"""What two linked nodes say to each other: one tuple a frame (R-73). `framing` spells them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple, TypeVar

from ratoon_protocol.errors import Code
from ratoon_protocol.keys import Context, signed_bytes

# Scopes whose records are counted in a hello: private ones are nobody else's business.
COUNTED_SCOPES: Final = 3
# What a reconciliation may be about beside the scopes of kinds: all public of one account.
SCOPE_ACCOUNT: Final = 4
CARRY_ALL: Final = "all"
FIND_ACCOUNT: Final = 0
FIND_ACCOUNT_KEY: Final = 1

T = TypeVar("T")


class FrameType(IntEnum):
    """The first field of a frame."""

    INTRO = 1
    HELLO = 2
    ADMITTED = 3
    BYE = 4
    PING = 5
    PONG = 6
    PUSH = 7
    HAVE = 8
    GET = 9
    ACK = 10
    CHAIN = 11
    FIND = 12
    RECONCILE = 13
    RECONCILED = 14
    RECEIPT = 15
    CHALLENGE = 16
    ANSWER = 17
    PEERS = 18


class Outcome(NamedTuple):
    """What is true of one record, at the one who says so."""

    id: bytes
    code: Code


class Item(NamedTuple):
    """One record as it came: raw parts for the gate, `id` hashed from the header received.

    `payload` is None with the reason in `code`, or with no code where only headers were asked.
    """

    id: bytes
    header: bytes
    signature: bytes
    payload: bytes | None
    code: Code | None


class Packed(NamedTuple):
    """An item in wire form: encoded once, pushed to any number of peers."""

    id: bytes
    data: bytes
    size: int  # what it takes of a window: `record_bytes`


class Statement(NamedTuple):
    """All records of a chain up to `seq` are held, but for the `holes` (first, last of each)."""

    account: bytes
    key: bytes
    lane: int
    seq: int
    id: bytes
    holes: tuple[tuple[int, int], ...]


class Intro(NamedTuple):
    """Who I am: own identity log and node record (encoded records), and the proof (R-74)."""

    identity: tuple[bytes, ...]
    node: bytes
    device: bytes
    proof: bytes


class Hello(NamedTuple):
    """What a link is about. `horizon_ms` 0: none. `counts`: records of log, state, window."""

    version: int
    network: bytes
    carry: str
    horizon_ms: int
    identity_head: bytes
    admitted_digest: bytes
    clock_ms: int
    counts: tuple[int, ...]


class Admitted(NamedTuple):
    """The node accounts this side lets in, ascending."""

    accounts: tuple[bytes, ...]


class Bye(NamedTuple):
    """The last frame."""

    code: Code


class Ping(NamedTuple):
    """Asks for a sign of life."""

    number: int


class Pong(NamedTuple):
    """The sign of life, with the number of the ping."""

    number: int


class Push(NamedTuple):
    """Records. `request` 0: unasked, the peer acknowledges each; else a part of that answer.

    `absent`: ids that were asked for and cannot be sent (`not_found`, `legal`, `busy` …).
    `last`: nothing more comes for this request.
    """

    request: int
    last: int
    items: tuple[Item, ...]
    absent: tuple[Outcome, ...]


class Have(NamedTuple):
    """Ids the sender could send; answered by `get` or `ack`."""

    ids: tuple[bytes, ...]


class Get(NamedTuple):
    """Asks for records by id."""

    request: int
    ids: tuple[bytes, ...]


class Ack(NamedTuple):
    """What is true now of records pushed, offered or known; on a link this is the receipt."""

    outcomes: tuple[Outcome, ...]


class Chain(NamedTuple):
    """Asks for headers of one chain, newest first, `seq` not below `from_seq`.

    With `heads`: what is reached from these ids by `prev`, they included. Without: all held.
    """

    request: int
    account: bytes
    key: bytes
    lane: int
    from_seq: int
    heads: tuple[bytes, ...]
    limit: int


class Find(NamedTuple):
    """Asks for the log records of an account, named by its id or by one of its account keys."""

    request: int
    by: int
    name: bytes


class Reconcile(NamedTuple):
    """A reconciliation message. Odd numbers are the dialer's sessions, even the acceptor's.

    `scope` is a `kinds.Scope` or SCOPE_ACCOUNT; the last and PRIVATE name an `account`, the others
    do not. `since_s` counts from 2020-01-01.
    """

    number: int
    scope: int
    account: bytes | None
    since_s: int
    message: bytes


class Reconciled(NamedTuple):
    """The end of a session: finished (None), or why not."""

    number: int
    code: Code | None


class Receipt(NamedTuple):
    """Standing statements, good until `valid_until_ms`."""

    valid_until_ms: int
    statements: tuple[Statement, ...]


class Challenge(NamedTuple):
    """Prove that you hold the payload of `id`."""

    nonce: bytes
    id: bytes


class Answer(NamedTuple):
    """`challenge_hash` of the payload, or None: not held."""

    nonce: bytes
    id: bytes
    hash: bytes | None


class Peers(NamedTuple):
    """Node records (encoded), as hints where to dial; judged like any record."""

    records: tuple[bytes, ...]


Frame = (
    Intro
    | Hello
    | Admitted
    | Bye
    | Ping
    | Pong
    | Push
    | Have
    | Get
    | Ack
    | Chain
    | Find
    | Reconcile
    | Reconciled
    | Receipt
    | Challenge
    | Answer
    | Peers
)


def admitted_digest(accounts: Iterable[bytes]) -> bytes:
    """What two sides compare before they send whole lists (32 bytes)."""
    return hashlib.sha256(b"".join(sorted(accounts))).digest()


def in_frames(items: Sequence[T], count_max: int) -> Iterator[tuple[T, ...]]:
    """`items` in runs that fit a frame each; no empty frame for none."""
    for at in range(0, len(items), count_max):
        yield tuple(items[at : at + count_max])


def record_bytes(header: bytes, payload: bytes | None) -> int:
    """What a record takes of the credit for pushes, on both sides alike (R-76)."""
    return len(header) + len(payload or b"")


def challenge_hash(network: bytes, nonce: bytes, payload: bytes) -> bytes:
    """What only a holder of `payload` can answer (32 bytes, R-79)."""
    return hashlib.sha256(signed_bytes(Context.CHALLENGE, network, nonce + payload)).digest()
