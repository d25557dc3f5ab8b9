"""Pages that are a row of posts: local, network, a tag; and the links to older and newer ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from ratoon_node.api.html import Content, Markup, element
from ratoon_node.api.pages.card import Deck
from ratoon_node.api.pages.frame import Head, brand, page
from ratoon_node.api.pages.shelf import Sheet
from ratoon_node.api.words import tag_path
from ratoon_node.config import Settings
from ratoon_node.timeline import tables, walk
from ratoon_node.timeline.visibility import Item, Viewer
from ratoon_node.timeline.walk import Cursor, Page
from ratoon_protocol.limits import INT_MAX

# Posts of one page.
POSTS_SHOWN = 30

#: A page of a timeline from a cursor on.
Walk = Callable[[sqlite3.Connection, Viewer, Cursor, int], Page]


class Row(NamedTuple):
    """Posts with the newest first, and where older and newer ones are (None: nowhere)."""

    items: Sequence[Item]
    older: Cursor | None
    newer: Cursor | None


def row(db: sqlite3.Connection, viewer: Viewer, find: Walk, cursor: Cursor) -> Row:
    """A page of a timeline as people read it, whichever way they came."""
    found = find(db, viewer, cursor, POSTS_SHOWN)
    on = found.next
    if cursor.newest_first:
        newer = Cursor(cursor.position - 1, newest_first=False)
        first = cursor.position >= INT_MAX
        return Row(found.items, None if on is None else Cursor(on), None if first else newer)
    older = Cursor(cursor.position + 1)
    return Row(found.items[::-1], older, None if on is None else Cursor(on, newest_first=False))


def posts(deck: Deck, found: Row, path: str, empty: str) -> list[Content]:
    """The cards of a row, and the way on. `path` may have parameters."""
    return [
        [deck.card(item) for item in found.items] or element("p", empty, class_="notice"),
        turn(found, path),
    ]


def turn(found: Row, path: str) -> Content:
    """Links to newer and older posts."""
    join = "&" if "?" in path else "?"
    links = [
        element("a", words, href=f"{path}{join}{name}={at.position}", rel=rel)
        for at, name, words, rel in (
            (found.newer, "since", "← Newer posts", "prev"),
            (found.older, "before", "Older posts →", "next"),
        )
        if at is not None
    ]
    return element("nav", links, class_="turn", aria_label="More posts") if links else None


def _greeting(settings: Settings) -> list[Markup]:
    about = (
        "One of many independent nodes that keep posts together. People own their accounts with"
        " keys, so a node that goes away takes nobody's account with it. "
    )
    return [
        element("h1", element("bdi", brand(settings))),
        element("p", about, element("a", "About this node", href="/about"), class_="lead"),
    ]


def local(settings: Settings, cursor: Cursor, db: sqlite3.Connection, viewer: Viewer) -> Sheet:
    """The front page: what people at home here posted."""
    found = row(db, viewer, tables.local, cursor)
    network = element("a", "Posts from the whole network", href="/network")
    empty = "Nobody who is at home here has posted yet."
    body: list[Content] = [
        _greeting(settings),
        element("h2", "Posted by people here"),
        posts(Deck(db, viewer, found.items), found, "/", empty),
        element("p", network, class_="onward"),
    ]
    about = "Posts of the people at home on this node of the Ratoon network."
    head = Head(brand(settings), "/", about, feed="/local/feed")
    return Sheet(page(settings, head, body, "/"), len(found.items))


def network(settings: Settings, cursor: Cursor, db: sqlite3.Connection, viewer: Viewer) -> Sheet:
    """What this node carries of everybody."""
    found = row(db, viewer, walk.network, cursor)
    body: list[Content] = [
        element("h1", "Network"),
        element("p", "Public posts from everywhere, the newest here first.", class_="lead"),
        posts(Deck(db, viewer, found.items), found, "/network", "Nothing has been posted yet."),
    ]
    about = f"Public posts that {brand(settings)} carries, from the whole Ratoon network."
    head = Head("Network", "/network", about, feed="/network/feed")
    return Sheet(page(settings, head, body, "/network"), len(found.items))


def tagged(
    settings: Settings, tag: str, cursor: Cursor, db: sqlite3.Connection, viewer: Viewer
) -> Sheet:
    """Posts with a tag."""
    found = row(db, viewer, partial(_tagged, tag), cursor)
    path = tag_path(tag)
    body: list[Content] = [
        element("h1", element("bdi", f"#{tag}")),
        element("p", "Public posts with this tag, the newest here first.", class_="lead"),
        posts(Deck(db, viewer, found.items), found, path, "Nobody has used this tag here."),
    ]
    head = Head(f"#{tag}", path, f"Public posts with the tag #{tag}.", feed=f"{path}/feed")
    return Sheet(page(settings, head, body), len(found.items))


def _tagged(tag: str, db: sqlite3.Connection, viewer: Viewer, cursor: Cursor, limit: int) -> Page:
    return tables.tag(db, viewer, tag, cursor, limit)
