"""What a process and its children take, as the kernel counts it (Linux: proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Taken:
    """Processor time in seconds, memory in bytes: of a process itself, and of its children."""

    cpu: float
    children_cpu: float
    rss: int
    #: The most it ever had.
    peak: int
    children_rss: int
    #: Bytes that it caused to be written to disk.
    written: int


def children(pid: int) -> list[int]:
    """The processes that a process started and that still run."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process, in steps of a tick (10 ms)."""
    # The name of the program, in brackets, may have spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def number(pid: int, file: str, name: str) -> int:
    """One line of a file of names and numbers in /proc/PID."""
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


def taken(pid: int) -> Taken:
    """What a process has taken so far."""
    kin = children(pid)
    return Taken(
        cpu=cpu_seconds(pid),
        children_cpu=sum(map(cpu_seconds, kin)),
        rss=number(pid, "status", "VmRSS") * 1024,
        peak=number(pid, "status", "VmHWM") * 1024,
        children_rss=sum(number(one, "status", "VmRSS") * 1024 for one in kin),
        written=number(pid, "io", "write_bytes"),
    )
