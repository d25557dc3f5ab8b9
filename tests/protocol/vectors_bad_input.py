"""Makes bad_input.json: what nobody publishes, with the code for whoever tries.

The cases are those that are brought to every way into a node; here are the ones that bytes alone
decide, without any account's log.
"""

from __future__ import annotations

from typing import Any

from tests.badinput.bodies import body_cases
from tests.badinput.cases import byte_cases
from tests.badinput.forge import Case, Forge
from tests.badinput.town import NETWORK, someone
from tests.node.world import Clock

NOW_MS = 1_800_000_000_000
# What only shows that a length is judged before all else stands in records.json already.
CASE_BYTES_MAX = 20_000


class _Fixed(Clock):
    """A clock that stands."""

    def now_ms(self) -> int:
        return NOW_MS


def _cases() -> list[Case]:
    forge = Forge(someone(1, _Fixed()))
    found = [*byte_cases(forge), *body_cases(forge)]
    # A record without payload is a record; it is only not published.
    published = [case for case in found if case.whole is not None or case.payload is not None]
    return [case for case in published if len(case.data) <= CASE_BYTES_MAX]


def bad_input() -> dict[str, Any]:
    """bad_input.json: records judged as a node judges what somebody publishes."""
    return {
        "how": "decode, then network, time at `now_ms`, signature, the payload's shape, its body",
        "network": NETWORK.hex(),
        "now_ms": NOW_MS,
        "valid": [],
        "invalid": [
            {
                "name": case.name,
                "requirement": case.requirement,
                "bytes": case.data.hex(),
                "expect": case.api,
            }
            for case in _cases()
        ],
    }
