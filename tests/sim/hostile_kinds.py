"""The kinds of hostile machines, and what each does."""

from __future__ import annotations

from tests.sim.hostile_acts import Act
from tests.sim.hostile_forgery import (
    BorrowedName,
    BrokenOperations,
    FalseHosting,
    KeepBack,
    OldFrames,
    OldHandshakes,
    OldRecords,
    ReachAcross,
    StolenNames,
    Swallow,
    Undecodable,
    WrongPayloads,
    WrongSignatures,
)
from tests.sim.hostile_lies import (
    ChangingLists,
    Claims,
    DialStorm,
    EmptyOffers,
    EndlessRounds,
    FalseStatements,
    FloodAccounts,
    FloodRecords,
    GarbageFrames,
    HugeRanges,
    MalformedSync,
    ManySessions,
    PushedTwice,
    SlowReader,
    TwoFaces,
    UnsentBytes,
    Wants,
)

#: What a hostile machine of a kind does, one act after the other.
KINDS: dict[str, tuple[type[Act], ...]] = {
    "forge": (
        *(WrongSignatures, WrongPayloads, StolenNames, ReachAcross, FalseHosting),
        *(BrokenOperations, Undecodable),
    ),
    "replay": (OldHandshakes, OldFrames, BorrowedName, OldRecords),
    "withhold": (Swallow, KeepBack),
    "flood": (FloodAccounts, FloodRecords, GarbageFrames, PushedTwice, DialStorm, Wants),
    "lie": (EndlessRounds, Claims, HugeRanges, MalformedSync, ManySessions, ChangingLists),
    "advertise": (EmptyOffers, UnsentBytes),
    "receipts": (FalseStatements, Swallow),
    "slow": (SlowReader,),
    "equivocate": (TwoFaces,),
}
ACTS = {act.__name__: kind for kind, acts in KINDS.items() for act in acts}
