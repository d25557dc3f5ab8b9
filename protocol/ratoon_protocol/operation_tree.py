"""The tree of an account's operations: ways up, scores at forks, the best child (R-47).

How that is kept up to date cheaply. A key that is not in the state at the fork point counts as
the one that admitted it, and that one signed an operation in the same subtree; so a subtree's
authority is the best rank, at the fork point, of those of its signers that are listed there. And
an operation only changes what ranks below its signer: if some signer between two fork points
pushed a key down, that signer outranked it at the upper one. So a new operation is told upwards
only until a fork point where its signer is not listed or improves nothing: there, and anywhere
above, somebody as good has signed already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ratoon_protocol.kinds import Capability
from ratoon_protocol.operation import Operation
from ratoon_protocol.revocation import Standing


class Node:
    """An operation in the tree, and what is kept of its subtree."""

    __slots__ = (
        "best",
        "children",
        "depth",
        "jump",
        "listed",
        "op",
        "own",
        "parent",
        "powers",
        "ranks",
        "standings",
    )

    def __init__(
        self, op: Operation, parent: Node | None, standings: dict[bytes, Standing]
    ) -> None:
        self.op = op
        self.parent: Node = parent or self
        self.depth: int = parent.depth + 1 if parent else 0
        self.ranks = {row.key: row.rank for row in op.keys}
        # The root above the genesis lists nothing: the genesis is where its keys are listed anew.
        self.powers = powers_of(op) if parent else {}
        self.listed = self.powers.keys() - (parent.powers.keys() if parent else ())
        self.standings = standings
        self.children: list[Node] = []
        # Ranks at the parent: of the signer, and the best one in the subtree.
        self.own = self.best = self.parent.ranks[op.signer]
        # A second way up that skips far: any ancestor is found in a logarithm of steps.
        self.jump = self.parent
        if parent and parent.depth - parent.jump.depth == (
            parent.jump.depth - parent.jump.jump.depth
        ):
            self.jump = parent.jump.jump

    @property
    def place(self) -> tuple[int, bytes]:
        """Orders nodes by depth."""
        return self.depth, self.op.id

    @property
    def score(self) -> tuple[int, int, bytes]:
        """Among siblings the lowest wins (R-47)."""
        return self.best, self.own, self.op.id

    def ancestor(self, depth: int) -> Node:
        """The one of its path, itself included, at `depth`."""
        node = self
        while node.depth > depth:
            node = node.jump if node.jump.depth >= depth else node.parent
        return node

    def follows(self, other: Node) -> bool:
        """Whether `other` is on its path."""
        return other.depth <= self.depth and self.ancestor(other.depth) is other

    def upwards(self) -> Iterator[Node]:
        """Its path from itself to the genesis; the root is not an operation."""
        node = self
        while node.depth:
            yield node
            node = node.parent

    def subtree(self) -> Iterator[Node]:
        """Itself and everything below. No recursion: a path may be 4,096 long."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children)


def powers_of(op: Operation) -> dict[bytes, int]:
    """Every key listed, with its capabilities; an account key has that of its own alone."""
    powers = {row.key: row.capabilities for row in op.devices}
    return powers | {row.key: 1 << Capability.ACCOUNT for row in op.keys}


def tell_upwards(node: Node) -> list[Node]:
    """Better the subtrees that `node` joins; gives the fork points to look at again."""
    forks = [node.parent]
    child = node.parent
    while child.depth:
        rank = child.parent.ranks.get(node.op.signer)
        if rank is None or rank >= child.best:
            break
        child.best = rank
        child = child.parent
        forks.append(child)
    return forks


def best_child(node: Node) -> Node:
    """The one that wins at this fork point (R-47)."""
    return min(node.children, key=lambda child: child.score)


def drawn(head: Node) -> bool:
    """Whether a tie on the path of `head` stands; every subtree is counted once."""
    signers: Counter[bytes] = Counter()
    for winner in head.upwards():
        signers[winner.op.signer] += 1
        fork = winner.parent
        paper = next(key for key, rank in fork.ranks.items() if rank == 0)
        spoken = signers[paper]
        for other in fork.children:
            if other is winner:
                continue
            theirs = Counter(node.op.signer for node in other.subtree())
            if other.score[:2] == winner.score[:2] and theirs[paper] >= spoken:
                return True
            signers += theirs
    return False
