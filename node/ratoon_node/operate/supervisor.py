"""Telling a service supervisor how this process is: systemd's notify protocol, one datagram.

Source: sd_notify(3). Without `NOTIFY_SOCKET` in the environment nobody listens and nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

from ratoon_node.runtime import Clock

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"
# A sign of life is sent this many times within the time after which none counts as death.
SIGNS = 2


def tell_supervisor(*states: str) -> bool:
    """Send states in one datagram; True if somebody was there to hear it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    with channel, contextlib.suppress(OSError):  # one that went away is no fault of the node
        channel.connect("\0" + address[1:] if address[0] == "@" else address)
        channel.sendall("\n".join(states).encode())
        return True
    return False


def reloading() -> tuple[str, str]:
    """What to send before a reload; `READY` says that it is over (`Type=notify-reload`).

    The time is that of CLOCK_MONOTONIC, which the supervisor compares with its own.
    """
    return "RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def watched_ms() -> int | None:
    """After how long a silence the supervisor ends this process; None if it does not watch."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or (pid and pid != str(os.getpid())):
        return None
    return int(usec) // 1000 or None


async def keep_watch(clock: Clock) -> None:
    """Send signs of life for ever, from the loop that also answers requests; a task of its own."""
    silence_ms = watched_ms()
    while silence_ms is not None:
        tell_supervisor(ALIVE)
        await clock.sleep_ms(max(1, silence_ms // SIGNS))
