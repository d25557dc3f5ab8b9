"""`/v1/trends`: what more accounts than usual, at several nodes, speak of now, and why."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ratoon_node.api import asked
from ratoon_node.api.answers import JSON_TYPE, binary, to_json
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Example, Route
from ratoon_node.api.types import Count, Ms
from ratoon_node.api.view import Named, Shown, faces_json, items_json
from ratoon_node.timeline import trends
from ratoon_node.timeline.trends import Board, Trending
from ratoon_node.timeline.visibility import PUBLIC_HIDDEN_FROM, Item, Viewer


class TrendsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How many of each kind."""

    limit: Annotated[int, Meta(ge=1, le=trends.TRENDS_MAX)] = trends.TRENDS_MAX


class Why(msgspec.Struct):
    """Why it trends: so many accounts, at so many nodes, in the hours of the window, against so
    many in as many hours of the week before, on average. `words` say it in a sentence.
    """

    accounts: Count
    nodes: Count
    usual: float
    words: str


class TagTrend(msgspec.Struct):
    """A tag, as it is compared."""

    tag: str
    why: Why


class PostTrend(msgspec.Struct):
    """A post that is answered, quoted, shown again or liked."""

    item: Shown
    why: Why


class TrendList(msgspec.Struct):
    """What trended at `made_ms` (a minute ago at most; 0: nobody has looked yet), the steepest
    rise first. Only accounts count, those of one node never more than all others together.
    """

    tags: list[TagTrend]
    posts: list[PostTrend]
    window_hours: Count
    made_ms: Ms
    accounts: dict[str, Named]


class TrendRoutes:
    """The route of trends."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            Route(
                "GET",
                "/v1/trends",
                self.trends,
                "What many speak of now",
                "search",
                query=TrendsQuery,
                answer=TrendList,
                example=Example(query={"limit": 10}),
            )
        ]

    async def trends(self, request: web.Request) -> web.Response:
        """The board, as far as it can be read now."""
        wanted = asked.query(request, TrendsQuery)
        board = self._services.node.trends.board
        data, items = await self._services.sight.read(partial(_view, board, wanted.limit))
        return binary(data, JSON_TYPE, items)


def _view(board: Board, limit: int, db: sqlite3.Connection, viewer: Viewer) -> tuple[bytes, int]:
    """A post that was hidden since the board was made is left out."""
    shown: list[tuple[Trending, Item]] = []
    looks = viewer.look_at([one.n for one in board.posts])
    for one, item in zip(board.posts, looks, strict=True):
        if isinstance(item, Item) and item.verdict < PUBLIC_HIDDEN_FROM:
            shown.append((one, item))
    shown = shown[:limit]
    accounts = faces_json(db, viewer, dict.fromkeys(item.account for _, item in shown))
    texts = items_json(db, viewer, [item for _, item in shown])
    data = to_json(
        {
            "tags": [{"tag": one.target, "why": why(one)} for one in board.tags[:limit]],
            "posts": [
                {"item": msgspec.Raw(text), "why": why(one)}
                for (one, _), text in zip(shown, texts, strict=True)
            ],
            "window_hours": trends.WINDOW_HOURS,
            "made_ms": board.made_ms,
            "accounts": msgspec.Raw(b"{%b}" % accounts),
        }
    )
    return data, len(shown)


def why(one: Trending) -> Why:
    """The reason, in numbers and in words."""
    words = (
        f"{one.accounts} accounts at {one.nodes} nodes in {trends.WINDOW_HOURS} hours;"
        f" {one.usual:.1f} are usual."
    )
    return Why(one.accounts, one.nodes, round(one.usual, 2), words)
