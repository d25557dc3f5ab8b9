"""What is told to whatever watches the node: what is not ready, and to whom."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from ratoon_node.api.health import LOOK_MS
from ratoon_node.api.route import Route
from ratoon_node.operate.twins import Standing
from ratoon_protocol.kinds import Scope
from tests.node.api.site import TOKEN, Site, site


async def ready(place: Site) -> tuple[int, dict[str, Any]]:
    place.node.runtime.clock.ahead_ms += LOOK_MS  # type: ignore[attr-defined]
    return await place.get("/readyz")


@pytest.fixture(autouse=True)
def movable_monotonic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Monotonic time that moves by hand as well."""
    from tests.node.world import Clock

    monkeypatch.setattr(Clock, "ahead_ms", 0, raising=False)
    real = Clock.monotonic_ms
    monkeypatch.setattr(Clock, "monotonic_ms", lambda self: real(self) + self.ahead_ms)


async def test_a_node_that_serves_says_so(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        assert await place.get("/livez") == (200, {"ok": True})
        checks = {"store": "ok", "disk": "ok", "running": "ok", "sets": "ok", "keys": "ok"}
        assert await ready(place) == (200, {"ready": True, "checks": checks})


async def test_people_are_served_while_the_sets_are_read(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        records = (await place.get("/v1/node"))[1]["records"]
        place.node.sets.loaded.clear()
        status, body = await ready(place)
        assert (status, body["ready"], body["checks"]["sets"]) == (200, True, "loading")
        assert (await place.get("/v1/replication"))[0] == 503
        assert (await place.get("/v1/node"))[1]["records"] == records > 0
        waiting = asyncio.ensure_future(place.node.sets.window(Scope.LOG, (), 0))
        await asyncio.sleep(0)
        assert not waiting.done(), "a link waits"
        place.node.sets.loaded.set()
        await waiting
        assert (await place.get("/v1/replication"))[0] == 200


async def test_it_says_that_another_machine_has_its_keys(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        place.node.own.twins.standing = Standing.SHARED
        status, body = await ready(place)
        assert (status, body["ready"], body["checks"]["keys"]) == (200, True, "shared")
        place.node.own.twins.standing = Standing.SILENT
        status, body = await ready(place)
        assert (status, body["ready"], body["checks"]["keys"]) == (503, False, "silent")


async def test_it_says_what_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(tmp_path) as place:

        async def failing(*_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(place.node.db, "write", failing)
            status, body = await ready(place)
            assert (status, body["checks"]["store"], body["ready"]) == (503, "failed", False)
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
            assert (await ready(place))[1]["checks"]["disk"] == "failed"
        assert (await ready(place))[0] == 200
        place.node.stopping = True
        status, body = await ready(place)
        assert (status, body["checks"]["running"]) == (503, "failed")
        assert (await place.get("/livez"))[0] == 200


async def test_many_who_ask_at_once_cost_one_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path) as place:
        writes = 0
        write = place.node.db.write

        async def counted(fn: Any, undone: Any = None) -> Any:
            nonlocal writes
            writes += "ready_ms" in str(fn.__code__.co_consts)
            return await write(fn, undone)

        monkeypatch.setattr(place.node.db, "write", counted)
        answers = await asyncio.gather(*(place.get("/readyz") for _ in range(20)))
        assert {status for status, _ in answers} == {200}
        assert writes == 1


async def asked(place: Site, path: str, **headers: str) -> int:
    async with place.http.get(place.url + path, headers=headers) as response:
        return response.status


@pytest.mark.parametrize("path", ["/readyz", "/metrics"])
async def test_only_monitors_and_the_operator_look_closer(tmp_path: Path, path: str) -> None:
    token = {"Authorization": f"Bearer {TOKEN}"}
    async with site(tmp_path) as place:
        assert await asked(place, path) == 200
        # A proxy on this machine speaks for somebody else.
        assert await asked(place, path, **{"X-Forwarded-For": "192.0.2.1"}) == 401
        assert await asked(place, path, **{"X-Forwarded-For": "127.0.0.1"}) == 401
        assert await asked(place, path, **{"X-Forwarded-For": "192.0.2.1"} | token) == 200
        assert await asked(place, "/livez", **{"X-Forwarded-For": "192.0.2.1"}) == 200
    monitors = ("192.0.2.0/24",)
    async with site(tmp_path, trusted_proxies=("127.0.0.1",), monitors=monitors) as place:
        assert await asked(place, path) == 401
        assert await asked(place, path, **{"X-Forwarded-For": "192.0.2.7"}) == 200
        assert await asked(place, path, **{"X-Forwarded-For": "192.0.2.7, 10.0.0.1"}) == 401


async def test_a_full_node_still_answers_what_watches_it(tmp_path: Path) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()
    inside = 0

    async def slow(request: web.Request) -> web.Response:
        nonlocal inside
        inside += 1
        if inside == 8:
            entered.set()
        await leave.wait()
        return web.Response()

    door = Route("GET", "/slow", slow, "", "")
    async with site(
        tmp_path,
        [door],
        requests_active_max=8,
        requests_per_minute_max=12,
    ) as place:
        waiting = [asyncio.ensure_future(asked(place, "/slow")) for _ in range(8)]
        await entered.wait()
        assert await asked(place, "/v1/node") == 503
        for _ in range(20):
            for path in ("/livez", "/readyz", "/metrics"):
                assert await asked(place, path) == 200
        leave.set()
        assert await asyncio.gather(*waiting) == [200] * 8
