"""What waits for the gate: submissions, how many there may be, and what was found of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from ratoon_node.config import Settings
from ratoon_node.ingest.submission import Candidate, Origin, Outcome, Submission


class GateLimits(NamedTuple):
    """Bounds of the intake and of what is kept."""

    intake_records_max: int
    intake_bytes_max: int
    batch_records_max: int
    horizon_days: int

    @classmethod
    def of(cls, settings: Settings) -> GateLimits:
        """As the operator set them."""
        return cls(
            settings.intake_records_max,
            settings.intake_bytes_max,
            settings.batch_records_max,
            settings.horizon_days,
        )


class Batch(NamedTuple):
    """One submission; whoever made it waits for `answer`."""

    items: Sequence[Submission]
    size: int
    origin: Origin
    came_ms: int
    answer: asyncio.Future[list[Outcome]]


class Waiting(NamedTuple):
    """What was taken in and is not yet answered: records, and their bytes."""

    records: int = 0
    size: int = 0

    def more(self, records: int, size: int) -> Waiting:
        """With so many more."""
        return Waiting(self.records + records, self.size + size)


class Verified(NamedTuple):
    """Batches whose items are candidates or refused, flat and in order."""

    batches: list[Batch]
    items: list[Candidate | Outcome]
    #: Ids that were here: their signatures were not checked.
    known: frozenset[bytes]

    def joined(self, other: Verified) -> Verified:
        """Both, this first."""
        batches, items = self.batches + other.batches, self.items + other.items
        return Verified(batches, items, self.known | other.known)
