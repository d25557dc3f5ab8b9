"""What goes wrong between machines: cuts, weather, and messages that come twice or changed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from tests.sim.network import Weather
from tests.sim.script import Kind, Mark, Params, Shape, Stage

Ways = list[tuple[str, str]]


def _for_s(rng: random.Random) -> float:
    return rng.choice((0.5, 3, 10, 25, 70))


# --- cuts ------------------------------------------------------------------------------------


def _between(side: Sequence[str], machines: Iterable[str]) -> Ways:
    others = [name for name in machines if name not in side]
    return [way for a in side for b in others for way in ((a, b), (b, a))]


async def _cut(stage: Stage, mark: Mark, ways: Ways) -> None:
    mark.carried = True
    stage.network.cut(ways, mark)
    await stage.lasts(mark.fault.params["for_s"])
    stage.network.uncut(ways, mark)


def _draw_partition(rng: random.Random, shape: Shape) -> Params:
    side = rng.sample(shape.machines, rng.randrange(1, len(shape.machines)))
    return {"side": side, "for_s": _for_s(rng)}


async def _partition(stage: Stage, mark: Mark, rng: random.Random) -> None:
    await _cut(stage, mark, _between(mark.fault.params["side"], stage.shape.machines))


def _draw_provider(rng: random.Random, shape: Shape) -> Params:
    return {"provider": rng.choice(shape.places).provider, "for_s": _for_s(rng)}


async def _partition_provider(stage: Stage, mark: Mark, rng: random.Random) -> None:
    side = stage.shape.at(mark.fault.params["provider"])
    await _cut(stage, mark, _between(side, stage.shape.machines))


def _draw_one_way(rng: random.Random, shape: Shape) -> Params:
    one, other = rng.sample(shape.machines, 2)
    return {"from_": one, "to": other, "for_s": _for_s(rng)}


async def _one_way(stage: Stage, mark: Mark, rng: random.Random) -> None:
    await _cut(stage, mark, [(mark.fault.params["from_"], mark.fault.params["to"])])


# --- weather ---------------------------------------------------------------------------------


async def _weather(stage: Stage, mark: Mark, weather: Weather) -> None:
    mark.carried = True
    stage.network.begin_weather(weather, mark)
    await stage.lasts(mark.fault.params["for_s"])
    stage.network.end_weather(mark)


def _draw_loss(rng: random.Random, shape: Shape) -> Params:
    return {
        "late_chance": rng.choice((0.05, 0.3)),
        "late_s": rng.choice((0.2, 1.0, 5.0)),
        "for_s": _for_s(rng),
    }


async def _loss(stage: Stage, mark: Mark, rng: random.Random) -> None:
    params = mark.fault.params
    await _weather(stage, mark, Weather(late_chance=params["late_chance"], late_s=params["late_s"]))


def _draw_reset(rng: random.Random, shape: Shape) -> Params:
    return {"reset_chance": rng.choice((0.005, 0.05)), "for_s": _for_s(rng)}


async def _reset(stage: Stage, mark: Mark, rng: random.Random) -> None:
    await _weather(stage, mark, Weather(reset_chance=mark.fault.params["reset_chance"]))


def _draw_delay(rng: random.Random, shape: Shape) -> Params:
    return {"delay_s": rng.choice((0.05, 0.3, 2.0)), "for_s": _for_s(rng)}


async def _delay(stage: Stage, mark: Mark, rng: random.Random) -> None:
    await _weather(stage, mark, Weather(delay_s=mark.fault.params["delay_s"]))


def _draw_reorder(rng: random.Random, shape: Shape) -> Params:
    return {"jitter_s": rng.choice((0.2, 1.0, 3.0)), "for_s": _for_s(rng)}


async def _reorder(stage: Stage, mark: Mark, rng: random.Random) -> None:
    await _weather(stage, mark, Weather(jitter_s=mark.fault.params["jitter_s"]))


# --- one machine's link ------------------------------------------------------------------------


def _draw_slow_peer(rng: random.Random, shape: Shape) -> Params:
    return {
        "machine": rng.choice(shape.machines),
        "bytes_per_s": rng.choice((2_000, 5_000, 20_000)),
        "for_s": rng.choice((10, 40)),
    }


async def _slow_peer(stage: Stage, mark: Mark, rng: random.Random) -> None:
    params = mark.fault.params
    mark.carried = True
    stage.network.slow(params["machine"], params["bytes_per_s"], mark)
    await stage.lasts(params["for_s"])
    stage.network.unslow(mark)


# --- single messages and connections -----------------------------------------------------------


def _draw_way(rng: random.Random, shape: Shape) -> Params:
    one, other = rng.sample(shape.machines, 2)
    return {"from_": one, "to": other, "for_s": 20.0}


async def _tamper(stage: Stage, mark: Mark, change: str) -> None:
    """The next message of a way is changed; after a while nobody waits for one any more."""
    params = mark.fault.params
    mark.carried = True
    ways = [(params["from_"], params["to"])]
    if change == "dialled twice":  # whoever dials
        stage.network.break_between(params["from_"], params["to"])
        ways.append((params["to"], params["from_"]))
    stage.network.tamper(ways, change, mark)
    await stage.lasts(params["for_s"])
    stage.network.leave_alone(mark)


async def _replay(stage: Stage, mark: Mark, rng: random.Random) -> None:
    await _tamper(stage, mark, "twice")


async def _garble(stage: Stage, mark: Mark, rng: random.Random) -> None:
    await _tamper(stage, mark, "garbled")


async def _drop(stage: Stage, mark: Mark, rng: random.Random) -> None:
    await _tamper(stage, mark, "dropped")


async def _double_dial(stage: Stage, mark: Mark, rng: random.Random) -> None:
    """A link breaks, and the next dial arrives twice: again with all that is said on the first."""
    await _tamper(stage, mark, "dialled twice")


KINDS = [
    Kind("partition", 3, _draw_partition, _partition, "cut around {side} for {for_s} s"),
    Kind(
        *("partition of a provider", 3, _draw_provider, _partition_provider),
        "cut around provider {provider} for {for_s} s",
    ),
    Kind("one-way cut", 3, _draw_one_way, _one_way, "cut from {from_} to {to} for {for_s} s"),
    Kind(
        *("loss", 3, _draw_loss, _loss),
        "of 1 message {late_chance} are lost and come {late_s} s late, for {for_s} s",
    ),
    Kind(
        *("broken connections", 2, _draw_reset, _reset),
        "a message breaks its connection with a chance of {reset_chance}, for {for_s} s",
    ),
    Kind("delay", 2, _draw_delay, _delay, "everything takes {delay_s} s longer for {for_s} s"),
    Kind(
        *("reordering", 2, _draw_reorder, _reorder),
        "connections overtake each other by up to {jitter_s} s, for {for_s} s",
    ),
    Kind(
        *("slow peer", 2, _draw_slow_peer, _slow_peer),
        "{machine} moves {bytes_per_s} B/s on each connection for {for_s} s",
    ),
    Kind("replay", 1, _draw_way, _replay, "a message from {from_} to {to} arrives twice"),
    Kind("garbling", 1, _draw_way, _garble, "a message from {from_} to {to} has a flipped bit"),
    Kind("dropping", 1, _draw_way, _drop, "a message from {from_} to {to} is cut out"),
    Kind(
        "double dial",
        1,
        _draw_way,
        _double_dial,
        "links of {from_} and {to} break, and the next dial arrives twice",
    ),
]
