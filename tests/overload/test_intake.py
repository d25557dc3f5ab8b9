"""A full intake: refused at once, on every way in, with a hint; and nothing admitted is lost."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import msgpack
import pytest

from ratoon_node.api.answers import RECORD_TYPE, RECORDS_TYPE
from ratoon_node.api.batch import join
from ratoon_node.app import Node
from ratoon_node.errors import BUSY_RETRY_MS, NodeError
from ratoon_node.ingest.gate import WAY_SHARE
from ratoon_node.ingest.pace import (
    ROOM_RECORDS_MIN,
    TELLING_RECORDS_MIN,
    WAIT_MS_MAX,
    Pace,
)
from ratoon_node.ingest.submission import Origin, Way
from ratoon_protocol import kinds
from ratoon_protocol.author import sign_envelope
from ratoon_protocol.errors import Code
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.limits import ENVELOPE_PAYLOAD_BYTES_MAX
from tests.node.api.site import TOKEN, site
from tests.node.ingest.replay import LINK
from tests.node.peering.meeting import code, publish, serving, someone, until
from tests.node.world import join as host
from tests.node.world import running
from tests.overload.held import held, stored

API, BUNDLE = Origin(Way.API), Origin(Way.BUNDLE)
MOST = 100
SHARE = int(MOST * WAY_SHARE)


async def test_every_way_in_is_told_busy_at_once_and_nothing_admitted_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, intake_records_max=MOST, batch_records_max=20) as place:
        ann = await place.resident(2)
        posts = [ann.post(f"number {at}") for at in range(MOST)]
        late = [ann.post(f"late {at}") for at in range(3)]
        with held(place.node, monkeypatch) as gate:
            for post in posts[:SHARE]:
                await gate.submit([post.encode()], API)
            await gate.submit([post.encode() for post in posts[SHARE:]], LINK)
            single = late[0].encode()
            batch = join([one.encode() for one in late])
            for path, body, type_ in (
                ("/v1/records", single, RECORD_TYPE),
                ("/v1/records", batch, RECORDS_TYPE),
                ("/v1/operator/bundle", batch, RECORDS_TYPE),
            ):
                headers = {"Content-Type": type_, "Authorization": f"Bearer {TOKEN}"}
                url = place.url + path
                async with place.http.post(url, data=body, headers=headers) as response:
                    answer = await response.json()
                    assert (response.status, answer["error"]["code"]) == (503, "busy"), path
                    assert answer["error"]["retry_ms"] == BUSY_RETRY_MS
                    assert response.headers["Retry-After"] == "1"
            async with place.http.ws_connect(place.url + "/v1/stream") as socket:
                await socket.send_bytes(msgpack.packb([7, [one.encode() for one in late]]))
                told = msgpack.unpackb(await socket.receive_bytes())
                assert told == [7, "busy", BUSY_RETRY_MS]
                outcomes = await gate.release()
                await socket.send_bytes(msgpack.packb([8, [one.encode() for one in late]]))
                told = msgpack.unpackb(await socket.receive_bytes())
                assert [code for _, code in told[1]] == ["stored"] * 3
        assert [one.code for one in outcomes] == ["stored"] * MOST
        assert await stored(place.node, [*posts, *late]) == MOST + 3


async def test_what_is_no_batch_is_told_so_even_while_the_gate_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, intake_records_max=MOST, batch_records_max=20) as place:
        ann = await place.resident(2)
        with held(place.node, monkeypatch) as gate:
            await gate.submit([ann.post(f"{at}").encode() for at in range(MOST)], API)
            too_many = msgpack.packb([b"x"] * 10_001)
            status, answer = await place.post("/v1/records", too_many, RECORDS_TYPE)
            assert (status, answer["error"]["code"]) == (400, "too_many")
            await gate.release()


async def test_no_way_in_can_fill_the_intake_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, intake_records_max=MOST, batch_records_max=20) as node:
        ann = someone(node, 2)
        await host(node, ann)
        flood = [ann.post(f"{at}").encode() for at in range(MOST)]
        for origin, other in ((API, LINK), (LINK, API), (BUNDLE, API)):
            with held(node, monkeypatch) as gate:
                for item in flood[:SHARE]:
                    await gate.submit([item], origin)
                with pytest.raises(NodeError) as refused:
                    await gate.submit([flood[SHARE]], origin)
                assert (refused.value.code, refused.value.retry_ms) == (Code.BUSY, BUSY_RETRY_MS)
                await gate.submit([flood[SHARE]], other)
                await gate.release()
        with held(node, monkeypatch) as gate:  # a way with nothing waiting may take all of it
            await gate.submit(flood, API)
            await gate.release()


async def test_a_slow_gate_gives_a_large_batch_its_turn_among_small_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, intake_records_max=MOST, batch_records_max=20) as node:
        ann = someone(node, 2)
        await host(node, ann)
        posts = [ann.post(f"{at}").encode() for at in range(12)]
        monkeypatch.setattr(Pace, "room", property(lambda _: 4))
        with held(node, monkeypatch) as gate:
            await gate.submit(posts[:1], API)
            await gate.submit(posts[1:11], API)
            with pytest.raises(NodeError) as refused:
                await gate.submit(posts[11:], API)
            assert refused.value.code is Code.BUSY
            await gate.release()


def test_a_slow_gate_takes_in_what_it_writes_in_seconds() -> None:
    pace = Pace()
    assert pace.room == math.inf
    pace.written(TELLING_RECORDS_MIN - 1, 0, 10_000)
    assert pace.room == math.inf, "a small commit tells nothing"
    for at in range(1, 20):  # 3,000 records a commit, one each second, all waiting since the start
        pace.written(3000, 0, 10_000 + 1000 * at)
    assert pace.room == pytest.approx(3 * WAIT_MS_MAX)
    for at in range(1, 60):  # the machine has other things to do
        pace.written(300, 0, 30_000 + 3000 * at)
    assert pace.room == ROOM_RECORDS_MIN
    for at in range(1, 60):  # what came after a pause is not held against the gate
        pace.written(3000, 300_000 + 60_000 * at, 300_000 + 60_000 * at + 250)
    assert pace.room == pytest.approx(12 * WAIT_MS_MAX)


async def test_a_slow_gate_refuses_what_would_wait_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, intake_records_max=5000, batch_records_max=1000) as node:
        ann = someone(node, 2)
        await host(node, ann)
        node.gate._pace.written(TELLING_RECORDS_MIN, 0, 60_000)
        room = int(WAY_SHARE * ROOM_RECORDS_MIN)
        post = ann.post("again and again").encode()
        with held(node, monkeypatch) as gate:
            await gate.submit([post] * room, API)
            with pytest.raises(NodeError) as refused:
                await gate.submit([post], API)
            assert refused.value.code is Code.BUSY
            await gate.submit([post], LINK)
            await gate.release()


async def test_bytes_are_bounded_with_records_of_the_largest_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 2**20
    async with running(tmp_path, intake_bytes_max=most) as node:
        ann = someone(node, 2)
        await host(node, ann)
        rng, now_ms = random.Random(1), node.runtime.clock.now_ms()
        letters = [
            sign_envelope(
                node.settings.network_bytes,
                kinds.MESSAGE,
                ann.account,
                SigningKey.from_seed(rng.randbytes(32)),
                {"data": rng.randbytes(ENVELOPE_PAYLOAD_BYTES_MAX - 64)},
                now_ms,
                rng.randbytes(16),
            )
            for _ in range(20)
        ]
        size = len(letters[0].encode())
        fitting = int(most * WAY_SHARE) // size
        with held(node, monkeypatch) as gate:
            for letter in letters[:fitting]:
                await gate.submit([letter.encode()], LINK)
            with pytest.raises(NodeError) as refused:
                await gate.submit([letters[fitting].encode()], LINK)
            assert refused.value.code is Code.BUSY
            assert fitting * size == node.gate._waiting.size <= most
            outcomes = await gate.release()
        assert [one.code for one in outcomes] == ["stored"] * fitting
        assert node.gate._waiting == (0, 0)
        assert await stored(node, letters) == fitting


async def test_a_peer_is_not_answered_while_the_gate_is_full_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link is told nothing: it is not read from, its window fills, and it waits."""
    async with (
        serving(tmp_path / "a", 1) as (a, _),
        serving(tmp_path / "b", 2, intake_records_max=MOST, batch_records_max=20) as (b, at_b),
    ):
        await a.hub.meet(at_b)
        ann, ben = someone(a, 3), someone(b, 4)
        await host(a, ann)
        await host(b, ben)
        first = ann.post("before it is full")
        await publish(a, first)
        await until(lambda: known(b, first.id), b)
        with held(b, monkeypatch) as gate:
            await gate.submit([ben.post(f"{at}").encode() for at in range(MOST)], LINK)
            post = ann.post("while it is full")
            await publish(a, post)
            refused: list[Code] = []
            submit = b.gate.submit

            async def counted(*words: Any) -> Any:
                try:
                    return await submit(*words)
                except NodeError as error:
                    refused.append(error.code)
                    raise

            monkeypatch.setattr(b.gate, "submit", counted)
            await until(lambda: bool(refused), b)
            assert set(refused) == {Code.BUSY}
            assert await code(b, post.id) is None
            await gate.release()
        await until(lambda: known(b, post.id), b)


async def known(node: Node, id_: bytes) -> bool:
    """Whether a node has it."""
    return await code(node, id_) is Code.STORED
