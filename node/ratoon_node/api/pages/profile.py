"""A person's page: how they are called, what they say of themselves, what they posted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ratoon_node.api.accounts import profile_view
from ratoon_node.api.html import Content, Markup, element
from ratoon_node.api.pages.card import Deck, alike, handle, sign
from ratoon_node.api.pages.frame import Head, absent, page
from ratoon_node.api.pages.lists import posts, row
from ratoon_node.api.pages.shelf import Sheet
from ratoon_node.api.words import account_path, cut, lines, number, outward
from ratoon_node.config import Settings
from ratoon_node.errors import ANSWERS, NodeError
from ratoon_node.policy.naming import parse_handle
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import listed, names, read
from ratoon_node.timeline import circles, tables
from ratoon_node.timeline.faces import faces
from ratoon_node.timeline.naming import VERIFIED_MS_MAX, NameCard
from ratoon_node.timeline.visibility import HIDDEN_FROM, Item, Viewer
from ratoon_node.timeline.walk import Cursor, Page
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code

# Digits of an account that a link must have at least: 32 bits, then it is looked for.
PREFIX_DIGITS_MIN = 8
# Letters of a bio in a preview.
ABOUT_CHARS_MAX = 200

_Find = Callable[..., Page]
#: What a profile shows, by the parameter `only`.
TABS: Mapping[str, tuple[str, _Find, str]] = {
    "": ("Posts", tables.own_posts, "No posts here yet."),
    "replies": ("Replies", tables.replies_by, "No replies here yet."),
    "media": ("Media", tables.media_by, "No pictures, sounds or films here yet."),
}


#: Whose a name of this node is, if it counts.
Holder = Callable[[sqlite3.Connection, str], bytes | None]


def account_of(
    text: str, domain: str, holder: Holder, now_ms: int, db: sqlite3.Connection
) -> bytes:
    """The account that an address means: all 64 digits, a beginning that only one account has, a
    handle that its domain confirms, a name of this node's domain. Raises `NodeError(not_found)`.
    """
    text = text.lower().removeprefix("@")
    if len(text) == 64 and not set(text) - _DIGITS:
        return bytes.fromhex(text)
    found: set[bytes | None] = set()
    if len(text) >= PREFIX_DIGITS_MIN and not set(text) - _DIGITS:
        low, high = text[:64].ljust(64, "0"), text[:64].ljust(64, "f")
        found.update(listed.ids_between(db, bytes.fromhex(low), bytes.fromhex(high)))
    named = parse_handle(text)
    if named is not None:
        found.add(names.verified_account(db, str(named), now_ms - VERIFIED_MS_MAX))
    if named is None or named.domain == domain:
        found.add(holder(db, named.name if named is not None else text))
    accounts = [one for one in found if one is not None]
    if len(accounts) != 1:  # a name made of digits may be somebody's beginning: nobody's then
        raise NodeError(Code.NOT_FOUND)
    return accounts[0]


_DIGITS = frozenset("0123456789abcdef")


def hidden(db: sqlite3.Connection, viewer: Viewer, account: bytes) -> Code | None:
    """Why nothing of an account is shown here; None if it is."""
    known = viewer.known(account)
    if known is None:
        return Code.UNKNOWN_ACCOUNT
    if known.vanished:
        return Code.GONE
    decision = viewer.of_account(account)
    return Code.WITHHELD if decision is not None and decision.verdict >= HIDDEN_FROM else None


def limited(viewer: Viewer, account: bytes) -> bool:
    """Whether rules keep an account out of public timelines: then no engine shall list it."""
    decision = viewer.of_account(account)
    return decision is not None and decision.verdict is Verdict.LIMIT


def said(db: sqlite3.Connection, viewer: Viewer, account: bytes) -> Mapping[str, Any]:
    """What somebody says of themselves, as far as it may be shown."""
    known = viewer.known(account)
    profile = read.current(db, known.n, kinds.PROFILE) if known is not None else None
    if profile is None or read.code_of(profile) is not Code.STORED:
        return {}
    return profile_view(profile) if isinstance(viewer.look_at([profile.n])[0], Item) else {}


def face_of(db: sqlite3.Connection, viewer: Viewer, account: bytes) -> NameCard:
    """How an account is called."""
    found = faces(db, viewer, [account]).get(account)
    return found.card if found is not None else NameCard("", None, account[:4].hex(), False)


def profile(
    settings: Settings,
    own: bytes,
    account: bytes,
    only: str,
    cursor: Cursor,
    db: sqlite3.Connection,
    viewer: Viewer,
) -> Sheet:
    """One account and what it posted. `own` is this node's account."""
    why = hidden(db, viewer, account)
    if why is not None:
        return Sheet(absent(settings, why, ANSWERS[why].words), 0, status=_status(why))
    about, face = said(db, viewer, account), face_of(db, viewer, account)
    _, find, empty = TABS[only]
    found = row(db, viewer, partial(_find, find, account), cursor)
    path = account_path(account)
    kept_out = limited(viewer, account)
    body: list[Content] = [
        _person(face, account),
        element("p", "Limited by this node's rules.", class_="note") if kept_out else None,
        lines(about["bio"]) if about.get("bio") else None,
        _fields(about),
        _numbers(db, viewer, account, own),
        _tabs(path, only),
        element("h2", TABS[only][0], class_="unseen"),
        posts(Deck(db, viewer, found.items), found, f"{path}?only={only}" if only else path, empty),
    ]
    head = Head(
        face.name or face.handle or f"Account {face.fingerprint}",
        path,
        cut(about.get("bio", ""), ABOUT_CHARS_MAX) or f"Posts of account {face.fingerprint}.",
        "profile",
        feed=f"{path}/feed",
        indexed=not kept_out,
    )
    return Sheet(page(settings, head, body), len(found.items))


def _find(
    find: _Find, account: bytes, db: sqlite3.Connection, viewer: Viewer, cursor: Cursor, limit: int
) -> Page:
    return find(db, viewer, account, cursor, limit)


def _status(code: Code) -> int:
    return ANSWERS[code].status


def _person(face: NameCard, account: bytes) -> Markup:
    digits = account.hex()
    return element(
        "div",
        sign(account, face.name),
        element(
            "div",
            element("h1", element("bdi", face.name or "Without a name"), alike(face)),
            element("p", handle(face), class_="meta") if face.handle else None,
            element(
                "p",
                element("span", element("b", digits[:8]), digits[8:], class_="mark", dir="ltr"),
                class_="account",
                title="The account itself: names can be copied, this cannot.",
            ),
        ),
        class_="person",
    )


def _fields(about: Mapping[str, Any]) -> Content:
    rows = [
        element("div", element("dt", key, dir="auto"), element("dd", outward(value), dir="auto"))
        for key, value in about.get("fields", ())
    ]
    return element("dl", rows, class_="facts") if rows else None


def _numbers(db: sqlite3.Connection, viewer: Viewer, account: bytes, own: bytes) -> Markup:
    sizes = circles.sizes(db, viewer, account)
    known = viewer.known(account)
    home = known is not None and own in viewer.hosts(known)
    parts = [
        number(sizes.posts, "post", "posts"),
        f"follows {sizes.follows:,}",
        number(sizes.followers, "follower", "followers"),
        "at home on this node" if home else "at home elsewhere",
    ]
    return element("p", " · ".join(parts), class_="meta")


def _tabs(path: str, only: str) -> Markup:
    links = [
        element(
            "li",
            element(
                "a",
                label,
                href=f"{path}?only={name}" if name else path,
                aria_current="page" if name == only else None,
            ),
        )
        for name, (label, _, _) in TABS.items()
    ]
    return element("nav", element("ul", links), class_="tabs", aria_label="What to show")
