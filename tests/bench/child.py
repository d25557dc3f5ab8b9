"""A node in a process of its own: `python -m tests.bench.child FOLDER [NOW_MS]`.

It prints where it serves, then answers each line of input with a line; both are JSON. It ends
when its input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
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
from ratoon_node.operate.own import Keys, make_keys
from ratoon_node.peering.wire import SocketTransport, accept
from ratoon_node.policy.engine import Policy
from ratoon_node.runtime import SystemClock, spare_collector, system_runtime
from ratoon_node.store import read
from ratoon_node.store.db import AioDb
from ratoon_node.store.rows import What
from ratoon_protocol import kinds
from ratoon_protocol.kinds import Scope
from tests.bench.corpus import read_authors

Command = Callable[..., Awaitable[dict[str, Any]]]


class SetClock(SystemClock):
    """The machine's clock, set to another time."""

    def __init__(self, now_ms: int) -> None:
        self._ahead_ms = now_ms - super().now_ms()

    def now_ms(self) -> int:
        return super().now_ms() + self._ahead_ms


def _keys(folder: Path, settings: Settings) -> Keys:
    path = folder / KEYS
    if not path.exists():
        rng = random.SystemRandom()
        now_ms = time.time_ns() // 1_000_000
        make_keys(settings.network_bytes, secrets.token_bytes(32), rng, now_ms).save(path)
    return Keys.load(path)


@contextlib.asynccontextmanager
async def _serving(folder: Path, now_ms: int | None) -> AsyncIterator[tuple[Node, str]]:
    settings = Settings(
        data_dir=folder,
        provider=folder.name,
        requests_per_minute_max=0,
        records_per_minute_max=0,
        entries_per_minute_max=0,
        accept_private_addresses=True,
    )
    runtime = system_runtime(signature_threads=settings.signature_threads)
    if now_ms is not None:
        runtime = replace(runtime, clock=SetClock(now_ms))
    db = await AioDb.open(folder / STORE, settings.readers)
    transport = SocketTransport(private=True)
    keys = _keys(folder, settings)
    verifier = verifier_of(settings, runtime)
    node = assemble(settings, runtime, db, keys, Policy.parse(b""), transport, verifier=verifier)

    async def link(request: web.Request) -> web.WebSocketResponse:
        response, wire = await accept(request)
        await node.hub.accept(wire)
        return response

    app = make_app(node, operator_token="", routes=[link_route(link)])
    runner = make_runner(app)
    try:
        await node.start()
        spare_collector()
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield node, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await node.close()


class Commands:
    """What the parent may ask for."""

    def __init__(self, node: Node, folder: Path) -> None:
        self._node = node
        self._folder = folder

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
        wall, cpu = time.perf_counter(), time.process_time()
        account = await self._node.hub.meet(address)
        await self._node.ledger.add_peer(account, address, "source", "XX")
        await self._node.peers_changed()
        while posts > 0:
            commit = await changes.next()
            if commit is None:
                raise RuntimeError("the bench cannot follow the node's commits")
            posts -= sum(
                change.what is What.ADDED and change.kind == kinds.POST for change in commit.changes
            )
        took = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        self._node.fanout.unsubscribe(changes)
        return took

    async def digest(self) -> dict[str, Any]:
        """Answer once everything derived is made of all that is stored."""
        await self._node.digest.reached(await self._node.db.read(read.journal_end))
        return {"position": self._node.digest.position}

    async def settled(self) -> dict[str, Any]:
        """Answer once everything that a start leaves to be done behind the API is done."""
        await self._node.sets.loaded.wait()
        return await self.digest()

    async def usage(self) -> dict[str, Any]:
        """What the process and its store take now."""
        await self._node.sets.loaded.wait()
        state = self._node.sets.state()
        return {
            "records": sum(count for count, _ in state.values()),
            "posts": state[Scope.WINDOW][0],
            "rss": _of_process("status", "VmRSS") * 1024,
            "written": _of_process("io", "write_bytes"),
            "disk": sum(path.stat().st_size for path in self._folder.glob(STORE + "*")),
            "cpu": time.process_time(),
        }


def _of_process(file: str, name: str) -> int:
    """A number that the kernel keeps of this process."""
    lines = Path(f"/proc/self/{file}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


async def _main(folder: Path, now_ms: int | None) -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    async with _serving(folder, now_ms) as (node, url):
        commands = Commands(node, folder)
        print(json.dumps({"url": url, "pid": os.getpid()}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            command: Command = getattr(commands, asked.pop("do"))
            print(json.dumps(await command(**asked)), flush=True)


if __name__ == "__main__":
    uvloop.run(_main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
