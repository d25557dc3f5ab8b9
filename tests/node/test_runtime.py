"""The seams: clock, tasks that are owned, threads that are bounded."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import pytest
from structlog.testing import capture_logs

from ratoon_node.errors import NodeError
from ratoon_node.runtime import (
    BUSY_RETRY_MS,
    Spawner,
    SystemClock,
    ThreadExecutor,
    log_crash,
    system_runtime,
    timeout_ms,
)
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import EPOCH_MS


@pytest.fixture
def crashes():
    return []


@pytest.fixture
def spawner(crashes):
    return Spawner(lambda name, error: crashes.append((name, error)))


async def test_the_system_clock_tells_milliseconds():
    clock = SystemClock()
    assert clock.now_ms() > EPOCH_MS
    before = clock.monotonic_ms()
    await clock.sleep_ms(2)
    assert clock.monotonic_ms() - before >= 1


async def test_a_timeout_ends_what_never_comes():
    with pytest.raises(TimeoutError):
        async with timeout_ms(1):
            await asyncio.Event().wait()


async def test_a_task_gives_its_result_and_is_forgotten(spawner):
    async def work():
        return 7

    task = spawner.spawn(work(), "seven")
    assert len(spawner) == 1
    assert task.get_name() == "seven"
    assert await task == 7
    await asyncio.sleep(0)
    assert len(spawner) == 0


async def test_a_crash_is_reported_and_stops_nobody_else(spawner, crashes):
    go, done = asyncio.Event(), asyncio.Event()

    async def fail():
        raise ValueError("broken")

    async def last():
        await go.wait()
        done.set()

    spawner.spawn(last(), "last")
    failing = spawner.spawn(fail(), "fail")
    await asyncio.wait([failing])
    await asyncio.sleep(0)
    go.set()
    await done.wait()
    assert [(name, str(error)) for name, error in crashes] == [("fail", "broken")]


async def test_cancelling_waits_for_the_cleaning_up(spawner, crashes):
    began, cleaned = asyncio.Event(), []

    async def work():
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("done")

    spawner.spawn(work(), "work")
    await began.wait()
    await spawner.cancel_all()
    assert cleaned == ["done"]
    assert (len(spawner), crashes) == (0, [])


async def test_work_started_while_closing_never_runs(spawner):
    ran = []

    async def late():
        ran.append("late")

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            spawner.spawn(late(), "late")

    spawner.spawn(work(), "work")
    await asyncio.sleep(0)
    await spawner.cancel_all()
    assert (ran, len(spawner)) == ([], 0)


async def test_a_task_may_end_all_the_others(spawner):
    async def forever():
        await asyncio.Event().wait()

    other = spawner.spawn(forever(), "forever")
    await spawner.spawn(spawner.cancel_all(), "stop")
    assert other.cancelled()


def test_a_crash_is_one_line_of_log():
    with capture_logs() as lines:
        log_crash("sweep", ValueError("broken"))
    assert [(line["event"], line["task"], line["log_level"]) for line in lines] == [
        ("task_crashed", "sweep", "error")
    ]


async def test_functions_run_on_the_executors_own_threads():
    executor = ThreadExecutor(1, "pool")
    name = await executor.run(lambda: threading.current_thread().name)
    assert name.startswith("pool")
    assert await executor.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await executor.run(divmod, 7, 0)
    executor.close()


async def test_a_full_executor_refuses_at_once_and_recovers(spawner):
    executor = ThreadExecutor(1, "pool", waiting_max=1)
    hold = threading.Event()
    running = spawner.spawn(executor.run(hold.wait), "running")
    waiting = spawner.spawn(executor.run(hold.wait), "waiting")
    await asyncio.sleep(0)
    with pytest.raises(NodeError) as refused:
        await executor.run(hold.wait)
    assert (refused.value.code, refused.value.retry_ms) == (Code.BUSY, BUSY_RETRY_MS)
    hold.set()
    assert await running is await waiting is True
    assert await executor.run(hold.wait)
    executor.close()


async def test_a_call_cancelled_while_it_waits_frees_its_place(spawner):
    executor = ThreadExecutor(1, "pool", waiting_max=1)
    hold = threading.Event()
    running = spawner.spawn(executor.run(hold.wait), "running")
    waiting = spawner.spawn(executor.run(hold.wait), "waiting")
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    after = spawner.spawn(executor.run(hold.is_set), "after")
    await asyncio.sleep(0)
    hold.set()
    assert await running is await after is True
    executor.close()


async def test_a_closed_executor_finished_its_work_and_takes_no_more(spawner):
    executor = ThreadExecutor(1, "pool")
    done: list[int] = []
    calls = [spawner.spawn(executor.run(done.append, n), "call") for n in range(20)]
    await asyncio.sleep(0)
    executor.close()
    assert done == list(range(20))
    await asyncio.gather(*calls)
    for _ in range(2):  # a refusal takes no place
        with pytest.raises(NodeError) as refused:
            await executor.run(done.append, 99)
        assert refused.value.code == Code.SHUTDOWN


async def test_the_real_runtime_bundles_the_system_and_closes_whole():
    runtime = system_runtime(threads=2)
    assert isinstance(runtime.clock, SystemClock)
    assert isinstance(runtime.random, random.SystemRandom)
    waiting = runtime.spawn(asyncio.Event().wait(), "wait")
    assert await runtime.threads.run(max, 1, 2) == 2
    await runtime.close()
    assert waiting.cancelled()
    with pytest.raises(NodeError):
        await runtime.threads.run(max, 1, 2)


def test_a_machine_that_believes_it_is_before_1970_is_at_its_first_moment(monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: -1_000_000_000)
    assert SystemClock().now_ms() == 0
