"""Every hostile act alone against three honest nodes: what they do about it, exactly.

The stage itself checks what holds for all: the honest are equal, nothing forged is stored, no post
is lost and no deleted one comes back, every bound is kept, and no honest node is shunned or cut.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from ratoon_protocol.errors import Code
from tests.sim import hostile_forgery as forgery
from tests.sim import hostile_lies as lies
from tests.sim.cheaper import cheaper
from tests.sim.hostile_kinds import ACTS
from tests.sim.hostile_stage import Scene, perform

# More than one answer to a challenge, and to what is owed.
LONG_S = 200


class Reaction(NamedTuple):
    """What the node did. `code`: its last word; None: the link was kept.

    `shunned`: the next link has to wait; `liar`: its acks count nothing any more; `refused`:
    records by code; `ended`: links by code, those that the hostile machine left among them;
    `held`: records of its accounts (its own two, and what an act shows) that were kept.
    """

    code: Code | None
    shunned: bool
    held: int
    refused: dict[str, int]
    ended: dict[str, int]
    liar: bool = False


def cut(code: Code, held: int = 2, *, liar: bool = False, **refused: int) -> Reaction:
    """The link ended with a word, and the next one has to wait."""
    return Reaction(code, True, held, refused, {code.value: 1}, liar)


def kept(held: int = 2, ended: int = 1, **refused: int) -> Reaction:
    """The link was kept until the hostile machine left."""
    return Reaction(None, False, held, refused, {"timeout": ended})


TABLE = {
    # Forged: who passes on what is not signed or does not fit is to blame, who claims is not heard.
    Scene(forgery.WrongSignatures): cut(Code.BAD_SIGNATURE, 4, bad_signature=40),
    Scene(forgery.WrongPayloads): cut(Code.PAYLOAD_MISMATCH, 44),
    Scene(forgery.Undecodable): cut(Code.TRAILING, trailing=25, bad_utf8=7, malformed=8),
    Scene(forgery.StolenNames): kept(3, unknown_key=9, not_hosted=9),
    Scene(forgery.ReachAcross): kept(15),
    Scene(forgery.FalseHosting): kept(9, unknown_key=3),
    Scene(forgery.BrokenOperations): kept(4, bad_operation=7),
    # Replayed: handshakes and frames are good once, records are known or gone.
    Scene(forgery.OldHandshakes): Reaction(None, False, 2, {}, {"timeout": 1, "bad_handshake": 5}),
    Scene(forgery.OldFrames): cut(Code.BAD_FRAME),
    Scene(forgery.BorrowedName): Reaction(Code.BAD_PROOF, False, 2, {}, {"bad_proof": 1}),
    Scene(forgery.OldRecords): kept(gone=5),
    # Withheld: who cannot prove what it claims lies; who can, and gives nothing, hides nothing.
    Scene(forgery.Swallow, LONG_S): cut(Code.BAD_PROOF, liar=True),
    Scene(forgery.KeepBack, LONG_S): kept(),
    # Too much: what is allowed is taken, above it nothing.
    Scene(lies.FloodAccounts, crowd=520): kept(1021, rate=21),
    Scene(lies.FloodRecords): kept(254),
    Scene(lies.GarbageFrames): cut(Code.BAD_FRAME),
    Scene(lies.PushedTwice): cut(Code.UNEXPECTED_FRAME),
    Scene(lies.DialStorm, 15, crowd=150): kept(ended=46),
    Scene(lies.Wants): kept(),
    # Lies in reconciliation.
    Scene(lies.EndlessRounds, 10, dialled=True): cut(Code.SYNC_MALFORMED),
    Scene(lies.Claims, 10, dialled=True): cut(Code.SYNC_MALFORMED),
    Scene(lies.HugeRanges): kept(),
    Scene(lies.MalformedSync): cut(Code.SYNC_MALFORMED),
    Scene(lies.ManySessions): cut(Code.TOO_MANY),
    Scene(lies.ChangingLists): kept(),
    # What cannot be delivered.
    Scene(lies.EmptyOffers): cut(Code.SYNC_MALFORMED),
    Scene(lies.UnsentBytes, LONG_S): Reaction(Code.TIMEOUT, False, 2, {}, {"timeout": 1}),
    # Receipts, slowness, two faces.
    Scene(lies.FalseStatements, LONG_S): cut(Code.BAD_PROOF, liar=True, bad_utf8=1),
    Scene(lies.SlowReader, 260, rounds=60): kept(),
    Scene(lies.TwoFaces, everywhere=True): kept(21),
}


@pytest.mark.parametrize("scene", TABLE, ids=lambda scene: scene.act.__name__)
def test_the_reaction_is_exactly_this(tmp_path: Path, scene: Scene) -> None:
    with cheaper():
        seen = perform(scene, tmp_path)
    reaction = Reaction(seen.code, seen.shunned, seen.held, seen.refused, seen.ended, seen.liar)
    assert reaction == TABLE[scene]


def test_every_act_is_in_the_table() -> None:
    assert {scene.act.__name__ for scene in TABLE} == set(ACTS)
