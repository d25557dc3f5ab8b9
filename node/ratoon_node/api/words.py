"""A post's text as HTML: plain text, with links, mentions and tags where its facets say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from ratoon_node.api.html import Content, Markup, element
from ratoon_protocol.bodies import FACET_LINK, FACET_MENTION, FACET_TAG
from ratoon_protocol.record import Body

# Bytes of an account or id shown to people: enough to tell two apart.
MARK_BYTES = 4
# 9999-12-31: calendars end there; authors may write any number as the date of an imported post.
LATEST_MS = 253_402_214_400_000
# What a page may link to; anything else stays text.
_SCHEMES = frozenset({"http", "https"})
_BREAK = element("br")
_LINK_AWAY = "nofollow noopener noreferrer ugc"


def words(body: Body, base: str = "") -> Markup:
    """The text of a post in its own direction and language; `base` goes before links to here."""
    data = body["text"].encode()
    parts: list[Content] = []
    at = 0
    for begin, end, type_, value in body.get("facets", ()):
        parts += _lines(_text(data[at:begin]))
        parts.append(_facet(_text(data[begin:end]), type_, value, base))
        at = end
    parts += _lines(_text(data[at:]))
    return element("p", parts, class_="words", dir="auto", lang=body.get("lang"))


def lines(text: str) -> Markup:
    """Plain text of several lines (a bio)."""
    return element("p", _lines(text), class_="words", dir="auto")


def outward(text: str) -> Content:
    """A line, as a link if it is an address and nothing else."""
    if " " in text or not _linkable(text):
        return text
    return element("a", text, href=text, rel=_LINK_AWAY, dir="auto")


def _lines(text: str) -> Iterator[Content]:
    """Line ends as elements: text browsers and feed readers know no style."""
    for at, line in enumerate(text.split("\n")):
        if at:
            yield _BREAK
        yield line


def _facet(text: str, type_: int, value: str | bytes, base: str) -> Content:
    if type_ == FACET_LINK and isinstance(value, str) and _linkable(value):
        # Words that look like another address must not hide where a link goes.
        # Its own direction: inside Arabic or Hebrew the slashes of an address would change sides.
        return element("a", text, href=value, rel=_LINK_AWAY, title=value, dir="auto")
    if type_ == FACET_MENTION and isinstance(value, bytes):
        return element("a", text, href=base + account_path(value))
    if type_ == FACET_TAG and isinstance(value, str):
        return element("a", text, href=base + tag_path(value), rel="tag")
    return text


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _linkable(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in _SCHEMES and bool(parts.netloc)


def tags_of(body: Body) -> list[str]:
    """The tags of a post as its author spelt them, each once."""
    found = (row[3] for row in body.get("facets", ()) if row[2] == FACET_TAG)
    return list(dict.fromkeys(found))


def account_path(account: bytes) -> str:
    """The page of an account."""
    return f"/@{account.hex()}"


def record_path(id_: bytes) -> str:
    """The page of a post."""
    return f"/p/{id_.hex()}"


def tag_path(tag: str) -> str:
    """The page of a tag."""
    return f"/t/{quote(tag, safe='')}"


def mark(account: bytes) -> Markup:
    """The beginning of an account's id: names can be copied, this cannot."""
    return element("span", account[:MARK_BYTES].hex(), class_="mark", dir="ltr")


def instant(ms: int) -> datetime:
    """A time that people said, within what calendars have."""
    return datetime.fromtimestamp(min(ms, LATEST_MS) / 1000, UTC)


def rfc3339(ms: int) -> str:
    """A time to the second (RFC 3339), as Atom and OpenGraph have it."""
    return instant(ms).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(ms: int) -> Markup:
    """A time in UTC as people and machines read it; without script the reader's zone is unknown."""
    return element("time", clock(ms), datetime=rfc3339(ms))


def clock(ms: int) -> str:
    """A time in UTC as people read it."""
    return instant(ms).strftime("%Y-%m-%d %H:%M UTC")


def number(count: int, one: str, many: str, more: bool = False) -> str:
    """`1 reply`, `2 replies`, `5,000+ replies`."""
    return f"{count:,}{'+' if more else ''} {one if count == 1 and not more else many}"


def cut(text: str, chars: int) -> str:
    """A text on one line, ended at a word with an ellipsis if it is longer."""
    flat = " ".join(text.split())
    if len(flat) <= chars:
        return flat
    short = flat[: chars - 1]
    at_space = short.rpartition(" ")[0]
    return (at_space if len(at_space) > chars // 2 else short) + "…"
