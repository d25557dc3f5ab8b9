"""Streams of every topic: each message once to each it concerns, over cuts and slow clients."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import aiohttp
import msgpack
import pytest
from aiohttp import ClientResponse, ClientWebSocketResponse, WSMsgType

from ratoon_node.api.following import TOPICS
from ratoon_node.timeline import feed as feeds
from ratoon_node.timeline import topics
from ratoon_node.timeline.feed import Feed, Follower, Message
from ratoon_node.timeline.visibility import Sight
from ratoon_protocol import kinds
from tests.node.api.site import Site, site
from tests.node.world import Person


async def subscribed(place: Site, topic: str, **more: Any) -> ClientWebSocketResponse:
    socket = await place.http.ws_connect(place.url + "/v1/stream")
    await socket.send_str(json.dumps({"subscribe": topic, "json": True, **more}))
    return socket


async def told(socket: ClientWebSocketResponse, count: int) -> list[Any]:
    found = [json.loads(await socket.receive_str()) for _ in range(count)]
    return [one["record"]["body"]["text"] if "record" in one else one for one in found]


def tagged(who: Person, text: str) -> Any:
    start = text.encode().index(b"#")
    facet = [start, len(text.encode()), 2, text[text.index("#") + 1 :]]
    return who.post(text, facets=[facet])


async def test_each_topic_hears_what_concerns_it_live_and_after_a_cut(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben, cyd = [await place.resident(seed) for seed in (2, 3, 4)]
        await place.publish(ann.sign(kinds.FOLLOW, {"state": 1}, target=ben.account))
        members = {"members": [cyd.account], "state": 1, "title": "birds"}
        target = b"l" * 16
        await place.publish(ann.sign(kinds.LIST, members, target=target))
        root = ben.post("root")
        _, done = await place.publish(root)
        assert done["records"][0]["code"] == "stored"
        asked: dict[str, dict[str, Any]] = {
            "network": {},
            "local": {},
            "home": {"account": ann.account.hex()},
            "account": {"account": ben.account.hex()},
            "list": {"account": ann.account.hex(), "list": target.hex()},
            "tag": {"tag": "Birds"},
            "thread": {"id": root.id.hex()},
        }
        assert asked.keys() <= TOPICS.keys()
        _, body = await place.get("/v1/timelines/network")
        end = body["end"]
        place_in = {"parent": root.id, "parent_account": ben.account}
        place_in |= {"root": root.id, "root_account": ben.account}
        live = {
            topic: await subscribed(place, topic, since=end, **of) for topic, of in asked.items()
        }
        await place.publish(tagged(ben, "see #birds"), cyd.post("by cyd"))
        await place.publish(cyd.post("a reply", **place_in))
        expected = {
            "network": ["see #birds", "by cyd", "a reply"],
            "local": ["see #birds", "by cyd", "a reply"],
            "home": ["see #birds"],
            "account": ["see #birds"],
            "list": ["by cyd", "a reply"],
            "tag": ["see #birds"],
            "thread": ["a reply"],
        }
        for topic, texts in expected.items():
            assert await told(live[topic], len(texts)) == texts, topic
            await live[topic].close()
        for topic, of in asked.items():
            again = await subscribed(place, topic, since=end, **of)
            texts = expected[topic]
            assert await told(again, len(texts)) == texts, topic
            await again.close()


async def test_what_went_away_is_told_live_and_after_a_cut(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        first, second, third = [ann.post(text) for text in ("first", "second", "third")]
        await place.publish(first, second, third)
        _, body = await place.get("/v1/timelines/network")
        end = body["end"]
        live = await subscribed(place, "account", account=ann.account.hex())
        other = await subscribed(place, "account", account=ben.account.hex())
        await place.publish(ann.post("heard"), ben.post("other heard"))
        assert await told(live, 1) == ["heard"]
        assert await told(other, 1) == ["other heard"]
        await place.publish(ann.sign(kinds.DELETE, {"ids": [first.id]}))
        await place.publish(ann.sign(kinds.EDIT, {"text": "second, better"}, target=second.id))
        await place.publish(ben.post("last"))
        gone, edited = [json.loads(await live.receive_str()) for _ in range(2)]
        assert gone["gone"] == [first.id.hex()]
        assert edited["record"]["id"] == second.id.hex()
        assert edited["record"]["body"]["text"] == "second, better"
        assert edited["record"]["edited"]["created_ms"] >= second.header.created_ms
        assert edited["cursor"] > gone["cursor"] > end
        assert await told(other, 1) == ["last"]
        again = await subscribed(place, "account", since=end, account=ann.account.hex())
        caught = [json.loads(await again.receive_str()) for _ in range(3)]
        assert {"cursor": end, "gone": [first.id.hex()]} in caught
        texts = [one["record"]["body"]["text"] for one in caught if "record" in one]
        assert sorted(texts) == ["heard", "second, better"]
        assert texts[-1] == "heard", "what is new comes last, because it moves the cursor"
        socket = await place.http.ws_connect(place.url + "/v1/stream")
        await socket.send_str(json.dumps({"subscribe": "network", "since": end}))
        packed = [msgpack.unpackb(await socket.receive_bytes()) for _ in range(4)]
        assert {"cursor": end, "gone": [first.id]} in packed
        edits = [one for one in packed if isinstance(one, list) and one[2] is not None]
        assert [msgpack.unpackb(one[1])[0] for one in edits] == [second.header_bytes]


async def test_too_far_back_says_that_what_went_away_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "LINES_MAX", 5)
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        await place.publish(ann.post("first"))
        _, body = await place.get("/v1/timelines/network")
        await place.publish(*[ann.post(f"number {at}") for at in range(9)])
        socket = await subscribed(place, "network", since=body["end"])
        assert json.loads(await socket.receive_str()) == {"missed": True, "from": body["end"]}
        assert await told(socket, 9) == [f"number {at}" for at in range(9)]


@pytest.mark.parametrize("topic", ["network", "local"])
async def test_a_cursor_past_the_end_is_told_so_and_goes_on_from_the_end(
    tmp_path: Path, topic: str
) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        await place.publish(ann.post("before"))
        _, body = await place.get("/v1/timelines/network")
        await place.node.digest.reached(body["end"])
        at_end = await subscribed(place, topic, since=body["end"])
        beyond = await subscribed(place, topic, since=body["end"] + 1000)
        missed = {"missed": True, "from": body["end"] + 1000}
        url = f"{place.url}/v1/events?topic={topic}&since={body['end'] + 1000}"
        async with place.http.get(url) as events, asyncio.timeout(20):
            assert json.loads(await beyond.receive_str()) == missed
            event = await _event(events)
            assert event.startswith(b"id: %d\n" % body["end"]), "a browser comes back from here"
            assert json.loads(event.partition(b"data: ")[2]) == missed
            await place.publish(ann.post("after"))
            assert await told(at_end, 1) == await told(beyond, 1) == ["after"]
            heard = json.loads((await _event(events)).partition(b"data: ")[2])
            assert heard["record"]["body"]["text"] == "after"


async def _event(events: ClientResponse) -> bytes:
    """The next event that has data."""
    event = b""
    while b"data: " not in event:
        event = await events.content.readuntil(b"\n\n")
    return event


async def test_a_limited_post_leaves_public_streams_alone(tmp_path: Path) -> None:
    policy = '[[rule]]\nid = "a"\nthen = "limit"\nreason = "r"\nwhen = { text_bytes_min = 30 }\n'
    async with site(tmp_path, policy=policy) as place:
        ann = await place.resident(2)
        network = await subscribed(place, "network", since=0)
        account = await subscribed(place, "account", since=0, account=ann.account.hex())
        await place.publish(ann.post("a post that is longer than it should be"), ann.post("short"))
        assert (await told(account, 2))[1] == "short"
        assert await told(network, 1) == ["short"]


async def test_a_hundred_subscribers_get_everything_once(tmp_path: Path) -> None:
    async with site(tmp_path, requests_per_minute_max=0) as place:
        people = [await place.resident(seed) for seed in (2, 3)]
        wide = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        ask = json.dumps({"subscribe": "network", "json": True, "since": 0})
        sockets = [await wide.ws_connect(place.url + "/v1/stream") for _ in range(100)]
        for socket in sockets:
            await socket.send_str(ask)
        texts = []
        for at in range(10):
            await place.publish(*[who.post(f"{at}") for who in people])
            texts += [f"{at}"] * 2
        for socket in sockets:
            assert await told(socket, 20) == texts
        await place.publish(people[0].post("end"))
        for socket in sockets:
            assert await told(socket, 1) == ["end"]
        await wide.close()


async def test_random_cuts_lose_nothing(tmp_path: Path) -> None:
    """A client that is cut at random and goes on from its last cursor ends with what is there."""
    async with site(tmp_path, requests_per_minute_max=0, stream_queue_max=5) as place:
        rng = random.Random(7)
        people = [await place.resident(seed) for seed in (2, 3, 4)]
        posts: list[tuple[Person, Any]] = []
        held: dict[str, str] = {}
        cursor = 0
        for _ in range(12):
            socket = await subscribed(place, "network", since=cursor)
            for _ in range(rng.randint(1, 6)):
                who = rng.choice(people)
                if posts and rng.random() < 0.3:
                    owner, post = posts.pop(rng.randrange(len(posts)))
                    await place.publish(owner.sign(kinds.DELETE, {"ids": [post.id]}))
                elif posts and rng.random() < 0.3:
                    owner, post = rng.choice(posts)
                    words = {"text": f"edited {rng.random()}"}
                    await place.publish(owner.sign(kinds.EDIT, words, target=post.id))
                else:
                    posts.append((who, who.post(f"{rng.random()}")))
                    await place.publish(posts[-1][1])
            for _ in range(rng.randint(0, 4)):
                cursor = await hold(socket, held, cursor)
            await socket.close()
        last = people[0].post("last")
        await place.publish(last)
        socket = await subscribed(place, "network", since=cursor)
        while last.id.hex() not in held:
            cursor = await hold(socket, held, cursor)
        _, page = await place.get("/v1/timelines/network?limit=200")
        assert held == {item["id"]: item["body"]["text"] for item in page["items"]}


async def hold(socket: ClientWebSocketResponse, held: dict[str, str], cursor: int) -> int:
    try:
        async with asyncio.timeout(0.2):
            message = json.loads(await socket.receive_str())
    except TimeoutError:
        return cursor
    if "record" in message:
        held[message["record"]["id"]] = message["record"]["body"]["text"]
    for id_ in message.get("gone", ()):
        held.pop(id_, None)
    return max(cursor, message.get("cursor", 0))


async def test_what_waits_for_all_followers_together_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "WAITING_BYTES_MAX", 10_000)
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        sight = Sight(place.node.db, place.clock, lambda: place.node.gate.policy)
        feed = Feed(place.node.db, place.node.fanout, sight, b"n" * 32)
        followers = [Follower(1000, feed) for _ in range(10)]
        for follower in followers:
            feed.follow(follower, [feeds.NETWORK])
        for at in range(50):
            message = Message(at, ann.account, 0, gone=[b"i" * 32] * 10, keys=[feeds.NETWORK])
            for follower in followers:
                follower.offer(message)
            assert feed.waiting.bytes <= 10_000
        assert [await follower.next() for follower in followers].count(None) > 0
        for follower in followers:
            feed.leave(follower)
            follower.clear()
        assert feed.waiting.bytes == 0


# --- server-sent events ------------------------------------------------------------------------


async def event(response: ClientResponse) -> dict[str, str]:
    fields: dict[str, str] = {}
    while True:
        line = (await response.content.readline()).decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            return fields
        else:
            fields = {}


async def test_events_are_streams_for_curl(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        await place.publish(ann.post("one"))
        url = f"{place.url}/v1/events?topic=account&account={ann.account.hex()}"
        async with place.http.get(url + "&since=0") as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            assert response.headers["X-Accel-Buffering"] == "no"
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            one = await event(response)
            assert json.loads(one["data"])["record"]["body"]["text"] == "one"
            await place.publish(ann.post("two"))
            two = await event(response)
            assert json.loads(two["data"])["record"]["body"]["text"] == "two"
            assert int(two["id"]) > int(one["id"])
        await place.publish(ann.post("three"))
        async with place.http.get(url, headers={"Last-Event-ID": two["id"]}) as response:
            three = await event(response)
            assert json.loads(three["data"])["record"]["body"]["text"] == "three"
        for query in ("topic=home", "topic=nothing", "topic=network&since=-1", "topic=network&x=1"):
            status, body = await place.get(f"/v1/events?{query}")
            assert (status, body["error"]["code"]) in ((400, "bad_request"), (400, "out_of_range"))


async def test_events_count_among_streams_and_end_with_the_node(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http:
        async with site(tmp_path, streams_max=1) as place:
            response = await http.get(place.url + "/v1/events?topic=network")
            status, body = await place.get("/v1/events?topic=network")
            assert (status, body["error"]["code"]) == (503, "busy")
        assert (await response.content.read()).startswith(b"retry: "), "it ends, and is whole"


async def test_a_subscription_says_what_it_lacks(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        for asked in ({"subscribe": "tag"}, {"subscribe": "list"}, {"subscribe": "thread"}):
            socket = await place.http.ws_connect(place.url + "/v1/stream")
            await socket.send_str(json.dumps(asked))
            message = await socket.receive()
            assert message.type is WSMsgType.TEXT
            assert json.loads(message.data)["error"]["code"] == "bad_request"
            await socket.close()
