"""Processes of the real program, started often: its modules are imported once and forked from.

Most of a start is imports. This process does them, and then forks for each order it gets; the child
runs `ratoon` with the arguments it was given, from reading settings on: its own memory, files,
threads and end. Nothing of the program has run before the fork.

    nursery = Nursery()
    child = await nursery.launch(["run", ...], env, Shims())   # tests.crash.process uses it
    nursery.close()                                            # ends every child too

An order is JSON with two descriptors: where the child says what it says, and where this says the
child's number, then how it ended and what CPU it took.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from tests.crash.shims import Shims, put_in_place

ORDER_BYTES_MAX = 64 * 1024
# prctl(2): this process gets a signal when its parent ends.
PR_SET_PDEATHSIG = 1
# What `ratoon run` and the commands under test import by themselves.
PRELOADED = (
    "ratoon_node.cli.commands",
    "ratoon_node.cli.serve",
    "ratoon_node.cli.identity",
    "ratoon_node.cli.doctor",
    "ratoon_node.cli.publishing",
    "typer._adapters",
    "prometheus_client",
    "uvloop",
)


class Ended(NamedTuple):
    """How a child ended: its exit code, below zero the signal; and its CPU time."""

    code: int
    cpu_seconds: float


@dataclass
class Child:
    """A process that was started: what it says, and how it ends."""

    pid: int
    said: asyncio.StreamReader
    _status: asyncio.StreamReader
    _pipes: Sequence[asyncio.ReadTransport]
    _ended: Ended | None = None

    async def ended(self) -> Ended:
        """Return once the process is no more; read what it said before."""
        if self._ended is None:
            code, cpu = (await self._status.readline()).split()
            self._ended = Ended(int(code), float(cpu))
            for pipe in self._pipes:
                pipe.close()
            await asyncio.sleep(0)  # which is when they are
        return self._ended


class Nursery:
    """The process that forks."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._orders = ours
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        #: Of all children that ended.
        self.cpu_seconds = 0.0

    async def launch(self, args: Sequence[str], env: Mapping[str, str], shims: Shims) -> Child:
        """Start `ratoon` with these arguments in this environment and no other."""
        said, child_says = os.pipe()
        status, nursery_says = os.pipe()
        order = {"args": list(args), "env": dict(env), "shims": asdict(shims)}
        socket.send_fds(self._orders, [json.dumps(order).encode()], [child_says, nursery_says])
        os.close(child_says)
        os.close(nursery_says)
        (words, one), (ends, other) = await _reader(said), await _reader(status)
        return Child(int(await ends.readline()), words, ends, (one, other))

    def close(self) -> None:
        """End it and all its children."""
        self._orders.close()
        self._process.wait()


async def _reader(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
    )
    return reader, transport


# --- in the process that forks -------------------------------------------------------------------


@dataclass
class _Order:
    args: list[str]
    env: dict[str, str]
    shims: Shims


def _serve(orders: socket.socket) -> _Order | None:
    """Fork for every order; returns the order in the child, and None here at the end."""
    awake, wake = socket.socketpair()
    for end in (awake, wake):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    children: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([orders, awake], [], [])
        if awake in ready:
            awake.recv(4096)
            _reap(children)
        if orders not in ready:
            continue
        data, descriptors, _, _ = socket.recv_fds(orders, ORDER_BYTES_MAX, 2)
        if not data:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            return None
        says, status = descriptors
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (orders, awake, wake):
                end.close()
            for descriptor in (status, *children.values()):
                os.close(descriptor)
            for standard in (1, 2):
                os.dup2(says, standard)
            os.close(says)
            found = json.loads(data)
            return _Order(found["args"], found["env"], Shims(**found["shims"]))
        os.close(says)
        children[pid] = status
        os.write(status, b"%d\n" % pid)


def _reap(children: dict[int, int]) -> None:
    """Tell of every child that ended."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.wait4(-1, os.WNOHANG))[0]:
            pid, status, usage = found
            told, cpu = children.pop(pid), usage.ru_utime + usage.ru_stime
            with contextlib.suppress(BrokenPipeError):
                os.write(told, b"%d %f\n" % (os.waitstatus_to_exitcode(status), cpu))
            os.close(told)


def _run(order: _Order) -> None:
    """Be the program."""
    os.environ.clear()
    os.environ.update(order.env)
    sys.argv = ["ratoon", *order.args]
    # Those of the parent know what its own files can do, and these are pipes.
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, closefd=False)
    put_in_place(order.shims)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    from ratoon_node.cli import main

    main()


if __name__ == "__main__":
    for name in PRELOADED:
        __import__(name)
    gc.collect()
    gc.freeze()
    if order := _serve(socket.socket(fileno=int(sys.argv[1]))):
        _run(order)
