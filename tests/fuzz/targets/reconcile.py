"""Messages of a reconciliation that no honest peer sends, against a set (R-78).

Refused with a code, or answered within the frame limit; what is read is spelt one way.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from ratoon_protocol.errors import SyncError
from ratoon_protocol.limits import RECONCILE_FRAME_BYTES_MIN, RECONCILE_RANGES_MAX
from ratoon_protocol.reconcile import Index, Reconciler, Window
from ratoon_protocol.reconcile.wire import VERSION_BYTE, Mode, Writer, read_ranges, read_version
from tests.fuzz.target import Steered, Target, ask, vectors
from tests.protocol.vectors_reconcile import records, segment

COUNTS = (0, 1, 31, 32, 700, 3000)


@lru_cache(maxsize=len(COUNTS))
def index(count: int) -> Index:
    """Records of many seconds, some seconds with several."""
    return Index(records([segment("fuzz", count, per_second=3)]))


def run(data: bytes) -> None:
    """The first two bytes choose the set, the role, the limits and the horizon."""
    steered = Steered(data)
    choice, more = steered.getrandbits(8), steered.getrandbits(8)
    held = index(COUNTS[choice % len(COUNTS)])
    limit = (0, RECONCILE_FRAME_BYTES_MIN, 5000, 60_000)[more & 3]
    window = Window(held, more >> 2)
    message = steered.rest()
    spelt_one_way(message)
    side = Reconciler(window, limit)
    if choice & 0x80:
        as_client(side, window, message, limit)
    else:
        as_server(side, window, message, limit)


def spelt_one_way(message: bytes) -> None:
    """Ranges that are read are written as the same bytes."""
    try:
        if read_version(message) != VERSION_BYTE:
            return
        ranges = read_ranges(message, RECONCILE_RANGES_MAX)
    except SyncError:
        return
    writer = Writer()
    for bound, mode, payload in ranges:
        if mode is Mode.SKIP:
            writer.skip(bound)
        elif mode is Mode.FINGERPRINT:
            writer.fingerprint(bound, payload)
        else:
            writer.id_list(bound, [payload[at : at + 32] for at in range(0, len(payload), 32)])
    ask(bytes(writer) == message, "written otherwise")
    ask(writer.ranges == len(ranges) <= RECONCILE_RANGES_MAX, "ranges without bound")


def as_server(side: Reconciler, window: Window, message: bytes, limit: int) -> None:
    """One answer; asked the same again it is the same."""
    try:
        answer = side.respond(message)
    except SyncError:
        return
    ask(answer == side.respond(message), "two answers to one message")
    within(answer, window, limit)


def as_client(side: Reconciler, window: Window, message: bytes, limit: int) -> None:
    """One step; what the client says it has is there, what it needs is not within one range."""
    side.initiate()
    try:
        step = side.proceed(message)
    except SyncError:
        return
    held = set(window.index.ids(window.start(), len(window.index)))
    ask(held.issuperset(step.have), "has what it has not")
    ask(len(step.need) <= len(message) // 32, "needs more than it was told of")
    ask(len(step.have) <= len(held), "names more than it holds")
    if step.reply is not None:
        within(step.reply, window, limit)


def within(answer: bytes, window: Window, limit: int) -> None:
    """No longer than the limit; the peer can read it."""
    ask(not limit or len(answer) <= limit, "an answer above the limit")
    if len(answer) > 1:
        ask(read_ranges(answer, RECONCILE_RANGES_MAX) is not None, "cannot be read")
    ask(len(answer) <= 64 + 200 * (1 + len(window)) + 70 * RECONCILE_RANGES_MAX, "grows")


def seeds() -> Iterator[bytes]:
    """Messages of the vectors and of real sessions, in both roles."""
    for case in vectors("reconcile")["invalid"]:
        role = 0x80 if case["role"] == "client" else 0
        if len(case["message"]) <= 2 * TARGET.bytes_max:
            yield bytes([role | 4, 1]) + bytes.fromhex(case["message"])
    for place, count in enumerate(COUNTS):
        opening = Reconciler(index(count)).initiate()
        for other in range(len(COUNTS)):
            yield bytes([other, 1]) + opening
            answer = Reconciler(index(COUNTS[other])).respond(opening)
            client = next(one for one in range(0x80, 0x100) if one % len(COUNTS) == place)
            yield bytes([client, 1]) + answer


TARGET = Target("reconcile", run, seeds, bytes_max=4096)
