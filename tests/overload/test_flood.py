"""What a flood leaves behind: no memory, no lost record, no digest that never catches up."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from ratoon_node.api.answers import RECORD_TYPE
from ratoon_node.app import Node
from ratoon_node.config import Settings
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.ingest.verifier import ProcessVerifier, ThreadVerifier
from ratoon_node.store import digested, read
from ratoon_node.timeline import digest
from tests.node.api.site import Site, site
from tests.node.peering.meeting import someone
from tests.node.world import join, running
from tests.overload.held import Function, held, stored

API = Origin(Way.API)
# Blocks of memory that may come and go without anything being kept: far below one a request.
BLOCKS_SPARE = 1000


async def _refused(place: Site, record: bytes, count: int) -> None:
    """Publish so often, over a stream and singly, and be told `busy` each time."""
    message = msgpack.packb([1, [record]])
    async with place.http.ws_connect(place.url + "/v1/stream", compress=0) as stream:
        for _ in range(count * 7 // 10):
            await stream.send_bytes(message)
            assert msgpack.unpackb(await stream.receive_bytes())[1] == "busy"
    for _ in range(count * 3 // 10):
        status, answer = await place.post("/v1/records", record, RECORD_TYPE)
        assert (status, answer["error"]["code"]) == (503, "busy")


async def test_ten_thousand_refusals_leave_no_memory_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: dict[str, Any] = {"requests_per_minute_max": 0, "records_per_minute_max": 0}
    async with site(tmp_path, intake_records_max=100, batch_records_max=20, **limits) as place:
        ann = await place.resident(2)
        with held(place.node, monkeypatch) as gate:
            await gate.submit([ann.post(f"{at}").encode() for at in range(100)], API)
            await _refused(place, ann.post("late").encode(), 500)
            gc.collect()
            before = sys.getallocatedblocks()
            await _refused(place, ann.post("later").encode(), 10_000)
            gc.collect()
            assert sys.getallocatedblocks() - before < BLOCKS_SPARE
            assert {one.code for one in await gate.release()} == {"stored"}


class Turns:
    """A writer that the gate and the digest use in turn, while both have something to write."""

    def __init__(self, node: Node) -> None:
        #: "g" for a commit of the gate, "d" for a slice of the digest.
        self.order = ""
        #: Lines that the digest had before it at each of its slices.
        self.behind: list[int] = []
        self._write = node.db.write
        self._one = asyncio.Lock()
        self._digest_waits = asyncio.Event()
        self._digest_waits.set()

    async def write(self, fn: Function, undone: Callable[[], None] | None = None) -> Any:
        """See `Db.write`; the gate, however fast it is, lets the digest go before it."""
        turn = next((turn for word, turn in _TURNS.items() if word in fn.__qualname__), "")
        if turn == "d":
            self._digest_waits.set()
        async with self._one:
            if turn == "g":
                await self._digest_waits.wait()
                self._digest_waits.clear()
            self.order += turn

            def run(db: sqlite3.Connection) -> Any:
                if turn == "d":
                    self.behind.append(read.journal_end(db) - digested.position(db))
                return fn(db)

            return await self._write(run, undone)


_TURNS = {"Digest._take": "d", "Gate._commit": "g"}


async def test_the_digest_is_behind_by_its_turns_alone_and_the_gate_waits_for_no_more_than_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings().batch_records_max <= digest.FLOOD_SLICE_LINES
    size, count = 60, 24
    monkeypatch.setattr(digest, "SLICE_LINES", size // 2)
    monkeypatch.setattr(digest, "FLOOD_SLICE_LINES", size)
    async with running(tmp_path, batch_records_max=size) as node:
        ann = someone(node, 2)
        await join(node, ann)
        posts = [ann.post(f"{at}").encode() for at in range(size * count)]
        await node.digest.reached(await node.db.read(read.journal_end))
        turns = Turns(node)
        monkeypatch.setattr(node.db, "write", turns.write)
        parts = [posts[at : at + size] for at in range(0, len(posts), size)]
        outcomes = await asyncio.gather(*(node.gate.submit(part, API) for part in parts))
        assert {one.code for part in outcomes for one in part} == {"stored"}
        await node.digest.reached(await node.db.read(read.journal_end))
        flood = turns.order[: turns.order.rindex("g") + 1]
        assert flood.count("g") == count
        assert "gggg" not in flood
        assert "ddd" not in flood
        assert max(turns.behind) <= 4 * size


async def test_a_verifier_killed_in_a_flood_costs_no_record_and_no_wrong_answer(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, batch_records_max=50) as node:
        threads = ThreadVerifier(node.runtime.threads, 1)
        processes = ProcessVerifier(1, threads, node.runtime.clock)
        await node.gate._verifier.close()
        node.gate._verifier = processes
        await processes.start()
        (child,) = processes._children
        assert child._process is not None
        ann = someone(node, 2)
        await join(node, ann)
        posts = [ann.post(f"{at}") for at in range(1000)]
        forged = [
            post._replace(signature=bytes(64)) if at % 7 == 0 else post
            for at, post in enumerate(posts)
        ]
        parts = [forged[at : at + 50] for at in range(0, len(posts), 50)]
        tasks = [
            asyncio.ensure_future(node.gate.submit([one.encode() for one in part], API))
            for part in parts
        ]
        first = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert first[1], "it is killed in the middle"
        os.kill(child._process.pid, signal.SIGKILL)
        codes = [one.code for part in await asyncio.gather(*tasks) for one in part]
        expected = ["bad_signature" if at % 7 == 0 else "stored" for at in range(len(posts))]
        assert codes == expected
        good = [post for at, post in enumerate(posts) if at % 7]
        assert await stored(node, posts) == len(good) == await stored(node, good)
