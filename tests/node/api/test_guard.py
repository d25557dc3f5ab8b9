"""Rates, bounds, headers, and what happens when something inside breaks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from ratoon_node.api.rate import CLIENTS_MAX, Rates, network_of
from tests.node.api.site import TOKEN, site


def test_a_rate_gives_a_minutes_worth_at_once_and_then_so_many_a_minute() -> None:
    rates = Rates(60)
    assert [rates.take("192.0.2.1", 1, 0) for _ in range(60)] == [0] * 60
    wait_ms = rates.take("192.0.2.1", 1, 0)
    assert 1000 <= wait_ms <= 1001
    assert rates.take("192.0.2.2", 1, 0) == 0
    assert rates.take("192.0.2.1", 1, wait_ms) == 0
    assert rates.take("192.0.2.1", 1, wait_ms) > 0


def test_items_are_counted_and_a_refusal_costs_nothing() -> None:
    rates = Rates(60)
    assert rates.take("192.0.2.1", 59, 0) == 0
    first = rates.take("192.0.2.1", 5, 0)
    assert first == rates.take("192.0.2.1", 5, 0) > 0
    assert rates.take("192.0.2.1", 1, 0) == 0
    assert rates.take("192.0.2.9", 600, 0) == 0
    assert rates.take("192.0.2.9", 1, 0) >= 540_000


def test_the_table_of_addresses_is_bounded() -> None:
    rates = Rates(60)
    for at in range(CLIENTS_MAX + 10):
        rates.take(f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}", 1, 0)
    assert len(rates) == CLIENTS_MAX


@pytest.mark.parametrize(
    ("address", "charged"),
    [
        ("2001:db8:1:2:3::4", "2001:db8:1:2::"),
        ("2001:db8:1:2::9%eth0", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
        ("", ""),
    ],
)
def test_a_home_is_charged_as_one(address: str, charged: str) -> None:
    assert network_of(address) == charged


async def test_too_many_requests_are_told_when_to_come_back(tmp_path: Path) -> None:
    async with site(tmp_path, requests_per_minute_max=5) as place:
        for _ in range(5):
            assert (await place.get("/v1/node"))[0] == 200
        async with place.http.get(place.url + "/v1/node") as response:
            body = await response.json()
            assert (response.status, body["error"]["code"]) == (429, "rate")
            assert 0 < body["error"]["retry_ms"] <= 12_001
            assert int(response.headers["Retry-After"]) in (12, 13)
        assert (await place.get("/livez"))[0] == 200
        assert (await place.operate("GET", "/blocks"))[0] == 200


async def test_records_in_a_batch_are_charged(tmp_path: Path) -> None:
    async with site(tmp_path, requests_per_minute_max=5) as place:
        ann = await place.resident(2)
        posts = [ann.post("x") for _ in range(350)]
        assert (await place.publish(*posts))[0] == 201
        assert (await place.publish(*posts))[1]["error"]["code"] == "rate"


async def test_requests_at_once_are_bounded_and_a_crash_says_nothing(tmp_path: Path) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()
    inside = 0

    async def slow(request: web.Request) -> web.Response:
        nonlocal inside
        inside += 1
        if inside == 8:
            entered.set()
        await leave.wait()
        raise RuntimeError("a secret of somebody")

    async with site(tmp_path, [web.get("/slow", slow)], requests_active_max=8) as place:
        waiting = [asyncio.ensure_future(place.get("/slow")) for _ in range(8)]
        await entered.wait()
        status, body = await place.get("/v1/node")
        assert (status, body["error"]["code"]) == (503, "busy")
        assert (await place.get("/livez"))[0] == 200
        leave.set()
        for status, body in await asyncio.gather(*waiting):
            words = "Something went wrong on this node."
            assert (status, body) == (500, {"error": {"code": "internal", "message": words}})
        assert (await place.get("/v1/node"))[0] == 200


async def test_headers_that_browsers_need(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        async with place.http.get(place.url + "/v1/node") as response:
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "sandbox" in response.headers["Content-Security-Policy"]
        async with place.http.options(place.url + "/v1/records") as response:
            assert response.status == 204
            assert "POST" in response.headers["Access-Control-Allow-Methods"]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with place.http.get(place.url + "/v1/operator/blocks", headers=headers) as response:
            assert "Access-Control-Allow-Origin" not in response.headers
        async with place.http.get(place.url + "/") as response:
            policy = response.headers["Content-Security-Policy"]
            assert "script" not in policy
            assert policy.startswith("default-src 'none'")
            assert "unsafe" not in policy
