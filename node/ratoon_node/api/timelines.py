"""`/v1/timelines`: public and home, by cursor."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.ports import Services
from ratoon_node.api.view import answer_page
from ratoon_node.timeline import walk
from ratoon_node.timeline.walk import Cursor, Page


class Timelines:
    """Routes to timelines."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[web.RouteDef]:
        """The group's routes."""
        return [
            web.get("/v1/timelines/network", self.public),
            web.get("/v1/timelines/home", self.home),
            web.get("/v1/accounts/{id}/posts", self.by_author),
        ]

    async def public(self, request: web.Request) -> web.Response:
        """What this node shows in public."""
        cursor, limit = asked.page(request, self._services)
        make = partial(walk.network, cursor=cursor, limit=limit)
        return await answer_page(request, self._services, make)

    async def home(self, request: web.Request) -> web.Response:
        """What `account` and those it follows posted: all of it public, so anyone may ask."""
        account = asked.id_in(request.query.get("account", ""), "account")
        cursor, limit = asked.page(request, self._services)
        make = partial(walk.home, account=account, cursor=cursor, limit=limit)
        return await answer_page(request, self._services, make)

    async def by_author(self, request: web.Request) -> web.Response:
        """What one account posted."""
        account = asked.id_of_path(request)
        cursor, limit = asked.page(request, self._services)
        make = partial(walk.by_author, account=account, cursor=cursor, limit=limit)
        return await answer_page(request, self._services, make)


async def public_page(services: Services, cursor: Cursor, limit: int) -> Page:
    """A page of the public timeline."""
    make = partial(walk.network, cursor=cursor, limit=limit)
    return await services.sight.read(make)


async def author_page(services: Services, account: bytes, cursor: Cursor, limit: int) -> Page:
    """A page of one account's posts."""
    make = partial(walk.by_author, account=account, cursor=cursor, limit=limit)
    return await services.sight.read(make)
