"""What was promised to people: all that the workload and the checkers have in common."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Promise:
    """A record that a node answered `stored` for. `machines`: who said so, and in which life."""

    id: bytes
    account: bytes
    kind: int
    private: bool
    machines: set[str] = field(default_factory=set)
    #: The answer said that two providers hold it.
    two_providers: bool = False


@dataclass
class Notes:
    """Promises, and what people said about them afterwards."""

    promises: dict[bytes, Promise] = field(default_factory=dict)
    #: Ids named by deletes that a node answered `stored` for → the words that must be gone.
    deleted: dict[bytes, bytes] = field(default_factory=dict)
    #: Deletes by their id → what they name.
    deletes: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    vanished: dict[bytes, bytes] = field(default_factory=dict)  # account → the vanish
    #: What a thief signed with a key that was revoked as stolen afterwards → the revocation.
    stolen: dict[bytes, bytes] = field(default_factory=dict)
    #: Words in posts, by the id of the post.
    words: dict[bytes, bytes] = field(default_factory=dict)
