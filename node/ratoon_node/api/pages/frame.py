"""What all pages have around their content: head, navigation, foot; and pages of refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from ratoon_node.api.answers import refused_status
from ratoon_node.api.html import Content, Markup, document, element
from ratoon_node.api.icon import ICON_PATH, ICON_TYPE
from ratoon_node.api.style import STYLE_PATH
from ratoon_node.config import Settings
from ratoon_node.errors import NodeError
from ratoon_protocol.errors import Code

#: Forms of a feed: name in addresses, media type, what people call it.
FEEDS = (
    ("atom", "application/atom+xml", "Atom"),
    ("rss", "application/rss+xml", "RSS"),
    ("json", "application/feed+json", "JSON Feed"),
)
_PLACES = (("/", "Home"), ("/network", "Network"), ("/search", "Search"), ("/about", "About"))
_SECURE = {"https": "https", "wss": "https", "http": "http", "ws": "http"}


@dataclass(frozen=True)
class Head:
    """What machines are told of a page: `title` and `about` are also its preview elsewhere.

    `path` is the page's own address without a cursor; "" for pages that have none to be known by.
    `feed` is where its feeds are, without the ending.
    """

    title: str
    path: str = ""
    about: str = ""
    kind: str = "website"
    published: str = ""
    edited: str = ""
    feed: str = ""
    indexed: bool = True


def stated_base(settings: Settings) -> str:
    """Where people reach this node, as its operator says: `https://node.example`, or "".

    Never what a client puts into its Host header: pages are kept for others.
    """
    addresses = sorted(
        (f"{_SECURE[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}", at)
        for at, parts in enumerate(map(urlsplit, settings.public_addresses))
        if parts.scheme in _SECURE
    )
    secure = [one for one, _ in sorted(addresses, key=lambda one: one[1])]
    first = [one for one in secure if one.startswith("https:")] or secure
    if first:
        return first[0].removesuffix("/v1/link")
    return f"https://{settings.domain}" if settings.domain else ""


def base(settings: Settings) -> str:
    """As `stated_base`; where nothing is stated, the address at which the node listens."""
    host = "localhost" if settings.host in ("0.0.0.0", "::", "") else settings.host
    shown = f"[{host}]" if ":" in host else host
    return stated_base(settings) or f"http://{shown}:{settings.port}"


def brand(settings: Settings) -> str:
    """What people call this node."""
    return settings.name or settings.name_domain or "Ratoon"


def page(settings: Settings, head: Head, body: Content, here: str = "") -> bytes:
    """A whole page; `here` is the place of the navigation that it belongs to."""
    return document(
        title=head.title if head.title == brand(settings) else f"{head.title} · {brand(settings)}",
        lang="en",
        head=_head(settings, head),
        body=[
            element("a", "Skip to the content", href="#content", class_="skip"),
            _top(settings, here),
            element("main", body, id="content"),
            _foot(head),
        ],
    )


def _head(settings: Settings, head: Head) -> list[Markup]:
    found = [
        element("link", rel="stylesheet", href=STYLE_PATH),
        element("link", rel="icon", href=ICON_PATH, type=ICON_TYPE),
        element("meta", name="color-scheme", content="light dark"),
    ]
    if not head.indexed:
        found.append(element("meta", name="robots", content="noindex"))
    if head.about:
        found.append(element("meta", name="description", content=head.about))
    at = stated_base(settings)
    if head.path:
        found += _preview(settings, head, at)
    if at and head.path:
        found.append(element("link", rel="canonical", href=at + head.path))
    if head.feed:
        found += [
            element("link", rel="alternate", type=type_, title=name, href=f"{head.feed}.{form}")
            for form, type_, name in FEEDS
        ]
    return found


def _preview(settings: Settings, head: Head, at: str) -> list[Markup]:
    """How other sites and apps show a link to it (the Open Graph protocol)."""
    rows: Sequence[tuple[str, str]] = (
        ("og:site_name", brand(settings)),
        ("og:type", head.kind),
        ("og:title", head.title),
        ("og:description", head.about),
        ("og:url", at + head.path if at else ""),
        ("article:published_time", head.published),
        ("article:modified_time", head.edited),
    )
    found = [element("meta", property=name, content=text) for name, text in rows if text]
    return [*found, element("meta", name="twitter:card", content="summary")]


def _top(settings: Settings, here: str) -> Markup:
    links = [
        element("li", element("a", words, href=path, aria_current="page" if path == here else None))
        for path, words in _PLACES
    ]
    return element(
        "header",
        element(
            "div",
            element("a", element("bdi", brand(settings)), href="/", class_="brand"),
            element("nav", element("ul", links), aria_label="This node"),
            class_="inside",
        ),
        class_="top",
    )


def _foot(head: Head) -> Markup:
    feeds: Content = None
    if head.feed:
        links = [
            (" · " if at else "", element("a", name, href=f"{head.feed}.{form}"))
            for at, (form, _, name) in enumerate(FEEDS)
        ]
        feeds = element("p", "Follow this page as a feed: ", links)
    return element(
        "footer",
        feeds,
        element(
            "p",
            "No script, no cookies, nothing from other sites. What people write is signed by"
            " them; this node is one of many that keep it.",
        ),
    )


def absent(
    settings: Settings, code: Code, words: str, reason: str = "", more: Content = None
) -> bytes:
    """A page in place of what is not shown; never a claim that it does not exist."""
    body = [
        element("h1", "Not shown here"),
        element("p", words, class_="notice"),
        element("p", f"Reason: {reason}", class_="quiet") if reason else None,
        more or element("p", element("a", "To the front page", href="/")),
    ]
    title = "Not found" if code is Code.NOT_FOUND else "Not shown here"
    return page(settings, Head(title, indexed=False), body)


def refusal(settings: Settings, error: NodeError) -> web.Response:
    """What a program gets as JSON, as a page for people."""
    status = refused_status(error.code)
    headers = {}
    if error.retry_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_ms // 1000))
    data = absent(settings, error.code, error.safe)
    return web.Response(
        body=data, status=status, content_type="text/html", charset="utf-8", headers=headers
    )


def wants_page(request: web.Request) -> bool:
    """Whether whoever asks reads pages: a browser says so by name."""
    return "text/html" in request.headers.get("Accept", "")
