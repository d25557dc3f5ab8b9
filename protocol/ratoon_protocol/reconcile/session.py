"""A reconciliation session: client and server side of Negentropy V1.

The client sends `initiate()`, the server answers each message with `respond`, the client goes on
with `proceed` until it has no reply. `begin` does either a slice at a time, for whoever has other
things to do. Nothing keeps positions between messages or slices, so records may be inserted or
erased in between: the worst that follows is an id named twice or in vain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ratoon_protocol.errors import Code, SyncError, UsageError
from ratoon_protocol.limits import RECONCILE_FRAME_BYTES_MIN, RECONCILE_RANGES_MAX
from ratoon_protocol.reconcile.index import ID_BYTES, Index, Window
from ratoon_protocol.reconcile.wire import (
    END,
    VERSION_BYTE,
    Bound,
    Mode,
    Range,
    Writer,
    each_range,
    read_version,
)

# How the reference splits a range: fewer than two records a bucket are listed at once.
_BUCKETS = 16
_LISTED_RECORDS_MAX = 2 * _BUCKETS - 1
# What the reference leaves free below a frame limit, for the last bounds and the closing range.
_RESERVE_BYTES = 200
# The same for the count of ranges: a skip, a list, and the closing fingerprint.
_RESERVE_RANGES = 3
# A slice of work on a message, in ranges: some 3 ms. So many ids to compare count as one more.
_SLICE_RANGES = 256
_IDS_PER_RANGE = 64


class Step(NamedTuple):
    """What one message told the client.

    `reply` goes to the server, None ends the session. The server lacks the ids in `have`; the
    client lacks those in `need`. With frame limits an id may be named more than once.
    """

    reply: bytes | None
    have: list[bytes]
    need: list[bytes]


class Reconciler:
    """One session over an index or a window, in one of the two roles.

    `frame_bytes_max`: the longest message to write, at least 4,096; 0 for no limit.
    `ranges_max`: the most ranges to read and to write in one message; None for no limit, which
    is for pairing with implementations that do not know it, never for a peer.
    """

    def __init__(
        self,
        records: Index | Window,
        frame_bytes_max: int = 0,
        ranges_max: int | None = RECONCILE_RANGES_MAX,
    ) -> None:
        if frame_bytes_max and frame_bytes_max < RECONCILE_FRAME_BYTES_MIN:
            raise UsageError(f"frame limit below {RECONCILE_FRAME_BYTES_MIN} bytes")
        self._window = Window(records) if isinstance(records, Index) else records
        self._frame_bytes_max = frame_bytes_max
        self._ranges_max = ranges_max
        self._initiated = False

    def initiate(self) -> bytes:
        """The client's first message. Raises `UsageError` the second time."""
        if self._initiated:
            raise UsageError("already initiated")
        self._initiated = True
        turn = self._turn(iter(()))
        turn.split(turn.lower, len(self._window.index), END)
        return bytes(turn.out)

    def respond(self, message: bytes) -> bytes:
        """The server's answer; one byte, the version spoken here, if the client's is another.

        Raises `SyncError` (`sync_malformed`).
        """
        if self._initiated:
            raise UsageError("a client proceeds, it does not respond")
        return bytes(self._whole(message).out)

    def proceed(self, message: bytes) -> Step:
        """The client's next step. Raises `SyncError` (`sync_malformed`, `unsupported`)."""
        if not self._initiated:
            raise UsageError("initiate first")
        return self._whole(message).step()

    def begin(self, message: bytes) -> Turn:
        """`respond` or `proceed`, whichever is this side's, a slice at a time; raises as they do,
        here or in `Turn.work`.
        """
        if read_version(message) == VERSION_BYTE:
            return self._turn(each_range(message, self._ranges_max))
        if self._initiated:
            raise SyncError(Code.UNSUPPORTED, "the server speaks another version")
        return self._turn(iter(()))

    def _whole(self, message: bytes) -> Turn:
        turn = self.begin(message)
        while not turn.work():
            pass
        return turn

    def _turn(self, ranges: Iterator[Range]) -> Turn:
        return Turn(self._window, self._initiated, self._frame_bytes_max, self._ranges_max, ranges)


class Turn:
    """The answer to one message, written while walking its ranges in ascending order.

    `out`: as far as it is written; `have` and `need` are a client's, as in `Step`.
    """

    def __init__(
        self,
        window: Window,
        client: bool,
        frame_bytes_max: int,
        ranges_max: int | None,
        ranges: Iterator[Range],
    ) -> None:
        self._window = window
        self._index = window.index
        self._client = client
        self._bytes_max = frame_bytes_max - _RESERVE_BYTES if frame_bytes_max else None
        self._ranges_max = ranges_max
        self._ranges = ranges
        self._skipped: Bound | None = None
        self._last: Bound | None = None
        self._closed = False
        self.lower = window.start()
        self.out = Writer()
        self.have: list[bytes] = []
        self.need: list[bytes] = []

    def work(self) -> bool:
        """React to a slice of the ranges; whether that was the last.

        Once the answer is full the rest is only read: what is malformed is an error anywhere.
        """
        self.lower = self._window.start()
        if self._last is not None:
            self.lower = max(self.lower, self._index.lower_bound(*self._last))
        left = _SLICE_RANGES
        for received in self._ranges:
            if not self._closed:
                left -= self._take(received) // _IDS_PER_RANGE
            left -= 1
            if left <= 0:
                return False
        return True

    def step(self) -> Step:
        """What the client learned, once `work` is done."""
        return Step(bytes(self.out) if self.out.ranges else None, self.have, self.need)

    def _take(self, received: Range) -> int:
        """React to a range, or close with a fingerprint of the rest; how many ids it took."""
        length, count = len(self.out), self.out.ranges
        lower, upper = self.lower, max(self.lower, self._index.lower_bound(*received.bound))
        if received.mode == Mode.ID_LIST and not self._client:
            # This list was already cut to what fits, so it stays when the frame is full.
            upper = self._list(received.bound, upper, length)
            length, count = len(self.out), self.out.ranges
        else:
            self._react(received, upper)
        if self._full():
            rest = self._index.fingerprint(upper, len(self._index))
            self.out.close_at(length, count, rest)
            self._closed = True
        self.lower, self._last = upper, received.bound
        return upper - lower if received.mode == Mode.ID_LIST else 0

    def _react(self, received: Range, upper: int) -> None:
        if received.mode == Mode.FINGERPRINT:
            if received.payload != self._index.fingerprint(self.lower, upper):
                self._write_skip()
                self.split(self.lower, upper, received.bound)
                return
        elif received.mode == Mode.ID_LIST:
            self._compare(received.payload, upper)
        self._skipped = received.bound

    def _compare(self, payload: bytes, upper: int) -> None:
        """Learn what only one side has. A dict keeps the order in which the ids came."""
        theirs = dict.fromkeys(
            payload[start : start + ID_BYTES] for start in range(0, len(payload), ID_BYTES)
        )
        for record_id in self._index.ids(self.lower, upper):
            if record_id in theirs:
                del theirs[record_id]
            else:
                self.have.append(record_id)
        self.need.extend(theirs)

    def _list(self, bound: Bound, upper: int, length: int) -> int:
        """List what is here, as much as fits; where the list ends."""
        self._write_skip()
        if self._bytes_max is not None:
            fitting = (self._bytes_max - length) // ID_BYTES + 1
            if upper - self.lower > fitting:
                upper = self.lower + fitting
                ((timestamp_s, record_id),) = self._index.items(upper, upper + 1)
                bound = Bound(timestamp_s, record_id)
        self.out.id_list(bound, self._index.ids(self.lower, upper))
        return upper

    def _write_skip(self) -> None:
        if self._skipped is not None:
            self.out.skip(self._skipped)
            self._skipped = None

    def _full(self) -> bool:
        return (self._bytes_max is not None and len(self.out) > self._bytes_max) or (
            self._ranges_max is not None and self.out.ranges > self._ranges_max - _RESERVE_RANGES
        )

    def split(self, lower: int, upper: int, bound: Bound) -> None:
        """Say what is in a range: its ids if they are few, else 16 fingerprints."""
        count = upper - lower
        if count <= _LISTED_RECORDS_MAX:
            self.out.id_list(bound, self._index.ids(lower, upper))
            return
        size, larger = divmod(count, _BUCKETS)
        for bucket in range(_BUCKETS):
            end = lower + size + (bucket < larger)
            fingerprint = self._index.fingerprint(lower, end)
            self.out.fingerprint(bound if end == upper else self._bound_at(end), fingerprint)
            lower = end

    def _bound_at(self, position: int) -> Bound:
        """The shortest bound between a record and the one before it."""
        (before_s, before), (after_s, after) = self._index.items(position - 1, position + 1)
        if before_s != after_s:
            return Bound(after_s, b"")
        apart = int.from_bytes(before) ^ int.from_bytes(after)
        return Bound(after_s, after[: ID_BYTES - (apart.bit_length() - 1) // 8])
