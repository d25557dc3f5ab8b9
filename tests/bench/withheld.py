"""What a node carries of what its rules withhold: the headers, on the link and on the disk."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from ratoon_node.operate.folder import STORE
from ratoon_protocol import record
from ratoon_protocol.errors import Code
from ratoon_protocol.framing import pack_item
from tests.bench import corpus
from tests.bench.client import publish
from tests.bench.figures import Figure
from tests.bench.nodes import NodeChild, node_child
from tests.bench.work import Work

#: It stands for any rule: what is withheld costs the same whatever it is withheld for.
POLICY = '[[rule]]\nid = "posts"\nwhen = { kind = "post" }\nthen = "withhold"\nreason = "spam"\n'
# A busy network, and the share of it that a strict node withholds.
RECORDS_PER_SECOND, SHARE = 10, 0.1
DAY_SECONDS = 86_400
MB = 1_000_000
# Of the posts, those that come while the link is open.
LIVE_SHARE = 0.25
SECONDS_MAX = 120
# Between two looks at how far it is.
LOOK_SECONDS = 0.05


async def level(source: NodeChild, node: NodeChild) -> None:
    """Return once a node holds as many records as another."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            held, all_ = await node.ask("usage"), await source.ask("usage")
            if held["records"] >= all_["records"]:
                return
            await asyncio.sleep(LOOK_SECONDS)


def disk(folder: Path) -> int:
    """Bytes of the store of a node that has ended."""
    return sum(path.stat().st_size for path in folder.glob(STORE + "*"))


async def withheld(work: Work) -> list[Figure]:
    """A node that withholds every post catches up, then listens, and so does one that does not."""
    count, now_ms = 1000 if work.quick else 20_000, time.time_ns() // 1_000_000
    path = work.folder / "withheld-authors"
    print(f"withholding {count} records", file=sys.stderr)
    signed = corpus.make(path, int.from_bytes(os.urandom(6)), count, now_ms)
    early = signed.records[: int(count * (1 - LIVE_SHARE))]
    live = signed.records[len(early) :]
    found = _header(signed.records[0])
    for name, policy in (("withheld", POLICY), ("kept", "")):
        async with node_child(work.folder / f"{name}-source") as source:
            await source.ask("host", path=str(path))
            sizes = await _carry(source, work.folder / name, policy, early, live)
        found += _figures(name, sizes)
    return found


def _header(data: bytes) -> list[Figure]:
    """What stays of a withheld post, and is all that it passes on."""
    whole = record.decode_record(data)
    size = len(pack_item(whole.header_bytes, whole.signature, None, Code.WITHHELD).data)
    day = size * RECORDS_PER_SECOND * SHARE * DAY_SECONDS / MB
    rate = f"if {SHARE:.0%} of {RECORDS_PER_SECOND} posts a second are withheld"
    return [
        Figure("withheld", "header and signature of a post, as they are passed on", size, "B"),
        Figure("withheld", f"headers and signatures a day to one peer, {rate}", day, "MB"),
    ]


async def _carry(
    source: NodeChild, folder: Path, policy: str, early: list[bytes], live: list[bytes]
) -> tuple[float, float, float]:
    """Bytes a record: on the link while catching up, on the link when it is new, on the disk."""
    async with node_child(folder, policy=policy) as node:
        await node.ask("meet", address=source.url)
        await level(source, node)
    before = disk(folder)
    await publish(source.url, early, 4)
    async with node_child(folder, policy=policy) as node:
        await node.ask("meet", address=source.url)
        await level(source, node)
        caught = (await node.ask("carried"))["heard_bytes"]
        await publish(source.url, live, 1)
        await level(source, node)
        heard = (await node.ask("carried"))["heard_bytes"]
    stored = disk(folder) - before
    return caught / len(early), (heard - caught) / len(live), stored / (len(early) + len(live))


def _figures(name: str, sizes: tuple[float, float, float]) -> list[Figure]:
    """Each record, and what that makes in a day at the stated rate."""
    records = RECORDS_PER_SECOND * SHARE * DAY_SECONDS
    rate = f"a day, if {SHARE:.0%} of {RECORDS_PER_SECOND} posts a second are {name}"
    found = []
    wheres = ("on the link, catching up", "on the link, as it is written", "on the disk")
    for where, size in zip(wheres, sizes, strict=True):
        found += [
            Figure("withheld", f"a {name} post, {where}", size, "B"),
            Figure("withheld", f"{where}, {rate}", size * records / MB, "MB"),
        ]
    return found
