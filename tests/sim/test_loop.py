"""The simulated loop: one seed, one trace; no real time, no outside, no silent failure."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time

import pytest

from ratoon_node.errors import NodeError
from ratoon_node.runtime import Runtime, Spawner
from ratoon_protocol.errors import Code
from tests.sim import loop as sim
from tests.sim.loop import BEGIN_MS, InlineExecutor, SimClock, SimLoop, run


def here() -> SimLoop:
    running = asyncio.get_running_loop()
    assert isinstance(running, SimLoop)
    return running


async def crowd(trace: list[str]) -> int:
    """Six tasks that meet at a queue, a lock, timers and an executor; tells what happened."""
    clock, executor = SimClock(here()), InlineExecutor()
    spawner, queue, lock = Spawner(), asyncio.Queue[int](3), asyncio.Lock()

    async def maker(n: int) -> None:
        for item in range(5):
            await queue.put(10 * n + item)
            await clock.sleep_ms(n * 7 % 5)
            trace.append(f"{clock.now_ms()} made {n}")

    async def taker(n: int) -> None:
        while True:
            item = await queue.get()
            async with lock:
                await executor.run(trace.append, f"{clock.monotonic_ms()} {n} took {item}")

    for n in range(3):
        spawner.spawn(taker(n), f"taker-{n}")
    await asyncio.gather(*(spawner.spawn(maker(n), f"maker-{n}") for n in range(3)))
    await spawner.cancel_all()
    return here().steps


def traced(seed: int, *, shuffle: bool = True) -> tuple[int, list[str]]:
    trace: list[str] = []
    return run(crowd(trace), seed, shuffle=shuffle), trace


def test_the_same_seed_gives_the_same_trace():
    assert all(traced(5) == traced(5) for _ in range(20))


def test_another_seed_gives_another_trace():
    assert len({tuple(traced(seed)[1]) for seed in range(20)}) == 20


def test_without_shuffling_every_seed_is_asyncios_own_order():
    assert len({tuple(traced(seed, shuffle=False)[1]) for seed in range(5)}) == 1


def test_callbacks_keep_the_order_asyncio_promises():
    async def world():
        seen: list[int] = []
        for n in range(50):
            here().call_soon(seen.append, n)
        await asyncio.sleep(0)
        return seen

    assert all(run(world(), seed) == list(range(50)) for seed in range(5))


def test_a_year_takes_no_time():
    async def world():
        clock = SimClock(here(), skew_ms=-250)
        year_ms = 365 * 86_400_000
        await clock.sleep_ms(year_ms)
        assert clock.monotonic_ms() == year_ms
        clock.skew_ms = 9
        return clock.now_ms() - year_ms

    began = time.monotonic()
    assert run(world(), 1) == BEGIN_MS + 9
    assert time.monotonic() - began < 5


def test_many_short_sleeps_do_not_drift():
    async def world():
        clock = SimClock(here())
        for _ in range(1000):
            await clock.sleep_ms(1)
        return clock.monotonic_ms()

    assert run(world(), 1) == 1000


def test_timeouts_run_in_the_worlds_time():
    async def world():
        clock = SimClock(here())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        async with asyncio.timeout(60):
            await clock.sleep_ms(1000)
        return clock.monotonic_ms()

    assert run(world(), 1) == 61_000


def test_a_deadlock_is_reported_with_who_waits_where():
    async def world():
        spawner = Spawner()
        spawner.spawn(asyncio.Event().wait(), "waits-for-nothing")
        await asyncio.Event().wait()

    with pytest.raises(sim.Deadlock) as found:
        run(world(), 1)
    assert "waits-for-nothing" in str(found.value)
    assert "task-1 at " in str(found.value)
    assert "test_loop.py:" in str(found.value)


def test_a_livelock_is_reported(monkeypatch):
    monkeypatch.setattr(sim, "STEPS_AT_ONE_TIME_MAX", 1000)

    async def world():
        for _ in itertools.count():
            await asyncio.sleep(0)

    with pytest.raises(sim.Livelock, match=r"1000 steps at 0\.0 s"):
        run(world(), 1)


def test_steps_in_passing_time_are_no_livelock(monkeypatch):
    monkeypatch.setattr(sim, "STEPS_AT_ONE_TIME_MAX", 100)

    async def world():
        for _ in range(1000):
            await asyncio.sleep(0.001)

    run(world(), 1)


def test_what_a_callback_raises_ends_the_world():
    async def world():
        here().call_soon(divmod, 1, 0)
        await asyncio.sleep(1)

    with pytest.raises(ZeroDivisionError):
        run(world(), 1)


def test_a_failure_without_an_exception_ends_the_world():
    async def world():
        here().call_exception_handler({"message": "lost"})
        await asyncio.sleep(0)

    with pytest.raises(sim.SimError, match="lost"):
        run(world(), 1)


def test_the_exception_of_the_work_comes_out_and_the_rest_is_cleaned_up():
    cleaned = []

    async def left():
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(here().time())

    async def world():
        Spawner().spawn(left(), "left")
        await asyncio.sleep(0)
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        run(world(), 1)
    assert cleaned == [0.0]


@pytest.mark.parametrize(
    "reach",
    [
        lambda: asyncio.to_thread(print),
        lambda: asyncio.open_connection("127.0.0.1", 9),
        lambda: asyncio.start_server(print, "127.0.0.1", 0),
        lambda: asyncio.create_subprocess_exec("true"),
        lambda: asyncio.get_running_loop().getaddrinfo("localhost", 80),
    ],
)
def test_the_outside_is_out_of_reach(reach):
    async def world():
        await reach()

    with pytest.raises(sim.RealIO):
        run(world(), 1)


def test_a_thread_may_not_call_in():
    async def world():
        caught: list[BaseException] = []

        def call(loop):
            try:
                loop.call_soon_threadsafe(print)
            except sim.RealIO as error:
                caught.append(error)

        thread = threading.Thread(target=call, args=(here(),))
        thread.start()
        thread.join()
        here().call_soon_threadsafe(caught.append, ValueError())
        await asyncio.sleep(0)
        return len(caught)

    assert run(world(), 1) == 2


def test_an_executor_lets_others_run_and_gives_results_and_errors():
    async def world():
        executor = InlineExecutor()
        between: list[str] = []
        here().call_soon(between.append, "other")
        assert await executor.run(len, between) == 1
        with pytest.raises(ZeroDivisionError):
            await executor.run(divmod, 1, 0)
        executor.close()

    run(world(), 1)


def test_what_is_cancelled_neither_runs_nor_moves_time():
    async def world():
        here().call_later(1000, divmod, 1, 0).cancel()
        here().call_soon(divmod, 1, 0).cancel()
        await asyncio.sleep(10)
        here().call_later(1, divmod, 1, 0).cancel()
        await asyncio.sleep(0)
        return here().time()

    assert run(world(), 1) == 10.0


def test_a_runtime_can_be_built_of_simulated_parts():
    async def world():
        inline = InlineExecutor()
        crashes: list[str] = []
        spawner = Spawner(lambda name, error: crashes.append(name))
        seams = Runtime(SimClock(here()), random.Random(1), spawner, inline)

        async def refuse():
            raise NodeError(Code.BUSY)

        seams.spawn(refuse(), "refuse")
        await seams.clock.sleep_ms(5)
        await seams.close()
        return crashes, seams.clock.monotonic_ms()

    assert run(world(), 1) == (["refuse"], 5)
