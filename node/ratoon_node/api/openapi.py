"""`GET /v1/openapi.json`: the API described for programs (OpenAPI 3.1), from the list of routes."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from ratoon_node import __version__
from ratoon_node.api.answers import JSON_TYPE, Refusal, cached, refused_status
from ratoon_node.api.route import Access, Route
from ratoon_node.api.types import OPERATOR_LOWERS, Id
from ratoon_protocol.errors import Code

DOCUMENT_PATH = "/v1/openapi.json"
_REF = "#/components/schemas/{name}"
_IN_PATH = re.compile(r"\{(\w+)\}")

# What any route may answer, and what those do that read a query, a body, a path or a key.
_ANY = (Code.BAD_REQUEST, Code.ENCODING_REFUSED, Code.INTERNAL)
_BOUNDED = (Code.RATE, Code.BUSY, Code.SHUTDOWN)
_FIELDS = (Code.OUT_OF_RANGE, Code.TOO_LONG, Code.TOO_MANY)
# What is answered to a head before it is known which route it is for, by its status.
_HEAD = {417: Code.BAD_REQUEST, 431: Code.TOO_LARGE}
_BODY = (Code.EMPTY, Code.TOO_LARGE, Code.TIMEOUT)

#: What stands in the document for a word in braces of an example.
SAMPLES: Mapping[str, str] = {
    "post": "5f" * 32,
    "account": "a3" * 32,
    "other": "b4" * 32,
    "node": "c5" * 32,
    "peer": "c5" * 32,
    "key": "d6" * 32,
    "list": "e7" * 32,
    "tag": "herons",
    "name": "ann",
    "handle": "ann@node.example",
    "word": "heron",
    "blocked": "bad.example",
}

_ABOUT = """\
Whoever publishes signs their records first, so publishing needs no session, and everything public
is read without one. Ids, accounts and keys are 64 hexadecimal digits; times are milliseconds since
1970 UTC; cursors are handed back as they came. Requests are limited by what they cost: `RateLimit`
says what is left, `Retry-After` when to come back."""

_ACCESS: Mapping[Access, list[dict[str, list[str]]]] = {
    Access.ANYBODY: [],
    Access.PERSON: [{"session": []}],
    Access.OPERATOR: [{"operator": []}],
}
_SCHEMES = {
    "session": {
        "type": "http",
        "scheme": "bearer",
        "description": "A session's token: `POST /v1/session/challenge`, sign, `POST /v1/session`.",
    },
    "operator": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token in the node's folder, or a session of an operator's account.",
    },
}


class Document:
    """The description of `routes`, made when it is first asked for, and kept while the operator
    leaves the bound of pages as it is.
    """

    def __init__(self, routes: Iterable[Route], page_records_max: Callable[[], int]) -> None:
        self.route = Route(
            "GET",
            DOCUMENT_PATH,
            self.serve,
            "This description, as OpenAPI 3.1",
            "node",
            answer=dict[str, Any],
        )
        self._routes = [*routes, self.route]
        self._page_records_max = page_records_max
        self._made = (0, b"", "")  # for which bound, the document, its tag

    async def serve(self, request: web.Request) -> web.Response:
        """The document."""
        most, data, tag = self._made
        if most != self._page_records_max():
            most = self._page_records_max()
            data = msgspec.json.encode(describe(self._routes, most))
            tag = hashlib.sha256(data).hexdigest()[:32]
            self._made = (most, data, tag)
        return cached(request, data, JSON_TYPE, tag)


def describe(routes: Iterable[Route], page_records_max: int) -> dict[str, Any]:
    """The document as JSON."""
    shown = [route for route in routes if route.described and route.summary]
    schemas = _Schemas(shown, page_records_max)
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for route in shown:
        paths[route.path][route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ratoon node",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in sorted({route.group for route in shown})],
        "paths": dict(paths),
        "components": {"schemas": schemas.shared, "securitySchemes": _SCHEMES},
    }


class _Schemas:
    """JSON Schema of every struct; those of queries are taken apart into parameters."""

    def __init__(self, routes: Sequence[Route], page_records_max: int) -> None:
        types = [t for route in routes for t in (route.query, route.body, route.answer) if t]
        types += [Refusal, Id]
        found, self.shared = msgspec.json.schema_components(types, ref_template=_REF)
        self._by_type = dict(zip(map(repr, types), found, strict=True))
        self._page_records_max = page_records_max
        queries = [
            self.of(route.query)["$ref"].rpartition("/")[2] for route in routes if route.query
        ]
        self._queries = {name: self.shared.pop(name) for name in set(queries)}
        self._leave_out_defaults([self.of(route.body) for route in routes if route.body])

    def _leave_out_defaults(self, bodies: Sequence[dict[str, Any]]) -> None:
        """An answer leaves out what is as usual; generators take what has a default for always
        there. What stands in a body keeps it.
        """
        asked: set[str] = set()
        new = set(_named_in(bodies))
        while new:
            asked |= new
            new = set(_named_in([self.shared[name] for name in new])) - asked
        for name in self.shared.keys() - asked:
            for schema in self.shared[name].get("properties", {}).values():
                schema.pop("default", None)

    def of(self, type_: Any) -> dict[str, Any]:
        """The schema of a type."""
        return self._by_type[repr(type_)]

    def parameters(self, query: Any) -> Iterator[dict[str, Any]]:
        """The parameters of a query, one by one."""
        whole = self._queries[self.of(query)["$ref"].rpartition("/")[2]]
        for name, schema in whole["properties"].items():
            plain = _never_null(schema)
            if plain.pop(OPERATOR_LOWERS, False):
                plain["maximum"] = min(plain["maximum"], self._page_records_max)
                if "default" in plain:
                    plain["default"] = min(plain["default"], plain["maximum"])
            parameter = {"name": name, "in": "query", "schema": plain}
            if "description" in plain:
                parameter["description"] = plain.pop("description")
            if name in whole.get("required", ()):
                parameter["required"] = True
            yield parameter


def _named_in(schema: Any) -> Iterator[str]:
    """Names of the shared schemas that a schema refers to."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key == "$ref":
                yield value.rpartition("/")[2]
            else:
                yield from _named_in(value)
    elif isinstance(schema, list):
        for one in schema:
            yield from _named_in(one)


def _never_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter that is not there is left out; nothing in a query is null."""
    kept = {k: v for k, v in schema.items() if k != "anyOf" and (k, v) != ("default", None)}
    choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(choices) == 1:
        return {**choices[0], **kept}
    return {**kept, "anyOf": choices} if choices else kept


def _operation(route: Route, schemas: _Schemas) -> dict[str, Any]:
    words = re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_")
    found: dict[str, Any] = {
        "operationId": words,
        "summary": route.summary,
        "tags": [route.group],
        "parameters": [*_in_path(route, schemas), *_in_query(route, schemas)],
        "responses": _answers(route, schemas) | _refusals(route, schemas),
        "security": _ACCESS[route.access],
    }
    told = " ".join((route.handler.__doc__ or "").split())
    if told and told != route.summary:
        found["description"] = told
    if route.body is not None or route.takes:
        found["requestBody"] = _body(route, schemas)
    return found


def _in_path(route: Route, schemas: _Schemas) -> Iterator[dict[str, Any]]:
    for name in _IN_PATH.findall(route.path):
        schema = schemas.of(Id) if name == "id" else {"type": "string", "minLength": 1}
        yield _exemplified(
            {"name": name, "in": "path", "required": True, "schema": schema}, route.example.path
        )


def _in_query(route: Route, schemas: _Schemas) -> Iterator[dict[str, Any]]:
    if route.query is not None:
        for parameter in schemas.parameters(route.query):
            yield _exemplified(parameter, route.example.query)


def _exemplified(parameter: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    if parameter["name"] in given:
        parameter |= _example(given[parameter["name"]])
    return parameter


def _example(value: Any) -> dict[str, Any]:
    """The example for a reader; what only a signer can make up is left out."""
    try:
        return {"example": filled(value, SAMPLES)}
    except KeyError:
        return {}


def filled(value: Any, words: Mapping[str, str]) -> Any:
    """An example with its words in braces put in. Raises KeyError for one that has no words."""
    if isinstance(value, str):
        return _IN_PATH.sub(lambda found: words[found[1]], value)
    if isinstance(value, Mapping):
        return {key: filled(item, words) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [filled(item, words) for item in value]
    return value


def _body(route: Route, schemas: _Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {type_: {"schema": {"type": "string"}} for type_ in route.takes}
    if route.body is not None:
        content[JSON_TYPE] = {"schema": schemas.of(route.body)}
        if route.example.body is not None:
            content[JSON_TYPE] |= _example(route.example.body)
    return {"required": True, "content": content}


def _answers(route: Route, schemas: _Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if route.answer is not None:
        content[JSON_TYPE] = {"schema": schemas.of(route.answer)}
    for media in route.media:
        same = media.partition(";")[0].endswith("json") and route.answer is not None
        content[media] = content[JSON_TYPE] if same else {"schema": {"type": "string"}}
    if route.holds and not content:
        return {"101": {"description": "The connection is a WebSocket from here on."}}
    statuses = (route.status, *route.also)
    plain = {str(one): {"description": HTTPStatus(one).phrase} for one in statuses}
    return {
        status: words | {"content": content} if content and status not in ("204", "304") else words
        for status, words in plain.items()
    }


def _refusals(route: Route, schemas: _Schemas) -> dict[str, Any]:
    """The one shape for each status, with the codes that come with it."""
    by_status: dict[int, set[str]] = defaultdict(set)
    for status, code in _HEAD.items():
        by_status[status].add(code.value)
    for code in codes_of(route):
        by_status[refused_status(code)].add(code.value)
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {JSON_TYPE: {"schema": _refusal(schemas, sorted(codes))}},
        }
        for status, codes in sorted(by_status.items())
    }


def _refusal(schemas: _Schemas, codes: list[str]) -> dict[str, Any]:
    one_of_them = {"properties": {"error": {"properties": {"code": {"enum": codes}}}}}
    return {"allOf": [schemas.of(Refusal), one_of_them]}


def codes_of(route: Route) -> set[Code]:
    """Every code that a route may answer."""
    found = {*_ANY, *route.codes}
    if not route.always:
        found.update(_BOUNDED)
    if route.query is not None or route.body is not None:
        found.update(_FIELDS)
    if route.body is not None or route.takes:
        found.update(_BODY)
    if "{" in route.path:
        found.add(Code.NOT_FOUND)
    if route.access is not Access.ANYBODY:
        found.add(Code.UNAUTHORISED)
    return found
