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

    def may_lack_bytes(self, id_: bytes) -> bool:
        """Whether a thief had a part in it that the bytes of a record are gone."""
        return id_ in self.attacked or self.edits.get(id_, id_) in self.attacked
