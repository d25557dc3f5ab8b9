"""One run: the checks that were chosen, in order, and everything taken back at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import aiohttp

from ratoon_node.cli.conformance import (
    bodies,
    chains,
    deletion,
    encoding,
    exchange,
    frames,
    identity,
    operations,
    publishing,
    reconciliation,
    records,
    signatures,
    statements,
)
from ratoon_node.cli.conformance.bench import Bench, Options
from ratoon_node.cli.conformance.people import Person
from ratoon_node.cli.conformance.probe_link import LinkEnded
from ratoon_node.cli.conformance.suite import ABOUT, CHECKS, UNSEEN, Check, Result, Unmet
from ratoon_protocol.errors import ProtocolError

# In the order in which they run; codes are judged last, when most have been seen.
SECTIONS = (
    frames,
    encoding,
    signatures,
    records,
    chains,
    operations,
    identity,
    exchange,
    reconciliation,
    deletion,
    bodies,
    statements,
    publishing,
)
# A check that hangs costs no more than this.
CHECK_S_MAX = 120.0

Tell = Callable[[str], None]


class Outcome(NamedTuple):
    """What a run found, and how many accounts it made and could take back."""

    results: list[Result]
    made: int
    vanished: int


def checks_for(requirements: Sequence[str]) -> list[Check]:
    """The checks that say something of these requirements, in the order of the sections."""
    ordered = [
        check
        for section in SECTIONS
        for check in CHECKS
        if check.run.__module__ == section.__name__
    ]
    return [check for check in ordered if not set(check.requirements).isdisjoint(requirements)]


async def run(
    options: Options, requirements: Sequence[str] = tuple(ABOUT), tell: Tell = lambda _: None
) -> Outcome:
    """Check these requirements of the node; `tell` hears the title of each check.

    Raises `Unmet` if there is no node.
    """
    bench = Bench(options)
    try:
        await bench.reach()
        try:
            for check in checks_for(requirements):
                tell(check.title)
                await _run_one(bench, check)
        finally:  # also when somebody interrupts it
            tell("taking back what was published")
            vanished = await _take_back(bench)
        made = len(bench.people) + len(bench.nodes)
        return Outcome([bench.findings.result(one) for one in requirements], made, vanished)
    finally:
        await bench.close()


async def _run_one(bench: Bench, check: Check) -> None:
    """One check; what stops it is a finding of its requirements."""
    try:
        async with asyncio.timeout(CHECK_S_MAX):
            await check.run(bench)
    except Unmet as error:
        for requirement in check.requirements:
            bench.findings.unmet.setdefault(requirement, str(error))
    except (LinkEnded, aiohttp.ClientError, ProtocolError, OSError, TimeoutError) as error:
        words = str(error) or type(error).__name__
        for requirement in check.requirements:
            if requirement not in UNSEEN:
                bench.findings.saw(requirement, f"{check.title}: {words}")


async def _take_back(bench: Bench) -> int:
    """Vanish every account of the run, as far as the node still listens."""
    try:
        async with asyncio.timeout(CHECK_S_MAX):
            return await _vanish_people(bench) + await _vanish_nodes(bench)
    except (Unmet, LinkEnded, aiohttp.ClientError, ProtocolError, OSError, TimeoutError):
        return 0


async def _vanish_people(bench: Bench) -> int:
    ours = [who for who in bench.people if not who.over]
    node = await bench.node() if bench.people else b""
    here = [who for who in ours if node in who.homes]
    codes = await bench.http.publish(*(who.vanish() for who in here)) if here else []
    guests: list[Person] = [who for who in ours if node not in who.homes]
    done = len(bench.people) - len(ours) + codes.count("stored")
    if guests:
        _, link = await bench.home()
        words = await link.push(*(who.vanish() for who in guests))
        done += list(words.values()).count("stored")
    return done


async def _vanish_nodes(bench: Bench) -> int:
    """Node accounts end too, the one whose link brings it last."""
    if not bench.nodes:
        return 0
    own, link = await bench.home()
    others = [node.vanish() for node in bench.nodes if node is not own and not node.over]
    words = await link.push(*others) if others else {}
    words |= await link.push(own.vanish())
    # One that was never introduced has left nothing there.
    ended = [word for word in words.values() if word in ("stored", "not_hosted")]
    return sum(node.over for node in bench.nodes) + len(ended)
