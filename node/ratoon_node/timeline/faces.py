"""How accounts are called beside their posts: the name of a profile that may be shown, a handle
that its domain confirms, a fingerprint, and whether somebody else here looks the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ratoon_node.policy.engine import Policy
from ratoon_node.store import memory
from ratoon_node.timeline.cards import Known
from ratoon_node.timeline.naming import NameCard, Named, name_cards
from ratoon_node.timeline.visibility import Item, Viewer

# What is shown of a name may be this old: handles are confirmed and lookalikes found behind. A
# new profile and a new policy show at once.
FACE_MS_MAX = 10_000


class Face:
    """How an account is called, as long as it stays so; `json` is what a layer above made of it."""

    __slots__ = ("account", "card", "json", "lasting", "policy", "until_ms")

    def __init__(
        self, account: bytes, card: NameCard, policy: Policy, until_ms: int, lasting: bool
    ) -> None:
        self.account = account
        self.card = card
        self.policy = policy
        self.until_ms = until_ms
        #: Whether its name stays until the journal says otherwise; the rest is asked again.
        self.lasting = lasting
        self.json = b""


def faces(db: sqlite3.Connection, viewer: Viewer, accounts: Iterable[bytes]) -> dict[bytes, Face]:
    """The faces of those accounts that are here, each once."""
    found: dict[bytes, Face] = {}
    missing: dict[int, Known] = {}
    accounts = list(accounts)
    viewer.learn(accounts)
    for account in accounts:
        known = viewer.known(account)
        if known is None:
            continue
        face = known.face
        if face is not None and face.policy is viewer.policy and viewer.now_ms < face.until_ms:
            found[account] = face
        else:
            missing[known.n] = known
    if missing:
        found |= _make(db, viewer, missing)
    return found


def _make(db: sqlite3.Connection, viewer: Viewer, missing: dict[int, Known]) -> dict[bytes, Face]:
    """New faces; what a name is stays with the old one while nothing says otherwise."""
    before = {n: known.face for n, known in missing.items()}
    names = {
        n: Named(known.id, known.face.card.name)
        for n, known in missing.items()
        if known.face is not None and known.face.lasting and known.face.policy is viewer.policy
    }
    unread = [n for n in missing if n not in names]
    names |= {n: Named(missing[n].id, "") for n in unread}
    profiles = memory.profiles(db, unread) if unread else {}
    for n, one in zip(profiles, viewer.look_at(list(profiles.values())), strict=True):
        if isinstance(one, Item):
            names[n] = Named(missing[n].id, str(one.body.get("name", "")))
    made: dict[bytes, Face] = {}
    until_ms = viewer.now_ms + FACE_MS_MAX
    for n, card in name_cards(db, names, viewer.now_ms).items():
        face = Face(names[n].account, card, viewer.policy, until_ms, viewer.lasting)
        old = before[n]
        if old is not None and old.card == card:
            face.json = old.json
        missing[n].face = made[face.account] = face
    return made
