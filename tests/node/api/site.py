"""A node behind a real socket on loopback, and a client for it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web

from ratoon_node.api.answers import RECORD_TYPE, RECORDS_TYPE
from ratoon_node.api.batch import join
from ratoon_node.api.server import make_app, make_runner
from ratoon_node.app import Node
from ratoon_node.store import read
from ratoon_protocol.record import Record
from tests.node.world import Clock, Person, person, running
from tests.node.world import join as host

TOKEN = "operator-token-of-this-test"


class Counts(NamedTuple):
    nodes: int
    providers: int
    countries: int
    unconfirmed: int


class HomeReceipts:
    """The node alone: its own commit is one copy at one provider."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def wait(
        self, ids: Sequence[bytes], providers: int, timeout_ms: int
    ) -> Mapping[bytes, Counts]:
        return await self.counts(ids)

    async def counts(self, ids: Sequence[bytes]) -> Mapping[bytes, Counts]:
        found = await self._node.db.read(lambda db: read.known(db, ids))
        return {id_: Counts(1, 1, 1, 0) for id_ in found}


class NoLinks:
    async def state(self) -> Mapping[str, Any]:
        counts = await self._node.db.read(read.counts)
        scopes = [
            {"scope": scope.name.lower(), "records": count, "fingerprint": "00" * 16}
            for scope, count in counts.items()
        ]
        return {"peers": [], "scopes": scopes}

    def __init__(self, node: Node) -> None:
        self._node = node


@dataclass
class Site:
    """A running node, its address, a client session, and people who live there."""

    node: Node
    url: str
    http: aiohttp.ClientSession
    clock: Clock
    port: int

    def person(self, seed: int) -> Person:
        return person(self.node.settings.network_bytes, random.Random(seed), self.clock)

    async def resident(self, seed: int) -> Person:
        who = self.person(seed)
        await host(self.node, who)
        return who

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.http.get(self.url + path, headers=headers) as response:
            return response.status, await response.json()

    async def post(self, path: str, data: bytes, type_: str, **headers: str) -> tuple[int, Any]:
        headers = {"Content-Type": type_, **headers}
        async with self.http.post(self.url + path, data=data, headers=headers) as response:
            return response.status, await response.json()

    async def publish(self, *records: Record, query: str = "") -> tuple[int, Any]:
        data = join([record.encode() for record in records])
        return await self.post("/v1/records" + query, data, RECORDS_TYPE)

    async def publish_one(self, data: bytes, query: str = "") -> tuple[int, Any]:
        return await self.post("/v1/records" + query, data, RECORD_TYPE)

    async def operate(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = self.url + "/v1/operator" + path
        async with self.http.request(method, url, json=body, headers=headers) as response:
            return response.status, await response.json()


@asynccontextmanager
async def site(
    folder: Path, routes: Sequence[web.RouteDef] = (), policy: str = "", **settings: object
) -> AsyncIterator[Site]:
    async with running(folder, policy=policy, **settings) as node:
        clock = node.runtime.clock
        assert isinstance(clock, Clock)
        app = make_app(
            node,
            receipts=HomeReceipts(node),
            replication=NoLinks(node),
            operator_token=TOKEN,
            routes=routes,
        )
        runner = make_runner(app)
        await runner.setup()
        listener = web.TCPSite(runner, "127.0.0.1", 0)
        await listener.start()
        port = runner.addresses[0][1]
        try:
            async with aiohttp.ClientSession() as http:
                yield Site(node, f"http://127.0.0.1:{port}", http, clock, port)
        finally:
            await runner.cleanup()
