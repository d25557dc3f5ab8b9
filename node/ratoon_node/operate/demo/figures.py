"""What the demonstration measured, and what must not be."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

MIB = 1024 * 1024
# What a node may take at most: it shall run on the smallest machines one can rent.
NODE_BYTES_MAX = 300 * MIB


@dataclass
class NodeFigures:
    """One node. `missing` and `altered` count acknowledged posts that it cannot show as signed."""

    name: str
    provider: str
    lost: bool
    peak_bytes: int
    records: int = 0
    missing: int = 0
    altered: int = 0


@dataclass
class Figures:
    """The whole run; times in seconds unless the name says ms."""

    posts: int = 0
    authors: int = 0
    lost_provider: str = ""
    acknowledged: int = 0
    acknowledged_before: int = 0
    survived: int = 0
    unconfirmed: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0
    unanswered_kept: int = 0
    lost_authors: int = 0
    to_recover: int = 0
    recovered: int = 0
    recovery_errors: list[str] = field(default_factory=list)
    reading_interrupted_ms: float | None = None
    writing_interrupted_ms: float | None = None
    equal: bool = False
    equal_s: float = 0.0
    sign_up_s: float = 0.0
    replay_s: float = 0.0
    posts_per_s: float = 0.0
    recovery_s: float = 0.0
    check_s: float = 0.0
    total_s: float = 0.0
    nodes: list[NodeFigures] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Acknowledged posts that some surviving node does not show as they were signed."""
        return self.acknowledged - self.survived

    def failures(self) -> list[str]:
        """What is wrong, in words; nothing if the promise was kept."""
        found = []
        if self.missing:
            found.append(f"{self.missing} acknowledged posts are missing or altered")
        if not self.acknowledged:
            found.append("nothing was acknowledged")
        if not self.equal:
            found.append("the surviving nodes do not hold equal sets")
        if self.recovered < self.to_recover:
            found.append(f"{self.to_recover - self.recovered} authors could not come back")
        if self.reading_interrupted_ms is None:
            found.append("the reader did not get to another node")
        if self.writing_interrupted_ms is None:
            found.append("the writer did not get to another node")
        for node in self.nodes:
            if node.peak_bytes > NODE_BYTES_MAX:
                found.append(f"{node.name} took {node.peak_bytes / MIB:.0f} MiB of memory")
        return found

    def as_json(self) -> dict[str, Any]:
        """Everything, for a script."""
        return asdict(self) | {"missing": self.missing, "failures": self.failures()}
