"""A rate limit by client address that counts items: the generic cell rate algorithm (GCRA).

One number an address says when it will have paid for what it took. Addresses are kept in memory
only, for as long as they owe something.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

# Addresses kept: 100 bytes each. Past it the one that has been silent longest is forgotten.
ADDRESSES_MAX = 65_536
# One home is one /64; within it addresses cost nothing.
V6_PREFIX = 64
MINUTE_MS = 60_000


class Rates:
    """Takes `per_minute` a minute from each address, all at once if it was silent that long.

    0 sets no limit. Times are monotonic milliseconds.
    """

    def __init__(self, per_minute: int) -> None:
        self._cost_ms = MINUTE_MS / per_minute if per_minute else 0.0
        self._paid_at_ms: OrderedDict[str, float] = OrderedDict()

    def take(self, address: str, cost: float, now_ms: int) -> int:
        """Charge `cost` requests: 0 if there is room, else how long to wait, in ms.

        What costs more than a minute's allowance passes once the address owes nothing.
        """
        if not self._cost_ms:
            return 0
        key = network_of(address)
        paid_at_ms = max(self._paid_at_ms.pop(key, 0.0), now_ms)
        price_ms = cost * self._cost_ms
        over_ms = paid_at_ms - now_ms + min(price_ms, MINUTE_MS) - MINUTE_MS
        self._paid_at_ms[key] = paid_at_ms if over_ms > 0 else paid_at_ms + price_ms
        if len(self._paid_at_ms) > ADDRESSES_MAX:
            self._paid_at_ms.popitem(last=False)
        return max(0, int(over_ms) + 1 if over_ms > 0 else 0)

    def __len__(self) -> int:
        return len(self._paid_at_ms)


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
