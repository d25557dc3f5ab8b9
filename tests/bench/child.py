"""A node in a process of its own: `python -m tests.bench.child FOLDER CHOICES`.

It prints where it serves, then answers each line of input with a line; both are JSON, as are the
choices: what its clock shows (`now_ms`), the rules at ingest (`policy`), and `settings`. Without
settings it sets no limits of requests. It ends when its input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import secrets
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import structlog
import uvloop
from aiohttp import web

from ratoon_node.api.route import link_route
from ratoon_node.api.server import make_app, make_runner
from ratoon_node.app import Node, assemble, verifier_of
from ratoon_node.config import Settings
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.operate.folder import KEYS, STORE
from ratoon_node.operate.keys import Keys, make_keys
from ratoon_node.peering.wire import SocketTransport, accept
from ratoon_node.policy.engine import Policy
from ratoon_node.runtime import SystemClock, share_interpreter, spare_collector, system_runtime
from ratoon_node.store import read, words
from ratoon_node.store.db import AioDb
from ratoon_node.store.rows import What
from ratoon_protocol import kinds
from ratoon_protocol.kinds import Scope
from tests.bench.corpus import read_authors
from tests.bench.counted import CountedTransport, CountedWire, Counts
from tests.bench.processes import taken

Command = Callable[..., Awaitable[dict[str, Any]]]
Choices = dict[str, Any]
Serving = tuple[Node, str]
# How often it is looked whether the cleaner is done.
CLEANED_MS = 100
#: Settings under which a bench's one address may ask as much as it likes.
UNLIMITED = {
    "requests_per_minute_max": 0,
    "records_per_minute_max": 0,
    "entries_per_minute_max": 0,
}


class SetClock(SystemClock):
    """The machine's clock, set to another time."""

    def __init__(self, now_ms: int) -> None:
        self._ahead_ms = now_ms - super().now_ms()

    def now_ms(self) -> int:
        return super().now_ms() + self._ahead_ms


def _keys(folder: Path, settings: Settings, now_ms: int) -> Keys:
    path = folder / KEYS
    if not path.exists():
        rng = random.SystemRandom()
        make_keys(settings.network_bytes, secrets.token_bytes(32), rng, now_ms).save(path)
    return Keys.load(path)


def _settings(folder: Path, choices: Choices) -> Settings:
    chosen = choices.get("settings", UNLIMITED)
    return Settings(data_dir=folder, provider=folder.name, accept_private_addresses=True, **chosen)


@contextlib.asynccontextmanager
async def _serving(folder: Path, choices: Choices, counts: Counts) -> AsyncIterator[Serving]:
    settings = _settings(folder, choices)
    runtime = system_runtime(threads=settings.signature_threads)
    if (now_ms := choices.get("now_ms")) is not None:
        runtime = replace(runtime, clock=SetClock(now_ms))
    db = await AioDb.open(folder / STORE, settings.readers)
    transport = CountedTransport(SocketTransport(private=True), counts)
    keys, policy = (
        _keys(folder, settings, runtime.clock.now_ms()),
        Policy.parse(choices.get("policy", "").encode()),
    )
    verifier = verifier_of(settings, runtime)
    node = assemble(settings, runtime, db, keys, policy, transport, verifier=verifier)

    async def link(request: web.Request) -> web.WebSocketResponse:
        response, wire = await accept(request)
        await node.hub.accept(CountedWire(wire, counts))
        return response

    app = make_app(node, operator_token="", routes=[link_route(link)])
    runner = make_runner(app)
    try:
        await node.start()
        spare_collector()
        share_interpreter()
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield node, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await node.close()


class Commands:
    """What the parent may ask for."""

    def __init__(self, node: Node, folder: Path, counts: Counts) -> None:
        self._node = node
        self._folder = folder
        self._counts = counts

    async def host(self, path: str) -> dict[str, Any]:
        """Make this node the home of a corpus' authors."""
        accounts, genesis = read_authors(Path(path))
        for account in accounts:
            await self._node.own.host(account)
        outcomes = await self._node.gate.submit(genesis, Origin(Way.API))
        return {"stored": sum(outcome.code == "stored" for outcome in outcomes)}

    async def sync(self, address: str, posts: int) -> dict[str, Any]:
        """Add a node as a peer; answers when this one holds as many posts as it."""
        changes = self._node.fanout.subscribe()
        wall, before = time.perf_counter(), taken(os.getpid())
        await self.meet(address)
        while posts > 0:
            commit = await changes.next()
            if commit is None:
                raise RuntimeError("the bench cannot follow the node's commits")
            posts -= sum(
                change.what is What.ADDED and change.kind == kinds.POST for change in commit.changes
            )
        seconds, after = time.perf_counter() - wall, taken(os.getpid())
        self._node.fanout.unsubscribe(changes)
        return {
            "seconds": seconds,
            "cpu": after.cpu - before.cpu,
            "cpu_verifier": after.children_cpu - before.children_cpu,
        }

    async def meet(self, address: str, added: bool = True) -> dict[str, Any]:
        """Open a link to a node, and add it as a peer unless it is to stay a stranger."""
        account = await self._node.hub.meet(address)
        if added:
            await self._node.ledger.add_peer(account, address, "source", "XX")
            await self._node.peers_changed()
        return {"account": account.hex()}

    async def add(self, account: str) -> dict[str, Any]:
        """Add a node as a peer that it may meet later; its address is not known."""
        await self._node.ledger.add_peer(bytes.fromhex(account), None, "source", "XX")
        await self._node.peers_changed()
        return {}

    async def compare(self, times: int) -> dict[str, Any]:
        """Compare all sets with the one peer, so many times; what one comparison took here.

        Bytes and messages are those of its link, both ways.
        """
        (neighbour,) = self._node.hub.neighbours.values()
        found, sizes, answers, cpu = 0, [], [], time.process_time()
        for _ in range(times):
            before = replace(self._counts)
            compared = await neighbour.catchup.run()
            found += compared.fetched + compared.pushed
            now = self._counts
            sizes.append(now.sent_bytes + now.heard_bytes - before.sent_bytes - before.heard_bytes)
            answers.append(now.heard - before.heard)
        cpu = (time.process_time() - cpu) / times
        # Of the sizes the middle one: now and then something else goes over the link meanwhile.
        return {"bytes": median(sizes), "answers": median(answers), "cpu": cpu, "found": found}

    async def carried(self) -> dict[str, Any]:
        """Bytes and messages over this node's links since it was started."""
        return asdict(self._counts)

    async def account(self) -> dict[str, Any]:
        """This node's own account."""
        return {"account": self._node.own.account.hex()}

    async def accounts(self) -> dict[str, Any]:
        """How many accounts it holds, its own among them."""

        def count(db: sqlite3.Connection) -> int:
            return int(db.execute("SELECT count(*) FROM account").fetchone()[0])

        return {"accounts": await self._node.db.read(count)}

    async def cpu(self) -> dict[str, Any]:
        """Processor time of this process alone, finer than the kernel tells others."""
        return {"cpu": time.process_time()}

    async def digest(self) -> dict[str, Any]:
        """Answer once everything derived is made of all that is stored."""
        await self._node.digest.reached(await self._node.db.read(read.journal_end))
        return {"position": self._node.digest.position}

    async def settled(self) -> dict[str, Any]:
        """Answer once everything that a start leaves to be done behind the API is done."""
        await self._node.sets.loaded.wait()
        done = await self.digest()
        # A made-up network has deleted much when it is new: words of that are still cleaned up.
        while await self._node.db.read(lambda db: bool(words.erased(db)) or words.uncut(db)):
            await self._node.runtime.clock.sleep_ms(CLEANED_MS)
        return done

    async def usage(self) -> dict[str, Any]:
        """What the process and its store take now."""
        await self._node.sets.loaded.wait()
        state, now = self._node.sets.state(), taken(os.getpid())
        return {
            "records": sum(count for count, _ in state.values()),
            "posts": state[Scope.WINDOW][0],
            "rss": now.rss + now.children_rss,
            "rss_verifier": now.children_rss,
            "peak": now.peak + now.children_rss,
            "written": now.written,
            "disk": sum(path.stat().st_size for path in self._folder.glob(STORE + "*")),
            "cpu": now.cpu,
            "cpu_verifier": now.children_cpu,
        }


async def _main(folder: Path, choices: Choices) -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    counts = Counts()
    async with _serving(folder, choices, counts) as (node, url):
        commands = Commands(node, folder, counts)
        print(json.dumps({"url": url, "pid": os.getpid()}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            command: Command = getattr(commands, asked.pop("do"))
            print(json.dumps(await command(**asked)), flush=True)


if __name__ == "__main__":
    uvloop.run(_main(Path(sys.argv[1]), json.loads(sys.argv[2])))
