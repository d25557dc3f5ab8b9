"""The processes that check signatures for the node: killed under load, and ended with it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.crash.nursery import Nursery
from tests.crash.process import HELPED
from tests.crash.town import Town, until


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(one) for path in found for one in path.read_text().split()]


def lives(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"
    return False


async def test_a_node_goes_on_without_those_that_check_signatures_and_gets_others(
    nursery: Nursery, tmp_path: Path
) -> None:
    town = Town(nursery, tmp_path, 31, *HELPED)
    async with town.open():
        await town.start()
        await town.load()
        first = children(town.program.pid)
        assert first
        for child in first:
            os.kill(child, signal.SIGKILL)
        await town.until_all(lambda writer: writer.taken)

        async def replaced() -> bool:
            now = children(town.program.pid)
            return bool(now) and not set(now) & set(first)

        await until(replaced)
        await town.until_all(lambda writer: writer.taken)
        await town.kill()
        town.check_left()
        await town.start()
        await town.check_all()


async def test_a_node_that_is_killed_leaves_no_process_behind(
    nursery: Nursery, tmp_path: Path
) -> None:
    town = Town(nursery, tmp_path, 32, *HELPED)
    async with town.open():
        await town.start()
        await town.load()
        left = children(town.program.pid)
        assert left
        await town.kill()

        async def ended() -> bool:
            return not any(map(lives, left))

        await until(ended)
