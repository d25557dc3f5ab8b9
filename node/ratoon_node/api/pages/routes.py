"""Where pages are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.answers import ITEMS
from ratoon_node.api.feeds import Feeds
from ratoon_node.api.fetching import bring
from ratoon_node.api.guard import PAGE_POLICY
from ratoon_node.api.icon import ICON, ICON_PATH, ICON_TYPE
from ratoon_node.api.pages import conversation, lists, profile, search
from ratoon_node.api.pages.about import about
from ratoon_node.api.pages.finding import account_of_path, tag_of_path
from ratoon_node.api.pages.frame import refusal
from ratoon_node.api.pages.shelf import Sheet, Shelf
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Route
from ratoon_node.api.search import CURSOR_CHARS_MAX, SEARCH_COST, SearchQuery
from ratoon_node.api.style import STYLE, STYLE_PATH
from ratoon_node.api.threads import THREAD_COST
from ratoon_node.errors import NodeError
from ratoon_node.timeline import terms
from ratoon_node.timeline.walk import Cursor
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import INT_MAX

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_A_DAY = {"Cache-Control": "public, max-age=86400"}
#: What programs read is not for engines, nor is what somebody looked for.
ROBOTS = "User-agent: *\nDisallow: /v1/\nDisallow: /search\n"
#: The one page with a form, which goes nowhere but here.
FORM_POLICY = PAGE_POLICY.replace("form-action 'none'", "form-action 'self'")


class Pages:
    """Routes of pages, and of the feeds beside them."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._shelf = Shelf(services)

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            self._route("/", self.front, "What people at home here posted"),
            self._route("/network", self.network, "What everybody posted"),
            self._route("/@{account}", self.profile, "A profile"),
            self._route("/p/{id}", self.post, "A post in its conversation"),
            self._route("/p/{id}/history", self.history, "A post and its edits"),
            self._route("/t/{tag}", self.tag, "Posts with a tag"),
            self._route("/search", self.search, "Search, and trends"),
            self._route("/about", self.about, "What this node is"),
            Route("GET", STYLE_PATH, self.style, "How pages look", "pages"),
            Route("GET", ICON_PATH, self.icon, "The sign of a node", "pages"),
            Route("GET", "/robots.txt", self.robots, "What engines may read", "pages"),
            *Feeds(self._services, self._shelf).routes(),
        ]

    def _route(self, path: str, handler: _Handler, summary: str) -> Route:
        async def told(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except NodeError as error:
                return refusal(self._services.node.settings, error)

        return Route("GET", path, told, summary, "pages")

    # --- pages -------------------------------------------------------------------------------

    async def front(self, request: web.Request) -> web.Response:
        """What people at home here posted."""
        cursor = self._cursor(request)
        return await self._serve(request, ("local", cursor), lists.local, cursor)

    async def network(self, request: web.Request) -> web.Response:
        """What everybody posted."""
        cursor = self._cursor(request)
        return await self._serve(request, ("network", cursor), lists.network, cursor)

    async def tag(self, request: web.Request) -> web.Response:
        """Posts with a tag."""
        tag, cursor = tag_of_path(request), self._cursor(request)
        return await self._serve(request, ("tag", tag, cursor), lists.tagged, tag, cursor)

    async def profile(self, request: web.Request) -> web.Response:
        """A profile, by account, the beginning of one, handle or name."""
        account = await account_of_path(request, self._services)
        only, cursor = request.query.get("only", ""), self._cursor(request)
        if only not in profile.TABS:
            raise NodeError(Code.BAD_REQUEST, safe="only must be replies or media.")
        own = self._services.node.own.account
        key = ("profile", account, only, cursor)
        return await self._serve(request, key, profile.profile, own, account, only, cursor)

    async def post(self, request: web.Request) -> web.Response:
        """A post in its conversation; peers are asked for what is missing."""
        id_ = asked.id_of_path(request)
        after = asked.number(request, "after", 0, INT_MAX)

        async def make() -> Sheet:
            asked.charge(request, self._services, THREAD_COST - 1)
            compose = partial(conversation.conversation, self._services.node.settings, id_, after)
            made = await self._services.sight.read(compose)
            if made.missing and await bring(request, self._services, made.missing):
                made = await self._services.sight.read(compose)
            return made.sheet

        return await self._shelf.serve(request, ("post", id_, after), make)

    async def history(self, request: web.Request) -> web.Response:
        """A post and its edits."""
        id_ = asked.id_of_path(request)
        return await self._serve(request, ("history", id_), conversation.history, id_)

    async def about(self, request: web.Request) -> web.Response:
        """What this node is."""
        return await self._shelf.serve(request, ("about",), partial(about, self._services))

    async def search(self, request: web.Request) -> web.Response:
        """The form; with `q` what fits. What somebody looked for is kept nowhere."""
        node = self._services.node
        if not request.query.get("q", "").strip():
            made = await self._read(search.empty, node.trends.board)
            return _unkept(made)
        wanted = _wanted(request)
        asked.charge(request, self._services, SEARCH_COST - 1)
        try:
            _check(wanted)
            now_ms = node.runtime.clock.now_ms()
            return _unkept(await self._read(search.found, wanted, now_ms))
        except NodeError as error:
            return _unkept(search.refused(node.settings, wanted, error.safe, error.status))

    # --- what belongs to them ----------------------------------------------------------------

    async def style(self, request: web.Request) -> web.Response:
        """The style sheet; its address changes with it."""
        return web.Response(text=STYLE, content_type="text/css", headers=_FOR_EVER)

    async def icon(self, request: web.Request) -> web.Response:
        """The sign in a browser's tab."""
        return web.Response(body=ICON, content_type=ICON_TYPE, headers=_A_DAY)

    async def robots(self, request: web.Request) -> web.Response:
        """What engines may read (RFC 9309)."""
        return web.Response(text=ROBOTS, content_type="text/plain", headers=_A_DAY)

    # --- parts -------------------------------------------------------------------------------

    def _cursor(self, request: web.Request) -> Cursor:
        return asked.page(request, self._services)[0]

    async def _read(self, compose: Callable[..., Sheet], *given: object) -> Sheet:
        make = partial(compose, self._services.node.settings, *given)
        return await self._services.sight.read(make)

    async def _serve(
        self,
        request: web.Request,
        key: tuple[object, ...],
        compose: Callable[..., Sheet],
        *given: object,
    ) -> web.Response:
        return await self._shelf.serve(request, key, partial(self._read, compose, *given))


def _wanted(request: web.Request) -> SearchQuery:
    """What a form asks for: every field is there, whatever is in it."""
    query = request.query
    among, order = query.get("in", ""), query.get("order", "")
    return SearchQuery(
        q=query.get("q", "")[: terms.QUERY_CHARS_MAX],
        among="people" if among == "people" else "tags" if among == "tags" else "posts",
        order="best" if order == "best" else "new",
        after=query.get("after"),
    )


def _check(wanted: SearchQuery) -> None:
    if wanted.after is not None and len(wanted.after) > CURSOR_CHARS_MAX:
        raise NodeError(Code.BAD_REQUEST, safe="after is the next of an earlier page.")


def _unkept(sheet: Sheet) -> web.Response:
    """A page that nobody keeps: it says what somebody looked for."""
    headers = {"Cache-Control": "private, no-store", "Content-Security-Policy": FORM_POLICY}
    made = web.Response(
        body=sheet.data,
        status=sheet.status,
        content_type=sheet.type,
        charset="utf-8",
        headers=headers,
    )
    made[ITEMS] = sheet.items
    return made
