"""The identity log of one account: which operation is the head, and what each key may do.

Operations form a tree by `prev_op`. Whether one is valid depends on the state at its `prev_op`
alone, so arrival order cannot matter (R-46). The head is found without a clock: at a fork the
child wins whose subtree holds the best authority, measured at the fork point; then the child's
own authority; then the lowest id (R-47).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from ratoon_protocol.errors import Code, IdentityError, UsageError
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import (
    OPERATION_CHILDREN_MAX,
    OPERATION_DEPTH_MAX,
    OPERATIONS_PENDING_MAX,
)
from ratoon_protocol.operation import (
    AccountKey,
    Device,
    Form,
    Operation,
    Revocation,
    Tip,
    account_key_statement,
    check_account_key_proof,
    check_device_proof,
    device_statement,
    parse_operation,
)
from ratoon_protocol.operation_tree import Node, best_child, drawn, powers_of, tell_upwards
from ratoon_protocol.revocation import (
    LaneTips,
    Mark,
    Standing,
    add_mark,
    limiting_tips,
    marks_of,
)

__all__ = [
    "AccountKey",
    "Added",
    "Authority",
    "Change",
    "Device",
    "Form",
    "IdentityLog",
    "LaneTips",
    "Mark",
    "Operation",
    "Revocation",
    "Standing",
    "State",
    "Tip",
    "account_key_statement",
    "device_statement",
    "parse_operation",
]

_ROOT: Final = b""  # stands above every genesis


class Added(StrEnum):
    """What became of an operation that was offered."""

    HEAD = "head"  # it is on the path of a head that moved
    BRANCH = "branch"  # valid and kept; the head stays
    KNOWN = "known"
    PENDING = "pending"  # its path is missing: fetch `missing`, then offer the path as one
    CUT = "cut"  # valid, but eight better children of the same operation are here
    INVALID = "invalid"  # for ever, and what builds on it too


class Change(NamedTuple):
    """What one call did. `dropped`: operations kept before that gave way to better ones.

    After `tree_changed` the authority of any key may be another one; `reasons` says why an
    operation is invalid.
    """

    added: dict[bytes, Added]
    dropped: tuple[bytes, ...]
    head_moved: bool
    tree_changed: bool
    reasons: dict[bytes, IdentityError]


class State(NamedTuple):
    """What the head says, with the standings of removed keys gathered along its path."""

    keys: tuple[AccountKey, ...]
    devices: tuple[Device, ...]
    homes: tuple[bytes, ...]
    handles: tuple[str, ...]
    revoked: Mapping[bytes, Standing]


class Authority(NamedTuple):
    """What a key of the account may do, now and for what it signed before (R-52).

    `known`: some kept operation lists it. `capabilities`: bits `1 << Capability`, 0 if `lost`.
    `account_key_rank`: its rank at the head. `lost`: listed only in branches that lost.
    `marks`: what the head's path says of a removed key; empty for a key in use.
    """

    known: bool
    capabilities: int = 0
    account_key_rank: int | None = None
    lost: bool = False
    marks: tuple[Mark, ...] = ()

    @property
    def retired_at_ms(self) -> int | None:
        """Up to when its records outside the log count, if it was retired."""
        times = [mark.at_ms for mark in self.marks if mark.form is Form.RETIRED]
        return min(times, default=None)

    @property
    def stolen(self) -> bool:
        """Whether only what is reached from tips counts, in every lane."""
        return any(mark.form is Form.STOLEN for mark in self.marks)

    def limiting_tips(self, lane: Lane) -> tuple[LaneTips, ...]:
        """Empty: the lane is not limited. Else a record must be reached from each set."""
        return limiting_tips(self.marks, lane)


UNPROVEN: Final = Authority(known=False)
_LOST: Final = Authority(known=True, lost=True)


class IdentityLog:
    """All operations of one account that this side holds (R-46 to R-52).

    `account` has 32 bytes, `network` 8. The operations offered must come from records whose
    signature was verified; everything else is checked here.
    """

    def __init__(self, account: bytes, network: bytes) -> None:
        self.account: Final = account
        self.network: Final = network
        self._nodes: dict[bytes, Node] = {}
        self._head: Node | None = None
        self._named: dict[bytes, list[Node]] = {}  # by key: where it is listed anew or revoked
        self._pending: dict[bytes, Operation] = {}
        self._authorities: dict[bytes, Authority] = {}
        self._contested: bool | None = None

    # --- offering --------------------------------------------------------------------------
    def add(self, op: Operation) -> Added:
        """Offer one operation; see `add_all`."""
        return self.add_all([op]).added[op.id]

    def add_all(self, ops: Iterable[Operation], *, proven: bool = False) -> Change:
        """Offer operations, a path best as one, in any order; they are judged together (R-48).

        `proven`: they come from this side's own store, so proofs of possession are not verified
        again. Raises UsageError for an operation of another account.
        """
        waiting: dict[bytes, list[Operation]] = {}
        added: dict[bytes, Added] = {}
        for op in [*self._pending.values(), *ops]:
            if op.account != self.account:
                raise UsageError("an operation of another account")
            if op.id in self._nodes:
                added[op.id] = Added.KNOWN
            elif op.id not in added:
                added[op.id] = Added.PENDING
                waiting.setdefault(op.prev_op or _ROOT, []).append(op)
        before = self._head
        reasons: dict[bytes, IdentityError] = {}
        grown = self._link(waiting, reasons, proven)
        dropped = self._cut({node.parent for node in grown})
        self._keep_pending([op for rows in waiting.values() for op in rows])
        added |= dict.fromkeys(reasons, Added.INVALID)
        added |= {node.op.id: self._became(node, before) for node in grown}
        return Change(
            added=added,
            dropped=tuple(op_id for op_id in dropped if op_id not in added),
            head_moved=self._head is not before,
            tree_changed=bool(grown),
            reasons=reasons,
        )

    def _became(self, node: Node, before: Node | None) -> Added:
        if node.op.id not in self._nodes:
            return Added.CUT
        moved = self._head is not None and self._head is not before and self._head.follows(node)
        return Added.HEAD if moved else Added.BRANCH

    def _link(
        self,
        waiting: dict[bytes, list[Operation]],
        reasons: dict[bytes, IdentityError],
        proven: bool,
    ) -> list[Node]:
        """Move from `waiting` into the tree whatever hangs together with it."""
        if _ROOT in waiting and self._head is None:
            self._plant(waiting[_ROOT][0])
        grown: list[Node] = []
        forks: list[Node] = []
        ready = [prev for prev in waiting if prev in self._nodes]
        while ready:
            parent = self._nodes[ready.pop()]
            for op in waiting.pop(parent.op.id, ()):
                try:
                    standings = self._judge(op, parent, proven)
                except IdentityError as error:
                    _reject(op, error, waiting, reasons)
                    continue
                node = self._grow(op, parent, standings)
                grown.append(node)
                forks.extend(tell_upwards(node))
                ready.append(op.id)
        if grown:
            self._authorities.clear()
            self._contested = None
            self._move_head(forks)
        return grown

    def _plant(self, genesis: Operation) -> None:
        """Put a root above the genesis: it lists the rank-0 key that the account's name fixes.

        So a second genesis record with the same payload is a fork like any other (R-40).
        """
        anchor = genesis.keys[0].key
        root = Operation(
            _ROOT, self.account, anchor, 0, None, (AccountKey(0, anchor, b""),), (), (), ()
        )
        self._nodes[_ROOT] = self._head = Node(root, None, {})

    def _grow(self, op: Operation, parent: Node, standings: dict[bytes, Standing]) -> Node:
        node = Node(op, parent, standings)
        parent.children.append(node)
        self._nodes[op.id] = node
        for key in node.listed | standings.keys():
            insort(self._named.setdefault(key, []), node, key=lambda one: one.place)
        return node

    def _move_head(self, forks: Iterable[Node]) -> None:
        """Follow the best children from the uppermost fork point where the choice changed."""
        head = self._head
        assert head is not None, "operations grow on a root"
        turns = [
            fork
            for fork in forks
            if head.follows(fork)
            and (fork is head or best_child(fork) is not head.ancestor(fork.depth + 1))
        ]
        if turns:
            head = min(turns, key=lambda node: node.depth)
            while head.children:
                head = best_child(head)
            self._head = head

    def _cut(self, parents: Iterable[Node]) -> list[bytes]:
        """Keep the best children of each, whatever came first (R-48); gives what went."""
        dropped: list[bytes] = []
        for parent in sorted(parents, key=lambda node: node.place):
            if parent.op.id not in self._nodes:
                continue  # went with a subtree above it
            ranked = sorted(parent.children, key=lambda node: node.score)
            parent.children = ranked[:OPERATION_CHILDREN_MAX]
            for child in ranked[OPERATION_CHILDREN_MAX:]:
                for node in child.subtree():
                    dropped.append(node.op.id)
                    self._forget(node)
        return dropped

    def _forget(self, node: Node) -> None:
        del self._nodes[node.op.id]
        for key in node.listed | node.standings.keys():
            self._named[key].remove(node)
            if not self._named[key]:
                del self._named[key]

    def drop_pending(self) -> None:
        """Forget what waits for its path: for a caller that keeps only what has its place."""
        self._pending.clear()

    def _keep_pending(self, ops: list[Operation]) -> None:
        """Those of keys seen here first: others can be made by anyone, to crowd them out."""
        ops.sort(key=lambda op: (op.signer not in self._named, op.id))
        self._pending = {op.id: op for op in ops[:OPERATIONS_PENDING_MAX]}

    # --- validity --------------------------------------------------------------------------
    def _judge(self, op: Operation, parent: Node, proven: bool) -> dict[bytes, Standing]:
        """The standings that `op` makes, or IdentityError, by the state at its `prev_op` alone."""
        rank = parent.ranks.get(op.signer)
        if rank is None:
            raise _bad("signed by no account key of the operation before")
        if parent.op.vanish:
            raise _bad("a vanished account has no further operation there")
        if parent.depth >= OPERATION_DEPTH_MAX:
            raise _bad("the path is too long")
        changed = set(op.keys) ^ set(parent.op.keys)
        if rank and any(row.rank <= rank for row in changed):
            raise _bad("changes an account key not ranked below its signer")
        standings = self._standings(op, parent, rank)
        powers = powers_of(op)
        if parent.powers.keys() - powers.keys() - standings.keys():
            raise _bad("a key drops out without a revocation")
        for key, capabilities in powers.items():
            self._check_listed(key, capabilities, parent, rank)
        if not proven:
            self._check_proofs(op, parent.op)
        return standings

    def _standings(self, op: Operation, parent: Node, rank: int) -> dict[bytes, Standing]:
        found: dict[bytes, Standing] = {}
        for key, mark in marks_of(op).items():
            listed = parent.powers.get(key)
            earlier = self._standing(key, parent) if listed is None else None
            if earlier is None:
                found[key] = Standing(rank, (mark,), listed)
            else:
                found[key] = add_mark(earlier, rank, mark)
        return found

    def _check_listed(self, key: bytes, capabilities: int, parent: Node, rank: int) -> None:
        """A key keeps its capabilities, and comes back by a better rank alone (R-43, R-51)."""
        before = parent.powers.get(key)
        if before is None and (standing := self._standing(key, parent)):
            if rank >= standing.rank:
                raise _bad("lists a key again that its own or a better rank revoked")
            before = standing.capabilities
        if before is not None and before != capabilities:
            raise _bad("a key's capabilities change")

    def _check_proofs(self, op: Operation, before: Operation) -> None:
        """Rows that stand as they did are proven already (R-42)."""
        anchor = self._nodes[_ROOT].op.signer
        for row in op.keys:
            if row not in before.keys:
                check_account_key_proof(self.network, anchor, row)
        for device in op.devices:
            if device not in before.devices:
                check_device_proof(self.network, anchor, device)

    def _last_named(self, key: bytes, node: Node) -> Node | None:
        """The last operation on the path of `node` that listed `key` anew or revoked it."""
        named = self._named.get(key, ())
        return next((other for other in reversed(named) if node.follows(other)), None)

    def _standing(self, key: bytes, node: Node) -> Standing | None:
        """Of a key not listed at `node`; None if its path never revoked it."""
        last = self._last_named(key, node)
        return last.standings[key] if last else None

    # --- what holds ------------------------------------------------------------------------
    @property
    def head(self) -> Operation | None:
        """The operation that says what the account is; None before the genesis is here."""
        return self._head.op if self._head and self._head.depth else None

    @property
    def vanished(self) -> bool:
        """Whether the head is a vanish: everything outside the log is gone (R-53)."""
        return self._head is not None and self._head.op.vanish

    @property
    def state(self) -> State:
        """What the head says. Raises UsageError before the genesis is here."""
        if self._head is None or not self._head.depth:
            raise UsageError("the account's genesis is not here")
        op = self._head.op
        revoked: dict[bytes, Standing] = {}
        for node in self._head.upwards():
            for key, standing in node.standings.items():
                if key not in self._head.powers:
                    revoked.setdefault(key, standing)  # the last word counts
        return State(op.keys, op.devices, op.homes, op.handles, revoked)

    @property
    def contested(self) -> bool:
        """Whether the lowest id decided a fork on the head's path, and paper has not spoken.

        It has where the winner's subtree holds more operations of the fork point's rank-0 key
        than that of each child it tied with (R-52).
        """
        if self._contested is None:
            self._contested = self._head is not None and drawn(self._head)
        return self._contested

    @property
    def missing(self) -> tuple[bytes, ...]:
        """Ids of the operations to fetch, so that the pending ones can be judged."""
        wanted = {op.prev_op or _ROOT for op in self._pending.values()}
        return tuple(sorted(wanted - self._pending.keys()))

    @property
    def kept(self) -> tuple[Operation, ...]:
        """All valid operations of all branches, those before others first."""
        nodes = sorted(self._nodes.values(), key=lambda node: node.place)
        return tuple(node.op for node in nodes if node.depth)

    def holds(self, op_id: bytes) -> bool:
        """Whether the operation is valid and kept, in whatever branch."""
        return op_id != _ROOT and op_id in self._nodes

    def path(self, op_id: bytes) -> tuple[Operation, ...]:
        """The kept operations from the genesis to `op_id`: what is sent along with it (R-48).

        Raises UsageError if it is not kept.
        """
        if not self.holds(op_id):
            raise UsageError("the operation is not kept here")
        return tuple(node.op for node in self._nodes[op_id].upwards())[::-1]

    def named_keys(self) -> tuple[bytes, ...]:
        """Every key that a kept operation lists or revokes."""
        return tuple(self._named)

    def authority(self, key: bytes) -> Authority:
        """What `key` may do, by the head's path (R-52). Constant time for a key asked before."""
        found = self._authorities.get(key)
        if found is None:
            found = self._resolve(key)
            if key in self._named:  # unknown keys are free to make: never remember them
                self._authorities[key] = found
        return found

    def _resolve(self, key: bytes) -> Authority:
        listings = [node for node in self._named.get(key, ()) if key in node.listed]
        if self._head is None or not listings:
            return UNPROVEN
        capabilities = self._head.powers.get(key)
        if capabilities is not None:
            return Authority(True, capabilities, self._head.ranks.get(key))
        standing = self._standing(key, self._head)
        if standing is None:
            return _LOST
        capabilities = standing.capabilities
        if capabilities is None:  # the path only ever revoked it: other branches listed it
            capabilities = 0
            for node in listings:
                capabilities |= node.powers[key]
        return Authority(True, capabilities, marks=standing.marks)


def _bad(detail: str) -> IdentityError:
    return IdentityError(Code.BAD_OPERATION, detail)


def _reject(
    op: Operation,
    error: IdentityError,
    waiting: dict[bytes, list[Operation]],
    reasons: dict[bytes, IdentityError],
) -> None:
    """What builds on an invalid operation is invalid too."""
    rejected = [op.id]
    while rejected:
        op_id = rejected.pop()
        reasons[op_id] = error
        rejected.extend(below.id for below in waiting.pop(op_id, ()))
