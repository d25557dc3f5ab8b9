"""`/v1/timelines`: network, local, home, lists, tags, one account's posts; each by cursor."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from ratoon_node.api import asked
from ratoon_node.api.answers import RECORDS_TYPE
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Example, Handler, Route
from ratoon_node.api.types import Id, ListSlot, PageQuery
from ratoon_node.api.view import Compose, Timeline, answer_page
from ratoon_node.errors import NodeError
from ratoon_node.timeline import tables, walk
from ratoon_node.timeline.visibility import Viewer
from ratoon_node.timeline.walk import Cursor, Page
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import TAG_BYTES_MAX

_Tag = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=TAG_BYTES_MAX + 1,
        description="a tag, with or without its sign; case and width do not matter",
    ),
]


class HomeQuery(PageQuery, kw_only=True):
    """Whose home, and which page."""

    account: Id


class ListQuery(PageQuery, kw_only=True):
    """Which list of whom, and which page."""

    account: Id
    list: ListSlot


class TagQuery(PageQuery, kw_only=True):
    """Which tag, and which page."""

    tag: _Tag


class PostsQuery(PageQuery, kw_only=True):
    """Which posts of an account, and which page."""

    only: Literal["posts", "replies", "media"] | None = None


class Timelines:
    """Routes to timelines."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The group's routes."""
        account = {"account": "{account}"}
        return [
            _route(
                "/v1/timelines/network",
                self.network,
                "What this node carries of everybody, as far as it is shown in public",
            ),
            _route(
                "/v1/timelines/local",
                self.local,
                "What people at home on this node posted",
            ),
            _route(
                "/v1/timelines/home",
                self.home,
                "What an account and those it follows posted",
                HomeQuery,
                Example(query=account),
            ),
            _route(
                "/v1/timelines/list",
                self.list,
                "What the members of an account's list posted",
                ListQuery,
                Example(query={**account, "list": "{list}"}),
                (Code.NOT_FOUND,),
            ),
            _route(
                "/v1/timelines/tag",
                self.tag,
                "Posts with a tag",
                TagQuery,
                Example(query={"tag": "{tag}"}),
            ),
            _route(
                "/v1/accounts/{id}/posts",
                self.by_author,
                "What one account posted: everything, posts that answer nobody, replies, or media",
                PostsQuery,
                Example(path={"id": "{account}"}),
            ),
        ]

    async def network(self, request: web.Request) -> web.Response:
        """What this node shows in public."""
        return await self._page(request, asked.query(request, PageQuery), walk.network)

    async def local(self, request: web.Request) -> web.Response:
        """What people at home here posted."""
        return await self._page(request, asked.query(request, PageQuery), tables.local)

    async def home(self, request: web.Request) -> web.Response:
        """What `account` and those it follows posted: all of it public, so anyone may ask."""
        query = asked.query(request, HomeQuery)
        make = partial(walk.home, account=bytes.fromhex(query.account))
        return await self._page(request, query, make)

    async def list(self, request: web.Request) -> web.Response:
        """What the members of a list posted."""
        query = asked.query(request, ListQuery)
        owner, slot = bytes.fromhex(query.account), bytes.fromhex(query.list)

        def make(db: sqlite3.Connection, viewer: Viewer, cursor: Cursor, limit: int) -> Page:
            members = list_members(db, viewer, owner, slot)
            return walk.by_authors(db, viewer, members, cursor, limit)

        return await self._page(request, query, make)

    async def tag(self, request: web.Request) -> web.Response:
        """Posts with a tag."""
        query = asked.query(request, TagQuery)
        return await self._page(request, query, partial(tables.tag, tag=query.tag))

    async def by_author(self, request: web.Request) -> web.Response:
        """What one account posted."""
        query = asked.query(request, PostsQuery)
        account = asked.id_of_path(request)
        return await self._page(request, query, partial(_BY[query.only], account=account))

    async def _page(
        self, request: web.Request, query: PageQuery, walked: Callable[..., Page]
    ) -> web.Response:
        cursor, limit = asked.cursor_of(query, self._services)
        make: Compose = partial(walked, cursor=cursor, limit=limit)
        return await answer_page(request, self._services, make)


_BY: dict[str | None, Callable[..., Page]] = {
    None: walk.by_author,
    "posts": tables.own_posts,
    "replies": tables.replies_by,
    "media": tables.media_by,
}


def _route(
    path: str,
    handler: Handler,
    summary: str,
    query: type[msgspec.Struct] = PageQuery,
    example: Example | None = None,
    codes: tuple[Code, ...] = (),
) -> Route:
    return Route(
        "GET",
        path,
        handler,
        summary,
        "timelines",
        query=query,
        answer=Timeline,
        media=(RECORDS_TYPE,),
        codes=codes,
        example=example or Example(),
    )


def list_members(
    db: sqlite3.Connection, viewer: Viewer, owner: bytes, slot: bytes
) -> tuple[bytes, ...]:
    """Who is on a list now. Raises `NodeError(not_found)` if there is no such list to be read."""
    members = walk.members(db, viewer, owner, slot)
    if members is None:
        raise NodeError(Code.NOT_FOUND)
    return members


async def network_page(services: Services, cursor: Cursor, limit: int) -> Page:
    """A page of the network timeline."""
    make = partial(walk.network, cursor=cursor, limit=limit)
    return await services.sight.read(make)


async def author_page(services: Services, account: bytes, cursor: Cursor, limit: int) -> Page:
    """A page of one account's posts."""
    make = partial(walk.by_author, account=account, cursor=cursor, limit=limit)
    return await services.sight.read(make)
