"""Pages: right without script, escaped by construction, honest about what is not shown."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from ratoon_node.api.html import element
from ratoon_node.api.pages.conversation import DEPTH_MAX, REPLIES_SHOWN
from ratoon_protocol import kinds
from ratoon_protocol.record import Record
from tests.node.api.browsing import Seen, fetched, page
from tests.node.api.site import site
from tests.node.api.test_names import HOST, newcomer, open_site, register
from tests.node.world import Person

NASTY = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"


def path_of(post: Record) -> str:
    return f"/p/{post.id.hex()}"


def answer(who: Person, text: str, parent: Record, root: Record, **more: object) -> Record:
    accounts = {
        "parent_account": parent.header.account,
        "root_account": root.header.account,
    }
    return who.post(text, parent=parent.id, root=root.id, **accounts, **more)


@pytest.mark.parametrize("text", [NASTY, "a\nb", "صباح الخير"])
def test_whatever_is_put_in_stays_text(text: str) -> None:
    seen = Seen()
    seen.feed(element("p", text, title=text))
    assert (seen.tags, seen.words) == ({"p"}, text)


async def test_a_visitor_reads_posts_and_finds_people(tmp_path: Path) -> None:
    async with site(tmp_path, name="Heron <b>") as place:
        ann = await place.resident(2)
        profile = {"name": NASTY, "bio": NASTY, "fields": [[NASTY, NASTY], ["w", "https://a.bc/"]]}
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
        reply = answer(ann, "answer", post, post)
        await place.publish(ann.sign(kinds.PROFILE, profile, target=b""), post, repost, reply)
        status, seen = await page(place, "/")
        assert status == 200
        assert "Heron <b>" in seen.words
        assert seen.words.count(words) == 2
        assert words in seen.folded
        assert path_of(post) in seen.links
        assert "https://example.org/x?a=1&b=2" in seen.links
        for path in (f"/@{ann.account.hex()}", f"/@{ann.account.hex()[:8]}"):
            status, seen = await page(place, path)
            assert status == 200
            assert seen.words.count(NASTY) >= 4
            assert "https://a.bc/" in seen.links
            assert seen.meta["og:type"] == "profile"
        status, seen = await page(place, path_of(reply))
        assert (status, path_of(post) in seen.links) == (200, True)
        (style,) = seen.rels["stylesheet"]
        status, headers, _ = await fetched(place, style)
        assert (status, headers["Content-Type"]) == (200, "text/css; charset=utf-8")


async def test_a_profile_has_posts_replies_and_media_apart(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        picture = {
            "alt": "a heron at dawn", "blur": "", "hash": bytes(32), "height": 1, "size": 1,
            "type": "image/png", "width": 1,
        }  # fmt: skip
        post, shot = (
            ann.post("one post"),
            ann.post("two pictures", media=[picture, {**picture, "alt": ""}]),
        )
        await place.publish(post, shot, answer(ann, "three reply", post, post))
        at = f"/@{ann.account.hex()}"
        told = {
            path: (await page(place, path))[1].words
            for path in (at, f"{at}?only=replies", f"{at}?only=media")
        }
        has = [
            [word in words for word in ("one post", "two pictures", "three reply")]
            for words in told.values()
        ]
        assert has == [[True, True, False], [False, False, True], [False, True, False]]
        assert "a heron at dawn" in told[at]
        assert "not described" in told[at]
        assert (await page(place, f"{at}?only=all"))[0] == 400


async def test_what_is_not_shown_says_so(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        gone, blocked = ann.post("gone text"), ben.post("blocked text")
        await place.publish(gone, blocked, ann.sign(kinds.DELETE, {"ids": [gone.id]}))
        entry = {"subject": "account", "entity": ben.account.hex()}
        await place.operate("POST", "/blocks", entry)
        for path, status in (
            (path_of(gone), 410),
            (path_of(blocked), 403),
            (f"/@{ben.account.hex()}", 403),
            (f"{path_of(blocked)}/history", 403),
            ("/p/" + "0" * 64, 404),
            ("/p/x", 400),
            ("/@zz", 404),
            ("/@nobody@nowhere.example", 404),
            ("/@" + "0" * 64, 404),
            (path_of(ann.genesis), 404),
            ("/t/%23", 404),
            ("/?before=x", 400),
        ):
            found, seen = await page(place, path)
            assert (found, "Not shown here" in seen.words) == (status, True), path
            assert "text" not in seen.words
            assert seen.meta["robots"] == "noindex"
        for path in ("/", "/network"):
            _, seen = await page(place, path)
            assert "text" not in seen.words


async def test_a_long_post_is_cut_in_a_list_and_whole_on_its_own_page(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        short, long = ann.post("short"), ann.post("word " * 400)
        await place.publish(short, long)
        _, front = await page(place, "/")
        assert front.links.count(path_of(long)) == 2
        assert front.links.count(path_of(short)) == 1
        _, alone = await page(place, path_of(long))
        assert "word " * 400 in alone.words


@pytest.mark.parametrize("start", ["/", "/network", "/@", "/t/herons"])
async def test_older_and_newer_posts_are_a_link_away(tmp_path: Path, start: str) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        posts = [
            ann.post(f"number {at:02}. #herons", facets=[[11, 18, 2, "Herons"]]) for at in range(70)
        ]
        await place.publish(*posts)
        path, found = start + (ann.account.hex() if start == "/@" else ""), []
        for step in ("before", "before", "", "since", "since", ""):
            _, seen = await page(place, path)
            found.append([at for at in range(70) if f"number {at:02}." in seen.words])
            if step:
                (path,) = {link for link in seen.links if f"{step}=" in link and "feed" not in link}
            elif len(found) == 3:
                path = next(link for link in seen.links if "since=" in link)
        assert found[:3] == [[*range(40, 70)], [*range(10, 40)], [*range(10)]]
        assert found[3:5] == [[*range(10, 40)], [*range(40, 70)]]


async def test_a_conversation_is_a_tree_with_what_is_missing(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        root = ann.post("the root")
        middle = answer(ben, "the middle", root, root)
        gone = answer(ben, "the lost", middle, root)
        below = answer(ann, "the deep", gone, root)
        never = ben.post("never sent")
        orphan = answer(ann, "the orphan", never, root)
        await place.publish(root, middle, gone, below, orphan)
        await place.publish(ben.sign(kinds.DELETE, {"ids": [gone.id]}))
        _, seen = await page(place, path_of(root))
        words = seen.plain
        for text in (
            "the root",
            "the middle",
            "Deleted by its author.",
            "the deep",
            "Not here yet.",
            "the orphan",
        ):
            assert words.count(text) == 1, text
        assert words.index("Deleted by") < words.index("the deep")
        assert words.index("Not here yet") < words.index("the orphan")
        assert "the lost" not in words
        _, seen = await page(place, path_of(below))
        words = seen.plain
        assert words.index("the root") < words.index("Deleted by") < words.index("the deep")
        assert "the orphan" not in words
        assert path_of(root) in seen.links
        status, seen = await page(place, path_of(gone))
        assert (status, "the deep" in seen.words, "the lost" in seen.words) == (410, True, False)


async def test_a_thread_page_has_a_bound_and_a_way_on(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        root = ann.post("the root")
        chain = [root]
        for at in range(REPLIES_SHOWN + 5):
            chain.append(answer(ann, f"step {at:03}.", chain[-1], root))
        await place.publish(*chain)
        path, found = path_of(root), ""
        pages = 0
        while path:
            _, seen = await page(place, path)
            assert len(seen.ids) <= REPLIES_SHOWN + 4
            found += seen.words
            pages += 1
            path = next((link for link in seen.links if "?after=" in link), "")
        assert pages == 2
        assert all(found.count(f"step {at:03}.") == 1 for at in range(REPLIES_SHOWN + 5))
        status, _, data = await fetched(place, path_of(root))
        assert status == 200
        assert data.count(b'<ul class="replies">') == DEPTH_MAX + 1
        _, seen = await page(place, path_of(chain[1]))
        assert f"step {REPLIES_SHOWN:03}." in seen.words
        assert f"step {REPLIES_SHOWN + 1:03}." not in seen.words
        assert "More in the whole conversation" in seen.words


async def test_answers_that_nobody_asked_for_are_folded(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        root = ann.post("only who I follow", replies=1)
        await place.publish(
            root, answer(ben, "barging in", root, root), answer(ann, "my own", root, root)
        )
        _, seen = await page(place, path_of(root))
        assert "barging in" in seen.folded
        assert "my own" in seen.words
        assert "my own" not in seen.folded


async def test_names_come_with_digits_and_lookalikes_are_marked(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        people = [await place.resident(seed) for seed in (2, 3, 4)]
        for who, name in zip(people, ("Paypal", "PaypaI", "Zoe"), strict=True):
            profile = who.sign(kinds.PROFILE, {"name": name, "bio": ""}, target=b"")
            await place.publish(profile, who.post(f"by {name}"))
        _, seen = await page(place, "/")
        assert seen.words.count("name in use twice") == 2
        assert all(who.account.hex()[:8] in seen.words for who in people)


async def test_a_profile_is_found_by_name_handle_and_digits(tmp_path: Path) -> None:
    async with open_site(tmp_path) as place:
        ann = newcomer(place, 1, f"ann@{HOST}")
        assert (await register(ann, "ann"))[0] == 201
        for name in (
            ann.account,
            ann.account.upper(),
            ann.account[:8],
            "ann",
            "ANN",
            f"ann@{HOST}",
        ):
            status, seen = await page(place, f"/@{name}")
            assert (status, ann.account[:8] in seen.words) == (200, True), name
        for name in ("ben", "ann@other.example", ann.account[:7], "f" * 9):
            assert (await page(place, f"/@{name}"))[0] == 404


async def test_edits_counts_and_polls_are_shown(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        poll = {"ends_ms": place.clock.now_ms() + 10_000, "many": 0, "options": ["salt", "sugar"]}
        post, asked = ann.post("apple"), ann.post("which?", poll=poll)
        edit = ann.sign(kinds.EDIT, {"text": "pear"}, post.id)
        await place.publish(post, asked, edit, answer(ben, "yes", post, post))
        await place.publish(
            ben.sign(kinds.REACTION, {"emoji": "👍", "state": 1}, post.id),
            ben.sign(kinds.REPOST, {"target": post.id, "target_account": ann.account}),
            ben.sign(kinds.VOTE, {"choices": [1]}, asked.id),
        )
        _, seen = await page(place, path_of(post))
        assert "apple" not in seen.words
        assert "1 reply · 1 share · 👍 1" in seen.plain
        history = f"{path_of(post)}/history"
        assert history in seen.links
        _, seen = await page(place, history)
        assert seen.plain.index("apple") < seen.plain.index("pear")
        _, seen = await page(place, path_of(asked))
        assert "salt 0 votes (0 %)" in seen.plain
        assert "sugar 1 vote (100 %)" in seen.plain
        assert "Open until" in seen.plain


async def test_previews_say_what_a_post_says_and_hide_what_it_warns_of(tmp_path: Path) -> None:
    async with site(tmp_path, public_addresses=("https://heron.example",)) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        profile = ann.sign(kinds.PROFILE, {"name": "Ann", "bio": "Keeps herons."}, target=b"")
        post, hot = ann.post("good \nmorning"), ann.post("hidden words", warning="spiders")
        kept_out = ben.post("kept out")
        await place.publish(profile, post, hot, kept_out)
        entry = {"subject": "account", "entity": ben.account.hex(), "verdict": "limit"}
        await place.operate("POST", "/blocks", entry)
        address = f"https://heron.example{path_of(post)}"
        _, seen = await page(place, path_of(post), Host="evil.example")
        assert seen.rels["canonical"] == [address] == [seen.meta["og:url"]]
        assert seen.meta["og:title"] == "Ann: good morning"
        assert seen.meta["og:description"] == seen.meta["description"] == "good morning"
        assert (seen.meta["og:type"], seen.meta["twitter:card"]) == ("article", "summary")
        assert seen.meta["og:site_name"] == "heron.example"
        assert seen.meta["article:published_time"].endswith("Z")
        assert len(seen.rels["alternate"]) == 3
        assert "robots" not in seen.meta
        _, seen = await page(place, path_of(hot))
        assert "hidden" not in repr(seen.meta)
        assert seen.meta["og:description"] == "Content warning: spiders"
        assert "hidden words" in seen.folded
        for path in (path_of(kept_out), f"/@{ben.account.hex()}"):
            _, seen = await page(place, path)
            assert seen.meta["robots"] == "noindex"
            assert "Limited by this node's rules." in seen.words


async def test_the_node_names_its_rules(tmp_path: Path) -> None:
    rule = 'id = "no-pelicans"\nwhen = { word = "pelican" }\nthen = "hold"\nreason = "spam"\n'
    policy = f"[[rule]]\n{rule}"
    async with site(tmp_path, policy=policy, registration="open") as place:
        _, seen = await page(place, "/about")
        assert "no-pelicans" in seen.words
        assert "waits for a moderator (spam)" in seen.words
        assert 'pelican"' not in seen.words
        assert "open to new accounts" in seen.words


async def test_searching_is_a_form(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with site(tmp_path) as place:
            ann = await place.resident(2)
            profile = ann.sign(kinds.PROFILE, {"name": "Ann Tree", "bio": "b"}, target=b"")
            posts = [
                ann.post(f"secretword {at:02}. #trees", facets=[[15, 21, 2, "trees"]])
                for at in range(25)
            ]
            await place.publish(profile, *posts)
            _, seen = await page(place, "/search")
            assert "What many speak of" in seen.words
            _, seen = await page(place, "/search?q=secretword&in=posts&order=new")
            found = seen.words
            (more,) = [link for link in seen.links if "after=" in link]
            _, seen = await page(place, more)
            found += seen.words
            assert all(found.count(f"secretword {at:02}.") == 1 for at in range(25))
            _, seen = await page(place, "/search?q=tree&in=people")
            assert f"/@{ann.account.hex()}" in seen.links
            _, seen = await page(place, "/search?q=tre&in=tags")
            assert "/t/trees" in seen.links
            status, seen = await page(place, "/search?q=%22secretword")
            assert (status, 'value="&quot;' in seen.words) == (400, False)
            status, headers, _ = await fetched(place, "/search?q=nothing-like-it")
            assert (status, headers["Cache-Control"]) == (200, "private, no-store")
    assert "secretword" not in repr(logs)


async def test_unknown_paths_are_a_page_for_people_and_json_for_programs(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        status, seen = await page(place, "/xyz", Accept="text/html,*/*;q=0.8")
        assert (status, "Not found" in seen.words) == (404, True)
        status, body = await place.get("/xyz")
        assert (status, body["error"]["code"]) == (404, "not_found")


async def test_whoever_reads_too_much_is_told_so_on_a_page(tmp_path: Path) -> None:
    async with site(tmp_path, requests_per_minute_max=10) as place:
        place.clock.stop()
        for _ in range(12):
            status, headers, _ = await fetched(place, "/about", Accept="text/html")
        assert (status, headers["Content-Type"].partition(";")[0]) == (429, "text/html")
        assert int(headers["Retry-After"]) > 0


async def test_a_browser_finds_the_icon_and_engines_their_rules(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        status, headers, data = await fetched(place, "/favicon.ico")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        assert data.startswith(b"\x89PNG")
        status, headers, data = await fetched(place, "/robots.txt")
        assert (status, b"Disallow: /v1/\n" in data) == (200, True)
