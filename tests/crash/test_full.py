"""A full disk: nothing is acknowledged that is not stored, reads go on, room is enough to go on."""

from __future__ import annotations

import base64
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratoon_node.api.answers import RECORD_TYPE
from ratoon_node.operate.folder import STORE
from tests.crash.disk import Disk, LimitedFiles, NoSmallDisk, SmallDisk
from tests.crash.nursery import Nursery
from tests.crash.people import NETWORK
from tests.crash.town import PAGES, Town, until
from tests.node.world import Clock, person

LATER = frozenset({"busy"})
# Many more than lines that a log may have of one outage.
TRIES = 30


def small_disk(at: Path) -> SmallDisk:
    """A file system of its own; where none may be mounted the test is skipped, and limits on the
    size of files stand for it.
    """
    try:
        return SmallDisk(at)
    except NoSmallDisk as error:
        pytest.skip(f"no file system can be mounted here, so only limits are tried: {error}")


@pytest.fixture(params=["filesystem", "limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A disk to fill."""
    at = tmp_path / "disk"
    made: Disk = small_disk(at) if request.param == "filesystem" else LimitedFiles(at)
    yield made
    made.close()


@pytest.fixture
def filesystem(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk to fill or to write-protect."""
    made = small_disk(tmp_path / "disk")
    yield made
    made.close()


async def test_a_full_disk_refuses_what_it_cannot_store_and_serves_what_it_has(
    nursery: Nursery, disk: Disk, tmp_path: Path
) -> None:
    town = Town(nursery, tmp_path, 3, disk=disk)
    async with town.open():
        await town.start()
        await town.write(8)
        await town.all_derived()
        pid = town.program.pid
        disk.fill(pid)
        await town.until_refused(LATER)
        await check_refusals(town)
        await check_reads(town)
        await until(lambda: not_ready(town))
        await check_doctor(town)
        disk.empty(pid)
        await until(town.sent)
        assert town.program.pid == pid
        await town.write(4)
        await town.check_all()
        await until(lambda: ready(town))
        town.check_left()
        assert await town.program.end(signal.SIGTERM) == 0
    check_log(town)


async def check_refusals(town: Town) -> None:
    """What is refused for want of room is `busy`, with a hint when to come back."""
    for attempt in range(TRIES):
        writer = town.writers[attempt % len(town.writers)]
        data = writer.pending[0].encode()
        await _refused(town, "/v1/records", data=data, headers={"Content-Type": RECORD_TYPE})
    await _refused(town, "/v1/accounts", json=_newcomer(town))


async def _refused(town: Town, path: str, **request) -> None:
    async with town.http.post(town.program.url + path, **request) as response:
        answer = await response.json()
        assert (response.status, answer["error"]["code"]) == (503, "busy"), answer
        assert answer["error"]["retry_ms"] > 0
        assert int(response.headers["Retry-After"]) > 0


def _newcomer(town: Town) -> dict:
    homes = [town.writers[0].home]
    genesis = person(NETWORK, town.rng, Clock(), homes).genesis.encode()
    return {"records": [base64.b64encode(genesis).decode()]}


async def check_reads(town: Town) -> None:
    """Pages, timelines, search and records are there."""
    for path in PAGES:
        async with town.http.get(town.program.url + path) as response:
            assert response.status == 200, await response.text()
    await town.check_new()


async def ready(town: Town) -> bool:
    async with town.http.get(town.program.url + "/readyz") as response:
        return response.status == 200


async def not_ready(town: Town) -> bool:
    """The node says so itself, and that it is the store or its disk."""
    async with town.http.get(town.program.url + "/readyz") as response:
        checks = (await response.json())["checks"]
        assert checks["running"] == "ok"
        return response.status == 503 and "failed" in (checks["store"], checks["disk"])


async def check_doctor(town: Town) -> None:
    """The operator's command names the store or the disk, and fails."""
    code, said = await town.program.command("doctor")
    failing = [line for line in said.splitlines() if line.startswith("fail")]
    assert code == 1, said
    assert any("not ready, because of: store" in line or "disk:" in line for line in failing), said


def check_log(town: Town) -> None:
    """Said when it began, and not with each attempt; nothing crashed."""
    lines = bytes(town.program.output).decode()
    assert "Traceback" not in lines
    assert "task_crashed" not in lines
    assert lines.count('"store_cannot_write"') == 1, lines
    assert lines.count("\n") < TRIES, lines


async def test_a_disk_that_fills_under_load_loses_nothing(
    nursery: Nursery, disk: Disk, tmp_path: Path
) -> None:
    """Whatever was being written just then: batches, what is derived, the log on its way back."""
    town = Town(nursery, tmp_path, 5, disk=disk)
    async with town.open():
        await town.start()
        for writer in town.writers:
            writer.later = LATER
        await town.load()
        for _ in range(3):
            disk.fill(town.program.pid)
            await town.until_all(lambda writer: writer.refused)
            disk.empty(town.program.pid)
            await town.until_all(lambda writer: writer.taken)
        await town.kill()
        town.check_left()
        await town.start()
        await town.check_all()


async def test_a_kill_on_a_full_disk_loses_nothing(
    nursery: Nursery, filesystem: SmallDisk, tmp_path: Path
) -> None:
    """The next start on a disk without a free byte serves or says why not; room is enough."""
    town = Town(nursery, tmp_path, 6, disk=filesystem)
    async with town.open():
        await town.start()
        await town.write(4)
        filesystem.fill()
        await town.until_refused(LATER)
        await town.kill()
        filesystem.fill(left=0)
        await town.program.launch()
        if await town.program.served():
            await check_reads(town)
            await town.kill()
        else:
            assert await town.program.ended() == 1
            assert b"Traceback" not in town.program.output, town.program.output.decode()
            assert b"room" in town.program.output, town.program.output.decode()
        town.check_left()
        filesystem.empty()
        await town.start()
        await town.check_all()


async def test_a_first_start_on_a_full_disk_says_so_and_leaves_nothing_half_made(
    nursery: Nursery, filesystem: SmallDisk, tmp_path: Path
) -> None:
    town = Town(nursery, tmp_path, 7, disk=filesystem)
    filesystem.fill(left=0)
    async with town.open():
        await town.program.launch()
        assert not await town.program.served()
        assert await town.program.ended() == 1
        assert b"Traceback" not in town.program.output, town.program.output.decode()
        assert b"No space left on device" in town.program.output
        filesystem.empty()
        await town.start()
        await town.write(1)


async def test_a_read_only_disk_is_said_at_the_start_and_changes_nothing(
    nursery: Nursery, filesystem: SmallDisk, tmp_path: Path
) -> None:
    town = Town(nursery, tmp_path, 8, disk=filesystem)
    async with town.open():
        await town.start()
        await town.write(2)
        await town.kill()
        before = (town.program.folder / STORE).read_bytes()
        filesystem.order(f"mount -o remount,ro {filesystem.at}")
        await town.program.launch()
        assert not await town.program.served()
        assert await town.program.ended() == 1
        assert b"Read-only file system" in town.program.output
        assert b"Traceback" not in town.program.output
        code, said = await town.program.command("doctor")
        assert (code, "Traceback" in said) == (1, False), said
        assert (town.program.folder / STORE).read_bytes() == before
        filesystem.order(f"mount -o remount,rw {filesystem.at}")
        await town.start()
        await town.check_all()
