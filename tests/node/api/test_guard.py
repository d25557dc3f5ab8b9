"""Rates, bounds, headers, and what happens when something inside breaks."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from aiohttp import web

from ratoon_node.api.rate import CLIENTS_MAX, Rates, client_of, network_of, records_cost
from ratoon_node.api.route import Route
from ratoon_node.api.server import ROUTES
from tests.node.api.members import member, signed_in
from tests.node.api.site import TOKEN, Site, site


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
        place.clock.stop()
        for _ in range(5):
            assert (await place.get("/v1/node"))[0] == 200
        async with place.http.get(place.url + "/v1/node") as response:
            body = await response.json()
            assert (response.status, body["error"]["code"]) == (429, "rate")
            assert 0 < body["error"]["retry_ms"] <= 12_001
            assert int(response.headers["Retry-After"]) in (12, 13)
        assert (await place.get("/livez"))[0] == 200
        assert (await place.operate("GET", "/blocks"))[0] == 200


def test_a_whole_allowance_fits_at_any_hour_of_the_clock() -> None:
    for per_minute in (7, 21, 600):
        for now_ms in range(0, 50_000_000, 1_234_567):
            rates = Rates(per_minute)
            assert [rates.take("a", 1, now_ms) for _ in range(per_minute)] == [0] * per_minute
            assert rates.take("a", 1, now_ms)


async def test_publishing_is_charged_by_the_record(tmp_path: Path) -> None:
    async with site(tmp_path, records_per_minute_max=21) as place:
        place.clock.stop()
        ann = await place.resident(2)
        posts = [ann.post("x") for _ in range(19)]
        assert (await place.publish(*posts))[0] == 201
        assert (await place.publish(*posts))[1]["error"]["code"] == "rate"  # for having asked: one
        assert (await place.publish(ann.post("y")))[0] == 201
        assert (await place.publish(ann.post("z")))[1]["error"]["code"] == "rate"
        assert (await place.get("/v1/node"))[0] == 200  # reading has an allowance of its own


def test_long_records_are_charged_by_their_bytes() -> None:
    assert records_cost(10, 3000) == 10
    assert records_cost(1, 65_536) == 16


async def left(place: Site, path: str) -> tuple[int, int]:
    """What the answer gives, and what is left of 100 requests after it."""
    async with place.http.get(place.url + path) as response:
        body, told = await response.json(), response.headers["RateLimit"]
        assert response.headers["RateLimit-Policy"] == '"read";q=100;w=60'
        found = re.fullmatch('"read";r=([0-9]+);t=([0-9]+)', told)
        assert found is not None
        assert (int(found[1]) == 100) == (int(found[2]) == 0)
        return len(body["items"]), int(found[1])


async def test_reading_is_charged_by_what_is_given(tmp_path: Path) -> None:
    async with site(tmp_path, requests_per_minute_max=100) as place:
        ann = await place.resident(2)
        await place.publish(*[ann.post("x") for _ in range(60)])
        place.clock.stop()
        assert await left(place, "/v1/timelines/network?limit=1") == (1, 98)
        assert await left(place, "/v1/timelines/network?limit=50") == (50, 92)


async def test_what_takes_more_work_costs_more(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        costs = {(route.path, route.method): route.cost for route in place.app[ROUTES]}
        for path in ("/v1/search", "/v1/records/{id}/thread"):
            assert costs[path, "GET"] > costs["/v1/timelines/home", "GET"] == 1


async def test_a_debt_for_what_was_given_is_bounded() -> None:
    rates = Rates(60)
    rates.given("a", 1_000_000, 0)
    assert rates.left("a", 0) == (0, 120)
    assert rates.wait_ms("a", 1, 0) <= 61_001


async def test_an_account_is_charged_wherever_it_comes_from(tmp_path: Path) -> None:
    proxies = ("127.0.0.1",)
    async with site(tmp_path, requests_per_minute_max=10, trusted_proxies=proxies) as place:
        ann = await member(place.node, 2)
        token = await signed_in(place, ann)
        codes = []
        place.clock.stop()
        for at in range(12):
            headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": f"203.0.113.{at}"}
            async with place.http.get(place.url + "/v1/session", headers=headers) as response:
                codes.append(response.status)
        assert codes == [200] * 10 + [429] * 2


@pytest.mark.parametrize(
    "lines",
    [
        ("10.9.8.{at}", "203.0.113.7"),  # the proxy adds a line of its own
        ("203.0.113.7:{at}",),  # or the port
        ("10.9.8.{at}, [2001:db8::7]:1{at}",),
        ("10.9.8.{at}, unknown",),
    ],
)
async def test_what_a_client_says_before_its_proxy_makes_it_nobody_else(
    tmp_path: Path, lines: tuple[str, ...]
) -> None:
    proxies = ("127.0.0.1",)
    async with site(tmp_path, requests_per_minute_max=5, trusted_proxies=proxies) as place:
        place.clock.stop()
        codes = []
        for at in range(8):
            headers = [("X-Forwarded-For", line.format(at=at)) for line in lines]
            async with place.http.get(place.url + "/v1/node", headers=headers) as response:
                codes.append(response.status)
        assert codes == [200] * 5 + [429] * 3


async def test_signing_in_has_an_allowance_of_its_own(tmp_path: Path) -> None:
    async with site(tmp_path, entries_per_minute_max=3) as place:
        place.clock.stop()
        ann = await member(place.node, 2)
        form = {"account": ann.account.hex()}
        for status in (200, 200, 200, 429):
            url = place.url + "/v1/session/challenge"
            async with place.http.post(url, json=form) as response:
                assert response.status == status
        assert (await place.get("/v1/node"))[0] == 200


@pytest.mark.parametrize(
    ("address", "forwarded", "charged"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # not a proxy of ours: not believed
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("::ffff:10.0.0.1", "2001:db8:1:2:3::4", "2001:db8:1:2::"),
    ],
)
def test_a_proxy_says_who_asks_if_it_is_ours(address: str, forwarded: str, charged: str) -> None:
    assert client_of(address, forwarded, ("10.0.0.0/8",)) == charged


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

    door = Route("GET", "/slow", slow, "", "")
    async with site(tmp_path, [door], requests_active_max=8) as place:
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


async def test_no_client_takes_all_places_by_sending_slowly(tmp_path: Path) -> None:
    inside: list[str] = []
    crowded, leave = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        inside.append(request.headers["X-Forwarded-For"])
        if len(inside) == 8:
            crowded.set()
        await leave.wait()
        return web.json_response({})

    door, proxies = Route("GET", "/slow", slow, "", ""), ("127.0.0.1",)
    async with site(tmp_path, [door], requests_active_max=16, trusted_proxies=proxies) as place:
        one, other = {"X-Forwarded-For": "203.0.113.1"}, {"X-Forwarded-For": "203.0.113.2"}
        waiting = [asyncio.ensure_future(place.get("/slow", **one)) for _ in range(8)]
        await crowded.wait()
        status, body = await place.get("/v1/node", **one)
        assert (status, body["error"]["code"]) == (429, "rate")
        assert (await place.get("/v1/node", **other))[0] == 200
        leave.set()
        await asyncio.gather(*waiting)
        assert (await place.get("/v1/node", **one))[0] == 200


async def test_no_client_takes_all_streams_by_staying(tmp_path: Path) -> None:
    async with site(tmp_path, streams_max=16, trusted_proxies=("127.0.0.1",)) as place:
        one, other = {"X-Forwarded-For": "203.0.113.1"}, {"X-Forwarded-For": "203.0.113.2"}
        url = place.url + "/v1/stream"
        kept = [await place.http.ws_connect(url, headers=one) for _ in range(8)]
        for path in ("/v1/stream", "/v1/events?topic=network"):
            status, body = await place.get(path, **one)
            assert (status, body["error"]["code"]) == (429, "rate")
        kept.append(await place.http.ws_connect(url, headers=other))
        assert not any(socket.closed for socket in kept)


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
