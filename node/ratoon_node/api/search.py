"""`/v1/search`: posts, people and tags by words, the newest or the best first."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from ratoon_node.api import asked
from ratoon_node.api.answers import JSON_TYPE, binary, to_json
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Example, Route
from ratoon_node.api.types import Count, Id, Position
from ratoon_node.api.view import Named, Shown, faces_json, item_json, items_json
from ratoon_node.store import digested
from ratoon_node.timeline import search, terms
from ratoon_node.timeline.search import Order
from ratoon_node.timeline.visibility import Viewer

# What a search takes from a client's allowance, in requests: it costs about as many pages.
SEARCH_COST = 5
# Hits of one page.
HITS_MAX = 50
# A cursor is three numbers, or a tag.
CURSOR_CHARS_MAX = 160


class SearchQuery(msgspec.Struct, forbid_unknown_fields=True):
    """What to look for, among what, in which order; `after` is the `next` of the page before.

    Words that all must be there; "several words in this order"; pre*; -not. Among posts also
    #tag, from: an account or a handle, lang:en, since:2026-01-31, until:2026-02-28. A tag is
    looked for by how it begins, and tags come in order of their letters.
    """

    q: Annotated[str, Meta(min_length=1, max_length=terms.QUERY_CHARS_MAX)]
    among: Literal["posts", "people", "tags"] = msgspec.field(default="posts", name="in")
    order: Literal["new", "best"] = "new"
    after: Annotated[str, Meta(max_length=CURSOR_CHARS_MAX)] | None = None
    limit: Annotated[int, Meta(ge=1, le=HITS_MAX)] = 20


class PersonFound(msgspec.Struct):
    """Somebody; `profile` is null for one who has a handle and no profile."""

    account: Id
    profile: Shown | None


class TagFound(msgspec.Struct):
    """A tag, as it is compared; how many of its newest posts can be read; whether it has more."""

    tag: str
    posts: Count
    more: bool


class Hits(msgspec.Struct):
    """What was found: one of the three lists is used.

    `next` goes on (null: the end); with many hidden hits a page is short and still goes on.
    What was written up to journal line `end` could be found.
    """

    items: list[Shown]
    people: list[PersonFound]
    tags: list[TagFound]
    next: str | None
    end: Position
    accounts: dict[str, Named]


class Search:
    """The route of searching."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            Route(
                "GET",
                "/v1/search",
                self.search,
                "Find posts, people or tags",
                "search",
                query=SearchQuery,
                answer=Hits,
                cost=SEARCH_COST,
                example=Example(query={"q": "tree", "order": "best"}),
            )
        ]

    async def search(self, request: web.Request) -> web.Response:
        """A page of what fits."""
        wanted = asked.query(request, SearchQuery)
        now_ms = self._services.node.runtime.clock.now_ms()
        find = {"posts": _posts, "people": _people, "tags": _tags}[wanted.among]
        data, found = await self._services.sight.read(partial(find, wanted, now_ms))
        return binary(data, JSON_TYPE, found)


def _posts(
    wanted: SearchQuery, now_ms: int, db: sqlite3.Connection, viewer: Viewer
) -> tuple[bytes, int]:
    query, order = terms.parse(wanted.q), Order[wanted.order.upper()]
    after = search.after(wanted.after, order)
    found = search.posts(db, viewer, query, order, after, wanted.limit, now_ms)
    accounts = faces_json(db, viewer, dict.fromkeys(item.account for item in found.items))
    items = [msgspec.Raw(text) for text in items_json(db, viewer, found.items)]
    return _answer(db, found.next, accounts, items=items), len(items)


def _people(
    wanted: SearchQuery, now_ms: int, db: sqlite3.Connection, viewer: Viewer
) -> tuple[bytes, int]:
    query, order = terms.parse(wanted.q, fields=False), Order[wanted.order.upper()]
    after = search.after(wanted.after, order)
    found = search.people(db, viewer, query, order, after, wanted.limit)
    accounts = faces_json(db, viewer, dict.fromkeys(one.account for one in found.people))
    people = [
        {
            "account": one.account.hex(),
            "profile": None if one.profile is None else msgspec.Raw(item_json(one.profile)),
        }
        for one in found.people
    ]
    return _answer(db, found.next, accounts, people=people), len(people)


def _tags(
    wanted: SearchQuery, now_ms: int, db: sqlite3.Connection, viewer: Viewer
) -> tuple[bytes, int]:
    found, following = search.tags(db, viewer, wanted.q, wanted.after or "", wanted.limit)
    tags = [TagFound(one.tag, one.posts, one.more) for one in found]
    return _answer(db, following, b"", tags=tags), len(tags)


def _answer(db: sqlite3.Connection, following: str | None, accounts: bytes, **found: Any) -> bytes:
    whole: dict[str, Any] = {"items": [], "people": [], "tags": [], **found}
    end = digested.position(db)
    return to_json(
        {**whole, "next": following, "end": end, "accounts": msgspec.Raw(b"{%b}" % accounts)}
    )
