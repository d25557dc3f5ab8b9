"""The served description is OpenAPI 3.1, says all that is answered and nothing else, and its
examples work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import jsonschema_rs
import pytest
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


def properties(document: Document, name: str) -> dict[str, Any]:
    return dict(document["components"]["schemas"][name]["properties"])


async def test_what_an_answer_may_leave_out_is_not_said_to_be_there(tmp_path: Path) -> None:
    """Generators of clients take a field with a default for one that always stands there."""
    async with site(tmp_path) as place:
        _, document = await place.get(DOCUMENT_PATH)
        for answer in (
            "Shown",
            "Counts",
            "Named",
            "Fault",
            "Refusal",
            "StoredRecord",
            "Registered",
        ):
            for field, schema in properties(document, answer).items():
                assert "default" not in schema, (answer, field)
        assert properties(document, "Registration")["invite"]["default"] == ""
        assert properties(document, "NewInvite")["uses"]["default"] == 1


async def test_what_any_call_may_answer_is_declared(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        _, document = await place.get(DOCUMENT_PATH)
        (wait, nothing) = properties(document, "Fault")["retry_ms"]["anyOf"]
        assert (wait["type"], nothing) == ("integer", {"type": "null"})
        assert "1970" not in wait["description"]
        for path in document["paths"].values():
            for one in path.values():
                assert {"400", "417", "431", "500"} <= one["responses"].keys()
        registered = document["paths"]["/v1/accounts"]["post"]["responses"]
        assert registered["200"]["content"] == registered["201"]["content"]


@pytest.mark.parametrize(
    ("head", "status"), [({"Expect": "x"}, 417), ({"Accept": "x" * 9000}, 431)]
)
async def test_a_head_that_is_refused_is_answered_as_declared(
    tmp_path: Path, head: dict[str, str], status: int
) -> None:
    async with site(tmp_path) as place:
        _, document = await place.get(DOCUMENT_PATH)
        for path in ("/v1/node", "/nowhere"):
            async with place.http.get(place.url + path, headers=head) as response:
                assert (response.status, response.content_type) == (status, JSON_TYPE)
                assert response.headers["Server"] == "ratoon"
                schema = document["paths"]["/v1/node"]["get"]["responses"][str(status)]
                schema = schema["content"][JSON_TYPE]["schema"]
                whole = {"components": document["components"], **schema}
                jsonschema_rs.validator_for(whole).validate(await response.json())


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
