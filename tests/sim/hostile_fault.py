"""Hostile machines as faults: each comes in the middle of a world and stays to its end.

Every operator adds it, as one adds a friend's node, but nobody confirms where it stands: what it
says it holds never counts as a second provider. At most a third of all nodes are hostile.
"""

from __future__ import annotations

import random
from functools import partial

from tests.sim.hostile import Rogue
from tests.sim.hostile_kinds import KINDS as ROGUES
from tests.sim.script import Kind, Mark, Params, Shape, Stage

# Of all faults so many are hostile machines: three worlds of ten have one.
WEIGHT = 0.15
# What one visit of it may bring: worlds are small.
ROUNDS, CROWD = 2, 20


def _draw(_: random.Random, shape: Shape, kind: str) -> Params:
    return {"machine": f"h-{kind}", "targets": shape.machines}


async def _join(stage: Stage, mark: Mark, rng: random.Random, kind: str) -> None:
    params = mark.fault.params
    targets = [stage.machine(name) for name in params["targets"]]
    if len(stage.rogues) >= len(targets) // 2:
        return
    seed = rng.randrange(2**32)
    rogue = Rogue(params["machine"], kind, seed, stage.network, stage.trace, targets)
    rogue.rounds, rogue.crowd = ROUNDS, CROWD
    mark.carried = True
    stage.let_in(rogue)
    while not stage.over:
        await stage.lasts(stage.shape.seconds)
    rogue.quiet = True
    mark.mattered = any(line.opening_bytes for line in rogue.lines)


def _kind(name: str) -> Kind:
    draw, join = partial(_draw, kind=name), partial(_join, kind=name)
    return Kind(f"hostile: {name}", WEIGHT, draw, join, "{machine} comes to {targets}", 1)


KINDS = [_kind(name) for name in ROGUES]
