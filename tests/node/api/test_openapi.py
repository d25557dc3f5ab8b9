"""The served description is OpenAPI 3.1, says all that is answered and nothing else, and its
examples work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import jsonschema_rs
from openapi_spec_validator import validate

from ratoon_node.api.answers import JSON_TYPE
from ratoon_node.api.openapi import DOCUMENT_PATH
from ratoon_node.api.route import Route
from tests.node.api.described import Little, little
from tests.node.api.site import site

Document = dict[str, Any]
#: Bodies that are described by no schema here are told apart by their type alone.
BINARY = {"type": "string"}


def check_answer(document: Document, route: Route, status: int, type_: str, body: Any) -> None:
    """The answer has the status, the type and the form that the document declares."""
    operation = document["paths"][route.path][route.method.lower()]
    declared = operation["responses"].get(str(status))
    assert declared is not None, (route.path, status, body)
    schema = declared["content"][type_]["schema"]
    if schema != BINARY:
        whole = {"components": document["components"], **schema}
        problems = list(jsonschema_rs.validator_for(whole).iter_errors(body))
        assert not problems, (route.path, body, problems)


async def test_the_document_is_valid_and_names_each_operation_once(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        status, document = await place.get(DOCUMENT_PATH)
        assert (status, document["openapi"]) == (200, "3.1.0")
        validate(document)
        operations = [one for path in document["paths"].values() for one in path.values()]
        names = [one["operationId"] for one in operations]
        assert len(names) == len(set(names)) > 20
        for one in operations:
            assert one["summary"]
            assert set(one["tags"]) <= {tag["name"] for tag in document["tags"]}


async def test_every_route_for_programs_is_described_and_no_other(tmp_path: Path) -> None:
    async with little(tmp_path) as world:
        served = {
            (route.method, route.resource.canonical)
            for route in world.place.app.router.routes()
            if route.method != "HEAD" and route.resource is not None
        }
        document = await world.document()
        told = {(method.upper(), path) for path, one in document["paths"].items() for method in one}
        begins = ("/v1/", "/.well-known/", "/nodeinfo/", "/livez", "/readyz", "/metrics")
        assert told == {one for one in served if one[1].startswith(begins)}


async def test_what_is_known_already_is_not_sent_again(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        async with place.http.get(place.url + DOCUMENT_PATH) as first:
            tag = first.headers["ETag"]
        headers = {"If-None-Match": tag}
        async with place.http.get(place.url + DOCUMENT_PATH, headers=headers) as again:
            assert (again.status, await again.read()) == (304, b"")


async def read_answer(response: aiohttp.ClientResponse) -> Any:
    if response.content_type.endswith("json"):
        return await response.json(content_type=None)
    return await response.read()


async def test_every_example_works(tmp_path: Path) -> None:
    async with little(tmp_path) as world:
        document = await world.document()
        for route in world.routes:
            if route.holds:
                await check_held(world, route)
                continue
            async with await world.call(route) as response:
                body = await read_answer(response)
                assert response.status < 300, (route.method, route.path, body)
                assert response.status in (route.status, *route.also), route.path
                if response.status != 204:
                    check_answer(document, route, response.status, response.content_type, body)


async def test_every_other_form_is_given_when_asked_for(tmp_path: Path) -> None:
    async with little(tmp_path) as world:
        for route in world.routes:
            for type_ in () if route.holds or route.answer is None else route.media:
                world.place.http.headers["Accept"] = type_
                async with await world.call(route) as response:
                    assert response.status < 300, (route.path, await response.text())
                    assert response.content_type == type_.partition(";")[0], route.path
                    assert "Accept" in response.headers["Vary"]
                world.place.http.headers["Accept"] = JSON_TYPE


async def check_held(world: Little, route: Route) -> None:
    """A connection that stays open begins as it should."""
    (url, params), headers = await world.address(route), await world.headers(route)
    if route.media:
        async with world.place.http.get(url, params=params, headers=headers) as response:
            assert (response.status, response.content_type) == (200, route.media[0])
    elif route.path != "/v1/link":  # other nodes shake hands there, with bytes of their own
        async with world.place.http.ws_connect(url, params=params, headers=headers) as socket:
            assert not socket.closed
