"""What a flood of made-up accounts costs a node that runs with its defaults.

An attacker has a node that nobody here added, and sign-ups from one address. Each figure is for
one such node, or one address, and one day; whoever has ten has ten times as much.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import msgpack

from ratoon_node.config import Settings
from ratoon_node.policy.admission import BYTES_PER_DAY, HEADERS_PER_DAY, NEW_ACCOUNTS_PER_DAY
from tests.bench import corpus
from tests.bench.client import publish
from tests.bench.figures import Figure
from tests.bench.nodes import NodeChild, node_child
from tests.bench.withheld import LOOK_SECONDS, disk
from tests.bench.work import Work

# Texts as people write, and the longest there may be.
TEXTS = (280, 8000)
MB = 1_000_000
MINUTES_PER_DAY = 1440
# A victim that holds no more after so many looks takes no more.
LOOKS = 40
SECONDS_MAX = 300
# Sign-ups at once.
CONNECTIONS = 8


async def sybil(work: Work) -> list[Figure]:
    """By a node, then by sign-ups where an invitation is needed, and where anyone may."""
    found: list[Figure] = []
    for text_bytes in TEXTS:
        count = 2000 if work.quick else 20_000
        found += await _by_node(work, text_bytes, count if text_bytes < 1000 else count // 4)
    found += await _uninvited(work, 100 if work.quick else 400)
    return found + await _open(work, 100 if work.quick else 400)


# --- a node that nobody added --------------------------------------------------------------


class Flood(NamedTuple):
    """What a victim took of it: records, bytes of its disk and of its link, CPU seconds; and how
    many accounts it knows now.
    """

    records: int
    accounts: int
    disk: int
    heard: int
    cpu: float


async def _by_node(work: Work, text_bytes: int, posts: int) -> list[Figure]:
    """A stranger's accounts, then their posts, offered over links that it opens."""
    path, now_ms = work.folder / f"sybils-{text_bytes}", time.time_ns() // 1_000_000
    print(f"a stranger offers {posts} posts of {text_bytes} bytes", file=sys.stderr)
    signed = corpus.make(path, int.from_bytes(os.urandom(6)), posts, now_ms, text_bytes)
    folder = work.folder / f"victim-{text_bytes}"
    async with node_child(folder, settings={}):
        pass
    async with node_child(work.folder / f"stranger-{text_bytes}") as stranger:
        await stranger.ask("host", path=str(path))
        people = await _flooded(stranger, folder)
        await publish(stranger.url, signed.records, 4)
        said = await _flooded(stranger, folder)
    accounts, hosting = people.accounts, people.records - people.accounts
    an_account = (people.disk / accounts, people.cpu / accounts)
    a_post = (said.disk / said.records, said.cpu / said.records)
    name = f"a stranger's node, texts of {text_bytes} bytes"

    def figure(what: str, value: float, unit: str, target: float | None = None) -> Figure:
        return Figure("sybil", f"{name}: {what}", value, unit, None, target, True)

    size = sum(map(len, signed.records)) / len(signed.records)
    posts_a_day = min(HEADERS_PER_DAY, int(BYTES_PER_DAY / size))
    disk_a_day, cpu_a_day = (
        NEW_ACCOUNTS_PER_DAY * one + posts_a_day * other
        for one, other in zip(an_account, a_post, strict=True)
    )
    return [
        figure(f"accounts stored, of {corpus.AUTHORS} offered", accounts, "", NEW_ACCOUNTS_PER_DAY),
        figure("records by which it says that it hosts them, and its own", hosting, ""),
        figure(f"posts stored, of {posts} offered", said.records, "", posts_a_day),
        figure("disk an account", an_account[0], "B"),
        figure("disk a post", a_post[0], "B"),
        figure("CPU an account stored, what is refused included", an_account[1] * 1e6, "µs"),
        figure("CPU a post stored, what is refused included", a_post[1] * 1e6, "µs"),
        figure("CPU a byte of posts that it sends", said.cpu / said.heard * 1e6, "µs"),
        figure("the most on disk a day, by the budgets", disk_a_day / MB, "MB"),
        figure("CPU for that a day", cpu_a_day, "s"),
    ]


async def _flooded(stranger: NodeChild, folder: Path) -> Flood:
    """One link of a stranger, until the victim takes no more."""
    size = disk(folder)
    async with node_child(folder, settings={}) as victim:
        before = await victim.ask("usage")
        await stranger.ask("meet", address=victim.url)
        after = await _sated(victim)
        heard = (await victim.ask("carried"))["heard_bytes"]
        accounts = (await victim.ask("accounts"))["accounts"] - 2  # of the nodes themselves
    cpu = after["cpu"] + after["cpu_verifier"] - before["cpu"] - before["cpu_verifier"]
    if after["records"] <= before["records"]:
        raise RuntimeError("the victim takes nothing at all")
    records = int(after["records"] - before["records"])
    return Flood(records, accounts, disk(folder) - size, heard, cpu)


async def _sated(victim: NodeChild) -> dict[str, float]:
    """What the victim had taken when it had taken the last that it takes."""
    last, looks = await victim.ask("usage"), 0
    begun = last["records"]
    async with asyncio.timeout(SECONDS_MAX):
        while looks < LOOKS:
            await asyncio.sleep(LOOK_SECONDS)
            now = await victim.ask("usage")
            if now["records"] == last["records"]:
                looks += now["records"] > begun
            else:
                last, looks = now, 0
    return last


# --- sign-ups ------------------------------------------------------------------------------


@asynccontextmanager
async def _victim(folder: Path, settings: dict[str, object]) -> AsyncIterator[NodeChild]:
    async with node_child(folder, settings=settings) as node:
        await node.ask("settled")
        yield node


async def _sign_up(node: NodeChild, count: int) -> tuple[Counter[str], float]:
    """So many sign-ups, several at once: what was said to them, and the node's CPU seconds."""
    own = bytes.fromhex((await node.ask("account"))["account"])
    genesis = corpus.people(count, count, time.time_ns() // 1_000_000, (own,))
    bodies, codes, before = iter(genesis), Counter[str](), await node.ask("usage")

    async def some(http: aiohttp.ClientSession) -> None:
        for one in bodies:
            data = msgpack.packb({"records": [one]})
            headers = {"Content-Type": "application/msgpack"}
            url = node.url + "/v1/accounts"
            async with http.post(url, data=data, headers=headers) as answer:
                said = json.loads(await answer.read())
                codes["stored" if answer.ok else said["error"]["code"]] += 1

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(some(http) for _ in range(CONNECTIONS)))
    await node.ask("digest")
    after = await node.ask("usage")
    return codes, after["cpu"] + after["cpu_verifier"] - before["cpu"] - before["cpu_verifier"]


async def _uninvited(work: Work, count: int) -> list[Figure]:
    """At a node with its defaults, which asks for an invitation."""
    print(f"{count} sign-ups without an invitation", file=sys.stderr)
    async with _victim(work.folder / "invite", {}) as node:
        codes, cpu = await _sign_up(node, count)
        accounts = (await node.ask("accounts"))["accounts"] - 1
    refused = ", ".join(f"{number} {code}" for code, number in codes.most_common())
    name = f"{count} sign-ups without an invitation ({refused})"
    return [
        Figure("sybil", f"{name}: accounts stored", accounts, "", None, 0, True),
        Figure("sybil", f"{name}: CPU each", cpu / count * 1e6, "µs"),
    ]


async def _open(work: Work, count: int) -> list[Figure]:
    """At a node that lets anyone in: what each takes, and how many one address may make."""
    print(f"{count} sign-ups where anyone may", file=sys.stderr)
    folder = work.folder / "open"
    unlimited = {"entries_per_minute_max": 0, "records_per_minute_max": 0}
    settings = {"registration": "open", **unlimited}
    async with _victim(folder, settings):
        pass
    empty = disk(folder)
    async with _victim(folder, settings) as node:
        codes, cpu = await _sign_up(node, count)
    if codes != {"stored": count}:
        raise RuntimeError(f"not everybody was let in: {codes}")
    size = (disk(folder) - empty) / count
    day = Settings.entries_per_minute_max * MINUTES_PER_DAY
    name = "open registration, one address"
    return [
        Figure("sybil", f"{name}: disk an account", size, "B"),
        Figure("sybil", f"{name}: CPU an account", cpu / count * 1e6, "µs"),
        Figure("sybil", f"{name}: accounts a day at most, by the default limit", day, ""),
        Figure("sybil", f"{name}: disk for them a day", day * size / MB, "MB"),
        Figure("sybil", f"{name}: CPU for them a day", day * cpu / count, "s"),
    ]
