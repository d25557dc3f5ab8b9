"""Telling a service supervisor how this process is: systemd's notify protocol, one datagram.

Source: sd_notify(3). Without `NOTIFY_SOCKET` in the environment nobody listens and nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket

READY = "READY=1"
STOPPING = "STOPPING=1"


def tell_supervisor(state: str) -> bool:
    """Send one state; True if somebody was there to hear it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    with channel, contextlib.suppress(OSError):  # one that went away is no fault of the node
        channel.connect("\0" + address[1:] if address[0] == "@" else address)
        channel.sendall(state.encode())
        return True
    return False
