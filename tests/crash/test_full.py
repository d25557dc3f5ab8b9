"""A full disk: nothing is acknowledged that is not stored, reads go on, room is enough to go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.disk import Disk, LimitedFiles, NoSmallDisk, SmallDisk
from tests.crash.nursery import Nursery
from tests.crash.town import PAGES, Town, until

LATER = frozenset({"busy"})


def small_disk(at: Path) -> SmallDisk:
    """A file system of its own; without, the test is skipped, and in CI it fails."""
    try:
        return SmallDisk(at)
    except NoSmallDisk as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no file system can be mounted here, so only limits are tried: {error}")


@pytest.fixture(params=["filesystem", "limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A disk to fill."""
    at = tmp_path / "disk"
    made: Disk = small_disk(at) if request.param == "filesystem" else LimitedFiles(at)
    yield made
    made.close()


async def written(town: Town, times: int) -> None:
    """Everybody does so many things, and all of it is acknowledged."""
    for writer in town.writers:
        for _ in range(times):
            writer.sign()
            await writer.send(town.http, town.program.url)
            assert not writer.pending


async def until_refused(town: Town) -> None:
    """Everybody writes until the first of their words are refused."""
    for writer in town.writers:
        writer.later = LATER
        while not writer.pending:
            writer.sign()
            await writer.send(town.http, town.program.url)


async def test_a_full_disk_refuses_what_it_cannot_store_and_serves_what_it_has(
    nursery: Nursery, disk: Disk, tmp_path: Path
) -> None:
    town = Town(nursery, tmp_path, 3, disk=disk)
    async with town.open():
        await town.start()
        await written(town, 8)
        await town.all_derived()
        disk.fill(town.program.pid)
        await until_refused(town)
        await check_refusals(town)
        for path in PAGES:
            async with town.http.get(town.program.url + path) as response:
                assert response.status == 200, await response.text()
        await town.check_new()
        pid = town.program.pid
        disk.empty(pid)
        await until(lambda: _taken(town))
        assert town.program.pid == pid
        await written(town, 4)
        await town.check_all()
        await until(lambda: _ready(town))
        town.check_left()
        assert await town.program.end(signal.SIGTERM) == 0
    print(town.program.output.decode())


async def check_refusals(town: Town) -> None:
    """What is refused for want of room is `busy`, with a hint when to come back."""
    url = town.program.url
    for writer in town.writers:
        data = writer.pending[0].encode()
        headers = {"Content-Type": "application/vnd.ratoon.record"}
        async with town.http.post(url + "/v1/records", data=data, headers=headers) as response:
            answer = await response.json()
            assert (response.status, answer["error"]["code"]) == (503, "busy"), answer
            assert answer["error"]["retry_ms"] > 0
            assert int(response.headers["Retry-After"]) > 0


async def _taken(town: Town) -> bool:
    for writer in town.writers:
        await writer.send(town.http, town.program.url)
    return not any(writer.pending for writer in town.writers)


async def _ready(town: Town) -> bool:
    async with town.http.get(town.program.url + "/readyz") as response:
        return response.status == 200
