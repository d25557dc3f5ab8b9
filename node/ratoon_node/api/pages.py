"""Pages without script: the node with its latest posts, a profile, a post."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.accounts import profile_view
from ratoon_node.api.html import Content, Markup, document, element
from ratoon_node.api.peers import NodeView, node_view
from ratoon_node.api.ports import Services
from ratoon_node.api.records import find
from ratoon_node.api.route import Route
from ratoon_node.api.style import STYLE, STYLE_PATH
from ratoon_node.api.timelines import author_page, network_page
from ratoon_node.api.words import account_path, mark, moment, record_path, words
from ratoon_node.errors import ANSWERS, NodeError
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import listed, read
from ratoon_node.timeline.visibility import HIDDEN_FROM, Item, Masked, Viewer
from ratoon_node.timeline.walk import Page
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code

# Posts of one page.
POSTS_SHOWN = 30
# A page may be this old before it is asked for again.
PAGE_SECONDS = 10
# A longer text is cut in a list of posts, where it would push all others away.
LISTED_CHARS_MAX = 1000
# Digits of an account that a link must have at least: 32 bits, then it is looked for.
PREFIX_DIGITS_MIN = 8

_REGISTRATION = {
    "closed": "takes no new accounts",
    "invite": "takes new accounts by invitation",
    "open": "is open to new accounts",
}


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pages:
    """Routes of pages."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            Route("GET", "/", self._told(self.front), "The node and its latest posts", "pages"),
            Route("GET", "/@{account}", self._told(self.profile), "A profile", "pages"),
            Route("GET", "/p/{id}", self._told(self.post), "A post", "pages"),
            Route("GET", STYLE_PATH, self.style, "How pages look", "pages"),
        ]

    def _told(self, handler: _Handler) -> _Handler:
        """What a program gets as JSON, a person gets as a page."""

        async def shown(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except NodeError as error:
                return self._absent(error.code, "")

        return shown

    async def style(self, request: web.Request) -> web.Response:
        """The style sheet."""
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(text=STYLE, content_type="text/css", headers=headers)

    async def front(self, request: web.Request) -> web.Response:
        """The node, its rules, and what was posted last."""
        cursor, _ = asked.page(request, self._services)
        page = await network_page(self._services, cursor, POSTS_SHOWN)
        names = await self._names(page.items)
        node = await node_view(self._services)
        title = node.name or "A Ratoon node"
        body: list[Content] = [
            element("h1", title, dir="auto"),
            element(
                "p",
                "This is one of many independent nodes that keep posts together. People own their"
                " accounts with keys, so a node that goes away takes nobody's account with it.",
                class_="quiet",
            ),
            element("h2", "Latest posts"),
            [card(item, names) for item in page.items]
            or element("p", "Nothing has been posted here yet.", class_="card quiet"),
            _more("/", page),
            element("h2", "Rules"),
            _rules(node),
            element("h2", "About this node"),
            _facts(node),
        ]
        return self._page(title, body)

    async def profile(self, request: web.Request) -> web.Response:
        """One account and what it posted."""
        account = await self._account(request.match_info["account"])
        cursor, _ = asked.page(request, self._services)
        profile, hidden = await self._profile(account)
        if hidden is not None:
            return self._absent(hidden, "")
        name = profile.get("name") or "Account"
        page = await author_page(self._services, account, cursor, POSTS_SHOWN)
        names = await self._names(page.items)
        fields: list[Content] = [
            (element("dt", key, dir="auto"), element("dd", value, dir="auto"))
            for key, value in profile.get("fields", ())
        ]
        body: list[Content] = [
            element("h1", name, " ", mark(account), dir="auto"),
            element("p", profile.get("bio") or None, class_="words", dir="auto"),
            element("dl", fields, class_="facts") if fields else None,
            element("p", "Account ", element("span", account.hex(), class_="mark"), class_="meta"),
            element("h2", "Posts"),
            [card(item, names) for item in page.items]
            or element("p", "No posts here yet.", class_="card quiet"),
            _more(account_path(account), page),
        ]
        return self._page(name, body)

    async def post(self, request: web.Request) -> web.Response:
        """One post, or why it is not shown."""
        id_ = asked.id_of_path(request)
        found = await find(self._services, id_)
        if isinstance(found, Masked) or found.record.header.kind not in _CARDS:
            code = found.code if isinstance(found, Masked) else Code.NOT_FOUND
            return self._absent(code, found.reason if isinstance(found, Masked) else "")
        names = await self._names([found])
        name = names.get(found.account, "")
        content: list[Content] = [element("div", card(found, names), class_="large")]
        content.append(
            element("p", "Record ", element("span", id_.hex(), class_="mark"), class_="meta")
        )
        return self._page(f"{name or found.account[:4].hex()}: a post", content)

    # --- what pages are made of ----------------------------------------------------------

    def _absent(self, code: Code, reason: str) -> web.Response:
        """A page in place of a post that is not shown; never a claim that it does not exist."""
        status = ANSWERS[code].status if ANSWERS[code].status >= 400 else 404
        body = [
            element("h1", "Not shown here"),
            element("p", ANSWERS[code].words, class_="card"),
            element("p", f"Reason: {reason}", class_="quiet") if reason else None,
        ]
        return self._page("Not shown here", body, status)

    def _page(self, title: str, body: Content, status: int = 200) -> web.Response:
        settings = self._services.node.settings
        brand = settings.name or "Ratoon"
        top = element(
            "header",
            element("a", brand, href="/", class_="brand", dir="auto"),
            element("span", "a node of the Ratoon network", class_="what"),
            class_="top",
        )
        foot = element("footer", "This page has no script. What you read is signed by its authors.")
        data = document(
            title=title,
            lang="en",
            head=element("link", rel="stylesheet", href=STYLE_PATH),
            body=[top, element("main", body), foot],
        )
        headers = {"Cache-Control": f"max-age={PAGE_SECONDS}"}
        return web.Response(
            body=data, status=status, content_type="text/html", charset="utf-8", headers=headers
        )

    async def _account(self, text: str) -> bytes:
        """The account behind a whole id or a beginning of one that only one account has."""
        if len(text) == 64:
            return asked.id_in(text, "account")
        digits = text.lower()
        if not PREFIX_DIGITS_MIN <= len(digits) < 64 or set(digits) - set("0123456789abcdef"):
            raise NodeError(Code.NOT_FOUND)
        low, high = bytes.fromhex(digits.ljust(64, "0")), bytes.fromhex(digits.ljust(64, "f"))
        found = await self._services.node.db.read(lambda db: listed.ids_between(db, low, high))
        if len(found) != 1:
            raise NodeError(Code.NOT_FOUND)
        return found[0]

    async def _profile(self, account: bytes) -> tuple[Mapping[str, Any], Code | None]:
        """What somebody says of themselves; or the code that says why nothing is shown."""
        node = self._services.node
        policy, now_ms = node.gate.policy, node.runtime.clock.now_ms()

        def look(db: sqlite3.Connection) -> tuple[Mapping[str, Any], Code | None]:
            row = read.account(db, account)
            if row is None:
                return {}, Code.UNKNOWN_ACCOUNT
            if row.vanished_ms is not None:
                return {}, Code.GONE
            decision = Viewer(db, policy, now_ms).of_account(account)
            if decision is not None and decision.verdict >= HIDDEN_FROM:
                return {}, Code.WITHHELD
            return _profile_of(db, row.n), None

        return await node.db.read(look)

    async def _names(self, items: Iterable[Item]) -> dict[bytes, str]:
        """The names of authors, as far as they have one."""
        accounts = {item.account for item in items}

        def look(db: sqlite3.Connection) -> dict[bytes, str]:
            found = {}
            for account in accounts:
                row = read.account(db, account)
                name = _profile_of(db, row.n).get("name") if row else None
                if name:
                    found[account] = str(name)
            return found

        return await self._services.node.db.read(look)


#: Kinds that have a page.
_CARDS = frozenset({kinds.POST, kinds.REPOST, kinds.SEALED_POST})


def _profile_of(db: sqlite3.Connection, account: int) -> Mapping[str, Any]:
    row = read.current(db, account, kinds.PROFILE)
    if row is None or read.code_of(row) is not Code.STORED:
        return {}
    return profile_view(row)


def card(item: Item, names: Mapping[bytes, str]) -> Markup:
    """One post."""
    header = item.record.header
    who = element(
        "a",
        element("span", names.get(item.account, "Account"), class_="who", dir="auto"),
        " ",
        mark(item.account),
        href=account_path(item.account),
    )
    when = element("a", moment(header.created_ms), href=record_path(item.record.id))
    long = len(item.body.get("text", "")) > LISTED_CHARS_MAX
    return element(
        "article",
        element("p", who, " · ", when, class_="meta"),
        _about(item),
        _inside(item),
        element("p", element("a", "Read all of it", href=record_path(item.record.id)), class_="all")
        if long
        else None,
        class_="card long" if long else "card",
    )


def _about(item: Item) -> Content:
    """The posts that a post speaks of."""
    return [
        element("p", f"{label} ", element("a", "a post", href=record_path(id_)), class_="meta")
        for key, label in (("parent", "In reply to"), ("quote", "Quotes"))
        if (id_ := item.body.get(key)) is not None
    ]


def _inside(item: Item) -> Content:
    kind, body = item.record.header.kind, item.body
    if kind == kinds.REPOST:
        link = element("a", "a post", href=record_path(body["target"]))
        return element("p", "Shared ", link, class_="quiet")
    if kind == kinds.SEALED_POST:
        return element("p", "For approved followers only.", class_="quiet")
    content: list[Content] = [words(body)]
    media = body.get("media", ())
    for picture in media:
        described = picture["alt"] or "not described"
        content.append(element("p", f"Picture: {described}", class_="quiet", dir="auto"))
    if "poll" in body:
        options = [element("li", option, dir="auto") for option in body["poll"]["options"]]
        content.append(element("ul", options))
    if "origin" in body:
        source = body["origin"]["source"]
        when = moment(body["origin"]["created_ms"])
        content.append(
            element("p", "First posted at ", source, ", ", when, class_="quiet", dir="auto")
        )
    if body.get("warning"):
        summary = element("summary", body["warning"], class_="note", dir="auto")
        return element("details", summary, content)
    if item.verdict is Verdict.LIMIT:
        content.insert(0, element("p", "Limited by this node's rules.", class_="note"))
    return content


#: What a verdict means for a reader.
_VERDICTS = {
    "accept": "let in",
    "limit": "kept out of public timelines",
    "hold": "waits for a moderator",
    "withhold": "not kept here",
}


def _rules(node: NodeView) -> Markup:
    """The rules by name; their conditions would be a manual for those they are meant for."""
    if not node.rules:
        words = "No rules of content are set. The operator may block accounts, nodes and words."
        return element("p", words, class_="card quiet")
    rows = [
        (
            element("dt", rule.id),
            element("dd", f"{_VERDICTS[rule.then]} ({rule.reason})"),
        )
        for rule in node.rules
    ]
    return element("dl", rows, class_="facts card")


def _facts(node: NodeView) -> Markup:
    rows = [
        ("Account", element("span", node.account, class_="mark")),
        ("New people", f"This node {_REGISTRATION[node.registration]}."),
        ("Provider", node.provider or "not stated"),
        ("Country", node.country or "not stated"),
        ("Records", f"{node.records:,}"),
        ("Open links", str(node.peers)),
        ("Keeps posts", f"{node.horizon_days} days" if node.horizon_days else "for ever"),
        ("Software", node.software),
    ]
    pairs = [(element("dt", key), element("dd", value, dir="auto")) for key, value in rows]
    return element("dl", pairs, class_="facts card")


def _more(path: str, page: Page) -> Content:
    if page.next is None:
        return None
    return element(
        "nav", element("a", "Older posts", href=f"{path}?before={page.next}"), class_="more"
    )
