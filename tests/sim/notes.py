"""What was promised to people: all that the workload and the checkers have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from ratoon_node.policy.lists import ListEntry


class Broken(AssertionError):
    """A promise was not kept."""


@dataclass
class Promise:
    """A record that a node answered `stored` for. `machines`: who said so, and when last."""

    id: bytes
    account: bytes
    kind: int
    private: bool
    machines: dict[str, float] = field(default_factory=dict)
    #: The answer said that two providers hold it.
    two_providers: bool = False


@dataclass
class Notes:
    """Promises, and what people said about them afterwards."""

    promises: dict[bytes, Promise] = field(default_factory=dict)
    #: What a thief deleted or superseded: it lives, but its bytes may have gone everywhere.
    attacked: set[bytes] = field(default_factory=set)
    edits: dict[bytes, bytes] = field(default_factory=dict)  # edit → the post it is of
    #: Deletes by their id → what they name.
    deletes: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    vanished: dict[bytes, bytes] = field(default_factory=dict)  # account → the vanish
    #: What a thief signed with a key that was revoked as stolen afterwards → the revocation.
    stolen: dict[bytes, bytes] = field(default_factory=dict)
    #: Words in posts, by the id of the post.
    words: dict[bytes, bytes] = field(default_factory=dict)
    #: Machines that people have moved away from, by account.
    left: dict[bytes, set[str]] = field(default_factory=dict)
    #: How long people waited for the answer to what they published.
    answered_ms: list[int] = field(default_factory=list)

    #: Records of which bits flipped on a machine's disk.
    rotten: dict[str, set[bytes]] = field(default_factory=dict)
    #: What only the copy of a machine held, when that was ended: it had answered in its name.
    taken_along: set[bytes] = field(default_factory=set)
    #: Machines that lost what they held since some time.
    forgetful: set[str] = field(default_factory=set)
    #: Machines whose operators ever blocked something.
    blocking: set[str] = field(default_factory=set)
    #: What operators want blocked now, by machine.
    blocked: dict[str, dict[ListEntry, None]] = field(default_factory=dict)

    def lost_since(self, machine: str, since_s: float) -> bool:
        """A disk forgot what it took in since then; whether a promise was among it."""
        self.forgetful.add(machine)
        forgotten = [
            promise
            for promise in self.promises.values()
            if promise.machines.get(machine, -1.0) >= since_s
        ]
        for promise in forgotten:
            del promise.machines[machine]
        return bool(forgotten)

    def may_lack_bytes(self, id_: bytes) -> bool:
        """Whether a thief had a part in it that the bytes of a record are gone, or its author: who
        took the delete erased them, and it may count no longer where the records between it and
        the last of a retired device were lost with a provider.
        """
        post = self.edits.get(id_, id_)
        erased = any(post in targets or id_ in targets for targets in self.deletes.values())
        return erased or id_ in self.attacked or post in self.attacked
