"""Whether the peer of a link is still there, and still answers (R-79)."""

from __future__ import annotations

from ratoon_protocol.errors import Code, LinkError
from ratoon_protocol.frames import Ping, Pong
from ratoon_protocol.limits import ANSWER_MS_MAX, HANDSHAKE_MS_MAX, LINK_IDLE_MS_MAX


class Liveness:
    """The times of one link: its start, the last sound, the last thing that was owed."""

    def __init__(self, now_ms: int) -> None:
        self._opened_ms = self._heard_ms = now_ms
        self._progress_ms: int | None = None
        self._pings = 0
        self._awaits_pong = False
        self._pong: Pong | None = None

    def hear(self, now_ms: int) -> None:
        """A message came."""
        self._heard_ms = now_ms

    def watch(self, now_ms: int, waiting: bool, progressed: bool) -> None:
        """Run the clock while the peer owes answers; any progress starts it anew."""
        if not waiting:
            self._progress_ms = None
        elif self._progress_ms is None or progressed:
            self._progress_ms = now_ms

    def deadline_ms(self, is_open: bool) -> int:
        """When `check` has something to do, at the latest."""
        if not is_open:
            return self._opened_ms + HANDSHAKE_MS_MAX
        idle = self._heard_ms + LINK_IDLE_MS_MAX * (2 if self._awaits_pong else 1)
        if self._progress_ms is None:
            return idle
        return min(idle, self._progress_ms + ANSWER_MS_MAX)

    def check(self, now_ms: int, is_open: bool) -> Ping | None:
        """The ping to send, if one is due. Raises `LinkError(timeout)` if waiting is over."""
        if now_ms < self.deadline_ms(is_open):
            return None
        if not is_open:
            raise LinkError(Code.TIMEOUT, "handshake")
        if self._progress_ms is not None and now_ms >= self._progress_ms + ANSWER_MS_MAX:
            raise LinkError(Code.TIMEOUT, "no answers")
        if self._awaits_pong:
            raise LinkError(Code.TIMEOUT, "silence")
        self._pings += 1
        self._awaits_pong = True
        return Ping(self._pings)

    def take_ping(self, ping: Ping) -> None:
        """Note that a pong is due. Raises `LinkError` if one is due already."""
        if self._pong is not None:
            raise LinkError(Code.UNEXPECTED_FRAME, "two pings at once")
        self._pong = Pong(ping.number)

    def take_pong(self, pong: Pong) -> None:
        """Note the answer to our ping. Raises `LinkError` if there was none."""
        if not self._awaits_pong or pong.number != self._pings:
            raise LinkError(Code.UNEXPECTED_FRAME, "a pong without ping")
        self._awaits_pong = False

    def pong_due(self) -> Pong | None:
        """The pong to send now, if any; once."""
        pong, self._pong = self._pong, None
        return pong
