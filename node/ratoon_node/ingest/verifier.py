"""Where records are decoded and signatures checked: in processes of their own, or in threads.

That is half of the work of taking a record in, it needs nothing but the bytes, and beside the
writer in one process it slows the writer down, because both want the interpreter; so a node has
it done next door. A child is sent submissions and says what it found. It knows no file, no key of
the node and no network, and bytes from strangers are first read there. It ends when its input
does, so none is left behind when a node is killed; one that dies, hangs or says what is no answer
is replaced, and what it had is looked at here.

    request  := length: 4 bytes, big-endian; [network, now_ms, [question, ...]]
    question := [strict, known, record] or [strict, known, header, signature, payload, id]
    answer   := length: 4 bytes, big-endian; [finding, ...]
    finding  := nil where all is well, or [code, detail, id, invalid, peer_fault]
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from typing import Protocol

import msgpack
import structlog

from ratoon_node.ingest.submission import (
    GOOD,
    Finding,
    Parts,
    Question,
    Submission,
    examine_all,
)
from ratoon_node.runtime import Clock, Executor
from ratoon_protocol.errors import Code

CHILD_MODULE = "ratoon_node.ingest.verifier_child"
LENGTH_BYTES = 4
# Fewer are not worth cutting in two.
PART_MIN = 16
# After a child died the node checks by itself for so long, then starts another.
MOURNED_MS = 5000
# A child that has not answered for so long hangs: a full batch takes it a third of a second.
ANSWER_SECONDS_MAX = 30
# A child that was told of the end of its input has so long before it is killed.
END_SECONDS_MAX = 2

log = structlog.get_logger()


class Verifier(Protocol):
    """Checks signatures, many at once."""

    async def start(self) -> None:
        """Get ready, so that the first record need not wait for it."""
        ...

    async def examine(
        self, asked: Sequence[Question], network: bytes, now_ms: int
    ) -> list[Finding]:
        """What `submission.examine` finds of each."""
        ...

    async def close(self) -> None:
        """End what was started."""
        ...


class ThreadVerifier:
    """Checks in threads of this process, or wherever the executor runs functions."""

    def __init__(self, executor: Executor, parts: int) -> None:
        self._executor = executor
        self._parts = parts

    async def start(self) -> None:
        """See `Verifier`; there is nothing to start."""

    async def examine(
        self, asked: Sequence[Question], network: bytes, now_ms: int
    ) -> list[Finding]:
        """See `Verifier`."""
        run = self._executor.run
        found = await asyncio.gather(
            *(run(examine_all, part, network, now_ms) for part in _cut(asked, self._parts))
        )
        return [one for part in found for one in part]

    async def close(self) -> None:
        """See `Verifier`; the executor is its owner's."""


class ProcessVerifier:
    """Checks in `count` child processes. `spare` checks what a child that died had."""

    def __init__(self, count: int, spare: Verifier, clock: Clock) -> None:
        self._children = [_Child(clock) for _ in range(count)]
        self._spare = spare

    async def start(self) -> None:
        """See `Verifier`."""
        await asyncio.gather(*(child.start() for child in self._children))

    async def examine(
        self, asked: Sequence[Question], network: bytes, now_ms: int
    ) -> list[Finding]:
        """See `Verifier`."""
        parts = _cut(asked, len(self._children))
        found = await asyncio.gather(
            *(
                self._part(child, part, network, now_ms)
                for child, part in zip(self._children, parts, strict=False)
            )
        )
        return [one for part in found for one in part]

    async def _part(
        self, child: _Child, asked: Sequence[Question], network: bytes, now_ms: int
    ) -> list[Finding]:
        if not child.mourned:
            try:
                return await child.examine(asked, network, now_ms)
            except Exception as error:  # whatever it was, here the same is found
                log.warning("verifier_died", error=type(error).__name__, status=child.status)
        return await self._spare.examine(asked, network, now_ms)

    async def close(self) -> None:
        """See `Verifier`."""
        await asyncio.gather(*(child.close() for child in self._children))


class _Child:
    """One process; it answers one request after the other."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._closed = False
        self._died_ms: int | None = None
        #: How the last one that went wrong ended: its exit status, or minus the signal's number.
        self.status: int | None = None

    @property
    def mourned(self) -> bool:
        """Whether it died a moment ago: one that dies at each request is not started for each."""
        died_ms = self._died_ms
        return died_ms is not None and self._clock.monotonic_ms() - died_ms < MOURNED_MS

    async def start(self) -> None:
        """Start the process if none runs; where that is not possible, the first request tries."""
        async with self._turn:
            try:
                await self._running()
            except (OSError, EOFError) as error:
                log.warning("verifier_not_started", error=type(error).__name__)

    async def examine(
        self, asked: Sequence[Question], network: bytes, now_ms: int
    ) -> list[Finding]:
        """Ask it. Raises OSError or EOFError if it is gone or hangs, ValueError or TypeError for
        what is no answer; a later call starts another.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    data = await _ask(await self._running(), pack_request(asked, network, now_ms))
                return read_answer(data, len(asked))
            except BaseException:  # half a request is of no use to the next one
                self._died_ms = self._clock.monotonic_ms()
                process, self._process = self._process, None
                if process is not None:
                    await _end(process)
                    self.status = process.returncode
                raise

    async def _running(self) -> Process:
        if self._closed:
            raise EOFError
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", CHILD_MODULE),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env=_environment(),
            )
        return self._process

    async def close(self) -> None:
        """End it, once it has answered."""
        self._closed = True
        async with self._turn:
            if self._process is not None:
                await _end(self._process)


def _environment() -> dict[str, str]:
    """A child finds its modules where this process did, not in the folder it is started in."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}


async def _ask(process: Process, request: bytes) -> bytes:
    assert process.stdin is not None, "a child has pipes"
    assert process.stdout is not None, "a child has pipes"
    process.stdin.write(len(request).to_bytes(LENGTH_BYTES))
    process.stdin.write(request)
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES))
    return await process.stdout.readexactly(length)


async def _end(process: Process) -> None:
    assert process.stdin is not None, "a child has pipes"
    process.stdin.close()
    try:
        async with asyncio.timeout(END_SECONDS_MAX):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def pack_request(asked: Sequence[Question], network: bytes, now_ms: int) -> bytes:
    """A request; the code of a part (why its payload is missing) is nothing to look at."""
    rows = [
        [strict, known, *item[:3], item.id] if isinstance(item, Parts) else [strict, known, item]
        for item, strict, known in asked
    ]
    return bytes(msgpack.packb([network, now_ms, rows]))


def answer(request: bytes) -> bytes:
    """What a child says to a request."""
    network, now_ms, rows = msgpack.unpackb(request, raw=False)
    asked = [Question(_item(*row), strict, known) for strict, known, *row in rows]
    found = examine_all(asked, network, now_ms)
    return bytes(msgpack.packb([None if one is GOOD else one for one in found]))


def _item(
    data: bytes, signature: bytes | None = None, payload: bytes | None = None, id_: bytes = b""
) -> Submission:
    """A whole record, or the parts of one."""
    return data if signature is None else Parts(data, signature, payload, None, id_)


def read_answer(data: bytes, count: int) -> list[Finding]:
    """An answer to `count` questions, read. Raises ValueError or TypeError if it is none."""
    rows = msgpack.unpackb(data, raw=False)
    if len(rows) != count:
        raise ValueError(f"{len(rows)} findings of {count}")
    return [GOOD if row is None else _finding(*row) for row in rows]


def _finding(
    code: str | None, detail: str, id_: bytes | None, invalid: str | None, peer_fault: bool
) -> Finding:
    return Finding(_code(code), detail, id_, _code(invalid), peer_fault)


def _code(word: str | None) -> Code | None:
    return None if word is None else Code(word)


def _cut(asked: Sequence[Question], parts_max: int) -> list[Sequence[Question]]:
    """In as many parts as pay; none of nothing."""
    parts = min(parts_max, 1 + len(asked) // PART_MIN)
    size = -(-len(asked) // parts) or 1
    return [asked[at : at + size] for at in range(0, len(asked), size)]
