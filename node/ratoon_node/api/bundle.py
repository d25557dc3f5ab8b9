"""`/v1/operator/bundle`: everybody's public records out by cursor, records of a bundle in."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ratoon_node.api import asked, batch
from ratoon_node.api.answers import RECORDS_TYPE, answer, binary
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Access, Example, Route
from ratoon_node.api.types import Count, Position
from ratoon_node.errors import NodeError, told
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.store import listed
from ratoon_node.timeline.visibility import Item, Viewer
from ratoon_protocol.errors import Code, DecodeError

BUNDLE = Origin(Way.BUNDLE)
# Records of one answer: a few megabytes at most of what people usually write.
RECORDS_PER_PAGE = 1000


class BundleQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Where to go on, and how far."""

    after: Position = 0
    limit: Annotated[int, Meta(ge=1, le=RECORDS_PER_PAGE)] = RECORDS_PER_PAGE


class Taken(msgspec.Struct):
    """How many records came, and how many of them got each code."""

    records: Count
    codes: dict[str, Count]


class Bundles:
    """Routes for archives and moves."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            Route(
                "GET",
                "/v1/operator/bundle",
                self.export,
                "Everybody's public records that this node shows, after a cursor.",
                "operator",
                query=BundleQuery,
                media=(RECORDS_TYPE,),
                access=Access.OPERATOR,
                example=Example(query={"after": 0, "limit": 2}),
            ),
            Route(
                "POST",
                "/v1/operator/bundle",
                self.take,
                "Takes the records of a bundle, each judged as if it had come over a link.",
                "operator",
                takes=(RECORDS_TYPE,),
                answer=Taken,
                access=Access.OPERATOR,
                codes=(
                    Code.MALFORMED,
                    Code.BAD_TYPE,
                    Code.NON_CANONICAL,
                    Code.TRAILING,
                    Code.TOO_MANY,
                ),
                example=Example(body="{records}"),
            ),
        ]

    async def export(self, request: web.Request) -> web.Response:
        """[[record…], cursor or nil] after a cursor, in the order of arrival, an identity before
        what it signed. What this node does not show is not in it.
        """
        query = asked.query(request, BundleQuery)
        node = self._services.node
        policy, now_ms = node.gate.policy, node.runtime.clock.now_ms()

        def look(db: sqlite3.Connection) -> tuple[list[bytes], int | None]:
            viewer = Viewer(db, policy, now_ms)
            rows = listed.listed_all(db, query.after, query.limit)
            found = [viewer.look(row) for row in rows]
            items = [one.record.encode() for one in found if isinstance(one, Item)]
            return items, rows[-1].row.n if rows else None

        return binary(batch.join(await node.db.read(look)), RECORDS_TYPE)

    async def take(self, request: web.Request) -> web.Response:
        """Says how many got each code; a bad record never fails the others."""
        if request.content_type != RECORDS_TYPE:
            raise NodeError(Code.BAD_REQUEST, safe=f"Send {RECORDS_TYPE}.")
        try:
            items = batch.split(await asked.body(request, self._services))
        except DecodeError as error:
            raise told(error) from error
        if not items:
            raise NodeError(Code.EMPTY)
        outcomes = await self._services.node.gate.submit(items, BUNDLE)
        codes = Counter(outcome.code.value for outcome in outcomes)
        return answer(Taken(len(outcomes), dict(codes)))
