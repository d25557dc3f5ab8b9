"""The stream: publishing over one connection, hearing of new records, catching up."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import msgpack
from aiohttp import ClientWebSocketResponse, WSCloseCode, WSMsgType

from ratoon_protocol import kinds
from ratoon_protocol.record import decode_record
from tests.node.api.site import site


async def heard(socket: ClientWebSocketResponse) -> tuple[int, str]:
    cursor, data, _ = msgpack.unpackb(await socket.receive_bytes())
    body = msgpack.unpackb(decode_record(data).payload)[2]
    return cursor, body["text"]


async def test_records_published_on_a_stream_are_answered_by_number(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        posts = [ann.post(f"number {at}") for at in range(30)]
        async with place.http.ws_connect(place.url + "/v1/stream") as socket:
            for at in range(3):
                part = [post.encode() for post in posts[10 * at : 10 * at + 10]]
                await socket.send_bytes(msgpack.packb([at, part]))
            answers = dict([msgpack.unpackb(await socket.receive_bytes()) for _ in range(3)])
            assert sorted(answers) == [0, 1, 2]
            for at in range(3):
                ids = [post.id for post in posts[10 * at : 10 * at + 10]]
                assert answers[at] == [[id_, "stored"] for id_ in ids]
            for data, code in (
                (b"\xc1", "bad_type"),
                (msgpack.packb([7, [b"x"], 1]), "bad_length"),
                (msgpack.packb([7, ["x"]]), "bad_type"),
                (msgpack.packb([7, [b"x"] * 10_001]), "too_many"),
                (msgpack.packb([7, [b"x"]]) + b"\x00", "trailing"),
            ):
                await socket.send_bytes(data)
                assert msgpack.unpackb(await socket.receive_bytes())[1] == code
            await socket.send_bytes(msgpack.packb([9, [b"x", posts[0].encode()]]))
            number, outcomes = msgpack.unpackb(await socket.receive_bytes())
            assert (number, [code for _, code in outcomes]) == (9, ["bad_type", "duplicate"])


async def test_a_cut_stream_goes_on_from_its_cursor(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        async with place.http.ws_connect(place.url + "/v1/stream") as socket:
            await socket.send_str('{"subscribe": "network", "since": 0}')
            await place.publish(ann.post("one"), ben.post("two"))
            assert [(await heard(socket))[1] for _ in range(2)] == ["one", "two"]
            await place.publish(ann.post("three"))
            cursor, text = await heard(socket)
            assert text == "three"
        await place.publish(ann.post("four"))
        async with place.http.ws_connect(place.url + "/v1/stream") as socket:
            request = {"subscribe": "account", "account": ann.account.hex(), "since": cursor}
            await socket.send_str(json.dumps(request | {"json": True}))
            assert json.loads(await socket.receive_str())["record"]["body"]["text"] == "four"
            await place.publish(ben.post("not this"), ann.post("five"))
            assert json.loads(await socket.receive_str())["record"]["body"]["text"] == "five"


async def test_a_home_stream_hears_of_whom_one_follows_from_now_on(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben, cyd = [await place.resident(seed) for seed in (2, 3, 4)]
        async with place.http.ws_connect(place.url + "/v1/stream") as socket:
            request = {"subscribe": "home", "account": ann.account.hex(), "since": 0}
            await socket.send_str(json.dumps(request))
            await place.publish(ben.post("unheard"), ann.post("own"))
            assert (await heard(socket))[1] == "own"
            await place.publish(ann.sign(kinds.FOLLOW, {"state": 1}, target=ben.account))
            await place.publish(cyd.post("still unheard"), ben.post("heard"))
            assert (await heard(socket))[1] == "heard"


async def test_a_slow_reader_is_told_and_misses_nothing(tmp_path: Path) -> None:
    async with site(tmp_path, stream_queue_max=10) as place:
        ann = await place.resident(2)
        posts = [ann.post(f"number {at}") for at in range(50)]
        async with place.http.ws_connect(place.url + "/v1/stream") as socket:
            await socket.send_str('{"subscribe": "network"}')
            await place.publish(ann.post("from now on it listens"))
            assert (await heard(socket))[1] == "from now on it listens"
            await place.publish(*posts)
            texts: list[str] = []
            told = 0
            while len(texts) < 50:
                message = await socket.receive()
                if isinstance(message.data, str):
                    told += json.loads(message.data) == {"missed": True}
                else:
                    data = msgpack.unpackb(message.data)[1]
                    texts.append(msgpack.unpackb(decode_record(data).payload)[2]["text"])
            assert texts == [f"number {at}" for at in range(50)]
            assert told == 1


async def test_what_is_hidden_is_not_streamed(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        await place.publish(ben.post("before"))
        entry = {"subject": "account", "entity": ben.account.hex()}
        await place.operate("POST", "/blocks", entry)
        async with place.http.ws_connect(place.url + "/v1/stream") as socket:
            await socket.send_str('{"subscribe": "network", "since": 0}')
            await place.publish(ben.post("after"), ann.post("seen"))
            assert (await heard(socket))[1] == "seen"


async def test_what_is_limited_is_streamed_to_followers_alone(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        await place.publish(ann.sign(kinds.FOLLOW, {"state": 1}, target=ben.account))
        entry = {"subject": "account", "entity": ben.account.hex(), "verdict": "limit"}
        await place.operate("POST", "/blocks", entry)
        async with (
            place.http.ws_connect(place.url + "/v1/stream") as everybody,
            place.http.ws_connect(place.url + "/v1/stream") as follower,
        ):
            await everybody.send_str('{"subscribe": "network", "since": 0}')
            request = {"subscribe": "home", "account": ann.account.hex(), "since": 0}
            await follower.send_str(json.dumps(request))
            for text in ("one", "two"):  # the second is heard as it comes
                await place.publish(ann.post(text))
                assert (await heard(everybody))[1] == (await heard(follower))[1] == text
            await place.publish(ben.post("limited"), ann.post("three"))
            assert (await heard(everybody))[1] == "three"
            assert (await heard(follower))[1] == "limited"


async def test_a_stream_that_can_tell_no_more_ends(tmp_path: Path, monkeypatch) -> None:
    async def broken(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async with site(tmp_path) as place, place.http.ws_connect(place.url + "/v1/stream") as socket:
        with monkeypatch.context() as patch:
            patch.setattr(place.node.db, "read", broken)
            await socket.send_str('{"subscribe": "network"}')
            message = await socket.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, WSCloseCode.INTERNAL_ERROR)
        assert message.extra == "internal"


async def test_streams_are_bounded(tmp_path: Path) -> None:
    async with site(tmp_path, streams_max=1) as place:
        socket = await place.http.ws_connect(place.url + "/v1/stream")
        status, body = await place.get("/v1/stream")
        assert (status, body["error"]["code"]) == (503, "busy")
        await socket.close()
