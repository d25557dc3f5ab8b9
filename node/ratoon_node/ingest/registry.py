"""Who comes in, and under which name: invites and names, each registration in one transaction.

Like the ledger it writes what is no record. A name counts only while its account is at home here
and its newest identity operation lists the handle; one that no longer counts is kept for that
account for a while, then it is free.
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
from ratoon_node.store.names import Due, Held
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import DAY_MS

# A name just given is kept for its account, whose records are still on their way in.
SETTLES_MS = 60_000
# A name that no longer counts is kept for whoever had it: links, mentions and memories still mean
# that person, and whoever came by the name at once would get what is meant for them.
KEPT_MS = 90 * DAY_MS
# Of the names one account had, so many are kept for it: more than its handles, and no hoard.
KEPT_MAX = 8


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

    async def admit(self, wish: Wish) -> bool:
        """Take a use of the invite and write the name down: both, or neither.

        Returns whether a name was given that the account did not have. Raises `NodeError`:
        `invite_needed`, `name_taken`.
        """
        now_ms = self._clock.now_ms()

        def run(db: sqlite3.Connection) -> bool | None:
            given = self._give(db, wish, now_ms) if wish.name else False
            if given is None:
                return None
            if wish.invite is not None and not invites.use(db, wish.invite, wish.account, now_ms):
                raise NodeError(Code.INVITE_NEEDED)
            return given

        given = await write(self._db, run)
        if given is None:
            raise NodeError(Code.NAME_TAKEN)
        return given

    def _give(self, db: sqlite3.Connection, wish: Wish, now_ms: int) -> bool | None:
        """Whether the name is new to the account; None if it is not to be had."""
        looks = likeness(wish.name)
        found = names.held_like(db, looks)
        if found is not None and (found.name, found.account) == (wish.name, wish.account):
            names.lapse(db, found.name, None)
            return False
        if found is not None:
            if not self._free(db, found, wish, now_ms):
                return None
            names.take_back(db, found.name)
        before = names.held_by(db, wish.account)
        for name in before:
            if f"{name}@{self.domain}" not in wish.handles:
                names.lapse(db, name, now_ms)
        for name in before[KEPT_MAX - 1 :]:
            names.take_back(db, name)
        names.give(db, wish.name, looks, wish.account, now_ms)
        return True

    def _free(self, db: sqlite3.Connection, found: Held, wish: Wish, now_ms: int) -> bool:
        """Whether a name that somebody has, or had, may go to whoever wishes for it.

        That it lapsed is noted when it is first seen: it is kept from then on, never for less.
        """
        if found.account == wish.account:
            return f"{found.name}@{self.domain}" not in wish.handles
        if now_ms - found.at_ms < SETTLES_MS:
            return False
        if self.counts(db, found.name, found.account):
            names.lapse(db, found.name, None)
            return False
        names.lapse(db, found.name, now_ms)
        return found.lapsed_ms is not None and now_ms - found.lapsed_ms >= KEPT_MS

    async def undo(self, wish: Wish, named: bool) -> None:
        """The registration failed after all: give back what `admit` took."""

        def run(db: sqlite3.Connection) -> None:
            if wish.invite is not None:
                invites.give_back(db, wish.invite, wish.account)
            if named and names.holder(db, wish.name) == wish.account:
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

    async def put_off(self, turns: list[tuple[Due, int]]) -> None:
        """Ask for each of these later, at its time."""
        if turns:
            await write(self._db, lambda db: names.put_off(db, turns))
