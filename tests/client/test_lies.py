"""What a node that lies, or what stands where a node was, can do to a client: nothing for long."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgpack
import pytest
from aiohttp import web

from ratoon_client import Client
from ratoon_client.errors import Untrue
from ratoon_client.nodes import RECORDS_TYPE, Nodes
from ratoon_client.verify import Verifier, _Known
from ratoon_protocol.identity import IdentityLog
from tests.client.people import settle
from tests.client.test_client import liar, listening
from tests.client.test_stream import began, take
from tests.node.api.site import Site, site
from tests.node.world import Clock, person

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
NETWORK = "/v1/timelines/network"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "a").mkdir()


@asynccontextmanager
async def before(there: Site, path: str, answer: Answer) -> AsyncIterator[str]:
    """An honest node that gives its own answer on one path; its address."""
    app = web.Application()
    app.router.add_route("*", path, answer)
    for route in liar(there.url, lambda path, data: data).router.routes():
        app.router.add_route(route.method, "/{path:.*}", route.handler)
    runner, url = await listening(app)
    try:
        yield url
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "words",
    [
        "nonsense",
        "[" * 5000,
        "3",
        '{"error": 3}',
        '{"error": {"code": "bad_request", "message": "no"}}',
    ],
)
async def test_a_stream_goes_on_elsewhere_whatever_one_node_says(
    tmp_path: Path, words: str
) -> None:
    async def stream(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.send_str(words)
        async for _ in socket:
            pass
        return socket

    async with site(tmp_path / "a") as there, before(there, "/v1/stream", stream) as url:
        await settle("ana", there.node, there.url, 1)
        async with (
            Client(account="ana") as ana,
            Client([url, there.url], read_only=True) as reader,
        ):
            await ana.post("before")
            begun = asyncio.ensure_future(take(reader.stream("network"), 1))
            await began(there)
            await ana.post("after")
            assert await begun == ["after"]


async def test_posts_of_somebody_else_are_not_given(tmp_path: Path) -> None:
    async with site(tmp_path / "a") as there:
        ana, _ = await settle("ana", there.node, there.url, 1)
        bob, _ = await settle("bob", there.node, there.url, 2)
        async with Client(account="ana") as one, Client(account="bob") as other:
            await one.post("of ana")
            await other.post("of bob")

        async def swapped(request: web.Request) -> web.Response:
            url = f"{there.url}/v1/accounts/{bob.account}/posts"
            headers = {"Accept": RECORDS_TYPE}
            async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as found:
                return web.Response(body=await found.read(), content_type=found.content_type)

        async with (
            before(there, f"/v1/accounts/{ana.account}/posts", swapped) as url,
            Client([url], read_only=True) as reader,
        ):
            page = await reader.posts_of(bytes.fromhex(ana.account))
            assert (page.posts, page.untrue) == ([], 1)
            page = await reader.page_of(url, "account", {"account": ana.account})
            assert (page.posts, page.untrue) == ([], 1)


@pytest.mark.parametrize("moved", [False, True])
async def test_a_domain_that_was_sold_is_passed_over(tmp_path: Path, moved: bool) -> None:
    async def parked(request: web.Request) -> web.Response:
        if moved:
            raise web.HTTPFound("http://elsewhere.example/")
        return web.Response(text="<h1>For sale</h1>", content_type="text/html")

    async with site(tmp_path / "a") as there, before(there, "/v1/{path:.*}", parked) as url:
        await settle("ana", there.node, there.url, 1)
        async with (
            Client(account="ana") as ana,
            Client([url, there.url], read_only=True) as reader,
        ):
            await ana.post("still here")
            page = await reader.timeline("network")
            assert [post.text for post in page.posts] == ["still here"]


async def test_a_post_of_nobody_hides_no_other(tmp_path: Path) -> None:
    async with site(tmp_path / "a") as there:
        await settle("ana", there.node, there.url, 1)
        ghost = person(there.node.settings.network_bytes, random.Random(99), Clock())
        async with Client(account="ana") as ana:
            true = await ana.post("true")

        async def haunted(request: web.Request) -> web.Response:
            items = [[2, ghost.post("boo").encode(), None], [1, true.record.encode(), None]]
            data = msgpack.packb({"items": items, "next": None, "end": 2})
            return web.Response(body=data, content_type=RECORDS_TYPE)

        async with (
            before(there, NETWORK, haunted) as url,
            Client([url], read_only=True) as reader,
        ):
            page = await reader.timeline("network")
            assert ([post.text for post in page.posts], page.untrue) == (["true"], 1)


@pytest.mark.parametrize("odd", [{"end": "x"}, {"end": [1]}, {"next": "x"}, {"items": 3}])
async def test_a_page_is_a_page(tmp_path: Path, odd: dict[str, object]) -> None:
    async def answer(request: web.Request) -> web.Response:
        data = msgpack.packb({"items": [], "next": None, "end": 0, **odd})
        return web.Response(body=data, content_type=RECORDS_TYPE)

    async with (
        site(tmp_path / "a") as there,
        before(there, NETWORK, answer) as url,
        Client([url], read_only=True) as reader,
    ):
        with pytest.raises(Untrue):
            await reader.timeline("network")


async def test_a_walk_over_headers_ends(tmp_path: Path) -> None:
    asked = 0

    async def again(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        data = msgpack.packb([[[b"not a header"]], 7])
        return web.Response(body=data, content_type=RECORDS_TYPE)

    account = b"a" * 32
    async with site(tmp_path / "a") as there:
        network = there.node.settings.network_bytes
        async with before(there, f"/v1/accounts/{account.hex()}/records", again) as url:
            nodes = Nodes([url])
            try:
                async with asyncio.timeout(20):
                    known = _Known(IdentityLog(account, network))
                    await Verifier(nodes, network)._gather_headers(known, account)
            finally:
                await nodes.close()
    assert asked == 2


@pytest.mark.parametrize("path", ["/v1/records", "/v1/accounts/{id}/heads"])
@pytest.mark.parametrize("words", ["{}", "[]", '{"records": [3], "heads": [3]}'])
async def test_what_no_node_says_of_a_publication_settles_nothing(
    tmp_path: Path, path: str, words: str
) -> None:
    async with site(tmp_path / "a") as there:

        async def answer(request: web.Request) -> web.Response:
            if request.method == "POST":
                headers = {"Content-Type": request.content_type}
                await there.http.post(
                    there.url + request.path, data=await request.read(), headers=headers
                )
            return web.Response(text=words, content_type="application/json")

        await settle("ana", there.node, there.url, 1)
        async with before(there, path, answer) as url, Client(account="ana") as ana:
            ana.nodes.urls[:] = [url]
            with pytest.raises(Untrue):
                await ana.post("first")
            ana.nodes.urls[:] = [there.url]
            await ana.post("second")
            said = {post.text for post in (await ana.posts_of(ana.account)).posts}
            assert said - {"first"} == {"second"}
            assert ("first" in said) is (path == "/v1/records"), "sent, or never signed"
