"""Records are looked at by another process, with the same findings as anywhere."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import pytest

from ratoon_node.ingest import verifier
from ratoon_node.ingest.submission import Finding, Parts, Question, examine_all
from ratoon_node.ingest.verifier import LENGTH_BYTES, ProcessVerifier, ThreadVerifier
from ratoon_node.ingest.verifier_child import serve
from ratoon_node.runtime import ThreadExecutor
from ratoon_protocol.errors import Code
from ratoon_protocol.record import decode_record
from tests.badinput.bodies import body_cases
from tests.badinput.cases import byte_cases
from tests.badinput.forge import Forge
from tests.node.world import Clock, person

NETWORK = b"ratoon\x00\x01"
NOW_MS = Clock().now_ms()


def questions() -> list[Question]:
    """Bad records whole and in parts, from people here and from a link, known or not; good ones."""
    ann = person(NETWORK, random.Random(5), Clock())
    forge = Forge(ann)
    asked = [Question(ann.post(f"post {at}").encode(), True, False) for at in range(3)]
    for case in [*byte_cases(forge), *body_cases(forge)]:
        asked.append(Question(case.data, True, False))
        parts = Parts(case.header, case.signature, case.payload)
        asked += [Question(parts, False, False), Question(parts, False, True)]
    return asked


@asynccontextmanager
async def examining(count: int) -> AsyncIterator[tuple[ProcessVerifier, ThreadExecutor, Clock]]:
    executor, clock = ThreadExecutor(1, "spare"), Clock()
    found = ProcessVerifier(count, ThreadVerifier(executor, 1), clock)
    try:
        yield found, executor, clock
    finally:
        await found.close()
        executor.close()


async def examined(by: verifier.Verifier, asked: Sequence[Question]) -> list[Finding]:
    return await by.examine(asked, NETWORK, NOW_MS)


@pytest.mark.parametrize("count", [1, 2])
async def test_another_process_finds_the_same(count: int) -> None:
    asked = questions()
    expected = examine_all(asked, NETWORK, NOW_MS)
    assert len({one.code for one in expected}) > 15
    async with examining(count) as (processes, _, _):
        assert await examined(processes, asked) == expected
        assert await examined(processes, []) == []
        several = await asyncio.gather(*(examined(processes, asked[at:]) for at in range(5)))
        assert several == [expected[at:] for at in range(5)]


def test_a_known_header_needs_no_signature() -> None:
    ann = person(NETWORK, random.Random(5), Clock())
    signed = decode_record(ann.post("words").encode())
    parts = Parts(signed.header_bytes, bytes(64), signed.payload, None, signed.id)
    codes = [
        examine_all([Question(parts, False, known)], NETWORK, NOW_MS)[0].code
        for known in (False, True)
    ]
    assert codes == [Code.BAD_SIGNATURE, None]


async def test_what_a_killed_child_had_is_looked_at_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = questions()
    expected = examine_all(asked, NETWORK, NOW_MS)
    started: list[int] = []
    create = asyncio.create_subprocess_exec

    async def noted(*words: Any, **how: Any) -> asyncio.subprocess.Process:
        process = await create(*words, **how)
        started.append(process.pid)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    async with examining(1) as (processes, _, clock):
        await processes.start()
        os.kill(started[0], signal.SIGKILL)
        assert await examined(processes, asked) == expected
        assert await examined(processes, asked) == expected
        assert len(started) == 1, "one that dies is not started again for each batch"
        monkeypatch.setattr(clock, "monotonic_ms", lambda: 10**15)
        assert await examined(processes, asked) == expected
        assert len(started) == 2
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_signals_to_all_processes_end_the_node_and_not_its_child() -> None:
    async with examining(1) as (processes, _, _):
        await processes.start()
        asked = questions()
        before = await examined(processes, asked)
        (child,) = processes._children
        assert child._process is not None
        pid = child._process.pid
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
        assert await examined(processes, asked) == before
        assert child._process is not None
        assert child._process.pid == pid


def test_a_child_ends_with_its_input() -> None:
    request = verifier.pack_request(questions()[:3], NETWORK, NOW_MS)
    whole = len(request).to_bytes(LENGTH_BYTES) + request
    for cut in (b"", whole, whole[:2]):
        sink = BytesIO()
        serve(BytesIO(whole + cut), sink)
        answers = 2 if cut == whole else 1
        assert len(sink.getvalue()) == answers * (LENGTH_BYTES + len(verifier.answer(request)))
