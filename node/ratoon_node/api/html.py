"""HTML built from elements: every text and every attribute is escaped by construction."""

from __future__ import annotations

import html
from collections.abc import Iterable

# Elements without an end tag.
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


class Markup(str):
    """Text that is HTML already; only this module makes it."""

    __slots__ = ()


#: What an element may contain: text is escaped, markup is taken as it is.
Content = str | Markup | Iterable["Content"] | None


def element(name: str, /, *content: Content, **attributes: str | bool | None) -> Markup:
    """`<name …>content</name>`. Attributes that are None or False are left out.

    `class_` is written `class`, `data_x` is written `data-x`.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{html.escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(content)}</{name}>")


def join(content: Content) -> Markup:
    """Content one after the other."""
    if content is None:
        return Markup()
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return Markup(html.escape(content, quote=False))
    return Markup("".join(join(part) for part in content))


def document(*, title: str, lang: str, head: Content, body: Content) -> bytes:
    """A whole page."""
    page = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("title", title),
            head,
        ),
        element("body", body),
        lang=lang,
    )
    return f"<!doctype html>\n{page}\n".encode()
