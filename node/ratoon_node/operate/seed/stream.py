"""A made-up network as a stream of bytes, from a process that only signs to the one that stores.

The same plan on the same node gives the same stream. `produce` runs in a process of its own:
signing takes as long as everything the gate does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from multiprocessing.connection import Connection
from typing import NamedTuple

import msgpack

from ratoon_node.operate.seed.days import Days
from ratoon_node.operate.seed.people import (
    NODES,
    Made,
    Plan,
    Settling,
    choose_follows,
    make_people,
    node_keys,
    readers,
)

#: Raised with every change that makes other records from the same plan.
VERSION = 1
# Records that go over at once, and into the gate as one batch.
BATCH = 1000


class Guest(NamedTuple):
    """Somebody at home at the node whose store is filled, and since when."""

    account: bytes
    joined_ms: int


class Cast(NamedTuple):
    """Who is in it: what the node must say of others before the stream can go in.

    `nodes`: accounts of the other nodes. `usual`, `many`: who follows 50 and 500 accounts; empty
    where too few people live.
    """

    nodes: list[bytes]
    guests: list[Guest]
    usual: bytes
    many: bytes


class Batch(NamedTuple):
    """Encoded records, and of each whether its author is at home at this node."""

    records: list[bytes]
    here: list[bool]


class End(NamedTuple):
    """What is known once everything is made: the thread with a known number of replies (empty if
    there was no time for it), and the hash over all ids of the stream.
    """

    thread: bytes
    digest: bytes


class Stream:
    """One made-up network: first who is in it, then all its records."""

    def __init__(self, plan: Plan, own: bytes) -> None:
        self._plan = plan
        self._nodes = [node_keys(plan, name) for name, _, _ in NODES]
        self._people = make_people(plan, [own, *(keys.account for keys in self._nodes)])
        choose_follows(plan, self._people)

    def cast(self) -> Cast:
        """Who is in it."""
        guests = [Guest(one.account, one.joined_ms) for one in self._people if one.home == 0]
        two = readers(self._people)
        return Cast(
            [keys.account for keys in self._nodes],
            sorted(guests, key=lambda guest: guest.joined_ms),
            two.usual.account if two else b"",
            two.many.account if two else b"",
        )

    def batches(self) -> Iterator[Batch | End]:
        """All records, and then the end."""
        digest = hashlib.sha256()
        left = self._plan.records - sum(one.home == 0 for one in self._people)
        days = Days(self._plan, self._people)
        settling = islice(Settling(self._plan, self._people, self._nodes).records(), left)
        for source in (settling, None):
            made = days.records(left) if source is None else source
            while batch := list(islice(made, BATCH)):
                left -= len(batch)
                for one in batch:
                    digest.update(one.record.id)
                yield _packed(batch)
        yield End(days.thread or b"", digest.digest())


def _packed(made: list[Made]) -> Batch:
    return Batch([one.record.encode() for one in made], [one.here for one in made])


def produce(pipe: Connection, plan: Plan, own: bytes) -> None:
    """Make a network and send it; ends early when nobody reads any more."""
    stream = Stream(plan, own)
    try:
        pipe.send_bytes(msgpack.packb(stream.cast()))
        for part in stream.batches():
            pipe.send_bytes(msgpack.packb(part))
    except BrokenPipeError:
        return
