"""How accounts are called beside their posts: the name of a profile that may be shown, a handle
that its domain confirms, a fingerprint, and whether somebody else here looks the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ratoon_node.policy.engine import Policy
from ratoon_node.store import memory
from ratoon_node.timeline.naming import NameCard, Named, name_cards
from ratoon_node.timeline.visibility import Item, Viewer

# What is shown of a name may be this old: handles are confirmed and lookalikes found behind. A
# new profile and a new policy show at once.
FACE_MS_MAX = 10_000


class Face:
    """How an account is called, as long as it stays so; `json` is what a layer above made of it."""

    __slots__ = ("account", "card", "json", "policy", "until_ms")

    def __init__(self, account: bytes, card: NameCard, policy: Policy, until_ms: int) -> None:
        self.account = account
        self.card = card
        self.policy = policy
        self.until_ms = until_ms
        self.json = b""


def faces(db: sqlite3.Connection, viewer: Viewer, accounts: Iterable[bytes]) -> dict[bytes, Face]:
    """The faces of those accounts that are here, each once."""
    found: dict[bytes, Face] = {}
    missing: dict[int, bytes] = {}
    accounts = list(accounts)
    viewer.cards.learn(db, accounts, viewer.end)
    for account in accounts:
        known = viewer.known(account)
        if known is None:
            continue
        face = known.face
        if face is not None and face.policy is viewer.policy and viewer.now_ms < face.until_ms:
            found[account] = face
        else:
            missing[known.n] = account
    if missing:
        found |= _make(db, viewer, missing)
    return found


def _make(db: sqlite3.Connection, viewer: Viewer, missing: dict[int, bytes]) -> dict[bytes, Face]:
    names = {n: Named(account, "") for n, account in missing.items()}
    profiles = memory.profiles(db, list(missing))
    for n, one in zip(profiles, viewer.look_at(list(profiles.values())), strict=True):
        if isinstance(one, Item):
            names[n] = Named(missing[n], str(one.body.get("name", "")))
    made: dict[bytes, Face] = {}
    for n, card in name_cards(db, names, viewer.now_ms).items():
        face = Face(missing[n], card, viewer.policy, viewer.now_ms + FACE_MS_MAX)
        known = viewer.known(missing[n])
        if known is not None:
            known.face = face
        made[missing[n]] = face
    return made
