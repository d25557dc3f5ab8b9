"""Feeds beside pages: an account, a tag, local, network, a conversation; in three forms each."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple
from urllib.parse import quote

from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.html import Content, Markup, element, join
from ratoon_node.api.pages.card import CARDS, Deck
from ratoon_node.api.pages.conversation import title_of
from ratoon_node.api.pages.finding import account_of_path, tag_of_path
from ratoon_node.api.pages.frame import base, brand
from ratoon_node.api.pages.profile import face_of, hidden
from ratoon_node.api.pages.shelf import Sheet, Shelf
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Handler, Route
from ratoon_node.api.syndication import FORMS, Entry, Feed
from ratoon_node.api.words import account_path, record_path, tag_path, tags_of, words
from ratoon_node.errors import NodeError
from ratoon_node.timeline import tables, walk
from ratoon_node.timeline.thread import look
from ratoon_node.timeline.visibility import Item, Viewer
from ratoon_node.timeline.walk import Cursor, Page
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import INT_MAX

# Entries of one feed; older ones are a link away.
ENTRIES_MAX = 30
# Letters of a title.
TITLE_CHARS_MAX = 80


class Source(NamedTuple):
    """What a feed is of: its id, its title, the path of its page and of its feeds, its posts."""

    id: str
    title: str
    path: str
    feeds: str
    page: Page


#: Reads a source from a cursor on. Raises `NodeError` for what is not shown.
Read = Callable[[sqlite3.Connection, Viewer, Cursor], Source]
#: What a request asks a feed of: by what it is known on the shelf, and how it is read.
Find = Callable[[web.Request], Awaitable[tuple[Sequence[object], Read]]]


class Feeds:
    """Routes of feeds; what was made stands on the same shelf as pages."""

    def __init__(self, services: Services, shelf: Shelf) -> None:
        self._services = services
        self._shelf = shelf

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            self._route("/local", "What people at home here posted", self._local),
            self._route("/network", "What everybody posted", self._network),
            self._route("/@{account}", "What one account posted", self._account),
            self._route("/t/{tag}", "Posts with a tag", self._tag),
            self._route("/p/{id}", "A conversation", self._thread),
        ]

    def _route(self, path: str, summary: str, find: Find) -> Route:
        return Route("GET", f"{path}/feed.{{form}}", self._serve(find), summary, "feeds")

    def _serve(self, find: Find) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            form = request.match_info["form"]
            if form not in FORMS:
                raise NodeError(Code.NOT_FOUND)
            cursor = Cursor(asked.number(request, "before", INT_MAX, INT_MAX))
            key, read = await find(request)
            make = partial(self._make, form, read, cursor)
            return await self._shelf.serve(request, ("feed", form, cursor, *key), make)

        return answer

    async def _make(self, form: str, read: Read, cursor: Cursor) -> Sheet:
        return await self._services.sight.read(partial(self._compose, form, read, cursor))

    def _compose(
        self, form: str, read: Read, cursor: Cursor, db: sqlite3.Connection, viewer: Viewer
    ) -> Sheet:
        source, at = read(db, viewer, cursor), base(self._services.node.settings)
        shown = [one for one in source.page.items if one.record.header.kind in CARDS]
        deck = Deck(db, viewer, shown)
        write, type_ = FORMS[form]
        address, older = f"{at}{source.feeds}/feed.{form}", source.page.next
        feed = Feed(
            source.id,
            source.title,
            f"{source.title}, as {brand(self._services.node.settings)} shows it.",
            at + source.path,
            address if cursor.position == INT_MAX else f"{address}?before={cursor.position}",
            f"{address}?before={older}" if older is not None else "",
            [entry(deck, item, at) for item in shown],
        )
        return Sheet(write(feed), len(shown), type_)

    # --- what there are feeds of -------------------------------------------------------------

    async def _local(self, request: web.Request) -> tuple[Sequence[object], Read]:
        return ("local",), partial(self._of_node, "local", "People of", "/", tables.local)

    async def _network(self, request: web.Request) -> tuple[Sequence[object], Read]:
        return ("network",), partial(
            self._of_node, "network", "Network at", "/network", walk.network
        )

    def _of_node(
        self,
        what: str,
        title: str,
        path: str,
        find: Callable[..., Page],
        db: sqlite3.Connection,
        viewer: Viewer,
        cursor: Cursor,
    ) -> Source:
        node = self._services.node
        id_ = f"ratoon:node:{node.own.account.hex()}:{what}"
        found = find(db, viewer, cursor, ENTRIES_MAX)
        return Source(id_, f"{title} {brand(node.settings)}", path, f"/{what}", found)

    async def _account(self, request: web.Request) -> tuple[Sequence[object], Read]:
        account = await account_of_path(request, self._services)
        return ("account", account), partial(_of_account, account)

    async def _tag(self, request: web.Request) -> tuple[Sequence[object], Read]:
        tag = tag_of_path(request)
        return ("tag", tag), partial(self._of_tag, tag)

    def _of_tag(self, tag: str, db: sqlite3.Connection, viewer: Viewer, cursor: Cursor) -> Source:
        id_ = f"ratoon:node:{self._services.node.own.account.hex()}:tag:{quote(tag, safe='')}"
        found, path = tables.tag(db, viewer, tag, cursor, ENTRIES_MAX), tag_path(tag)
        return Source(id_, f"#{tag}", path, path, found)

    async def _thread(self, request: web.Request) -> tuple[Sequence[object], Read]:
        id_ = asked.id_of_path(request)
        return ("thread", id_), partial(_of_thread, id_)


def _of_account(account: bytes, db: sqlite3.Connection, viewer: Viewer, cursor: Cursor) -> Source:
    why = hidden(db, viewer, account)
    if why is not None:
        raise NodeError(why)
    found = walk.by_author(db, viewer, account, cursor, ENTRIES_MAX)
    face = face_of(db, viewer, account)
    name = face.name or face.handle or f"Account {face.fingerprint}"
    path = account_path(account)
    return Source(f"ratoon:account:{account.hex()}", name, path, path, found)


def _of_thread(id_: bytes, db: sqlite3.Connection, viewer: Viewer, cursor: Cursor) -> Source:
    """Everything in the thread of a post, what came last first; at the end the root."""
    focus = look(db, viewer, [id_])[id_]
    if not isinstance(focus, Item):
        raise NodeError(focus.code)
    if focus.record.header.kind not in CARDS:
        raise NodeError(Code.NOT_FOUND)
    root = focus.body.get("root", id_)
    found = tables.in_thread(db, viewer, root, cursor.position, ENTRIES_MAX)
    if found.next is None:
        first = look(db, viewer, [root])[root]
        found = found._replace(items=[*found.items, *([first] if isinstance(first, Item) else [])])
    title = f"Conversation: {title_of(focus, TITLE_CHARS_MAX)}"
    path = record_path(id_)
    return Source(f"ratoon:thread:{root.hex()}", title, path, path, found)


# --- entries -----------------------------------------------------------------------------------


def entry(deck: Deck, item: Item, at: str) -> Entry:
    """A post as an entry. Of one with a warning nothing but the warning is told: a reader that
    shows feeds folds nothing.
    """
    header, body = item.record.header, item.body
    edit = item.edit.record().header.created_ms if item.edit is not None else header.created_ms
    return Entry(
        f"ratoon:record:{item.id.hex()}",
        at + record_path(item.id),
        title_of(item, TITLE_CHARS_MAX),
        join(_content(deck, item, at)),
        deck.name(item.account),
        at + account_path(item.account),
        header.created_ms,
        max(edit, header.created_ms),
        () if body.get("warning") else tags_of(body),
        body.get("lang", ""),
    )


def _content(deck: Deck, item: Item, at: str) -> Content:
    body, kind = item.body, item.record.header.kind
    if kind == kinds.REPOST:
        return _shown(deck, body["target"], at)
    if kind == kinds.SEALED_POST:
        return element("p", "For approved followers only.")
    if body.get("warning"):
        return _warned(body["warning"], at + record_path(item.id))
    parts: list[Content] = [words(body, at)] if body["text"] else []
    parts += [
        element("p", "Picture: ", picture["alt"] or "not described by its author", dir="auto")
        for picture in body.get("media", ())
    ]
    if "poll" in body:
        options = [element("li", option, dir="auto") for option in body["poll"]["options"]]
        parts.append(element("ul", options))
    if "quote" in body:
        parts.append(_shown(deck, body["quote"], at))
    return parts


def _warned(warning: str, url: str) -> Content:
    link = element("a", "Read it on its page", href=url)
    return element("p", "Content warning: ", element("bdi", warning), ". ", link)


def _shown(deck: Deck, id_: bytes, at: str) -> Markup:
    """A post that another one shows."""
    url, found = at + record_path(id_), deck.inside.get(id_)
    link = element("a", "A post", href=url)
    if not isinstance(found, Item) or found.record.header.kind != kinds.POST:
        return element("blockquote", element("p", link))
    by = element("p", link, " by ", element("bdi", deck.name(found.account)))
    if found.body.get("warning"):
        return element("blockquote", by, _warned(found.body["warning"], url))
    return element("blockquote", by, words(found.body, at))
