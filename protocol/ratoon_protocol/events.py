"""What a `PeerSession` tells its caller. Frames that need no more than to be read are events
themselves (`Get`, `Have`, `Ack` …).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ratoon_protocol.errors import Code, ProtocolError
from ratoon_protocol.frames import (
    Ack,
    Admitted,
    Answer,
    Chain,
    Challenge,
    Find,
    FrameType,
    Get,
    Have,
    Hello,
    Item,
    Outcome,
    Peers,
    Receipt,
    Reconcile,
    Reconciled,
)
from ratoon_protocol.introduction import Introduced


class Ready(NamedTuple):
    """The link is open. `skew_ms`: how far the peer's time of day is ahead of ours, to within the
    time that `welcome` took.
    """

    hello: Hello
    admitted: tuple[bytes, ...]
    skew_ms: int


class Pushed(NamedTuple):
    """Records nobody asked for; each wants an `ack`, or the peer's credit runs out."""

    items: tuple[Item, ...]


class Answered(NamedTuple):
    """An answer, or a part of it. `missing`: ids of a get that the peer passed over in the end."""

    request: int
    asked: FrameType
    items: tuple[Item, ...]
    absent: tuple[Outcome, ...]
    missing: tuple[bytes, ...]
    last: bool


class Closed(NamedTuple):
    """The last event. `by_peer`: it said bye; `peers_fault`: it broke the protocol.

    `detail` is for logs and carries nothing the peer chose.
    """

    code: Code
    by_peer: bool = False
    peers_fault: bool = False
    detail: str = ""


Event = (
    Introduced
    | Ready
    | Pushed
    | Answered
    | Closed
    | Ack
    | Admitted
    | Answer
    | Chain
    | Challenge
    | Find
    | Get
    | Have
    | Peers
    | Receipt
    | Reconcile
    | Reconciled
)

# Ends for which a peer is not to blame: a wrong address, an old version, a quiet wire.
_NO_FAULT: Final = frozenset(
    {Code.SELF_LINK, Code.WRONG_ACCOUNT, Code.WRONG_NETWORK, Code.UNSUPPORTED, Code.TIMEOUT}
)


def failed(error: ProtocolError) -> Closed:
    """The end of a link for what the peer did, or did not do."""
    return Closed(error.code, peers_fault=error.code not in _NO_FAULT, detail=error.detail)
