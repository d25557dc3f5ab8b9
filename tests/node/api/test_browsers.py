"""What pages of other sites may ask, and answers to what is barely HTTP."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from ratoon_node.api.answers import RECORD_TYPE
from ratoon_node.api.route import Access
from tests.node.api.described import little
from tests.node.api.site import TOKEN, Site, site

ORIGIN = "https://app.example"


async def test_every_route_but_the_operators_answers_pages_of_other_sites(tmp_path: Path) -> None:
    async with little(tmp_path) as world:
        for route in world.routes:
            url, _ = await world.address(route)
            preflight = {
                "Origin": ORIGIN,
                "Access-Control-Request-Method": route.method,
                "Access-Control-Request-Headers": "authorization,content-type",
            }
            async with world.place.http.options(url, headers=preflight) as response:
                found = response.headers
                assert response.status == 204, route.path
                own = route.access is Access.OPERATOR or route.path == "/metrics"
                assert ("Access-Control-Allow-Origin" in found) != own, route.path
                if own:
                    assert "Access-Control-Allow-Methods" not in found
                    continue
                assert found["Access-Control-Allow-Origin"] == "*"
                assert "Access-Control-Allow-Credentials" not in found
                assert route.method in found["Access-Control-Allow-Methods"].split(", ")
                allowed = found["Access-Control-Allow-Headers"].lower().split(", ")
                assert {"authorization", "content-type"} <= set(allowed)
                assert int(found["Access-Control-Max-Age"]) > 0


async def test_refusals_can_be_read_by_pages_too(tmp_path: Path) -> None:
    async with site(tmp_path, requests_per_minute_max=1) as place:
        place.clock.stop()
        for path, status in (("/v1/nothing", 404), ("/v1/node", 429)):
            headers = {"Origin": ORIGIN}
            async with place.http.get(place.url + path, headers=headers) as response:
                assert response.status == status
                assert response.headers["Access-Control-Allow-Origin"] == "*"
                assert "Retry-After" in response.headers["Access-Control-Expose-Headers"]


async def test_an_unknown_path_has_no_options(tmp_path: Path) -> None:
    async with site(tmp_path) as place, place.http.options(place.url + "/v1/nothing") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (404, "not_found")


async def test_head_is_get_without_the_body(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        for path in ("/v1/replication", "/v1/openapi.json", "/", "/livez"):
            async with place.http.get(place.url + path) as whole:
                size = str(len(await whole.read()))
            async with place.http.head(place.url + path) as response:
                assert (response.status, await response.read()) == (200, b"")
                assert response.headers["Content-Length"] == size
        async with place.http.head(place.url + "/v1/stream") as response:
            assert response.status == 405


async def test_signed_bytes_have_a_tag_and_are_asked_for_each_time(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        post = ann.post("x")
        await place.publish(post)
        url = f"{place.url}/v1/records/{post.id.hex()}"
        headers = {"Accept": RECORD_TYPE}
        async with place.http.get(url, headers=headers) as response:
            assert await response.read() == post.encode()
            assert response.headers["ETag"] == f'"{post.id.hex()}"'
            assert response.headers["Cache-Control"] == "no-cache"
            headers["If-None-Match"] = response.headers["ETag"]
        async with place.http.get(url, headers=headers) as response:
            assert response.status == 304
        await place.operate("POST", "/blocks", {"subject": "account", "entity": ann.account.hex()})
        async with place.http.get(url, headers=headers) as response:
            assert response.status == 403


async def test_nothing_says_what_serves(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        for path in ("/v1/node", "/v1/operator/blocks", "/", "/v1/nothing"):
            async with place.http.get(place.url + path, headers=headers) as response:
                assert response.headers["Server"] == "ratoon"


async def raw(place: Site, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """The status, the headers and the body that answer some bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write(data)
    await writer.drain()
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    first, *lines = head.decode("latin-1").split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "bad_request"),
        (b"BREW /v1/node HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_request"),
        (b"GET /v1/node HTTP/9.9\r\nHost: x\r\n\r\n", 400, "bad_request"),
        (b"GET /v1/node HTTP/1.1\r\nHo st: x\r\n\r\n", 400, "bad_request"),
        (b"GET /v1/node HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "bad_request"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431, "too_large"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431, "too_large"),
    ],
)
async def test_what_is_not_http_is_answered_in_the_one_shape(
    tmp_path: Path, data: bytes, status: int, code: str
) -> None:
    async with site(tmp_path) as place:
        found, headers, body = await raw(place, data)
        told = json.loads(body)
        assert (found, told["error"]["code"], set(told)) == (status, code, {"error"})
        assert headers["Content-Type"] == "application/json"
        assert headers["Server"] == "ratoon"
        assert (await place.get("/v1/node"))[0] == 200
