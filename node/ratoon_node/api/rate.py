"""Rate limits that count items: the generic cell rate algorithm (GCRA), one table an allowance.

One number a client says when it will have paid for what it took. Clients are addresses and
signed-in accounts; they are kept in memory only, for as long as they owe something.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import lru_cache
from math import ceil

from ratoon_node.config import Settings
from ratoon_node.errors import NodeError
from ratoon_protocol.errors import Code

# Clients kept in a table: 100 bytes each. Past it the one silent longest is forgotten.
CLIENTS_MAX = 65_536
# Addresses whose network is remembered: parsing one costs more than the rest of a charge.
PARSED_MAX = 4096
# One home is one /64; within it addresses cost nothing.
V6_PREFIX = 64
MINUTE_MS = 60_000
# What was given already is charged in full, but nobody is kept out for longer than this.
DEBT_MS_MAX = MINUTE_MS
# Items of an answer, and bytes of it, that cost a reader as much as one request.
ITEMS_PER_REQUEST = 10
BYTES_PER_REQUEST = 32 * 1024
# Of places that all share one client may hold this part, and so many in any case.
PLACES_SHARE = 4
PLACES_OWN_MIN = 8
# What somebody is told who finds no place.
PLACE_RETRY_MS = 1000
# Bytes of a published record that cost as much as one record; most have fewer.
BYTES_PER_RECORD = 4096


class Pool(StrEnum):
    """Which allowance a request takes from: reading never uses up what publishing has."""

    READ = "read"  # in requests
    WRITE = "write"  # in records
    ENTRY = "entry"  # sign-ups and challenges


class Rates:
    """Takes `per_minute` a minute from each client, all at once if it was silent that long.

    0 sets no limit. Times are monotonic milliseconds.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._cost_ms = MINUTE_MS / per_minute if per_minute else 0.0
        self._paid_at_ms: OrderedDict[str | bytes, float] = OrderedDict()

    def wait_ms(self, client: str | bytes, cost: float, now_ms: int) -> int:
        """0 if there is room for `cost`, else how long to wait for it.

        What costs more than a minute's allowance passes once the client owes nothing.
        """
        if not self._cost_ms:
            return 0
        paid_at_ms = max(self._paid_at_ms.get(client, 0.0), now_ms)
        over_ms = paid_at_ms - now_ms + min(cost * self._cost_ms, MINUTE_MS) - MINUTE_MS
        # What is summed up on top of a large clock is off by less than a thousandth.
        return max(ceil(round(over_ms, 3)), 0)

    def owe(self, client: str | bytes, cost: float, now_ms: int) -> None:
        """Charge `cost`, whether there is room or not."""
        if not self._cost_ms:
            return
        paid_at_ms = max(self._paid_at_ms.pop(client, 0.0), now_ms) + cost * self._cost_ms
        self._paid_at_ms[client] = paid_at_ms
        if len(self._paid_at_ms) > CLIENTS_MAX:
            self._paid_at_ms.popitem(last=False)

    def given(self, client: str | bytes, cost: float, now_ms: int) -> None:
        """Charge what was given already: the debt is bounded, so that it is paid soon."""
        most_ms = now_ms + MINUTE_MS + DEBT_MS_MAX
        if self._cost_ms and self._paid_at_ms.get(client, 0.0) < most_ms:
            room = (most_ms - max(self._paid_at_ms.get(client, 0.0), now_ms)) / self._cost_ms
            self.owe(client, min(cost, room), now_ms)

    def take(self, client: str | bytes, cost: float, now_ms: int) -> int:
        """Charge `cost` if there is room: 0, else how long to wait, in ms, and nothing is owed."""
        wait_ms = self.wait_ms(client, cost, now_ms)
        if not wait_ms:
            self.owe(client, cost, now_ms)
        return wait_ms

    def left(self, client: str | bytes, now_ms: int) -> tuple[int, int]:
        """What is left of the allowance, and the seconds until all of it is back."""
        owed_ms = max(self._paid_at_ms.get(client, 0.0) - now_ms, 0.0)
        if not self._cost_ms:
            return 0, 0
        return max(int((MINUTE_MS - owed_ms) / self._cost_ms), 0), int(-(-owed_ms // 1000))

    def __len__(self) -> int:
        return len(self._paid_at_ms)


#: The allowances of one node.
Allowances = Mapping[Pool, Rates]


def allowances(settings: Settings) -> Allowances:
    """A table for each pool, as the operator chose."""
    return {
        Pool.READ: Rates(settings.requests_per_minute_max),
        Pool.WRITE: Rates(settings.records_per_minute_max),
        Pool.ENTRY: Rates(settings.entries_per_minute_max),
    }


def records_cost(records: int, size: int) -> float:
    """What publishing costs, in records: their number, or their bytes if those are many."""
    return max(records, size / BYTES_PER_RECORD)


class Room:
    """Memory that many share: `take` what is needed, `give` it back."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, size: int) -> bool:
        """Whether there was room."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give(self, size: int) -> None:
        """No longer needed."""
        self._left += size


@lru_cache(PARSED_MAX)
def network_of(address: str) -> str:
    """Who is charged for an address: itself, or its network for version 6."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, V6_PREFIX), strict=False).network_address)
    return str(found)


@lru_cache(PARSED_MAX)
def client_of(address: str, forwarded: str, proxies: tuple[str, ...]) -> str:
    """Who asks: `address`, or what the trusted proxies before it say in `X-Forwarded-For`.

    Each proxy adds the address it saw at the end, so the last one that is no proxy of ours is
    the client; what stands before that is whatever the client liked to say. A proxy that does
    not say an address is charged itself.
    """
    hops = forwarded.split(",") if forwarded else []
    while proxies and hops and _trusted(address, proxies):
        hop = _address_in(hops.pop())
        if hop is None:
            break
        address = hop
    return network_of(address)


def _address_in(hop: str) -> str | None:
    """The address of a hop; some proxies write the port too, and each port is no new client."""
    bare = hop.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return bare


def _trusted(address: str, proxies: tuple[str, ...]) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in ipaddress.ip_network(proxy) for proxy in proxies)


class Places:
    """Places that all clients share: answers under way, or open streams, whatever carries them.

    One client has a share of them and no more, or a single one that sends slowly, or stays for
    ever, keeps everybody else out. The operator (no client) has no such bound.
    """

    def __init__(self) -> None:
        self.open = 0
        self._held: dict[str | bytes, int] = {}

    @contextmanager
    def one(self, clients: Sequence[str | bytes], most: int) -> Iterator[int]:
        """One more while the block runs; gives how many there are with it.

        Raises `NodeError`: `busy` if there are `most`, `rate` if one of the clients has its share.
        """
        if self.open >= most:
            raise NodeError(Code.BUSY, retry_ms=PLACE_RETRY_MS)
        share = max(most // PLACES_SHARE, PLACES_OWN_MIN)
        if any(self._held.get(client, 0) >= share for client in clients):
            words = "Too much of yours is open at once: end some of it first."
            raise NodeError(Code.RATE, retry_ms=PLACE_RETRY_MS, safe=words)
        self._count(clients, 1)
        try:
            yield self.open
        finally:
            self._count(clients, -1)

    def _count(self, clients: Sequence[str | bytes], more: int) -> None:
        self.open += more
        for client in clients:
            held = self._held.pop(client, 0) + more
            if held:
                self._held[client] = held
