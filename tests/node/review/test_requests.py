"""What clients can make a node hold in memory, and requests that say a thing twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgpack
import pytest

from ratoon_node.api import asked, stream
from ratoon_node.api.answers import RECORDS_TYPE
from ratoon_protocol.errors import Code
from tests.node.api.site import site


async def test_who_does_not_read_answers_is_not_read_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that nobody takes would otherwise pile up without end: empty batches cost nothing."""
    sending: list[bytes | str] = []
    read, full = asyncio.Event(), asyncio.Event()
    send = stream._Stream._send

    async def slow(self: stream._Stream, message: bytes) -> None:
        sending.append(message)
        if len(sending) >= stream.UNDER_WAY_MAX:
            full.set()
        await read.wait()
        await send(self, message)

    monkeypatch.setattr(stream._Stream, "_send", slow)
    async with (
        site(tmp_path) as place,
        place.http.ws_connect(place.url + "/v1/stream") as socket,
    ):
        for number in range(3 * stream.UNDER_WAY_MAX):
            await socket.send_bytes(msgpack.packb([number, []]))
        async with asyncio.timeout(10):
            await full.wait()
            for _ in range(20):  # the node has had time to read more than it should
                await place.get("/v1/node")
        assert len(sending) == stream.UNDER_WAY_MAX
        read.set()
        async with asyncio.timeout(10):
            numbers = {
                msgpack.unpackb(await socket.receive_bytes())[0]
                for _ in range(3 * stream.UNDER_WAY_MAX)
            }
        assert numbers == set(range(3 * stream.UNDER_WAY_MAX))


async def test_bodies_that_are_being_sent_share_a_bound(tmp_path: Path) -> None:
    size = 7 * 1024 * 1024
    many = asked.BODIES_BYTES_MAX // size + 1
    opened = []
    async with site(tmp_path) as place:
        try:
            for _ in range(many):
                reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
                head = f"POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Type: {RECORDS_TYPE}\r\n"
                writer.write(f"{head}Content-Length: {size + 1}\r\n\r\n".encode() + bytes(size))
                opened.append((reader, writer))
            answers = [asyncio.ensure_future(reader.readline()) for reader, _ in opened]
            async with asyncio.timeout(20):
                done, _ = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
            assert {line.result().split()[1] for line in done} == {b"503"}
            ann = await place.resident(3)  # small ones go on
            status, _ = await place.publish(ann.post("hello"))
            assert status == 201
            for one in answers:
                one.cancel()
        finally:
            for _, writer in opened:
                writer.close()


async def test_a_record_sent_twice_in_one_request_is_counted_once(tmp_path: Path) -> None:
    async with site(tmp_path, provider="P") as place:
        ann = await place.resident(3)
        post = ann.post("twice")
        status, body = await place.publish(post, post, query="?wait=providers:1&timeout=5000")
        assert status == 201
        assert [one["code"] for one in body["records"]] == [Code.STORED, Code.DUPLICATE]
        assert [one["providers"] for one in body["records"]] == [1, 1]


async def test_peers_are_listed_in_parts(tmp_path: Path) -> None:
    async with site(tmp_path, page_records_max=10) as place:
        ledger, roster = place.node.ledger, place.node.roster
        others = [bytes([number]) * 32 for number in range(1, 26)]
        for number, account in enumerate(others):
            if number == 20:
                await ledger.add_peer(account, None, None, None)
            else:
                await ledger.note_link(account, None)
        await roster.load()
        found: list[bytes] = []
        after: int | None = 0
        while after is not None:
            _, body = await place.get(f"/v1/peers?after={after}")
            assert len(body["peers"]) <= 10
            found += [bytes.fromhex(one["node"]) for one in body["peers"]]
            after = body["next"]
        assert found[0] == others[20]
        assert sorted(found) == others
