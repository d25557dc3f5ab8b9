"""Pages as a browser without script sees them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from ratoon_node.store import read
from tests.node.api.site import Site

#: Nothing that runs, frames, draws or loads by itself; a form on the page with the search alone.
BARRED = {"script", "iframe", "object", "embed", "img", "style", "svg", "math", "video", "audio"}
_VOID = {"br", "hr", "img", "link", "meta", "input"}
#: Elements in which others of the same name stand only by a mistake.
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


class Seen(HTMLParser):
    """Elements, links, metadata, headings and text of a page; every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.words = ""
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.meta: dict[str, str] = {}
        self.rels: dict[str, list[str]] = {}
        self.folded = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.attributes |= set(given)
        self.links += [given[name] for name in ("href", "src", "action") if name in given]
        if tag in _HEADINGS:
            self.headings.append(int(tag[1]))
        if tag == "meta":
            self.meta[given.get("property") or given.get("name", "")] = given.get("content", "")
        if tag == "link":
            self.rels.setdefault(given["rel"], []).append(given["href"])
        self.ids += [given["id"]] if "id" in given else []
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "body" in self._open or "html" not in self._open:
            self.words += data
        if "details" in self._open and "summary" not in self._open:
            self.folded += data

    def close(self) -> None:
        super().close()
        assert self._open == []

    @property
    def plain(self) -> str:
        """Its words with single spaces."""
        return " ".join(self.words.split())


async def settled(place: Site) -> None:
    """Return once everything derived is made."""
    await place.node.digest.reached(await place.node.db.read(read.journal_end))


async def page(place: Site, path: str, **headers: str) -> tuple[int, Seen]:
    """A page, which must be what every page is."""
    await settled(place)
    async with place.http.get(place.url + path, headers=headers) as response:
        seen = Seen()
        text = await response.text()
        seen.feed(text)
        seen.close()
        assert response.content_type == "text/html"
        policy = response.headers["Content-Security-Policy"]
        check(seen, policy, path)
        return response.status, seen


def check(seen: Seen, policy: str, path: str) -> None:
    """What holds of every page."""
    assert not seen.tags & BARRED
    assert not {name for name in seen.attributes if name.startswith(("on", "style"))}
    form = "'self'" if path.startswith("/search") and "form" in seen.tags else "'none'"
    assert f"form-action {form}" in policy
    assert "default-src 'none'" in policy
    assert ("form" in seen.tags) == (form == "'self'")
    assert seen.headings[0] == 1
    assert seen.headings.count(1) == 1
    steps = zip(seen.headings, seen.headings[1:], strict=False)
    assert all(after <= before + 1 for before, after in steps), seen.headings
    assert len(seen.ids) == len(set(seen.ids)), seen.ids
    assert "#content" in seen.links
    assert "content" in seen.ids


async def fetched(place: Site, path: str, **headers: str) -> tuple[int, Any, bytes]:
    """Status, headers and bytes of whatever stands at a path."""
    async with place.http.get(place.url + path, headers=headers) as response:
        return response.status, response.headers, await response.read()
