"""The real program as a child process, to be killed at any moment and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.crash.disk import Disk
from tests.crash.nursery import Child, Nursery
from tests.crash.shims import Shims

# A cold start on a loaded machine; a test that waits longer has found something.
START_SECONDS_MAX = 60
_SERVING = re.compile(rb"http://127\.0\.0\.1:(\d+)/")
AS_IT_IS = Shims()
#: Arguments that have a process check signatures, as most nodes do.
HELPED = ("--signature-processes", "1")


class Program:
    """`ratoon run` on one data folder, with the other flags of `args`."""

    def __init__(
        self, nursery: Nursery, folder: Path, args: Sequence[str] = (), disk: Disk | None = None
    ) -> None:
        self.folder = disk.folder / "data" if disk is not None else folder
        self._home = disk.at if disk is not None else folder.parent
        self._mounts = disk.mounts if disk is not None else 0
        self._nursery = nursery
        self.args: Sequence[str] = args
        self._child: Child | None = None
        self._drain: asyncio.Task[None] | None = None
        self._port: asyncio.Future[int] | None = None
        self.output = bytearray()

    @property
    def env(self) -> dict[str, str]:
        """What the program and its commands are told by their surroundings."""
        return {
            "HOME": str(self._home),
            "PATH": os.environ["PATH"],
            "RATOON_DATA_DIR": str(self._home / "data"),
            "RATOON_REQUESTS_PER_MINUTE_MAX": "0",
            "RATOON_ENTRIES_PER_MINUTE_MAX": "0",
            # They cost as much as a start; where they matter the arguments have them.
            "RATOON_SIGNATURE_PROCESSES": "0",
        }

    @property
    def url(self) -> str:
        """Where it serves, once `served` has returned."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """Its port there."""
        assert self._port is not None
        return self._port.result()

    @property
    def pid(self) -> int:
        """The process of the last start."""
        assert self._child is not None
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it was started and its end has not been seen."""
        return self._child is not None

    async def launch(self, shims: Shims = AS_IT_IS) -> None:
        """Start it, and wait for nothing."""
        args = ["run", "--port", "0", "--registration", "open", *self.args]
        shims = replace(shims, mounts=self._mounts)
        self._child = await self._nursery.launch(args, self.env, shims)
        self._port = asyncio.get_running_loop().create_future()
        self._drain = asyncio.create_task(self._read(self._child, self._port))

    async def command(self, *args: str) -> tuple[int, str]:
        """Run another command beside it; its exit code, and what it said."""
        child = await self._nursery.launch(args, self.env, Shims(mounts=self._mounts))
        said = await child.said.read()
        return (await child.ended()).code, said.decode()

    async def start(self, shims: Shims = AS_IT_IS) -> None:
        """Start it and return once it says where it serves."""
        await self.launch(shims)
        assert await self.served(), f"the program ended: {self.output.decode()}"

    async def served(self) -> bool:
        """Return once it serves (True) or has ended without (False)."""
        assert self._port is not None
        async with asyncio.timeout(START_SECONDS_MAX):
            return bool(await asyncio.shield(self._port))

    async def _read(self, child: Child, port: asyncio.Future[int]) -> None:
        while line := await child.said.readline():
            self.output += line
            if (found := _SERVING.search(line)) and not port.done():
                port.set_result(int(found[1]))
        if not port.done():
            port.set_result(0)

    def tell(self, how: signal.Signals) -> None:
        """Send a signal, if the process is still there."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child.pid, how)

    async def end(self, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.tell(how)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for the end; the exit code, below zero the signal."""
        assert self._child is not None
        assert self._drain is not None
        async with asyncio.timeout(START_SECONDS_MAX):
            await self._drain
            ended = await self._child.ended()
        self._nursery.cpu_seconds += ended.cpu_seconds
        self._child = None
        return ended.code
