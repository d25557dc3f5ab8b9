"""Every hostile act alone against three honest nodes: what they do about it, exactly.

The stage itself checks what holds for all: the honest are equal, nothing forged is stored, no post
is lost and no deleted one comes back, every bound is kept, and no honest node is shunned or cut.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

import pytest

from ratoon_node.peering.receipts import Counts
from ratoon_protocol.errors import Code
from tests.sim import hostile_forgery as forgery
from tests.sim import hostile_lies as lies
from tests.sim.cheaper import cheaper
from tests.sim.hostile_kinds import ACTS, KINDS
from tests.sim.hostile_stage import MeteredLoop, Scene, Stage, perform
from tests.sim.loop import run
from tests.sim.plan import Done, Plan
from tests.sim.script import Fault
from tests.sim.simulation import simulate

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


async def _believed(folder: Path) -> list[Counts]:
    """How many hold a post that only one hostile node says it holds: while nobody confirmed where
    it stands, then once its operator is believed, and after a challenge.
    """
    stage = Stage(folder, Scene(forgery.Swallow, nodes=1))
    await stage.open()
    node, rogue, post = stage.machines[0].node, stage.rogue, stage.posts[0]
    visit = rogue.visit(stage.machines[0], lies.FalseStatements)
    visiting = stage.loop.create_task(visit, name="hostile.visit")
    found = [(await node.receipts.wait([post], 2, 5000))[post]]
    await node.ledger.add_peer(rogue.account, None, "elsewhere", "XX")
    await node.roster.load()
    found.append((await node.receipts.wait([post], 2, 5000))[post])
    await visiting
    await asyncio.sleep(1)
    found.append((await node.receipts.counts([post]))[post])
    await stage.close()
    return found


def test_what_a_liar_says_it_holds_counts_only_where_it_is_trusted_and_until_it_is_asked(
    tmp_path: Path,
) -> None:
    """R-130: only a confirmed node counts; R-79: and only until it cannot prove what it says."""
    unconfirmed, confirmed, found_out = run(_believed(tmp_path), 1, loop_type=MeteredLoop)
    assert unconfirmed == Counts(nodes=2, providers=1, countries=1, unconfirmed=1)
    assert confirmed == Counts(nodes=2, providers=2, countries=2, unconfirmed=0)
    assert found_out == Counts(nodes=1, providers=1, countries=1, unconfirmed=0)


async def _twice(folder: Path) -> list[Code | None]:
    """The last words to somebody who misbehaves, and comes again before it has hung up."""
    stage = Stage(folder, Scene(lies.MalformedSync, nodes=1))
    await stage.open()
    visits = [await stage.rogue.visit(stage.machines[0], lies.MalformedSync) for _ in range(2)]
    await stage.close()
    return [line.bye for line in visits if line is not None]


def test_who_is_slow_to_hang_up_gets_no_other_link_by_it(tmp_path: Path) -> None:
    words = run(_twice(tmp_path), 1, loop_type=MeteredLoop)
    assert words == [Code.SYNC_MALFORMED, Code.BLOCKED]


async def _to_a_copy(folder: Path) -> None:
    stage = Stage(folder, Scene(forgery.OldHandshakes, nodes=1))
    await stage.open()
    await stage.rogue.repeat(f"{stage.machines[0].name}-copy-1", [b"said before"])
    await stage.close()


def test_nothing_is_said_again_to_a_copy_that_nobody_can_dial(tmp_path: Path) -> None:
    run(_to_a_copy(tmp_path), 1, loop_type=MeteredLoop)


def guest(number: int, kind: str, machines: list[str]) -> Fault:
    """A hostile machine that comes soon."""
    params = {"machine": f"h-{kind}", "targets": machines}
    return Fault(number, float(number), f"hostile: {kind}", params)


def p99(waits_ms: list[int]) -> int:
    return sorted(waits_ms)[len(waits_ms) * 99 // 100]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_people_hardly_feel_a_hostile_machine_in_their_world(tmp_path: Path, seed: int) -> None:
    """Every kind in a world of three; all that a world promises holds, and who is honest is not
    shunned. Answers come as soon as they do without: at the 99th percentile in twice the time.
    """
    calm = simulate(Plan(seed, nodes=3, script=()), tmp_path / "calm")
    waits_ms: list[int] = []
    for kind in list(KINDS)[seed - 1 :: 3]:
        plan = Plan(seed, nodes=3, script=(guest(1, kind, ["n0", "n1", "n2"]),))
        world = simulate(plan, tmp_path / kind)
        assert world.faults == (Done(f"hostile: {kind}", True, True),)
        waits_ms += world.answered_ms
    assert p99(waits_ms) <= 2 * p99(list(calm.answered_ms))


def test_a_third_of_all_nodes_may_be_hostile_and_no_more(tmp_path: Path) -> None:
    machines = ["n0", "n1", "n2", "n3"]
    kinds = ("equivocate", "replay", "forge")
    script = tuple(guest(at, kind, machines) for at, kind in enumerate(kinds, start=1))
    world = simulate(Plan(4, nodes=4, script=script), tmp_path)
    assert [one.carried for one in world.faults] == [True, True, False]


def test_every_act_is_in_the_table() -> None:
    assert {scene.act.__name__ for scene in TABLE} == set(ACTS)
