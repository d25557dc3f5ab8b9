"""What stays of a revoked key, and how revocations of one key add up (R-49 to R-51).

A key's **standing** is what the operations along one path say of it after it was removed: the rank
that spoke, and one **mark** for each time that rank spoke. A record counts only if every mark lets
it: so one rank can only ever revoke more. A better rank starts anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ratoon_protocol.errors import Code, IdentityError
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import REVOCATION_MARKS_MAX
from ratoon_protocol.operation import Form, Operation, Tip

#: The tips of one mark in one lane.
LaneTips = tuple[Tip, ...]


class Mark(NamedTuple):
    """One revocation entry with its tips."""

    form: Form
    at_ms: int
    tips: tuple[Tip, ...]

    def limits(self, lane: Lane) -> bool:
        """Whether only what is reached from tips counts in `lane`.

        Of a stolen key, every lane; of a retired one the log alone, because a backdated post only
        adds while a backdated delete destroys (R-49, R-50).
        """
        return self.form is Form.STOLEN or lane is Lane.LOG

    def lane_tips(self, lane: Lane) -> LaneTips:
        """Its tips in `lane`; none means that nothing there is valid (R-50)."""
        return tuple(tip for tip in self.tips if tip.lane is lane)


class Standing(NamedTuple):
    """A removed key on one path. `rank`: of the signer whose marks hold.

    `capabilities`: as the path last listed the key (`1 << Capability.ACCOUNT` for an account
    key), None if it never did.
    """

    rank: int
    marks: tuple[Mark, ...]
    capabilities: int | None


def marks_of(op: Operation) -> dict[bytes, Mark]:
    """The marks that `op` makes, by key."""
    tips: dict[bytes, list[Tip]] = {row.key: [] for row in op.revoked}
    for tip in op.tips:
        tips[tip.key].append(tip)
    return {row.key: Mark(row.form, row.at_ms, tuple(sorted(tips[row.key]))) for row in op.revoked}


def add_mark(standing: Standing, rank: int, mark: Mark) -> Standing:
    """The standing after a signer of `rank` names an already removed key again (R-51).

    Raises `IdentityError(bad_operation)` if a better rank has spoken, or too many marks.
    """
    if rank > standing.rank:
        raise IdentityError(Code.BAD_OPERATION, "a better rank revoked that key")
    if rank < standing.rank:
        return standing._replace(rank=rank, marks=(mark,))
    if mark in standing.marks:
        return standing
    if len(standing.marks) >= REVOCATION_MARKS_MAX:
        raise IdentityError(Code.BAD_OPERATION, "too many revocations of one key")
    return standing._replace(marks=(*standing.marks, mark))


def limiting_tips(marks: Sequence[Mark], lane: Lane) -> tuple[LaneTips, ...]:
    """For each mark that limits `lane`, its tips there: a record must be reached from each."""
    return tuple(mark.lane_tips(lane) for mark in marks if mark.limits(lane))
