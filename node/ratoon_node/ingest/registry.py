"""Who comes in, and under which name: invites and names, each registration in one transaction.

Like the ledger it writes what is no record. A name counts only while its account is at home here
and its newest identity operation lists the handle; one that no longer counts is free.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ratoon_node.errors import NodeError
from ratoon_node.ingest.ledger import write
from ratoon_node.policy.naming import likeness
from ratoon_node.runtime import Clock
from ratoon_node.store import invites, names, read
from ratoon_node.store.db import Db
from ratoon_node.store.names import Due
from ratoon_protocol.errors import Code

# A name just given is kept for its account, whose records are still on their way in.
SETTLES_MS = 60_000


@dataclass(frozen=True)
class Wish:
    """What an account asks for when it registers.

    `handles` are those of its newest operation; `name` is "" for none, `invite` None where none
    is asked for.
    """

    account: bytes
    handles: tuple[str, ...]
    name: str
    invite: str | None


class Registry:
    """Writes, one transaction each. All raise `NodeError(busy)` when the store cannot write."""

    def __init__(self, db: Db, clock: Clock, own: bytes, domain: str) -> None:
        self._db = db
        self._clock = clock
        self._own = own
        #: Of the names given out here; "" if this node gives out none.
        self.domain = domain

    async def admit(self, wish: Wish) -> None:
        """Take a use of the invite and write the name down: both, or neither.

        Raises `NodeError`: `invite_needed`, `name_taken`.
        """
        now_ms = self._clock.now_ms()

        def run(db: sqlite3.Connection) -> None:
            if wish.invite is not None and not invites.use(db, wish.invite, wish.account, now_ms):
                raise NodeError(Code.INVITE_NEEDED)
            if wish.name:
                self._give(db, wish, now_ms)

        await write(self._db, run)

    def _give(self, db: sqlite3.Connection, wish: Wish, now_ms: int) -> None:
        for name in names.held_by(db, wish.account):
            if f"{name}@{self.domain}" not in wish.handles:
                names.take_back(db, name)
        looks = likeness(wish.name)
        found = names.held_like(db, looks)
        if found is not None:
            if (found.name, found.account) == (wish.name, wish.account):
                return
            settling = now_ms - found.at_ms < SETTLES_MS
            if settling or self.counts(db, found.name, found.account):
                raise NodeError(Code.NAME_TAKEN)
            names.take_back(db, found.name)
        names.give(db, wish.name, looks, wish.account, now_ms)

    async def undo(self, wish: Wish) -> None:
        """The registration failed after all: give back what `admit` took."""

        def run(db: sqlite3.Connection) -> None:
            if wish.invite is not None:
                invites.give_back(db, wish.invite, wish.account)
            if wish.name and names.holder(db, wish.name) == wish.account:
                names.take_back(db, wish.name)

        await write(self._db, run)

    def account_of(self, db: sqlite3.Connection, name: str) -> bytes | None:
        """Whose name this is, if it counts."""
        account = names.holder(db, name)
        return account if account is not None and self.counts(db, name, account) else None

    def counts(self, db: sqlite3.Connection, name: str, account: bytes) -> bool:
        """Whether an account is at home here and lists the name's handle itself."""
        hosted = self._own in read.hosts(db, account)
        return hosted and f"{name}@{self.domain}" in read.handles(db, account)

    # --- invites ---------------------------------------------------------------------------

    async def invite(self, code: str, uses: int, expires_ms: int | None, note: str) -> None:
        """Make an invite that lets `uses` accounts in."""
        now_ms = self._clock.now_ms()
        await write(self._db, lambda db: invites.add(db, code, uses, now_ms, expires_ms, note))

    async def revoke_invite(self, code: str) -> bool:
        """Let nobody in by an invite any more; False if there is none."""
        now_ms = self._clock.now_ms()
        return await write(self._db, lambda db: invites.revoke(db, code, now_ms))

    # --- handles ---------------------------------------------------------------------------

    async def found(self, asked: Due, verified: bool | None, next_ms: int) -> None:
        """Keep what a domain said of a handle (see `names.note_finding`)."""
        now_ms = self._clock.now_ms()
        await write(self._db, lambda db: names.note_finding(db, asked, verified, now_ms, next_ms))

    async def put_off(self, asked: list[Due], next_ms: int) -> None:
        """Ask for these later."""
        await write(self._db, lambda db: names.put_off(db, asked, next_ms))
