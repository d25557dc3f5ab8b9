"""Feeds: what readers of feeds require, whatever people write."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from datetime import datetime
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_node.api.feeds import ENTRIES_MAX
from ratoon_node.api.html import element, join
from ratoon_node.api.syndication import FORMS, Entry, Feed, atom, json_feed, rss
from ratoon_node.api.words import LATEST_MS
from ratoon_protocol import kinds
from tests.node.api.browsing import fetched, settled
from tests.node.api.site import Site, site

ATOM = "{http://www.w3.org/2005/Atom}"
DC = "{http://purl.org/dc/elements/1.1/}"
HERE = "https://heron.example"


# --- what every feed must be -------------------------------------------------------------------


def is_absolute(url: str | None) -> bool:
    """An address by itself (RFC 3986)."""
    return bool(url) and bool(urlsplit(url).scheme)


def check_atom(data: bytes) -> ET.Element:
    """The requirements of RFC 4287, section 4.1, for feeds whose entries all have authors."""
    root = ET.fromstring(data)
    assert root.tag == f"{ATOM}feed"
    for one in (root, *root.findall(f"{ATOM}entry")):
        for name in ("id", "title", "updated"):
            assert len(one.findall(ATOM + name)) == 1, name
        assert is_absolute(one.findtext(f"{ATOM}id"))
        for name in ("updated", "published"):
            for date in one.findall(ATOM + name):
                assert datetime.fromisoformat(date.text or "").tzinfo is not None
        links = one.findall(f"{ATOM}link")
        assert all(is_absolute(link.get("href")) for link in links)
        alternates = [link for link in links if link.get("rel") == "alternate"]
        assert len(alternates) == 1
    assert sum(link.get("rel") == "self" for link in root.findall(f"{ATOM}link")) == 1
    ids = [one.findtext(f"{ATOM}id") for one in root.findall(f"{ATOM}entry")]
    assert len(ids) == len(set(ids))
    for one in root.findall(f"{ATOM}entry"):
        (author,) = one.findall(f"{ATOM}author")
        assert author.findtext(f"{ATOM}name")
        (content,) = one.findall(f"{ATOM}content")
        assert content.get("type") == "html"
        assert len(content) == 0  # text, not elements
        assert all(category.get("term") for category in one.findall(f"{ATOM}category"))
    return root


def check_rss(data: bytes) -> ET.Element:
    """The requirements of RSS 2.0."""
    root = ET.fromstring(data)
    assert (root.tag, root.get("version")) == ("rss", "2.0")
    (channel,) = root
    for name in ("title", "link", "description"):
        assert len(channel.findall(name)) == 1, name
    for item in channel.findall("item"):
        guid = item.find("guid")
        assert guid is not None
        assert guid.get("isPermaLink") == "false"
        assert is_absolute(item.findtext("link"))
        assert parsedate_to_datetime(item.findtext("pubDate") or "").tzinfo is not None
    return channel


def check_json(data: bytes) -> dict[str, Any]:
    """The requirements of JSON Feed 1.1."""
    found: dict[str, Any] = json.loads(data)
    assert found["version"] == "https://jsonfeed.org/version/1.1"
    assert found["title"]
    for item in found["items"]:
        assert item["id"]
        assert "content_html" in item
        assert datetime.fromisoformat(item["date_published"]).tzinfo is not None
    return found


CHECKS = {"atom": check_atom, "rss": check_rss, "json": check_json}
TYPES = {form: type_ for form, (_, type_) in FORMS.items()}

#: Anything at all but lone surrogates, which no UTF-8 has.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(TEXT, TEXT, TEXT, st.lists(TEXT, max_size=3), st.integers(0, LATEST_MS * 2))
def test_whatever_people_write_is_a_valid_feed(
    title: str, words: str, name: str, tags: list[str], at_ms: int
) -> None:
    content = join(element("p", words, title=title))
    one = Entry(
        "ratoon:record:aa", f"{HERE}/p/aa", title or "x", content, name or "x", f"{HERE}/@bb",
        at_ms, at_ms, tags, "en",
    )  # fmt: skip
    feed = Feed("ratoon:x", title or "x", words, f"{HERE}/", f"{HERE}/feed", "", [one])
    root = ET.fromstring(atom(feed))
    assert root.findtext(f"{ATOM}entry/{ATOM}title") == written(title or "x")
    assert root.findtext(f"{ATOM}entry/{ATOM}content") == written(content)
    channel = check_rss(rss(feed))
    assert channel.findtext("item/description") == written(content)
    assert channel.findtext(f"item/{DC}creator") == written(name or "x")
    (item,) = check_json(json_feed(feed))["items"]
    assert item["content_html"] == content


def written(text: str) -> str:
    """A text without what XML 1.0 cannot have."""
    return "".join(
        sign
        for sign in text
        if sign in "\t\n\r"
        or " " <= sign <= "\ud7ff"
        or "\ue000" <= sign <= "\ufffd"
        or sign >= "\U00010000"
    )


# --- feeds of a node ---------------------------------------------------------------------------


async def feed(place: Site, path: str) -> Any:
    """A feed, which must be what such feeds are."""
    await settled(place)
    form = path.partition("?")[0].rpartition(".")[2]
    status, headers, data = await fetched(place, path)
    assert status == 200, data
    assert headers["Content-Type"].partition(";")[0] == TYPES[form]
    return CHECKS[form](data)


class Text(HTMLParser):
    """Links and words of HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]


@pytest.mark.parametrize("form", FORMS)
async def test_every_place_has_its_feed(tmp_path: Path, form: str) -> None:
    async with site(tmp_path, public_addresses=(HERE,), name="Heron <Lake>") as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        text = "look #Trees\n@you & <b> \ufffe"
        facets = [[5, 11, 2, "Trees"], [12, 16, 1, ben.account]]
        post = ann.post(text, facets=facets, lang="en")
        reply = ben.post(
            "yes",
            parent=post.id,
            root=post.id,
            parent_account=ann.account,
            root_account=ann.account,
        )
        profile = ann.sign(kinds.PROFILE, {"name": "Ann & co", "bio": ""}, b"")
        await place.publish(post, reply, profile)
        thread = [f"ratoon:record:{one.id.hex()}" for one in (reply, post)]
        for path, ids in (
            ("/local", thread),
            ("/network", thread),
            (f"/@{ann.account.hex()}", thread[1:]),
            ("/t/TREES", thread[1:]),
            (f"/p/{post.id.hex()}", thread),
            (f"/p/{reply.id.hex()}", thread),
        ):
            found = await feed(place, f"{path}/feed.{form}")
            entry = last_entry(form, found)
            assert all_ids(form, found) == ids, path
            html = Text()
            html.feed(entry["content"])
            assert html.links == [f"{HERE}/t/Trees", f"{HERE}/@{ben.account.hex()}"]
            assert html.tags == {"p", "a", "br"}
            assert entry["url"] == f"{HERE}/p/{post.id.hex()}"
            assert entry["author"] == "Ann & co"
            assert entry["tags"] == ["Trees"]
            assert "&lt;b&gt;" in entry["content"]


def all_ids(form: str, found: Any) -> list[str | None]:
    if form == "json":
        return [item["id"] for item in found["items"]]
    if form == "rss":
        return [item.findtext("guid") for item in found.findall("item")]
    return [one.findtext(f"{ATOM}id") for one in found.findall(f"{ATOM}entry")]


def last_entry(form: str, found: Any) -> dict[str, Any]:
    """The last entry of a feed, in the same words whatever its form."""
    if form == "json":
        item = found["items"][-1]
        return {
            "content": item["content_html"], "url": item["url"], "title": item["title"],
            "author": item["authors"][0]["name"], "tags": item.get("tags", []),
        }  # fmt: skip
    if form == "rss":
        item = found.findall("item")[-1]
        return {
            "content": item.findtext("description"), "url": item.findtext("link"),
            "title": item.findtext("title"), "author": item.findtext(f"{DC}creator"),
            "tags": [one.text for one in item.findall("category")],
        }  # fmt: skip
    one = found.findall(f"{ATOM}entry")[-1]
    return {
        "content": one.findtext(f"{ATOM}content"), "title": one.findtext(f"{ATOM}title"),
        "url": one.find(f"{ATOM}link").get("href"),
        "author": one.findtext(f"{ATOM}author/{ATOM}name"),
        "tags": [category.get("term") for category in one.findall(f"{ATOM}category")],
    }  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
async def test_a_warning_hides_what_it_warns_of(tmp_path: Path, form: str) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        post = ann.post("spoilt #Ending", warning="the film", facets=[[7, 14, 2, "Ending"]])
        quote = ann.post("ha", quote=post.id, quote_account=ann.account)
        repost = ann.sign(kinds.REPOST, {"target": post.id, "target_account": ann.account})
        await place.publish(post, quote, repost)
        await settled(place)
        path = f"/@{ann.account.hex()}/feed.{form}"
        _, _, data = await fetched(place, path)
        assert b"spoilt" not in data
        assert b"Ending" not in data
        entry = last_entry(form, await feed(place, path))
        assert entry["title"] == "Content warning: the film"
        assert "the film" in entry["content"]
        assert "details" not in entry["content"]


async def test_an_edit_keeps_the_id_and_moves_the_date(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        post = ann.post("apple")
        await place.publish(post)
        path = f"/@{ann.account.hex()}/feed.atom"
        before = await feed(place, path)
        place.clock.offset_ms += 60_000
        await place.publish(ann.sign(kinds.EDIT, {"text": "pear"}, post.id))
        after = await feed(place, path)
        assert all_ids("atom", before) == all_ids("atom", after)
        dates = [
            [found.findtext(f"{ATOM}entry/{ATOM}{name}") for name in ("published", "updated")]
            for found in (before, after)
        ]
        assert dates[0][0] == dates[0][1] == dates[1][0] < dates[1][1]
        assert after.findtext(f"{ATOM}updated") == dates[1][1]
        assert last_entry("atom", after)["title"] == "pear"


@pytest.mark.parametrize("path", ["/local", "/@", "/p/", "/t/trees"])
async def test_older_entries_are_a_link_away(tmp_path: Path, path: str) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        root = ann.post("#trees", facets=[[0, 6, 2, "trees"]])
        told = {"parent": root.id, "root": root.id, "facets": [[0, 6, 2, "trees"]]}
        posts = [root, *(ann.post(f"#trees {at}", **told) for at in range(ENTRIES_MAX + 5))]
        await place.publish(*posts)
        path += {"/@": ann.account.hex(), "/p/": root.id.hex()}.get(path, "")
        first = await feed(place, f"{path}/feed.atom")
        ids = all_ids("atom", first)
        (following,) = [
            link.get("href") for link in first.findall(f"{ATOM}link") if link.get("rel") == "next"
        ]
        rest = urlsplit(following)
        second = await feed(place, f"{rest.path}?{rest.query}")
        ids += all_ids("atom", second)
        assert ids == [f"ratoon:record:{one.id.hex()}" for one in reversed(posts)]
        listed = check_json((await fetched(place, f"{path}/feed.json"))[2])
        assert listed["next_url"] == following.replace("feed.atom", "feed.json")


async def test_what_is_not_shown_has_no_feed(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        post = ben.post("blocked text")
        await place.publish(post)
        entry = {"subject": "account", "entity": ben.account.hex()}
        await place.operate("POST", "/blocks", entry)
        for path, status in (
            (f"/@{ben.account.hex()}/feed.atom", 403),
            (f"/p/{post.id.hex()}/feed.atom", 403),
            (f"/p/{ann.genesis.id.hex()}/feed.atom", 404),
            ("/p/x/feed.atom", 400),
            ("/local/feed.xml", 404),
            ("/@nobody/feed.rss", 404),
        ):
            found, _, data = await fetched(place, path)
            assert (found, b"blocked text" in data) == (status, False), path
        assert all_ids("rss", await feed(place, "/network/feed.rss")) == []
