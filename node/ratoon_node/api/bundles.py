"""`/v1/operator/bundle`: records of a file in, and records for a file out."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any

from aiohttp import web

from ratoon_node.api import asked, batch
from ratoon_node.api.answers import RECORDS_TYPE, answer, binary
from ratoon_node.api.operator import is_operator
from ratoon_node.api.ports import Services
from ratoon_node.errors import NodeError, told
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.store import listed
from ratoon_node.timeline.visibility import Item, Viewer
from ratoon_protocol.errors import Code, DecodeError
from ratoon_protocol.limits import INT_MAX

BUNDLE = Origin(Way.BUNDLE)
# Records looked at for one page: those that policy hides are left out of it.
PAGE_RECORDS_MAX = 500


class Bundles:
    """Routes of the operator's export and import."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[web.RouteDef]:
        """The group's routes."""
        return [
            web.get("/v1/operator/bundle", self.export),
            web.post("/v1/operator/bundle", self.import_),
        ]

    async def export(self, request: web.Request) -> web.Response:
        """[whole public records that are readable here, where to go on or nil], after a cursor."""
        self._check(request)
        after = asked.number(request, "after", 0, INT_MAX)
        node = self._services.node
        policy, now_ms = node.gate.policy, node.runtime.clock.now_ms()

        def look(db: sqlite3.Connection) -> tuple[list[bytes], int | None]:
            viewer = Viewer(db, policy, now_ms)
            rows = listed.listed_public(db, after, PAGE_RECORDS_MAX)
            found = [viewer.look(one) for one in rows]
            whole = [item.record.encode() for item in found if isinstance(item, Item)]
            return whole, rows[-1].row.n if rows else None

        whole, last = await node.db.read(look)
        return binary(batch.join([whole, last]), RECORDS_TYPE)

    async def import_(self, request: web.Request) -> web.Response:
        """Judge the records of a bundle like any other; answers how many had which outcome."""
        self._check(request)
        data = await asked.body(request, self._services)
        try:
            items = batch.split(data)
        except DecodeError as error:
            raise told(error) from error
        outcomes = await self._services.node.gate.submit(items, BUNDLE) if items else []
        codes: dict[str, Any] = Counter(outcome.code.value for outcome in outcomes)
        return answer({"codes": codes})

    def _check(self, request: web.Request) -> None:
        if not is_operator(request, self._services):
            raise NodeError(Code.UNAUTHORISED)
