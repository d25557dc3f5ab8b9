"""What people and operators do: thefts of keys, blocks, programs of a later version."""

from __future__ import annotations

import random

from tests.sim.notes import Broken
from tests.sim.policies import BLOCKS, block
from tests.sim.script import Kind, Mark, Params, Shape, Stage
from tests.sim.visitor import EXPECTED, visit


def _draw_theft(rng: random.Random, shape: Shape) -> Params:
    return {"person": rng.choice(shape.people), "for_s": rng.choice((2, 8, 25))}


async def _theft(stage: Stage, mark: Mark, rng: random.Random) -> None:
    """A thief signs with somebody's key; its owner notices later and revokes it."""
    person = stage.person(mark.fault.params["person"])
    if person.gone:
        return
    mark.carried = person.suffer_theft(rng)
    await stage.lasts(mark.fault.params["for_s"])
    mark.mattered = person.say_stolen(rng)


def _draw_block(rng: random.Random, shape: Shape) -> Params:
    return {
        "machine": rng.choice(shape.machines),
        "what": rng.choice(BLOCKS),
        "person": rng.choice(shape.people),
        "for_s": rng.choice((5, 30, 1000)),
        "lifted": rng.random() < 0.6,
    }


async def _block(stage: Stage, mark: Mark, rng: random.Random) -> None:
    """The operator of a node blocks somebody, or a word, or a domain; maybe takes it back."""
    params = mark.fault.params
    machine, person = stage.machine(params["machine"]), stage.person(params["person"])
    entry = block(params["what"], person)
    mark.carried = mark.mattered = await stage.set_policy(machine, entry, blocked=True)
    await stage.lasts(params["for_s"])
    if mark.carried and params["lifted"]:
        await stage.set_policy(machine, entry, blocked=False)


def _draw_visit(rng: random.Random, shape: Shape) -> Params:
    host, upgraded = rng.sample(shape.machines, 2)
    return {"host": host, "upgraded": upgraded, "news": rng.choice(sorted(EXPECTED))}


async def _visit(stage: Stage, mark: Mark, rng: random.Random) -> None:
    """A node has a program of a later version for a moment, and talks like it."""
    params = mark.fault.params
    host, upgraded = stage.machine(params["host"]), stage.machine(params["upgraded"])
    if not host.up or not upgraded.up:
        return
    mark.carried = True
    heard = await visit(stage.network, upgraded, host, params["news"], rng)
    stage.trace.say(f"{upgraded.name} of a later version hears {heard} from {host.name}")
    mark.mattered = heard is EXPECTED[params["news"]]
    if heard in EXPECTED.values() and not mark.mattered:
        raise Broken(f"{host.name} answers a new {params['news']} with {heard}")


KINDS = [
    Kind(
        "later version",
        2,
        _draw_visit,
        _visit,
        "{upgraded} talks to {host} with a {news} of a later version",
    ),
    Kind("theft of a key", 3, _draw_theft, _theft, "the key of {person} is stolen for {for_s} s"),
    Kind(
        "policy",
        3,
        _draw_block,
        _block,
        "{machine} blocks a {what} of {person} for {for_s} s (lifted: {lifted})",
    ),
]
