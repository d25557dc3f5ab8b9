"""Whether another machine runs with this node's key: a copy, or a backup brought back too (R-36).

Both sign chains that begin alike, so a record of the own key that was not signed here is a hint,
and so is a peer that lets go of a link for another one of this node. A hint is no proof: it may be
what this node signed before it lost its disk, and peers may say anything. So a node that has a hint
says in its node record which run of the program it is, and answers who says so, naming that run.
Who is named by another run knows that it lives: nobody else can sign that, and no clock takes part.
The one that started later then signs no more; both go by the times that both have said.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from ratoon_protocol.record import Body

#: The key of a node record's body under which a run names itself.
RUN = "run"
INSTANCE_BYTES = 16
# Runs that are answered: those of other lives of this node, and of a few copies.
ANSWERED_MAX = 8


class Standing(StrEnum):
    """What is known of the own key."""

    ALONE = "ok"
    SHARED = "shared"  # another machine has it too, and started later
    SILENT = "silent"  # another machine had it before, so nothing is signed here


class Run(NamedTuple):
    """A run of the program with one key, as it names itself; `seen` is another one it answers."""

    instance: bytes
    started_ms: int
    seen: bytes | None

    def body(self) -> Body:
        """What stands in the node record."""
        return {RUN: list(self)}

    @classmethod
    def of(cls, body: Body) -> Run | None:
        """The run that a node record names; None if it names none that can be read."""
        match body.get(RUN):
            case [bytes(instance), int(started_ms), bytes() | None as seen] if (
                len(instance) == INSTANCE_BYTES
            ):
                return cls(instance, started_ms, seen)
        return None


class Twins:
    """One run of this node, and what it heard of others with its key."""

    def __init__(self, instance: bytes, started_ms: int) -> None:
        self.standing = Standing.ALONE
        #: What is said in the node record; None as long as there was no hint.
        self.said: Run | None = None
        self._instance = instance
        self._started_ms = started_ms
        self._answered: set[bytes] = set()

    def hint(self) -> bool:
        """Somebody else may have the key; whether to ask now who it is."""
        if self.said is not None:
            return False
        self.said = Run(self._instance, self._started_ms, None)
        return True

    def hear(self, other: Run) -> bool:
        """A node record of the own key names a run; whether to answer it."""
        if other.instance == self._instance:
            return False
        if other.seen == self._instance:  # it lives, and began or went on after this one did
            later = (self._started_ms, self._instance) > (other.started_ms, other.instance)
            if later:
                self.standing = Standing.SILENT
            elif self.standing is Standing.ALONE:
                self.standing = Standing.SHARED
        if other.instance in self._answered or len(self._answered) >= ANSWERED_MAX:
            return False
        self._answered.add(other.instance)
        self.said = Run(self._instance, self._started_ms, other.instance)
        return True
