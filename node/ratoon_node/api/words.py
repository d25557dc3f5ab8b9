"""A post's text as HTML: plain text, with links, mentions and tags where its facets say."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from ratoon_node.api.html import Content, Markup, element
from ratoon_protocol.bodies import FACET_LINK, FACET_MENTION
from ratoon_protocol.record import Body

# Bytes of an account or id shown to people: enough to tell two apart.
MARK_BYTES = 4
# 9999-12-31: calendars end there; authors may write any number as the date of an imported post.
LATEST_MS = 253_402_214_400_000
# What a page may link to; anything else stays text.
_SCHEMES = frozenset({"http", "https"})


def words(body: Body) -> Markup:
    """The text of a post in its own direction and language."""
    data = body["text"].encode()
    parts: list[Content] = []
    at = 0
    for begin, end, type_, value in body.get("facets", ()):
        parts += [_text(data[at:begin]), _facet(_text(data[begin:end]), type_, value)]
        at = end
    parts.append(_text(data[at:]))
    return element("p", parts, class_="words", dir="auto", lang=body.get("lang"))


def _facet(text: str, type_: int, value: str | bytes) -> Content:
    if type_ == FACET_LINK and isinstance(value, str) and _linkable(value):
        # Words that look like another address must not hide where a link goes.
        # Its own direction: inside Arabic or Hebrew the slashes of an address would change sides.
        safe = "nofollow noopener noreferrer ugc"
        return element("a", text, href=value, rel=safe, title=value, dir="auto")
    if type_ == FACET_MENTION and isinstance(value, bytes):
        return element("a", text, href=account_path(value))
    return text


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _linkable(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in _SCHEMES and bool(parts.netloc)


def account_path(account: bytes) -> str:
    """The page of an account."""
    return f"/@{account.hex()}"


def record_path(id_: bytes) -> str:
    """The page of a post."""
    return f"/p/{id_.hex()}"


def mark(account: bytes) -> Markup:
    """The beginning of an account's id: names can be copied, this cannot."""
    return element("span", account[:MARK_BYTES].hex(), class_="mark", dir="ltr")


def moment(ms: int) -> Markup:
    """A time in UTC as people and machines read it; without script the reader's zone is unknown."""
    found = datetime.fromtimestamp(min(ms, LATEST_MS) / 1000, UTC)
    return element(
        "time", found.strftime("%Y-%m-%d %H:%M UTC"), datetime=found.isoformat(timespec="seconds")
    )
