"""Kinds carry their class: a node handles kinds it has never heard of (R-30 to R-33).

kind  = number * 256 + class byte
class = lane (bits 0-2) | slot (bit 3) | critical (bit 4) | capability (bits 5-7)
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from ratoon_protocol.errors import Code, RecordError


class Lane(IntEnum):
    """One hash chain of an account's key. The lane also says the scope."""

    LOG = 0
    STATE = 1
    PUBLIC = 2
    SELF = 3
    NONE = 4


class Scope(IntEnum):
    """What replicates together (R-60)."""

    LOG = 0
    STATE = 1
    WINDOW = 2
    PRIVATE = 3


class Capability(IntEnum):
    """What a key must be allowed to sign the kind. Bit `1 << value` in a device's set."""

    ACCOUNT = 0  # account keys only; they sign nothing else
    WRITE = 1
    PROFILE = 2
    ERASE = 3
    PRIVATE = 4
    SERVE = 5
    MODERATE = 6
    NONE = 7  # a one-time key that belongs to nobody


class KindClass(NamedTuple):
    """What the class byte says."""

    lane: Lane
    slot: bool
    critical: bool
    capability: Capability
    scope: Scope


_SCOPES = (Scope.LOG, Scope.STATE, Scope.WINDOW, Scope.PRIVATE, Scope.PRIVATE)


def _kind(
    number: int, lane: Lane, capability: Capability, slot: bool = False, critical: bool = False
) -> int:
    return number << 8 | capability << 5 | critical << 4 | slot << 3 | lane


IDENTITY = _kind(1, Lane.LOG, Capability.ACCOUNT, critical=True)
DELETE = _kind(2, Lane.LOG, Capability.ERASE, critical=True)
NODE = _kind(3, Lane.LOG, Capability.SERVE, slot=True, critical=True)
HOSTING = _kind(4, Lane.LOG, Capability.SERVE, slot=True, critical=True)
PROFILE = _kind(5, Lane.STATE, Capability.PROFILE, slot=True)
FOLLOW = _kind(6, Lane.STATE, Capability.WRITE, slot=True)
LIST = _kind(7, Lane.STATE, Capability.WRITE, slot=True)
PREKEY = _kind(8, Lane.STATE, Capability.PRIVATE, slot=True)
ADVISORY = _kind(9, Lane.STATE, Capability.MODERATE, slot=True)
POST = _kind(10, Lane.PUBLIC, Capability.WRITE)
REPOST = _kind(11, Lane.PUBLIC, Capability.WRITE)
SEALED_POST = _kind(12, Lane.PUBLIC, Capability.WRITE)
EDIT = _kind(13, Lane.PUBLIC, Capability.WRITE, slot=True)
REACTION = _kind(14, Lane.PUBLIC, Capability.WRITE, slot=True)
VOTE = _kind(15, Lane.PUBLIC, Capability.WRITE, slot=True)
LABEL = _kind(16, Lane.PUBLIC, Capability.MODERATE, slot=True)
SETTING = _kind(17, Lane.SELF, Capability.PRIVATE, slot=True)
MESSAGE = _kind(18, Lane.NONE, Capability.NONE)
REPORT = _kind(19, Lane.NONE, Capability.NONE)
FOLLOWER_KEYS = _kind(20, Lane.NONE, Capability.NONE)

NAMES: dict[int, str] = {
    IDENTITY: "identity",
    DELETE: "delete",
    NODE: "node",
    HOSTING: "hosting",
    PROFILE: "profile",
    FOLLOW: "follow",
    LIST: "list",
    PREKEY: "prekey",
    ADVISORY: "advisory",
    POST: "post",
    REPOST: "repost",
    SEALED_POST: "sealed_post",
    EDIT: "edit",
    REACTION: "reaction",
    VOTE: "vote",
    LABEL: "label",
    SETTING: "setting",
    MESSAGE: "message",
    REPORT: "report",
    FOLLOWER_KEYS: "follower_keys",
}


@lru_cache(maxsize=4096)
def kind_class(kind: int) -> KindClass:
    """The class of `kind`. Raises `RecordError(unsupported)` for a class nobody may use (R-31).

    Refused are reserved lanes, account keys outside the log, and one-time keys in a chain:
    an unknown kind must never gain what its class forbids.
    """
    lane_bits = kind & 7
    if kind >= 1 << 16 or lane_bits > Lane.NONE:
        raise RecordError(Code.UNSUPPORTED, f"kind {kind}")
    lane = Lane(lane_bits)
    found = KindClass(
        lane, bool(kind & 8), bool(kind & 16), Capability(kind >> 5 & 7), _SCOPES[lane]
    )
    one_time = found.capability is Capability.NONE
    misused = (
        one_time != (lane is Lane.NONE)
        or (one_time and found.slot)
        or (found.capability is Capability.ACCOUNT and kind != IDENTITY)
        or (found.critical and kind not in NAMES)
    )
    if misused:
        raise RecordError(Code.UNSUPPORTED, f"kind {kind}")
    return found


def name(kind: int) -> str:
    """The kind's word, or its number for a kind this version does not know."""
    return NAMES.get(kind, str(kind))
