"""Bad input to every route there is, made from the list of routes: the stable codes, never more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import hdrs

from ratoon_node.api.answers import JSON_TYPE
from ratoon_node.api.asked import JSON_BYTES_MAX
from ratoon_node.api.openapi import codes_of, filled
from ratoon_node.api.route import Access, Route
from tests.node.api.described import Little, little

#: Spellings of no whole number, though one of them is a number elsewhere.
NO_NUMBERS = ("x", "", " 1", "+1", "-1", "1.0", "1e3", "0x1", "\u0663", "null", "true")
BEYOND = "9" * 30
#: Takes a parameter twice, and what other software adds, as its standard says (RFC 7033).
WEBFINGER = "/.well-known/webfinger"


async def refused(response: aiohttp.ClientResponse, route: Route, *codes: str) -> None:
    """The answer is a refusal with one of `codes`, in the one shape, as the route declares."""
    body, what = await response.json(), (route.method, str(response.url), await response.text())
    assert set(body) >= {"error"}, what
    assert set(body["error"]) <= {"code", "message", "retry_ms"}, what
    assert body["error"]["code"] in codes, what
    assert 400 <= response.status < 500, what
    assert body["error"]["code"] in {code.value for code in codes_of(route)}, what


def fields(type_: type | None) -> dict[str, msgspec.inspect.Type]:
    """The fields of a struct by the names they have on the wire, without annotations."""
    if type_ is None:
        return {}
    found = msgspec.inspect.type_info(type_)
    assert isinstance(found, msgspec.inspect.StructType)
    return {field.encode_name: field.type for field in found.fields}


def is_number(type_: msgspec.inspect.Type) -> bool:
    if isinstance(type_, msgspec.inspect.UnionType):
        return any(map(is_number, type_.types))
    if isinstance(type_, msgspec.inspect.Metadata):
        return is_number(type_.type)
    return isinstance(type_, msgspec.inspect.IntType)


class Caller:
    """Calls one route with its example changed."""

    def __init__(self, world: Little, route: Route) -> None:
        self._world = world
        self._route = route

    async def prepare(self) -> None:
        words = await self._world.words(self._route)
        self.url, self.params = await self._world.address(self._route, words)
        self.headers = await self._world.headers(self._route)
        body = self._route.example.body
        json = self._route.body is not None and body is not None
        self.body: dict[str, Any] = filled(body, words) if json else {}

    async def query(self, params: Any, *codes: str) -> None:
        call = self._world.place.http.request
        extra: dict[str, Any] = {"json": self.body} if self._route.body else {}
        async with call(
            self._route.method, self.url, params=params, headers=self.headers, **extra
        ) as response:
            await refused(response, self._route, *codes)

    async def send(self, data: bytes, type_: str, *codes: str, **headers: str) -> None:
        headers = {**self.headers, "Content-Type": type_, **headers}
        call = self._world.place.http.request
        async with call(
            self._route.method, self.url, params=self.params, data=data, headers=headers
        ) as response:
            await refused(response, self._route, *codes)


async def callers(world: Little) -> Any:
    for route in world.routes:
        if not route.always:
            caller = Caller(world, route)
            await caller.prepare()
            yield route, caller


async def test_parameters(tmp_path: Path) -> None:
    async with little(tmp_path) as world:
        async for route, caller in callers(world):
            if route.path == "/v1/link":
                continue
            good = caller.params
            if route.path != WEBFINGER:
                await caller.query({**good, "zzz": "1"}, "bad_request")
            for name, type_ in fields(route.query if route.path != WEBFINGER else None).items():
                twice = [*good.items(), (name, "1"), (name, "1")]
                await caller.query(twice, "bad_request")
                if is_number(type_):
                    for text in NO_NUMBERS:
                        await caller.query({**good, name: text}, "bad_request")
                    await caller.query({**good, name: BEYOND}, "out_of_range")
            if "limit" in fields(route.query):
                for text in ("0", "1001", "1000000"):
                    await caller.query({**good, "limit": text}, "out_of_range")


async def test_ids_in_paths(tmp_path: Path) -> None:
    async with little(tmp_path) as world:
        async for route, caller in callers(world):
            if "{id}" not in route.path:
                continue
            for text in ("g" * 64, "a" * 63, "a" * 65, "0x" + "a" * 62, "%00", "\u0663" * 64):
                url = world.place.url + route.path.replace("{id}", text)
                extra: dict[str, Any] = {"json": caller.body} if route.body else {}
                call = world.place.http.request(
                    route.method, url, params=caller.params, headers=caller.headers, **extra
                )
                async with call as response:
                    await refused(response, route, "bad_request")


def spoilt(route: Route, good: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Bodies with one fault each."""
    yield {**good, "zzz": 1}
    for name in fields(route.body):
        yield {**good, name: {"x": {"y": 1.5}}}
        yield {**good, name: [[1.5]]}
        yield {**good, name: -1.5}


async def test_bodies(tmp_path: Path) -> None:
    async with little(tmp_path) as world:
        async for route, caller in callers(world):
            if route.body is None:
                continue
            for body in spoilt(route, caller.body):
                await caller.send(msgspec.json.encode(body), JSON_TYPE, "bad_request")
            for data in (b"{", b"[]", b"1", b"null", b"\xff", b'{"a":' * 3000, b"\x80"):
                await caller.send(data, JSON_TYPE, "bad_request")
            await caller.send(b"", JSON_TYPE, "empty")
            await caller.send(msgspec.json.encode(caller.body), "text/plain", "bad_request")
            if not route.takes:
                large = b" " * (JSON_BYTES_MAX + 1)
                await caller.send(large, JSON_TYPE, "too_large")


async def test_other_types_and_encodings(tmp_path: Path) -> None:
    async with little(tmp_path) as world:
        async for route, caller in callers(world):
            if route.takes:
                await caller.send(b"\x90", "application/octet-stream", "bad_request")
                await caller.send(b"", route.takes[0], "empty")
            if route.method == "POST":
                encoded = {"Content-Encoding": "gzip"}
                await caller.send(b"x", JSON_TYPE, "encoding_refused", **encoded)


async def test_whoever_may_not_is_told_so(tmp_path: Path) -> None:
    async with little(tmp_path) as world:
        async for route, caller in callers(world):
            if route.access is Access.ANYBODY:
                continue
            for value in ("", "Bearer", "Bearer " + "0" * 64, "Bearer \u00e9", "Basic eDp4"):
                caller.headers = {"Authorization": value} if value else {}
                await caller.query(caller.params, "unauthorised")


async def test_other_methods_are_told_which_there_are(tmp_path: Path) -> None:
    async with little(tmp_path) as world:
        there = {(route.path, route.method) for route in world.routes}
        async for route, caller in callers(world):
            for method in (hdrs.METH_PATCH, hdrs.METH_DELETE, hdrs.METH_PUT):
                if (route.path, method) in there:
                    continue
                async with world.place.http.request(method, caller.url) as response:
                    assert response.status == 405, (method, caller.url)
                    allow = set(response.headers["Allow"].split(", "))
                    assert allow - {"HEAD", "OPTIONS"} == {m for p, m in there if p == route.path}
                    await refused(response, route, "bad_request")
