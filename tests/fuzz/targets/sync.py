"""Two sets that the input describes: what is changed in them, and that they find the difference.

Every change is made to a plain set of Python besides (R-78).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from hashlib import sha256
from random import Random

from ratoon_protocol.limits import RECONCILE_FRAME_BYTES_MIN
from ratoon_protocol.reconcile import Index, Reconciler, Window
from ratoon_protocol.reconcile.varint import encode_varint
from tests.fuzz.target import Steered, Target, ask

Item = tuple[int, bytes]
# Messages until the difference is known: each tells a frame of it, and these are small sets.
ROUNDS_MAX = 60


class Both:
    """An index, and the same as a set."""

    def __init__(self) -> None:
        self.index = Index()
        self.plain: set[Item] = set()

    def change(self, steered: Steered) -> None:
        """One act of many kinds."""
        match steered.getrandbits(8) % 8:
            case 0 | 1:
                item = one(steered)
                ask(self.index.insert(*item) == (item not in self.plain), "inserted")
                self.plain.add(item)
            case 2:
                items = sorted(self.plain)
                item = items[steered.getrandbits(16) % len(items)] if items else one(steered)
                ask(self.index.erase(*item) == (item in self.plain), "erased")
                self.plain.discard(item)
            case 3:
                self.bulk(run_of(steered))
            case 4:
                at = steered.getrandbits(16)
                for item in sorted(self.plain)[at % (len(self.plain) + 1) :][: 1 + at % 97]:
                    ask(self.index.erase(*item), "erased a row")
                    self.plain.discard(item)
            case _:
                self.look(steered)

    def bulk(self, items: list[Item]) -> None:
        """Many at once."""
        new = len(set(items) - self.plain)
        ask(self.index.bulk(items) == new, "bulk counts otherwise")
        self.plain |= set(items)

    def look(self, steered: Steered) -> None:
        """What can be asked of a range."""
        items = sorted(self.plain)
        low, high = sorted(steered.getrandbits(16) % (len(items) + 1) for _ in range(2))
        ask(len(self.index) == len(items), "another length")
        ask(self.index.items(low, high) == items[low:high], "other items")
        ask(self.index.ids(low, high) == [id_ for _, id_ in items[low:high]], "other ids")
        ask(self.index.fingerprint(low, high) == fingerprint(items[low:high]), "fingerprint")
        second, prefix = steered.getrandbits(8), steered.chunk(4)
        place = bisect_left(items, (second, prefix.ljust(32, b"\0")))
        ask(self.index.lower_bound(second, prefix) == place, "another bound")


def one(steered: Steered) -> Item:
    """A record of few seconds, with an id of few shapes, so that many meet.

    The second follows from the id, as it does for records: one id has one time.
    """
    shape, number = steered.getrandbits(8) & 3, steered.getrandbits(16)
    ids = (
        number.to_bytes(32),
        number.to_bytes(2) + bytes(30),
        b"\xff" * 30 + number.to_bytes(2),
        sha256(number.to_bytes(2)).digest(),
    )
    return sum(ids[shape]) & 15, ids[shape]


def run_of(steered: Steered) -> list[Item]:
    """Up to 255 records from one place on, seldom up to 765, forwards or backwards."""
    label, count, per = steered.getrandbits(8), steered.getrandbits(8), steered.getrandbits(3)
    count *= 3 if label & 0x60 == 0x60 else 1
    items = [
        (at >> per, sha256(bytes([label % 4, per]) + at.to_bytes(2)).digest())
        for at in range(count)
    ]
    return items[::-1] if label & 0x80 else items


def fingerprint(items: list[Item]) -> bytes:
    """As the specification of Negentropy says it."""
    total = sum(int.from_bytes(id_, "little") for _, id_ in items) % 2**256
    return sha256(total.to_bytes(32, "little") + encode_varint(len(items))).digest()[:16]


def run(data: bytes) -> None:
    """Common acts, then acts of each; then each is client once."""
    steered = Steered(data)
    mine, theirs = Both(), Both()
    horizon_s = (0, 0, 0, 3, 9)[steered.getrandbits(8) % 5]
    limits = [(0, RECONCILE_FRAME_BYTES_MIN, 5000, 60_000)[steered.getrandbits(2)] for _ in "ab"]
    for _ in range(steered.getrandbits(8) % 4):
        items = run_of(steered)
        mine.bulk(items)
        theirs.bulk(items)
    while steered.more:
        (mine if steered.getrandbits(8) & 1 else theirs).change(steered)
    for client, server in ((mine, theirs), (theirs, mine)):
        converge(client, server, horizon_s, limits)


def converge(client: Both, server: Both, horizon_s: int, limits: list[int]) -> None:
    """The exact difference, within the frame limits and in a bounded number of rounds."""
    asking = Reconciler(Window(client.index, horizon_s), limits[0])
    telling = Reconciler(Window(server.index, horizon_s), limits[1])
    have: set[bytes] = set()
    need: set[bytes] = set()
    message: bytes | None = asking.initiate()
    for _ in range(ROUNDS_MAX):
        if message is None:
            break
        ask(not limits[0] or len(message) <= limits[0], "a message above the limit")
        answer = telling.respond(message)
        ask(not limits[1] or len(answer) <= limits[1], "an answer above the limit")
        step = asking.proceed(answer)
        have.update(step.have)
        need.update(step.need)
        message = step.reply
    ask(message is None, "does not come to an end")
    inside = [{item for item in side.plain if item[0] >= horizon_s} for side in (client, server)]
    ask(have == {id_ for _, id_ in inside[0] - inside[1]}, "another difference here")
    ask(need == {id_ for _, id_ in inside[1] - inside[0]}, "another difference there")


def seeds() -> Iterator[bytes]:
    """Equal sets, one record apart, many apart; long rows of acts."""
    random = Random(3)
    yield bytes(4)
    for sets in range(1, 10, 3):
        for size in (0, 3, 30, 300):
            head = bytes([random.randrange(5), random.randrange(4), random.randrange(4), sets])
            yield head + random.randbytes(4 * sets + size)


TARGET = Target("sync", run, seeds, bytes_max=700)
