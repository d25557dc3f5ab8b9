"""The real program as a child process, to be killed at any moment and started again."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path

# A cold start on a loaded machine; a test that waits longer has found something.
START_SECONDS_MAX = 60
_SERVING = re.compile(rb"http://127\.0\.0\.1:(\d+)/")


class Program:
    """`ratoon run` on one data folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: Process | None = None
        self._drain: asyncio.Task[None] | None = None
        self.output = bytearray()
        self.url = ""

    async def start(self) -> None:
        """Start the program and return once it says where it serves."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "ratoon_node", "run", "--port", "0", "--registration", "open"),
            *("--data-dir", str(self._folder)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "HOME": str(self._folder), "RATOON_REQUESTS_PER_MINUTE_MAX": "0"},
        )
        async with asyncio.timeout(START_SECONDS_MAX):
            self.url = await self._where()
        self._drain = asyncio.create_task(self._read())

    async def _where(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.output += line
            if found := _SERVING.search(line):
                return f"http://127.0.0.1:{found[1].decode()}"
        raise AssertionError(f"the program ended: {self.output.decode()}")

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.output += line

    async def end(self, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; the exit code."""
        assert self._process is not None
        assert self._drain is not None
        if self._process.returncode is None:
            self._process.send_signal(how)
        code = await self._process.wait()
        await self._drain
        return code
