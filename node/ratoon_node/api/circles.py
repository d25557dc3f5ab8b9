"""`/v1/accounts/{id}/…`: whom somebody follows, who follows them, and their lists."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from ratoon_node.api import asked
from ratoon_node.api.answers import JSON_TYPE, binary, plain, to_json
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Example, Route
from ratoon_node.api.types import Id, Limit, ListSlot, Ms, Position
from ratoon_node.api.view import Named, Shown, faces_json, item_json
from ratoon_node.timeline import circles
from ratoon_node.timeline.circles import Friend
from ratoon_node.timeline.visibility import Viewer
from ratoon_protocol.limits import INT_MAX

# Accounts of one answer when the client does not say.
FRIENDS_DEFAULT = 100


class FollowsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Accounts above one (in the order of their ids), and how many."""

    after: Id | None = None
    limit: Limit | None = None


class FollowersQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Followers below a place, and how many."""

    before: Annotated[Position, Meta(description="the `next` of the page before")] | None = None
    limit: Limit | None = None


class ListsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Lists above one (in the order of their targets), and how many."""

    after: ListSlot | None = None
    limit: Limit | None = None


class FriendView(msgspec.Struct):
    """Somebody at the other end of a follow, and when the follow says that it was made."""

    account: Id
    created_ms: Ms


class FollowsAnswer(msgspec.Struct):
    """A page: `next` goes on with `after`."""

    items: list[FriendView]
    next: Id | None
    accounts: dict[str, Named]


class FollowersAnswer(msgspec.Struct):
    """A page, those heard of last first: `next` goes on with `before`."""

    items: list[FriendView]
    next: Position | None
    accounts: dict[str, Named]


class ListsAnswer(msgspec.Struct):
    """A page of list records: `next` goes on with `after`."""

    items: list[Shown]
    next: ListSlot | None


class Circles:
    """Routes about who follows whom."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The group's routes."""
        about = Example(path={"id": "{account}"})
        whole: tuple[tuple[str, Any, str, type, type], ...] = (
            ("follows", self.follows, "Whom somebody follows", FollowsQuery, FollowsAnswer),
            ("followers", self.followers, "Who follows them", FollowersQuery, FollowersAnswer),
            ("lists", self.lists, "Their lists", ListsQuery, ListsAnswer),
        )
        return [
            Route(
                "GET",
                f"/v1/accounts/{{id}}/{name}",
                handler,
                summary,
                "accounts",
                query=query,
                answer=answer,
                example=about,
            )
            for name, handler, summary, query, answer in whole
        ]

    async def follows(self, request: web.Request) -> web.Response:
        """Whom an account follows."""
        query = asked.query(request, FollowsQuery)
        make = partial(
            circles.follows,
            account=asked.id_of_path(request),
            after=bytes.fromhex(query.after or ""),
            limit=asked.limit_of(query.limit, self._services, FRIENDS_DEFAULT),
        )
        return await self._friends(make)

    async def followers(self, request: web.Request) -> web.Response:
        """Who follows an account."""
        query = asked.query(request, FollowersQuery)
        make = partial(
            circles.followers,
            account=asked.id_of_path(request),
            before=INT_MAX if query.before is None else query.before,
            limit=asked.limit_of(query.limit, self._services, FRIENDS_DEFAULT),
        )
        return await self._friends(make)

    async def _friends(
        self, make: Callable[..., circles.Follows] | Callable[..., circles.Followers]
    ) -> web.Response:
        def compose(db: sqlite3.Connection, viewer: Viewer) -> tuple[bytes, int]:
            found = make(db, viewer)
            return _friends_json(db, viewer, found.accounts, found.next), len(found.accounts)

        data, items = await self._services.sight.read(compose)
        return binary(data, JSON_TYPE, items)

    async def lists(self, request: web.Request) -> web.Response:
        """The lists of an account."""
        query = asked.query(request, ListsQuery)
        make = partial(
            circles.lists,
            account=asked.id_of_path(request),
            after=bytes.fromhex(query.after or ""),
            limit=asked.limit_of(query.limit, self._services),
        )
        found = await self._services.sight.read(make)
        items = b",".join(map(item_json, found.items))
        data = b'{"items":[%b],"next":%b}' % (items, to_json(plain(found.next)))
        return binary(data, JSON_TYPE, len(found.items))


def _friends_json(
    db: sqlite3.Connection, viewer: Viewer, friends: Iterable[Friend], following: bytes | int | None
) -> bytes:
    items = [FriendView(one.account.hex(), one.created_ms) for one in friends]
    faces = faces_json(db, viewer, [one.account for one in friends])
    head = to_json({"items": items, "next": plain(following)})
    return head[:-1] + b',"accounts":{' + faces + b"}}"
