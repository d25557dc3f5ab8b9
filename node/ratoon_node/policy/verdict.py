"""What a policy can say about a record, and one such answer."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Verdict(IntEnum):
    """Weakest to strongest; of several the strongest wins. It never changes a record's status."""

    ACCEPT = 0
    LABEL = 1  # shown with a label, or without its media
    LIMIT = 2  # kept out of public timelines, search and trends
    HOLD = 3  # bytes kept for moderators only
    WITHHOLD = 4  # header and reason kept, the payload is not
    QUARANTINE = 5  # bytes sealed to an evidence key that is not on the node
    PURGE = 6  # a legal act: payload gone, nothing served but id and class

    @property
    def word(self) -> str:
        """The verdict as policies, tables and people write it."""
        return self.name.lower()


#: What rules may say: `LABEL` with a label to give, `QUARANTINE` with an evidence key. `PURGE`
#: needs a person who answers for it: no word in a file reaches it.
RULE_VERDICTS = (
    Verdict.ACCEPT,
    Verdict.LABEL,
    Verdict.LIMIT,
    Verdict.HOLD,
    Verdict.WITHHOLD,
    Verdict.QUARANTINE,
)
#: What the operator's own entries may say.
ENTRY_VERDICTS = (Verdict.ACCEPT, Verdict.LIMIT, Verdict.HOLD, Verdict.WITHHOLD)


class Decision(NamedTuple):
    """One answer: `reason` is a short word, `rule_id` says what decided ("" when nothing did).

    `rule_id` is the id of a rule, `plugin.<name>`, or `block.<subject>:<entity>` or
    `allow.<subject>:<entity>` for an entry of a list. `policy_version` is `Policy.version`.
    `labels` and `drop_media` are of all rules that fired, whichever decided; a decision with
    either is `LABEL` at least.
    """

    verdict: Verdict
    reason: str
    rule_id: str
    policy_version: str
    labels: tuple[str, ...] = ()
    drop_media: bool = False


def stronger(first: Decision | None, second: Decision | None) -> Decision | None:
    """The stronger of two answers; the first where they are equal."""
    if first is None or (second is not None and second.verdict > first.verdict):
        return second
    return first
