"""Disks that fill up, under the real program: a small file system, or a limit on its files.

A small file system is real: a tmpfs in a namespace of its own, which a process keeps that ends with
the test. The program runs in it; tests reach its files over /proc. Where no namespace
may be made (in many containers) there is none, and only the limit is tried, which every system has:
`RLIMIT_FSIZE` has each write behind a place in a file fail, like a disk with no room for it.
"""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from pathlib import Path
from typing import Protocol

# More than the 64 MiB that a node wants free, and what its files take in a test.
DISK_BYTES = 96 * 2**20
# What is left when it is filled: a commit or two, so that one fails in its middle.
LEFT_BYTES = 192 * 1024
_WAYS = (("unshare", "-rm"), ("unshare", "-m"))
_KEEP = (
    "mount -t tmpfs -o size={size},mode=700 ratoon {at} && echo ready;"
    ' while read -r order; do $order && echo done || echo "failed"; done'
)


class Disk(Protocol):
    """A disk that can be full for a running program."""

    #: Where it is to this process, and to one that sees the mounts of `mounts` (0: the same).
    folder: Path
    at: Path
    mounts: int

    def fill(self, pid: int) -> None:
        """From now on there is nearly no room."""
        ...

    def empty(self, pid: int) -> None:
        """There is room again."""
        ...

    def close(self) -> None:
        """Take it away."""
        ...


class NoSmallDisk(RuntimeError):
    """No file system can be mounted here, not even in a namespace."""


class SmallDisk:
    """A file system of its own."""

    def __init__(self, at: Path) -> None:
        at.mkdir()
        said = []
        for way in _WAYS:
            script = _KEEP.format(size=DISK_BYTES, at=at)
            self._keeper = subprocess.Popen(
                [*way, "sh", "-c", script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            assert self._keeper.stdout is not None
            said.append(self._keeper.stdout.readline().strip())
            if said[-1] == "ready":
                self.at, self.mounts = at, self._keeper.pid
                self.folder = Path(f"/proc/{self._keeper.pid}/root{at}")
                return
            self.close()
        raise NoSmallDisk("; ".join(said))

    def order(self, command: str) -> None:
        """Run a command where the file system is."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.write(f"{command}\n")
        self._keeper.stdin.flush()
        said = self._keeper.stdout.readline().strip()
        assert said == "done", said

    def fill(self, pid: int = 0, left: int = LEFT_BYTES) -> None:
        """See `Disk.fill`; `left` bytes stay free."""
        with (self.folder / f"ballast-{left}").open("wb") as file:
            while True:
                room = os.statvfs(self.folder)
                size = room.f_bavail * room.f_frsize - left
                if size <= 0:
                    return
                try:
                    os.posix_fallocate(file.fileno(), 0, size)
                except OSError as error:  # the program wrote meanwhile: there is less room now
                    if error.errno != errno.ENOSPC:
                        raise
                else:
                    return

    def empty(self, pid: int = 0) -> None:
        """See `Disk.empty`."""
        for path in self.folder.glob("ballast-*"):
            path.unlink()

    def close(self) -> None:
        """See `Disk.close`: it goes with the last process that sees it."""
        self._keeper.communicate()


class LimitedFiles:
    """Files of a process that must not grow."""

    def __init__(self, at: Path) -> None:
        at.mkdir()
        self.folder = self.at = at
        self.mounts = 0

    def fill(self, pid: int) -> None:
        """See `Disk.fill`."""
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (LEFT_BYTES, hard))

    def empty(self, pid: int) -> None:
        """See `Disk.empty`."""
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))

    def close(self) -> None:
        """See `Disk.close`."""
