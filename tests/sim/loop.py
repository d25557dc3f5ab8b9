"""A world on one thread and a clock of its own: an asyncio event loop that a seed drives.

Time stands still while anything is ready to run and jumps to the next timer when nothing is, so
an hour takes no time. Tasks that are ready at the same moment run in an order drawn from the
seed; plain callbacks keep the order asyncio promises them. One seed gives one trace. What could
make two traces of one seed is refused: threads, sockets, subprocesses, signals.

    run(world(), seed=7)             the result of the coroutine, or its exception
    SimClock(loop, skew_ms=250)      a node's clock, ahead of the world's
    InlineExecutor()                 a node's executor, without threads

`Deadlock` is raised when nothing is ready and no timer is set, `Livelock` when time stands still
for too many steps, and what a callback raises ends the world too: nothing is only logged.
Sets of bytes or texts are walked in an order that differs between processes unless
PYTHONHASHSEED is fixed; within one process it is the same.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# 2026-01-01T00:00:00Z, when every world begins.
BEGIN_MS = 1_767_225_600_000
# Steps without time passing: far above any burst of real work, far below patience.
STEPS_AT_ONE_TIME_MAX = 1_000_000

# What a loop may do here; whatever else it offers reaches for the outside.
INSIDE = (
    *("call_at", "call_exception_handler", "call_later", "call_soon", "call_soon_threadsafe"),
    *("close", "create_future", "create_task", "default_exception_handler", "get_debug"),
    *("get_exception_handler", "get_task_factory", "is_closed", "is_running", "run_forever"),
    *("run_until_complete", "set_debug", "shutdown_asyncgens", "shutdown_default_executor"),
    *("stop", "time"),
)


class SimError(AssertionError):
    """The world cannot go on."""


class Deadlock(SimError):
    """Nothing is ready and no timer is set, yet the world has not ended."""


class Livelock(SimError):
    """Something runs again and again while time stands still."""


class RealIO(SimError):
    """The code under simulation reached for a thread, a socket, a process or a signal."""


class SimLoop(asyncio.BaseEventLoop):
    """The loop itself. `steps` counts what ran; `shuffle` off is asyncio's own order."""

    # Kept by the base class, which names them in no stub.
    _ready: Any
    # Timers by time and, at one time, by age: tuples compare in C, handles in Python.
    _scheduled: list[Any]

    def __init__(self, seed: int, *, shuffle: bool = True) -> None:
        super().__init__()
        self.steps = 0
        self._random = random.Random(seed)
        self._shuffle = shuffle
        self._now_s = 0.0
        self._moved_at_step = 0
        self._thread = threading.get_ident()
        self._made: WeakKeyDictionary[asyncio.Task[Any], None] = WeakKeyDictionary()
        self._made_count = 0
        self._timers_count = 0
        self._failure: BaseException | None = None

    # ----------------------------------------------------------------------------- time

    def time(self) -> float:
        """Seconds since the world began."""
        return self._now_s

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See `asyncio.AbstractEventLoop.call_at`."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers_count += 1
        heapq.heappush(self._scheduled, (when, self._timers_count, timer))
        return timer

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See `asyncio.AbstractEventLoop.call_later`."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """See `asyncio.AbstractEventLoop.call_soon`; without its looks for threads."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def _run_once(self) -> None:
        """Everything that is ready, or else the jump to the next timer."""
        timers = self._scheduled
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not self._ready:
            if not timers:
                raise Deadlock(self._waiting())
            self._now_s = max(self._now_s, timers[0][0])
            self._moved_at_step = self.steps
        while timers and timers[0][0] <= self._now_s:
            self._ready.append(heapq.heappop(timers)[2])
        if len(self._ready) == 1:
            self._step(self._ready.popleft())
            return
        round_ = list(self._ready)
        self._ready.clear()
        for handle in self._mixed(round_):
            self._step(handle)

    def _mixed(self, round_: list[Any]) -> list[Any]:
        """The same handles, the tasks among them in an order drawn from the seed."""
        places = [n for n, handle in enumerate(round_) if _is_task(handle)]
        if self._shuffle and len(places) > 1:
            tasks = [round_[n] for n in places]
            self._random.shuffle(tasks)
            for n, handle in zip(places, tasks, strict=True):
                round_[n] = handle
        return round_

    def _step(self, handle: Any) -> None:
        if handle._cancelled:
            return
        self.steps += 1
        if self.steps - self._moved_at_step > STEPS_AT_ONE_TIME_MAX:
            raise Livelock(f"{STEPS_AT_ONE_TIME_MAX} steps at {self._now_s} s\n{self._waiting()}")
        handle._run()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers leave when their time comes; nothing is counted."""

    # ------------------------------------------------------------------------- the tasks

    def create_task(
        self, coro: Any, *, name: object = None, context: Context | None = None, **more: Any
    ) -> asyncio.Task[Any]:
        """A task; one without a name is named by count, the same in every run."""
        self._made_count += 1
        name = name or f"task-{self._made_count}"
        task = super().create_task(coro, name=name, context=context, **more)
        self._made[task] = None
        return task

    def unfinished(self) -> list[asyncio.Task[Any]]:
        """Tasks that have not ended, in the order of their making."""
        return [task for task in self._made if not task.done()]

    def _waiting(self) -> str:
        """What every unfinished task waits for, a line each."""
        lines = ["nothing can go on:"]
        for task in self.unfinished():
            frames = task.get_stack()
            place = f"{frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else "-"
            lines.append(f"  {task.get_name()} at {place}")
        return "\n".join(lines)

    # ----------------------------------------------------------------------- the outside

    def call_exception_handler(self, context: Any) -> None:
        """What asyncio would only log ends the world."""
        self._failure = context.get("exception") or SimError(context["message"])

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As `call_soon`: there is only one thread."""
        if threading.get_ident() != self._thread:
            raise RealIO("a thread called into the simulation")
        return self.call_soon(callback, *args, context=context)


def _is_task(handle: Any) -> bool:
    return isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)


def _refuse(name: str) -> Callable[..., Any]:
    def refused(*_: Any, **__: Any) -> Any:
        raise RealIO(f"{name} in the simulation")

    return refused


for _name in dir(asyncio.AbstractEventLoop):
    if not _name.startswith("_") and _name not in INSIDE:
        setattr(SimLoop, _name, _refuse(_name))


def run(
    work: Coroutine[Any, Any, T],
    seed: int,
    *,
    shuffle: bool = True,
    loop_type: type[SimLoop] = SimLoop,
) -> T:
    """Run `work` in a world of its own; tasks it left behind are cancelled."""
    loop = loop_type(seed, shuffle=shuffle)
    try:
        result = loop.run_until_complete(work)
        _end(loop)
        return result
    except SimError:
        _abandon(loop)
        raise
    except BaseException:
        _end(loop)
        raise
    finally:
        loop.close()


def _end(loop: SimLoop) -> None:
    """Cancel what is left, and let it clean up after itself."""
    while left := loop.unfinished():
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left))
    loop.run_until_complete(loop.shutdown_asyncgens())


def _abandon(loop: SimLoop) -> None:
    """Drop what is left of a world that cannot go on, without words from the collector."""
    left: list[Any] = list(loop.unfinished())
    for task in left:
        task._log_destroy_pending = False
        task.get_coro().close()


class SimClock:
    """A node's clock in the world of `loop`: `skew_ms` ahead (or behind), and changeable."""

    def __init__(self, loop: asyncio.AbstractEventLoop, skew_ms: int = 0) -> None:
        self._loop = loop
        self.skew_ms = skew_ms

    def now_ms(self) -> int:
        """Milliseconds since 1970 as this clock has them."""
        return BEGIN_MS + self.monotonic_ms() + self.skew_ms

    def monotonic_ms(self) -> int:
        """Milliseconds since the world began; the skew does not touch durations."""
        return round(self._loop.time() * 1000)

    async def sleep_ms(self, ms: int) -> None:
        """Wait in the world's time."""
        await asyncio.sleep(ms / 1000)


class InlineExecutor:
    """Runs functions on the one thread, with room for other tasks before and after each."""

    async def run(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        """The result of `fn(*args)`; a caller cancelled meanwhile may have had it run."""
        await asyncio.sleep(0)
        try:
            return fn(*args)
        finally:
            await asyncio.sleep(0)

    def close(self) -> None:
        """Nothing is under way between two steps."""
