"""`/v1/records/{id}`: one record, as JSON or as it was signed."""

from __future__ import annotations

import sqlite3

from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.answers import RECORD_TYPE, answer, binary, failure
from ratoon_node.api.ports import Services
from ratoon_node.api.view import item_view, masked_view
from ratoon_node.errors import NodeError
from ratoon_node.store import listed
from ratoon_node.timeline.visibility import Item, Masked, Viewer
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from ratoon_protocol.kinds import Scope

#: A header is here and its content was not kept: the words of the code, but not its status.
_NO_CONTENT = frozenset({Code.SUPERSEDED, Code.WANTED, Code.HELD})


class Records:
    """Routes to single records."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[web.RouteDef]:
        """The group's routes."""
        return [web.get("/v1/records/{id}", self.record)]

    async def record(self, request: web.Request) -> web.Response:
        """A record by its id. `Accept: application/vnd.ratoon.record` gives the signed bytes."""
        id_ = asked.id_of_path(request)
        found = await find(self._services, id_)
        if isinstance(found, Masked):
            status = 404 if found.code in _NO_CONTENT else None
            return failure(NodeError(found.code), status, record=masked_view(id_, found))
        if asked.wants(request, RECORD_TYPE):
            return binary(found.record.encode(), RECORD_TYPE)
        return answer(item_view(found))


async def find(services: Services, id_: bytes) -> Item | Masked:
    """A public record by its id. Raises `NodeError(not_found)`.

    What is private is not found: whoever may read it asks in another way.
    """
    node = services.node
    policy, now_ms = node.gate.policy, node.runtime.clock.now_ms()

    def look(db: sqlite3.Connection) -> Item | Masked | None:
        one = listed.listed_id(db, id_)
        if one is None or kinds.kind_class(one.row.kind).scope is Scope.PRIVATE:
            return None
        return Viewer(db, policy, now_ms).look(one)

    found = await node.db.read(look)
    if found is None:
        raise NodeError(Code.NOT_FOUND)
    return found
