"""SIGKILL at any moment: what was acknowledged is there after the next start, every time.

`make crash KILLS=1000` runs these with more kills.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.crash.nursery import Nursery
from tests.crash.process import HELPED
from tests.crash.town import Town

KILLS = int(os.environ.get("KILLS", "30"))


async def test_nothing_acknowledged_is_lost_by_kills_under_load(
    nursery: Nursery, tmp_path: Path
) -> None:
    town = Town(nursery, tmp_path, KILLS, *HELPED)
    async with town.open():
        for _ in range(KILLS):
            await town.start()
            await town.check_new()
            await town.load()
            await town.kill_soon()
            town.check_left()
        await town.start()
        await town.check_all()
        assert sum(len(writer.records) for writer in town.writers) >= KILLS
        assert await town.program.end(signal.SIGTERM) == 0
    town.check_left()
    assert b"Traceback" not in town.program.output
