"""The client library against real nodes: it says, reads, believes no lie, and goes on elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from ratoon_client import Client, Refused, Unreachable, Untrue, keyfile
from ratoon_protocol import kinds
from tests.client.people import settle
from tests.node.api.site import site


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()


async def test_what_is_said_is_read_back_verified(tmp_path: Path) -> None:
    async with site(tmp_path / "a") as there:
        await settle("ana", there.node, there.url, 1)
        await settle("bob", there.node, there.url, 2)
        async with Client(account="ana") as ana, Client(account="bob") as other:
            first = await ana.post("Hello #world, see https://a.example.")
            await other.follow(ana.account)
            page = await other.timeline()
            assert [post.text for post in page.posts] == ["Hello #world, see https://a.example."]
            assert [facet[2] for facet in page.posts[0].body["facets"]] == [2, 0]
            answer = await other.post("Hello back", reply_to=page.posts[0])
            await other.react(page.posts[0])
            await ana.publish(kinds.EDIT, {"text": "Hello again"}, first.id)
            (post,) = (await other.posts_of(ana.account)).posts
            assert (post.body, post.id) == ({"text": "Hello again"}, first.id)
            found = await ana.record(answer.id)
            assert found.body["parent"] == first.id
            await ana.delete(first.id)
            assert (await other.posts_of(ana.account)).posts == []
        assert keyfile.load("bob").pending == []


async def test_what_was_just_said_can_be_answered_quoted_and_reacted_to(tmp_path: Path) -> None:
    async with site(tmp_path / "a") as there:
        await settle("ana", there.node, there.url, 1)
        async with Client(account="ana") as ana:
            first = await ana.post("Hello #world", lang="en")
            answer = await ana.post("and again", reply_to=first)
            last = await ana.post("and again", reply_to=answer, quote=first)
            assert (last.body["parent"], last.body["root"]) == (answer.id, first.id)
            assert (last.body["quote"], last.text) == (first.id, "and again")
            await ana.react(last)
            await ana.repost(first)
            read = {post.id: post for post in (await ana.posts_of(ana.account)).posts}
            for post in (first, answer, last):
                assert read[post.id]._replace(position=None) == post


async def test_no_node_keeps_what_was_signed_for_the_next_time(tmp_path: Path) -> None:
    async with site(tmp_path / "a") as there:
        await settle("ana", there.node, there.url, 1)
    async with Client(account="ana") as ana:
        with pytest.raises(Unreachable):
            await ana.post("into the void")
    assert len(keyfile.load("ana").pending) == 1
    async with site(tmp_path / "a") as again, Client([again.url], account="ana") as ana:
        await ana.post("once more")
        page = await ana.posts_of(ana.account)
        assert [post.text for post in page.posts] == ["once more", "into the void"]


async def test_a_copied_or_restored_key_file_signs_nothing(tmp_path: Path) -> None:
    async with site(tmp_path / "a") as there:
        file, _ = await settle("ana", there.node, there.url, 1)
        old = file.path.read_text()
        async with Client(account="ana") as ana:
            await ana.post("one")
            file.path.write_text(old)
            with pytest.raises(Exception, match="knows more of this device"):
                await ana.post("two")
            file.path.write_text(old.replace(file.instance, "00" * 16))
            with pytest.raises(Exception, match="another machine"):
                await ana.post("three")


def liar(there_url: str, change) -> web.Application:
    """A proxy before an honest node that changes what it answers."""
    import aiohttp

    async def answer(request: web.Request) -> web.Response:
        async with (
            aiohttp.ClientSession(auto_decompress=False) as http,
            http.request(
                request.method,
                there_url + request.path_qs,
                headers={k: v for k, v in request.headers.items() if k in ("Accept",)},
            ) as response,
        ):
            data = change(request.path, await response.read())
            return web.Response(
                body=data, status=response.status, content_type=response.content_type
            )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


async def listening(app: web.Application) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def test_a_node_that_alters_a_post_shows_none_of_it(tmp_path: Path) -> None:
    async with site(tmp_path / "a") as there:
        file, _ = await settle("ana", there.node, there.url, 1)
        async with Client(account="ana") as ana:
            honest = await ana.post("the truth")
            await ana.post("another truth")

        def change(path: str, data: bytes) -> bytes:
            return data.replace(b"the truth", b"the LIE!!")

        runner, url = await listening(liar(there.url, change))
        try:
            async with Client([url], read_only=True) as reader:
                page = await reader.posts_of(bytes.fromhex(file.account))
                assert [post.text for post in page.posts] == ["another truth"]
                assert page.untrue == 1
                with pytest.raises(Untrue):
                    await reader.record(honest.id)
        finally:
            await runner.cleanup()


async def test_a_node_that_answers_with_another_record_is_not_believed(tmp_path: Path) -> None:
    async with site(tmp_path / "a") as there:
        await settle("ana", there.node, there.url, 1)
        async with Client(account="ana") as ana:
            one = await ana.post("one")
            two = await ana.post("two")

        def change(path: str, data: bytes) -> bytes:
            return two.record.encode() if path.endswith(one.id.hex()) else data

        runner, url = await listening(liar(there.url, change))
        try:
            async with Client([url], read_only=True) as reader:
                with pytest.raises(Untrue):
                    await reader.record(one.id)
                assert (await reader.record(two.id)).body["text"] == "two"
        finally:
            await runner.cleanup()


async def test_reading_and_writing_go_on_at_another_home(tmp_path: Path) -> None:
    async with site(tmp_path / "a", seed=1) as first, site(tmp_path / "b", seed=2) as second:
        _, _ = await settle("ana", first.node, first.url, 1, second.node)
        gone = "http://127.0.0.1:9"
        async with Client([gone, second.url], account="ana") as ana:
            post = await ana.post("still here")
            assert (await ana.record(post.id)).body["text"] == "still here"
            assert ana.nodes.in_order()[-1] == gone


async def test_a_node_that_is_no_home_sends_the_record_elsewhere(tmp_path: Path) -> None:
    async with site(tmp_path / "a", seed=1) as home, site(tmp_path / "b", seed=2) as other:
        await settle("ana", home.node, home.url, 1)
        async with Client([other.url], account="ana") as ana:
            post = await ana.post("at home")
        async with home.http.get(f"{home.url}/v1/records/{post.id.hex()}") as response:
            assert response.status == 200


async def test_a_refusal_is_told_and_not_kept(tmp_path: Path) -> None:
    policy = (
        '[[rule]]\nid = "w"\nwhen = { word = "forbidden" }\nthen = "withhold"\nreason = "spam"\n'
    )
    async with site(tmp_path / "a", policy=policy) as there:
        await settle("ana", there.node, there.url, 1)
        async with Client(account="ana") as ana:
            with pytest.raises(Refused) as error:
                await ana.post("forbidden")
            assert error.value.code == "withheld"
            await ana.post("allowed")
    assert keyfile.load("ana").pending == []


async def test_two_clients_of_one_account_never_fork_its_chain(tmp_path: Path) -> None:
    async with site(tmp_path / "a") as there:
        await settle("ana", there.node, there.url, 1)
        async with Client(account="ana") as one, Client(account="ana") as two:
            await asyncio.gather(*(who.post(f"{n}") for n in range(5) for who in (one, two)))
            heads = (await there.get(f"/v1/accounts/{one.account.hex()}/heads"))[1]["heads"]
            assert {head["seq"] for head in heads if head["lane"] == 2} == {10}
            assert not any(head["forked"] for head in heads)
