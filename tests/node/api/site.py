"""A node behind a real socket on loopback, and a client for it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from ratoon_node.api.answers import RECORD_TYPE, RECORDS_TYPE
from ratoon_node.api.batch import join
from ratoon_node.api.route import Route
from ratoon_node.api.server import make_app, make_runner
from ratoon_node.app import Node
from ratoon_protocol.record import Record
from tests.node.world import Clock, Person, person, running
from tests.node.world import join as host

TOKEN = "operator-token-of-this-test"


@dataclass
class Site:
    """A running node, its address, a client session, and people who live there."""

    node: Node
    url: str
    http: aiohttp.ClientSession
    clock: Clock
    port: int
    app: web.Application

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
    folder: Path,
    routes: Sequence[Route] = (),
    policy: str = "",
    seed: int = 1,
    **settings: Any,
) -> AsyncIterator[Site]:
    async with running(folder, seed, policy, **settings) as node:
        clock = node.runtime.clock
        assert isinstance(clock, Clock)
        app = make_app(node, operator_token=TOKEN, routes=routes)
        runner = make_runner(app)
        await runner.setup()
        listener = web.TCPSite(runner, "127.0.0.1", 0)
        await listener.start()
        port = runner.addresses[0][1]
        try:
            async with aiohttp.ClientSession() as http:
                yield Site(node, f"http://127.0.0.1:{port}", http, clock, port, app)
        finally:
            await runner.cleanup()
