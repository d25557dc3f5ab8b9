"""Searching by a plain form, and what many speak of now with the reason why."""

from __future__ import annotations

import sqlite3
from urllib.parse import urlencode

from ratoon_node.api.html import Content, Markup, element
from ratoon_node.api.pages.card import CARDS, Deck
from ratoon_node.api.pages.frame import Head, page
from ratoon_node.api.pages.shelf import Sheet
from ratoon_node.api.search import SearchQuery
from ratoon_node.api.trends import why
from ratoon_node.api.words import cut, number, tag_path
from ratoon_node.config import Settings
from ratoon_node.timeline import search, terms
from ratoon_node.timeline.search import Order
from ratoon_node.timeline.trends import WINDOW_HOURS, Board
from ratoon_node.timeline.visibility import PUBLIC_HIDDEN_FROM, Item, Viewer

# Hits of one page.
HITS_SHOWN = 20
# Posts and tags that trend, shown beside the form.
TRENDS_SHOWN = 10
# Letters of a bio beside a name.
BIO_CHARS_MAX = 160

_AMONG = (("posts", "Posts"), ("people", "People"), ("tags", "Tags"))
_ORDERS = (("new", "Newest first"), ("best", "Best first"))
_HEAD = Head("Search", indexed=False)


def empty(settings: Settings, board: Board, db: sqlite3.Connection, viewer: Viewer) -> Sheet:
    """The form, and trends."""
    trends, items = _trends(board, db, viewer)
    body = [element("h1", "Search"), _form(SearchQuery(q="")), trends]
    return Sheet(page(settings, _HEAD, body, "/search"), items)


def refused(settings: Settings, wanted: SearchQuery, words: str, status: int) -> Sheet:
    """The form with what was wrong."""
    body = [
        element("h1", "Search"),
        _form(wanted),
        element("p", words, class_="notice", role="alert"),
    ]
    return Sheet(page(settings, _HEAD, body, "/search"), 0, status=status)


def found(
    settings: Settings, wanted: SearchQuery, now_ms: int, db: sqlite3.Connection, viewer: Viewer
) -> Sheet:
    """What fits. Raises `NodeError(bad_request)` for what is no query."""
    find = {"posts": _posts, "people": _people, "tags": _tags}[wanted.among]
    hits, following, count = find(wanted, now_ms, db, viewer)
    body: list[Content] = [
        element("h1", "Search"),
        _form(wanted),
        element("h2", f"{dict(_AMONG)[wanted.among]} found"),
        hits if count else element("p", "Nothing here fits.", class_="notice"),
        _next(wanted, following),
    ]
    return Sheet(page(settings, _HEAD, body, "/search"), count)


def _form(wanted: SearchQuery) -> Markup:
    def choice(name: str, label: str, rows: tuple[tuple[str, str], ...], chosen: str) -> Markup:
        options = [
            element("option", words, value=value, selected=value == chosen) for value, words in rows
        ]
        return element("label", label, " ", element("select", options, name=name))

    text = element(
        "input",
        type="search",
        name="q",
        id="q",
        value=wanted.q,
        maxlength=str(terms.QUERY_CHARS_MAX),
        required=True,
        autocomplete="off",
        dir="auto",
    )
    hint = (
        "Words that must all be there, “exact phrase”, begin*, -without, #tag, from:name, lang:en."
    )
    return element(
        "form",
        element("label", "Search for", for_="q"),
        element("div", text, element("button", "Search", type="submit"), class_="ask"),
        element(
            "div",
            choice("in", "Among", _AMONG, wanted.among),
            " ",
            choice("order", "Order", _ORDERS, wanted.order),
            class_="choices",
        ),
        element("p", hint, class_="meta"),
        method="get",
        action="/search",
        role="search",
        class_="search",
    )


_Hits = tuple[Content, str | None, int]


def _posts(wanted: SearchQuery, now_ms: int, db: sqlite3.Connection, viewer: Viewer) -> _Hits:
    order = Order[wanted.order.upper()]
    after = search.after(wanted.after, order)
    hits = search.posts(db, viewer, terms.parse(wanted.q), order, after, HITS_SHOWN, now_ms)
    deck = Deck(db, viewer, hits.items)
    return [deck.card(item) for item in hits.items], hits.next, len(hits.items)


def _people(wanted: SearchQuery, now_ms: int, db: sqlite3.Connection, viewer: Viewer) -> _Hits:
    order = Order[wanted.order.upper()]
    query, after = terms.parse(wanted.q, fields=False), search.after(wanted.after, order)
    hits = search.people(db, viewer, query, order, after, HITS_SHOWN)
    deck = Deck(db, viewer, [one.profile for one in hits.people if one.profile is not None])
    rows = [
        element("li", deck.who(one.account), _bio(one.profile), class_="card")
        for one in hits.people
    ]
    return element("ul", rows, class_="people"), hits.next, len(rows)


def _bio(profile: Item | None) -> Content:
    text = cut(profile.body.get("bio", ""), BIO_CHARS_MAX) if profile is not None else ""
    return element("p", text, class_="quiet", dir="auto") if text else None


def _tags(wanted: SearchQuery, now_ms: int, db: sqlite3.Connection, viewer: Viewer) -> _Hits:
    hits, following = search.tags(db, viewer, wanted.q, wanted.after or "", HITS_SHOWN)
    rows = [
        element(
            "li",
            _tag(one.tag),
            " ",
            element("span", number(one.posts, "post", "posts", one.more), class_="quiet"),
        )
        for one in hits
    ]
    return element("ul", rows, class_="trends"), following, len(rows)


def _tag(tag: str) -> Markup:
    return element("a", element("bdi", f"#{tag}"), href=tag_path(tag))


def _next(wanted: SearchQuery, following: str | None) -> Content:
    if following is None:
        return None
    asked = {"q": wanted.q, "in": wanted.among, "order": wanted.order, "after": following}
    link = element("a", "More →", href=f"/search?{urlencode(asked)}", rel="next")
    return element("nav", link, class_="turn", aria_label="More that fits")


def _trends(board: Board, db: sqlite3.Connection, viewer: Viewer) -> tuple[Content, int]:
    """What trends, as far as it can be read now."""
    looks = viewer.look_at([one.n for one in board.posts])
    posts = [
        (one, item)
        for one, item in zip(board.posts, looks, strict=True)
        if isinstance(item, Item)
        and item.verdict < PUBLIC_HIDDEN_FROM
        and item.record.header.kind in CARDS
    ][:TRENDS_SHOWN]
    deck = Deck(db, viewer, [item for _, item in posts])
    tags = [
        element("li", _tag(str(one.target)), " ", element("span", why(one).words, class_="quiet"))
        for one in board.tags[:TRENDS_SHOWN]
    ]
    shown: list[Content] = [
        element("h2", "What many speak of"),
        element(
            "p",
            f"Only how many different accounts at how many nodes speak of it counts, over"
            f" {WINDOW_HOURS} hours, against what is usual. Nothing is promoted.",
            class_="meta",
        ),
        element("h3", "Tags"),
        element("ul", tags, class_="trends") if tags else element("p", "None now.", class_="quiet"),
        element("h3", "Posts"),
        [[element("p", why(one).words, class_="meta"), deck.card(item)] for one, item in posts]
        or element("p", "None now.", class_="quiet"),
    ]
    return shown, len(posts)
