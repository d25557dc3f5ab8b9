"""Which nodes are let in, and what those may bring that the operator did not add himself (R-60).

Everybody can run a node, so a node that nobody here knows brings a bounded number of new accounts,
headers and bytes a day. Nodes that the operator added have no such bound.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from enum import IntEnum
from itertools import islice
from typing import NamedTuple

from ratoon_node.policy import document
from ratoon_node.policy.document import Section
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import VOUCHED_MAX

# The handshake names them all: 128 KiB. More nodes than this need placement first.
NODES_ADMITTED_MAX = 4096
# What an unknown node may bring a day: a small community's first day, not a flood.
NEW_ACCOUNTS_PER_DAY = 500
HEADERS_PER_DAY = 50_000  # a hundred records for each of those accounts
# Twice what so many posts of a usual length take. Texts of the largest size would be six times as
# much: some 400 MB a day, and more than twice that on disk with what indexes keep of them.
BYTES_PER_DAY = 64 * 1024 * 1024


class NodeClass(IntEnum):
    """How a node came to be admitted, best first."""

    ADDED = 0  # by the operator
    LINKED = 1  # it proved its account on a link
    VOUCHED = 2  # named by the node record of one of the former


class Usage(NamedTuple):
    """What one node brought, or would bring: accounts not seen before, headers, and bytes of
    headers, signatures and payloads.
    """

    new_accounts: int = 0
    headers: int = 0
    size: int = 0

    def plus(self, other: Usage) -> Usage:
        """Both together."""
        return Usage(*map(sum, zip(self, other, strict=True)))


class Budgets(NamedTuple):
    """`[admission]` of the policy file. Budgets are for one node and one UTC day."""

    new_accounts_per_day: int = NEW_ACCOUNTS_PER_DAY
    headers_per_day: int = HEADERS_PER_DAY
    bytes_per_day: int = BYTES_PER_DAY
    vouching: bool = True

    def allow(self, used: Usage) -> bool:
        """Whether a node may have brought so much in one day."""
        return (
            used.new_accounts <= self.new_accounts_per_day
            and used.headers <= self.headers_per_day
            and used.size <= self.bytes_per_day
        )


class Charge(NamedTuple):
    """Whether records of an account may come in.

    `refusal` is None, `not_hosted` or `rate`; neither is remembered. `node` is whose usage of the
    day the caller must raise by the cost; None if nobody's.
    """

    refusal: Code | None
    node: bytes | None = None


class Admission:
    """The admitted nodes. Immutable: made anew when any of its sources changes.

    `vouches` maps a node to the nodes its current record names. `blocked` are nodes whose records
    this node refuses; they are never admitted and their word does not count. Above
    `NODES_ADMITTED_MAX` the added stay first, then the linked, then the vouched: in each class
    the order given, and for the vouched those with the best, then with most vouchers.
    """

    def __init__(
        self,
        added: Iterable[bytes] = (),
        linked: Iterable[bytes] = (),
        vouches: Mapping[bytes, Iterable[bytes]] | None = None,
        blocked: Collection[bytes] = (),
        vouching: bool = True,
    ) -> None:
        refused = frozenset(blocked)
        classes: dict[bytes, NodeClass] = {}
        for nodes, class_ in ((added, NodeClass.ADDED), (linked, NodeClass.LINKED)):
            for node in nodes:
                if node not in refused:
                    classes.setdefault(node, class_)
        if vouching:
            for node in _vouched(classes, vouches or {}):
                if node not in refused:
                    classes.setdefault(node, NodeClass.VOUCHED)
        self._classes = dict(islice(classes.items(), NODES_ADMITTED_MAX))
        self.nodes = tuple(sorted(self._classes))

    def admits(self, node: bytes) -> bool:
        """Whether records hosted by `node` are let in."""
        return node in self._classes

    def class_of(self, node: bytes) -> NodeClass | None:
        """How the node was admitted; None if it is not."""
        return self._classes.get(node)

    def carried(self, hosting_nodes: Iterable[bytes]) -> bool:
        """Whether an account with current hosting records by these nodes is carried.

        A node's own account needs no hosting: pass the node itself.
        """
        return any(node in self._classes for node in hosting_nodes)

    def digest(self) -> bytes:
        """SHA-256 of the admitted nodes in ascending order, for the handshake."""
        return hashlib.sha256(b"".join(self.nodes)).digest()

    def charge(
        self,
        hosting_nodes: Iterable[bytes],
        cost: Usage,
        used: Mapping[bytes, Usage],
        budgets: Budgets,
    ) -> Charge:
        """Who pays for `cost`, given what each node has `used` today; the same on every call.

        An account with an added host is free. Else the lowest host with room pays, so that a
        second home helps and the order of arrival does not matter.
        """
        hosts = sorted(node for node in hosting_nodes if node in self._classes)
        if not hosts:
            return Charge(Code.NOT_HOSTED)
        if any(self._classes[node] is NodeClass.ADDED for node in hosts):
            return Charge(None)
        for node in hosts:
            if budgets.allow(used.get(node, Usage()).plus(cost)):
                return Charge(None, node)
        return Charge(Code.RATE)


def _vouched(
    classes: Mapping[bytes, NodeClass], vouches: Mapping[bytes, Iterable[bytes]]
) -> list[bytes]:
    """Nodes named by admitted ones, best vouched for first; ties by id."""
    ranks: dict[bytes, tuple[NodeClass, int]] = {}
    for voucher, class_ in classes.items():
        for node in dict.fromkeys(islice(vouches.get(voucher, ()), VOUCHED_MAX)):
            best, minus_count = ranks.get(node, (class_, 0))
            ranks[node] = (min(best, class_), minus_count - 1)
    return sorted(ranks, key=lambda node: (ranks[node], node))


def parse_admission(section: Section) -> Budgets:
    """`[admission]`, with defaults for what is not said."""
    default = Budgets()
    budgets = Budgets(
        section.take("new_accounts_per_day", document.count, default.new_accounts_per_day),
        section.take("headers_per_day", document.count, default.headers_per_day),
        section.take("bytes_per_day", document.count, default.bytes_per_day),
        section.take("vouching", document.flag, default.vouching),
    )
    section.finish()
    return budgets
