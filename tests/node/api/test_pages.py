"""Pages: right without script, escaped by construction, honest about what is not shown."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from ratoon_node.api.html import element
from ratoon_protocol import kinds
from tests.node.api.site import Site, site

NASTY = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"


class Seen(HTMLParser):
    """Elements, links and text of a page, as a browser without script sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.words += data


async def page(place: Site, path: str) -> tuple[int, Seen]:
    async with place.http.get(place.url + path) as response:
        seen = Seen()
        seen.feed(await response.text())
        assert response.content_type == "text/html"
        assert not seen.tags & {"script", "iframe", "form", "object", "img", "style"}
        assert not {name for name in seen.attributes if name.startswith(("on", "style"))}
        return response.status, seen


@pytest.mark.parametrize("text", [NASTY, "a\nb", "صباح الخير"])
def test_whatever_is_put_in_stays_text(text: str) -> None:
    seen = Seen()
    seen.feed(element("p", text, title=text))
    assert (seen.tags, seen.words) == ({"p"}, text)


async def test_a_visitor_reads_posts_and_finds_people(tmp_path: Path) -> None:
    async with site(tmp_path, name="Heron <b>") as place:
        ann = await place.resident(2)
        profile = {"name": NASTY, "bio": NASTY, "fields": [[NASTY, NASTY]]}
        words = f"{NASTY} at https://example.org"
        begin = words.encode().index(b"https")
        link = [begin, len(words.encode()), 0, "https://example.org/x?a=1&b=2"]
        post = ann.post(
            words,
            facets=[link],
            lang="en",
            warning="careful",
            origin={"source": NASTY, "created_ms": 2**53 - 1},
        )
        repost = ann.sign(kinds.REPOST, {"target": post.id, "target_account": ann.account})
        reply = ann.post("answer", parent=post.id, root=post.id)
        await place.publish(ann.sign(kinds.PROFILE, profile, target=b""), post, repost, reply)
        status, seen = await page(place, "/")
        assert status == 200
        assert "Heron <b>" in seen.words
        assert words in seen.words
        assert f"/p/{post.id.hex()}" in seen.links
        assert "https://example.org/x?a=1&b=2" in seen.links
        for path in (f"/@{ann.account.hex()}", f"/@{ann.account.hex()[:8]}"):
            status, seen = await page(place, path)
            assert status == 200
            assert seen.words.count(NASTY) >= 4
        status, seen = await page(place, f"/p/{reply.id.hex()}")
        assert (status, f"/p/{post.id.hex()}" in seen.links) == (200, True)
        style = next(link for link in seen.links if link.endswith(".css"))
        async with place.http.get(place.url + style) as response:
            assert (response.status, response.content_type) == (200, "text/css")


async def test_what_is_not_shown_says_so(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        gone, blocked = ann.post("gone text"), ben.post("blocked text")
        await place.publish(gone, blocked, ann.sign(kinds.DELETE, {"ids": [gone.id]}))
        entry = {"subject": "account", "entity": ben.account.hex()}
        await place.operate("POST", "/blocks", entry)
        for path, status in (
            (f"/p/{gone.id.hex()}", 410),
            (f"/p/{blocked.id.hex()}", 403),
            (f"/@{ben.account.hex()}", 403),
            ("/p/" + "0" * 64, 404),
            ("/p/x", 400),
            ("/@zz", 404),
            ("/@" + "0" * 64, 404),
            (f"/p/{ann.genesis.id.hex()}", 404),
        ):
            found, seen = await page(place, path)
            assert (found, "Not shown here" in seen.words) == (status, True), path
            assert "text" not in seen.words
        _, seen = await page(place, "/")
        assert "text" not in seen.words


async def test_a_long_post_is_cut_in_a_list_and_whole_on_its_own_page(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        short, long = ann.post("short"), ann.post("word " * 400)
        await place.publish(short, long)
        _, front = await page(place, "/")
        assert front.links.count(f"/p/{long.id.hex()}") == 2
        assert front.links.count(f"/p/{short.id.hex()}") == 1
        _, alone = await page(place, f"/p/{long.id.hex()}")
        assert "word " * 400 in alone.words


async def test_older_posts_are_a_link_away(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        await place.publish(*[ann.post(f"number {at:02}.") for at in range(70)])
        path, found = "/", ""
        for _ in range(3):
            _, seen = await page(place, path)
            found += seen.words
            path = next((link for link in seen.links if link.startswith("/?before=")), "")
        assert path == ""
        assert all(found.count(f"number {at:02}.") == 1 for at in range(70))


async def test_the_front_page_names_the_rules(tmp_path: Path) -> None:
    rule = 'id = "no-pelicans"\nwhen = { word = "pelican" }\nthen = "hold"\nreason = "spam"\n'
    policy = f"[[rule]]\n{rule}"
    async with site(tmp_path, policy=policy) as place:
        _, seen = await page(place, "/")
        assert "no-pelicans" in seen.words
        assert "waits for a moderator (spam)" in seen.words
        assert 'pelican"' not in seen.words
