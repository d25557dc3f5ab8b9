"""`/livez`, `/readyz`, `/metrics`: for whatever watches the node.

They answer while the node is full, so each is cheap however often it is asked: one look serves
everybody who asks within a moment.
"""

from __future__ import annotations

import asyncio
import ipaddress
import shutil
import sqlite3
from typing import Literal

import msgspec
from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.answers import answer
from ratoon_node.api.operator import is_operator
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Route
from ratoon_node.errors import NodeError
from ratoon_node.operate.twins import Standing
from ratoon_node.runtime import timeout_ms
from ratoon_node.store import read
from ratoon_node.telemetry import METRICS_TYPE
from ratoon_protocol.errors import Code

# A request that came through a proxy says so: then the address is the proxy's.
_PROXIED = ("Forwarded", "X-Forwarded-For", "Via")
# How long one look is believed, and how long the store may take to show that it can write.
LOOK_MS = 2000
WRITE_MS_MAX = 2000
# Below this the next commits may fail: the log alone can grow by so much before it is folded back.
DISK_FREE_BYTES_MIN = 64 * 1024 * 1024

State = Literal["ok", "failed"]


class Alive(msgspec.Struct):
    """The process answers."""

    ok: bool = True


class Checks(msgspec.Struct):
    """What must hold for the node to serve; each is `ok` or `failed`. While the sets that nodes
    compare are `loading`, some seconds after a start, people are served and links wait. `keys` are
    `shared` if another machine runs with them too, and this one is `silent`, signing nothing, if
    it started later.
    """

    store: State
    disk: State
    running: State
    sets: Literal["ok", "loading"]
    keys: Standing


class Ready(msgspec.Struct):
    """Whether the node serves, and what keeps it from that."""

    ready: bool
    checks: Checks


class Health:
    """Routes for supervisors and collectors."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._turn = asyncio.Lock()
        self._looked_ms: int | None = None
        self._checks = Checks("failed", "failed", "failed", "loading", Standing.ALONE)
        self._text = b""
        self._counted_ms: int | None = None

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            Route(
                "GET",
                "/livez",
                self.alive,
                "The process answers.",
                "health",
                answer=Alive,
                always=True,
            ),
            Route(
                "GET",
                "/readyz",
                self.ready,
                "Whether it serves, else (503) why not. From `monitors` or with the token.",
                "health",
                answer=Ready,
                codes=(Code.UNAUTHORISED,),
                also=(503,),
                always=True,
            ),
            Route(
                "GET",
                "/metrics",
                self.metrics,
                "Numbers for Prometheus. From `monitors` or with the token.",
                "health",
                media=(METRICS_TYPE.partition(";")[0],),
                codes=(Code.UNAUTHORISED,),
                always=True,
            ),
        ]

    async def alive(self, request: web.Request) -> web.Response:
        """The process answers."""
        return answer(Alive())

    async def ready(self, request: web.Request) -> web.Response:
        """Whether it serves."""
        self._check_monitor(request)
        async with self._turn:
            if self._stale(self._looked_ms):
                self._checks.store = await self._store_state()
                self._checks.disk = self._disk_state()
                self._looked_ms = self._now_ms()
        self._checks.running = "failed" if self._services.node.stopping else "ok"
        self._checks.sets = "ok" if self._services.node.sets.loaded.is_set() else "loading"
        self._checks.keys = self._services.node.own.twins.standing
        checks = self._checks
        ready = {checks.store, checks.disk, checks.running} == {
            "ok"
        } and checks.keys is not Standing.SILENT
        return answer(Ready(ready, checks), 200 if ready else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        """The numbers."""
        self._check_monitor(request)
        async with self._turn:
            if self._stale(self._counted_ms):
                await self._count()
                self._text = self._services.node.metrics.text()
                self._counted_ms = self._now_ms()
        return web.Response(body=self._text, headers={"Content-Type": METRICS_TYPE})

    def _now_ms(self) -> int:
        return self._services.node.runtime.clock.monotonic_ms()

    def _stale(self, at_ms: int | None) -> bool:
        return at_ms is None or self._now_ms() - at_ms >= LOOK_MS

    async def _store_state(self) -> State:
        """Whether the store can write: tried, because that is the only way to know."""
        now_ms = self._services.node.runtime.clock.now_ms()

        def run(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES ('ready_ms', ?)",
                (now_ms.to_bytes(8),),
            )

        try:
            async with timeout_ms(WRITE_MS_MAX):
                await self._services.node.db.write(run)
        except (sqlite3.Error, TimeoutError):
            return "failed"
        return "ok"

    def _disk_state(self) -> State:
        folder = self._services.node.settings.data_dir
        try:
            free = shutil.disk_usage(folder).free
        except OSError:
            return "failed"
        return "ok" if free >= DISK_FREE_BYTES_MIN else "failed"

    async def _count(self) -> None:
        """Bring up to date what is measured and not counted."""
        node = self._services.node
        end = await node.db.read(read.journal_end)
        node.metrics.journal_entries.set(end)
        node.metrics.journal_lag_entries.labels("digest").set(end - node.digest.position)
        for path in node.settings.data_dir.glob("ratoon.sqlite*"):
            part = {"": "data", "-wal": "log", "-shm": "index"}.get(path.name[13:])
            if part is not None:
                node.metrics.store_bytes.labels(part).set(path.stat().st_size)

    def _check_monitor(self, request: web.Request) -> None:
        """Raises `NodeError(unauthorised)` for whoever may not look."""
        settings = self._services.node.settings
        if is_operator(request, self._services):
            return
        client = request.remote or ""
        if any(name in request.headers for name in _PROXIED):
            if not settings.trusted_proxies:
                raise NodeError(Code.UNAUTHORISED)
            client = asked.client(request, self._services)
        try:
            address = ipaddress.ip_address(client.partition("%")[0])
        except ValueError:
            raise NodeError(Code.UNAUTHORISED) from None
        address = getattr(address, "ipv4_mapped", None) or address
        if not any(address in ipaddress.ip_network(one) for one in settings.monitors):
            raise NodeError(Code.UNAUTHORISED)
