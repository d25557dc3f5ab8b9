"""Feeds as readers take them: RSS 2.0, Atom (RFC 4287, pages by RFC 5005), JSON Feed 1.1.

An entry's id is its record's, the same on every node, so a reader that changes nodes sees nothing
twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from email.utils import format_datetime
from typing import Any, NamedTuple

from ratoon_node.api.answers import to_json
from ratoon_node.api.html import Markup
from ratoon_node.api.words import instant, rfc3339


class Entry(NamedTuple):
    """One post: `url` is its page, `content` HTML, times in milliseconds."""

    id: str
    url: str
    title: str
    content: Markup
    author: str
    author_url: str
    created_ms: int
    updated_ms: int
    tags: Sequence[str] = ()
    lang: str = ""


class Feed(NamedTuple):
    """Entries with the newest first: `url` is the page they are on, `address` this very feed's,
    `following` where older ones are.
    """

    id: str
    title: str
    about: str
    url: str
    address: str
    following: str
    entries: Sequence[Entry]

    @property
    def updated_ms(self) -> int:
        """When something in it was written or changed last; 0 if there is nothing."""
        return max((one.updated_ms for one in self.entries), default=0)


# What XML 1.0 cannot have, however it is written (section 2.2).
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _text(text: str) -> str:
    text = _UNWRITABLE.sub("", text).replace("&", "&amp;").replace("<", "&lt;")
    return text.replace(">", "&gt;").replace('"', "&quot;").replace("\r", "&#13;")


def _tag(name: str, content: str = "", **attributes: str) -> str:
    """An element: attributes are escaped, content is XML already. `xml_lang` is `xml:lang`."""
    written = "".join(
        f' {key.replace("_", ":")}="{_text(value)}"' for key, value in attributes.items() if value
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def _date(ms: int) -> str:
    return format_datetime(instant(ms), usegmt=True)


def rss(feed: Feed) -> bytes:
    """RSS 2.0, with links to itself and on in Atom's words."""
    items = (
        _tag(
            "item",
            _tag("title", _text(one.title))
            + _tag("link", _text(one.url))
            + _tag("guid", _text(one.id), isPermaLink="false")
            + _tag("pubDate", _date(one.created_ms))
            + _tag("dc:creator", _text(one.author))
            + "".join(_tag("category", _text(tag)) for tag in one.tags)
            + _tag("description", _text(one.content)),
        )
        for one in feed.entries
    )
    following = _tag("atom:link", rel="next", href=feed.following) if feed.following else ""
    channel = (
        _tag("title", _text(feed.title))
        + _tag("link", _text(feed.url))
        + _tag("description", _text(feed.about))
        + _tag("atom:link", rel="self", type="application/rss+xml", href=feed.address)
        + following
        + _tag("lastBuildDate", _date(feed.updated_ms))
        + "".join(items)
    )
    spaces = (
        'version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/"'
    )
    return _document(f"<rss {spaces}>{_tag('channel', channel)}</rss>")


def atom(feed: Feed) -> bytes:
    """Atom 1.0."""
    entries = (
        _tag(
            "entry",
            _tag("id", _text(one.id))
            + _tag("title", _text(one.title))
            + _tag("link", rel="alternate", type="text/html", href=one.url)
            + _tag("published", rfc3339(one.created_ms))
            + _tag("updated", rfc3339(one.updated_ms))
            + _tag("author", _tag("name", _text(one.author)) + _tag("uri", _text(one.author_url)))
            + "".join(_tag("category", term=tag) for tag in one.tags)
            + _tag("content", _text(one.content), type="html", xml_lang=one.lang),
        )
        for one in feed.entries
    )
    following = _tag("link", rel="next", href=feed.following) if feed.following else ""
    whole = (
        _tag("id", _text(feed.id))
        + _tag("title", _text(feed.title))
        + _tag("subtitle", _text(feed.about))
        + _tag("updated", rfc3339(feed.updated_ms))
        + _tag("link", rel="alternate", type="text/html", href=feed.url)
        + _tag("link", rel="self", type="application/atom+xml", href=feed.address)
        + following
        + "".join(entries)
    )
    return _document(f'<feed xmlns="http://www.w3.org/2005/Atom">{whole}</feed>')


def _document(root: str) -> bytes:
    return f'<?xml version="1.0" encoding="utf-8"?>\n{root}\n'.encode()


def json_feed(feed: Feed) -> bytes:
    """JSON Feed 1.1."""
    found = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": feed.title,
        "description": feed.about,
        "home_page_url": feed.url,
        "feed_url": feed.address,
        "next_url": feed.following,
    }
    return to_json(_said(found) | {"items": list(map(_json_item, feed.entries))})


def _json_item(one: Entry) -> Mapping[str, Any]:
    edited = one.updated_ms != one.created_ms
    item = {
        "id": one.id,
        "url": one.url,
        "title": one.title,
        "content_html": str(one.content),
        "date_published": rfc3339(one.created_ms),
        "date_modified": rfc3339(one.updated_ms) if edited else "",
        "authors": [{"name": one.author, "url": one.author_url}],
        "tags": list(one.tags),
        "language": one.lang,
    }
    return _said(item)


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


#: How a feed is written, by the ending of its address, with the media type.
FORMS: Mapping[str, tuple[Callable[[Feed], bytes], str]] = {
    "rss": (rss, "application/rss+xml"),
    "atom": (atom, "application/atom+xml"),
    "json": (json_feed, "application/feed+json"),
}
