"""Whether a peer may come in: what it shows of itself, and what the store knows besides (R-74)."""

from __future__ import annotations

import sqlite3

from ratoon_node.ingest.accounts import load_log
from ratoon_node.store import read
from ratoon_protocol.identity import IdentityLog, parse_operation
from ratoon_protocol.introduction import Introduced
from ratoon_protocol.kinds import Capability
from ratoon_protocol.record import decode_payload


def may_serve(db: sqlite3.Connection, event: Introduced, network: bytes) -> bool:
    """Whether every operation known, here or shown by the peer, lets its key serve.

    A thief leaves out the operation that revokes the key; an owner shows one not yet here.
    """
    row = read.account(db, event.account)
    log_ = IdentityLog(event.account, network)
    if row is not None:
        log_ = load_log(db, event.account, row.n, network)
    log_.add_all(
        [
            parse_operation(found.id, found.header, decode_payload(found.payload))
            for found in event.identity
            if found.payload is not None
        ]
    )
    authority = log_.authority(event.device)
    return not authority.marks and bool(authority.capabilities >> Capability.SERVE & 1)
