"""The seams to the outside: time, chance, tasks and threads, which the core only gets as arguments.

Production passes the system's own; the simulation passes a virtual clock, a seeded generator and
an executor that runs at once, and then one seed gives one trace. The core awaits queues, events
and `timeout_ms`, sleeps on its `Clock`, starts tasks with `spawn`, and knows no other time.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, TypeVarTuple

from ratoon_node.errors import NodeError
from ratoon_protocol.errors import Code

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
#: Told the name and the exception of a task that ended in one.
Crashed = Callable[[str, BaseException], None]

# Calls waiting for a thread of one executor: whoever calls has a bound of its own below this.
CALLS_WAITING_MAX = 1024
# What a refused caller is told to wait: long enough for a queue of short calls to run empty.
BUSY_RETRY_MS = 1000
# New objects before the collector looks at them (Python's own is 700; looking at 20,000 held
# everybody up for 6 ms), and looks of one generation before it looks at the next older one.
GC_ALLOCATIONS = 5_000
GC_GENERATIONS = 20
# How long a thread that computes keeps the interpreter from others that want it.
SWITCH_SECONDS = 0.0005


class Clock(Protocol):
    """Where time comes from."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC; may jump, forwards or back, but never below 0."""
        ...

    def monotonic_ms(self) -> int:
        """Milliseconds since some start; never goes back. For durations and deadlines."""
        ...

    async def sleep_ms(self, ms: int) -> None:
        """Return after `ms` milliseconds; 0 or less only lets other tasks run."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """See `Clock.now_ms`; a machine that believes it is before 1970 is at its first moment."""
        return max(0, time.time_ns() // 1_000_000)

    def monotonic_ms(self) -> int:
        """See `Clock.monotonic_ms`."""
        return time.monotonic_ns() // 1_000_000

    async def sleep_ms(self, ms: int) -> None:
        """See `Clock.sleep_ms`."""
        await asyncio.sleep(ms / 1000)


def timeout_ms(ms: int) -> asyncio.Timeout:
    """`async with timeout_ms(50):` raises TimeoutError when the block takes longer."""
    return asyncio.timeout(ms / 1000)


class Executor(Protocol):
    """Where functions run that would hold up the event loop."""

    async def run(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        """The result of `fn(*args)`, or its exception. Raises NodeError (busy) when full."""
        ...

    def close(self) -> None:
        """Finish what was taken on, then end the threads."""
        ...


class ThreadExecutor:
    """A thread pool of its own with a bounded queue.

    Cancelling a caller does not stop a function that has begun: its thread is busy until it ends.
    """

    def __init__(self, threads: int, name: str, waiting_max: int = CALLS_WAITING_MAX) -> None:
        self._name = name
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threading.BoundedSemaphore(threads + waiting_max)

    async def run(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        """See `Executor.run`."""
        if not self._free.acquire(blocking=False):
            raise NodeError(
                Code.BUSY, detail=f"executor {self._name} is full", retry_ms=BUSY_RETRY_MS
            )
        try:
            future = self._pool.submit(fn, *args)
        except RuntimeError:  # closed
            self._free.release()
            raise NodeError(Code.SHUTDOWN, detail=f"executor {self._name} is closed") from None
        future.add_done_callback(lambda _: self._free.release())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """See `Executor.close`."""
        self._pool.shutdown(wait=True)


class Spawn(Protocol):
    """How the core starts a task."""

    def __call__(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start `work`; the name is for logs and says what it does, never for whom."""
        ...


def log_crash(name: str, error: BaseException) -> None:
    """One line of log for a task that ended in an exception nobody expected."""
    import structlog  # 100 ms, which a command that starts no task need not pay

    structlog.get_logger().error("task_crashed", task=name, exc_info=error)


class Spawner:
    """Owns every task of a node; the only place that makes any.

    A task that crashes is reported and leaves the others running. Tasks are kept in the order of
    their start, so that a simulated shutdown is the same each time.
    """

    def __init__(self, crashed: Crashed = log_crash) -> None:
        #: Told of every task that ended in an exception.
        self.crashed = crashed
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._closing = False

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """See `Spawn`. Once `cancel_all` has begun, new work is cancelled before it starts."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        if self._closing:
            task.cancel()
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self.crashed(task.get_name(), error)

    async def cancel_all(self) -> None:
        """Cancel every task, and return when all have ended (but the one that calls this)."""
        self._closing = True
        while others := [task for task in self._tasks if task is not asyncio.current_task()]:
            for task in others:
                task.cancel()
            await asyncio.wait(others)


@dataclass(frozen=True)
class Runtime:
    """All seams of one node together; the store brings threads of its own.

    `threads` run what takes a while: checks of many signatures, reading of policies.
    """

    clock: Clock
    random: random.Random
    spawner: Spawner
    threads: Executor

    @property
    def spawn(self) -> Spawn:
        """How this node starts a task."""
        return self.spawner.spawn

    async def close(self) -> None:
        """End the tasks, then the threads they used."""
        await self.spawner.cancel_all()
        self.threads.close()


def spare_collector() -> None:
    """Have Python's cycle collector pass over what a started process keeps for good, and look
    less often: it took a tenth of the time of taking records in, and found nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, GC_GENERATIONS, GC_GENERATIONS)


def share_interpreter() -> None:
    """Have the threads of a started process take turns more often than Python's own 5 ms: in a
    flood each question of a reader waited for that several times, 0.4 s in the worst of a hundred.
    """
    sys.setswitchinterval(SWITCH_SECONDS)


def system_runtime(*, threads: int, crashed: Crashed = log_crash) -> Runtime:
    """The real thing: the machine's clock and randomness, and threads of its own."""
    return Runtime(
        clock=SystemClock(),
        random=random.SystemRandom(),
        spawner=Spawner(crashed),
        threads=ThreadExecutor(threads, "workers"),
    )
