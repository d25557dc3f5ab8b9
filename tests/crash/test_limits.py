"""Descriptors and memory that run out under the real program: it goes on, and comes back itself."""

from __future__ import annotations

import asyncio
import os
import resource
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from tests.crash.nursery import Nursery
from tests.crash.people import PAUSE_SECONDS, Cut, pause
from tests.crash.shims import Shims
from tests.crash.town import Town, until

# What the process may open; what its own files and a few clients take is far below.
FILES_MAX = 96
# Connections that come at once, and stay.
CROWD = 3 * FILES_MAX
# Batches that are sent to a process without memory.
BATCHES = 20
# Of a second in which nobody asks anything; one that turns in a circle takes all of it.
IDLE_CPU_SHARE_MAX = 0.6


def cpu_seconds(pid: int) -> float:
    """What a process has taken of the processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def allow_no_more_memory(pid: int) -> None:
    """From now on a process gets no more addresses than it has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    hard = resource.prlimit(pid, resource.RLIMIT_AS)[1]
    resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize(), hard))


def open_files(pid: int) -> int:
    """How many descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


async def crowd(stack: AsyncExitStack, port: int) -> None:
    """Connections that say nothing; who is turned away stays away."""
    for _ in range(CROWD):
        with suppress(ConnectionError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)


async def _greeted(port: int) -> bool:
    """Whether somebody new is answered."""
    with suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return b" 200 " in answer
    return False


async def test_a_process_without_descriptors_serves_whom_it_has_and_takes_others_again(
    nursery: Nursery, tmp_path: Path
) -> None:
    town = Town(nursery, tmp_path, 11)
    async with town.open():
        await town.start(Shims(limits={"NOFILE": FILES_MAX}))
        await town.load()
        pid, port = town.program.pid, town.program.port
        async with AsyncExitStack() as stack:
            await crowd(stack, port)
            assert open_files(pid) >= FILES_MAX - 4
            # Everybody who was connected is served: writers, the reader, the stream, the digest.
            for _ in range(3):
                await town.until_all(lambda writer: writer.taken)
        await until(lambda: _greeted(port))
        await town.kill()
        town.check_left()
        await town.start()
        await town.check_all()
    lines = bytes(town.program.output).decode()
    assert "store_cannot" not in lines, lines
    assert "task_crashed" not in lines, lines


async def test_a_process_without_descriptors_does_not_turn_in_a_circle(
    nursery: Nursery, tmp_path: Path
) -> None:
    town = Town(nursery, tmp_path, 12)
    async with town.open():
        await town.program.start(Shims(limits={"NOFILE": FILES_MAX}))
        pid = town.program.pid
        async with AsyncExitStack() as stack:
            await crowd(stack, town.program.port)
            before = cpu_seconds(pid)
            for _ in range(round(1 / PAUSE_SECONDS)):
                await pause()
            assert cpu_seconds(pid) - before < IDLE_CPU_SHARE_MAX
            assert open_files(pid) >= FILES_MAX - 4
        await until(lambda: _greeted(town.program.port))


async def test_a_process_without_memory_corrupts_nothing(nursery: Nursery, tmp_path: Path) -> None:
    """It may refuse and it may end; what it acknowledged is there."""
    town = Town(nursery, tmp_path, 13)
    async with town.open():
        await town.start()
        await town.write(3)
        allow_no_more_memory(town.program.pid)
        with suppress(*Cut):
            for batch in range(BATCHES):
                writer = town.writers[batch % len(town.writers)]
                writer.later = frozenset({"busy", "internal", "shutdown"})
                if not writer.pending:
                    writer.sign()
                await writer.send(town.http, town.program.url)
        await town.kill()
        town.check_left()
        await town.start()
        await town.check_all()
