"""`/v1/operator/bundle`: everybody's public records out by cursor, records of a bundle in."""

from __future__ import annotations

import sqlite3
from collections import Counter

from aiohttp import web

from ratoon_node.api import asked, batch
from ratoon_node.api.answers import RECORDS_TYPE, answer, binary
from ratoon_node.api.operator import allowed
from ratoon_node.api.ports import Services
from ratoon_node.errors import NodeError, told
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.store import listed
from ratoon_node.timeline.visibility import Item, Viewer
from ratoon_protocol.errors import Code, DecodeError
from ratoon_protocol.limits import INT_MAX

BUNDLE = Origin(Way.BUNDLE)
# Records of one answer: a few megabytes at most of what people usually write.
RECORDS_PER_PAGE = 1000


class Bundles:
    """Routes for archives and moves."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[web.RouteDef]:
        """The group's routes."""
        return [
            web.get("/v1/operator/bundle", allowed(self._services, self.export)),
            web.post("/v1/operator/bundle", allowed(self._services, self.take)),
        ]

    async def export(self, request: web.Request) -> web.Response:
        """[[record…], cursor or nil] after a cursor, in the order of arrival, an identity before
        what it signed. What this node does not show is not in it.
        """
        after = asked.number(request, "after", 0, INT_MAX)
        limit = asked.number(request, "limit", RECORDS_PER_PAGE, RECORDS_PER_PAGE, 1)
        node = self._services.node
        policy, now_ms = node.gate.policy, node.runtime.clock.now_ms()

        def look(db: sqlite3.Connection) -> tuple[list[bytes], int | None]:
            viewer = Viewer(db, policy, now_ms)
            rows = listed.listed_all(db, after, limit)
            found = [viewer.look(row) for row in rows]
            items = [one.record.encode() for one in found if isinstance(one, Item)]
            return items, rows[-1].row.n if rows else None

        return binary(batch.join(await node.db.read(look)), RECORDS_TYPE)

    async def take(self, request: web.Request) -> web.Response:
        """Records of a bundle, each judged as if it had come over a link."""
        try:
            items = batch.split(await asked.body(request, self._services))
        except DecodeError as error:
            raise told(error) from error
        if not items:
            raise NodeError(Code.EMPTY)
        outcomes = await self._services.node.gate.submit(items, BUNDLE)
        codes = Counter(outcome.code.value for outcome in outcomes)
        return answer({"records": len(outcomes), "codes": dict(codes)})
