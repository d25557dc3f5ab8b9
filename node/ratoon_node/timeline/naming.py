"""Names as people see them: a shown name can be anybody's, a handle is proven, a fingerprint is
the account's own. A name that looks like another known account's is marked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ratoon_node.policy.naming import likeness
from ratoon_node.store import names, read
from ratoon_node.store.names import Tally
from ratoon_node.timeline.digest import Seen, kept
from ratoon_protocol import kinds
from ratoon_protocol.limits import DAY_MS

#: A finding that a domain names an account is believed this long after the domain last said so.
VERIFIED_MS_MAX = 7 * DAY_MS
# Hexadecimal digits of an account beside its name: enough to tell two lookalikes apart.
FINGERPRINT_DIGITS = 8


class Named(NamedTuple):
    """An account and the name that its profile shows ("" for none)."""

    account: bytes
    name: str


class NameCard(NamedTuple):
    """How an account is called; `handle` only if its domain confirms it."""

    name: str
    handle: str | None
    fingerprint: str
    confusable: bool


def name_cards(
    db: sqlite3.Connection, shown: Mapping[int, Named], now_ms: int
) -> dict[int, NameCard]:
    """A card for each account, by the store's number of it.

    The caller passes the names of profiles that may be shown. `confusable`: another account known
    here shows a name that looks the same, as this one's name or handle, so the fingerprint matters.
    """
    handles = names.verified_handles(db, shown, now_ms - VERIFIED_MS_MAX)
    looks = {number: likeness(one.name) for number, one in shown.items()}
    alike = names.others_like(db, {number: look for number, look in looks.items() if look})
    alike |= names.others_like(db, {number: likeness(text) for number, text in handles.items()})
    return {
        number: NameCard(one.name, handles.get(number), fingerprint(one.account), number in alike)
        for number, one in shown.items()
    }


def fingerprint(account: bytes) -> str:
    """The first digits of an account."""
    return account.hex()[:FINGERPRINT_DIGITS]


class Names:
    """The chapter of the digest that follows names, handles and what is counted for others."""

    def __init__(self, own: bytes) -> None:
        self._own = own

    def take(self, db: sqlite3.Connection, seen: Sequence[Seen], now_ms: int) -> None:
        """See `digest.Chapter`."""
        numbers = kept(seen)
        names.forget_likenesses(db, numbers)
        names.tally(db, numbers, [(one.n, self._counted(one)) for one in seen])
        for one in seen:
            if one.row is None:
                continue
            if one.row.kind == kinds.IDENTITY:
                names.expect(db, one.row.account, read.handles(db, one.account), now_ms)
            elif one.row.kind == kinds.PROFILE and one.body is not None:
                looks = likeness(str(one.body.get("name", "")))
                if looks:
                    names.keep_likeness(db, one.n, one.row.account, looks)

    def _counted(self, one: Seen) -> Tally | None:
        if one.row is None or one.body is None:
            return None
        hosting = one.row.kind == kinds.HOSTING and one.account == self._own
        return Tally.RESIDENTS if hosting and one.body.get("state") else None
