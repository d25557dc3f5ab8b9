"""Whose handles are whose: every handle that an account lists is checked at its domain, again and
again, and people's questions are answered from what was found (R-134).
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import OrderedDict
from typing import NamedTuple
from urllib.parse import urlsplit

import structlog

from ratoon_node.errors import NodeError
from ratoon_node.ingest.registry import Registry
from ratoon_node.peering.hub import Hub
from ratoon_node.peering.lookup import Lookup
from ratoon_node.peering.roster import Roster
from ratoon_node.policy.naming import Handle, parse_handle
from ratoon_node.runtime import Clock, Spawn
from ratoon_node.store import names, read
from ratoon_node.store.db import Db
from ratoon_node.store.names import Due
from ratoon_node.timeline.naming import VERIFIED_MS_MAX
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import FIND_ACCOUNT
from ratoon_protocol.limits import DAY_MS

# Between two looks at what is due.
ROUND_MS = 5000
# Handles looked at in one round, and those of them asked side by side.
DUE_MAX = 256
CHECKS_AT_ONCE_MAX = 8
# Until a good finding is checked again: well before it is no longer believed.
RECHECK_MS = DAY_MS
# First wait after a bad one or none, then doubling, up to the longest.
RETRY_MS = 3_600_000
RETRY_MS_MAX = 7 * DAY_MS
# Between two questions to one domain: many accounts may list handles of one that is not theirs.
DOMAIN_PAUSE_MS = 2000
# Domains whose last question is remembered.
DOMAINS_MAX = 4096
# Questions of people that wait for a domain at once, and how long an empty answer is kept.
RESOLVES_MAX = 16
NOBODY_MS = 60_000
NOBODY_MAX = 4096
BUSY_RETRY_MS = 1000

log = structlog.get_logger()


class Found(NamedTuple):
    """Whose handle it is, and whether both sides say so."""

    handle: Handle
    account: bytes


class Names:
    """Checks handles in the background and resolves them for people."""

    def __init__(
        self,
        own: bytes,
        db: Db,
        registry: Registry,
        roster: Roster,
        hub: Hub,
        lookup: Lookup | None,
        clock: Clock,
        spawn: Spawn,
        rng: random.Random,
        private: bool,
    ) -> None:
        self._own = own
        self._db = db
        self._registry = registry
        self._roster = roster
        self._hub = hub
        self._lookup = lookup
        self._clock = clock
        self._spawn = spawn
        self._rng = rng
        self._private = private
        self._asked_ms: OrderedDict[str, int] = OrderedDict()
        self._nobody: OrderedDict[Handle, int] = OrderedDict()
        self._resolving = 0

    @property
    def domain(self) -> str:
        """Of the names given out here; "" if there are none."""
        return self._registry.domain

    def start(self) -> None:
        """Check handles, again and again."""
        self._spawn(self._rounds(), "names.rounds")

    async def close(self) -> None:
        """Ask nobody any more."""
        if self._lookup is not None:
            await self._lookup.close()

    # --- checking --------------------------------------------------------------------------

    async def _rounds(self) -> None:
        while True:
            await self._clock.sleep_ms(ROUND_MS)
            try:
                while await self.check_due():
                    pass
            except (NodeError, sqlite3.Error) as error:  # the store fails: not now
                log.info("names_wait", error=repr(error))

    async def check_due(self) -> int:
        """Check what is due, one round; the number of handles that were due and no longer are.

        Of each domain one is asked and the others get turns: whoever lists a thousand handles of
        one domain waits for it by themselves, and nobody else with them.
        """
        now_ms = self._clock.now_ms()
        found = await self._db.read(lambda db: names.due(db, now_ms, DUE_MAX))
        asked: list[Due] = []
        later: dict[str, list[Due]] = {}
        for one in found:
            domain = one.handle.rpartition("@")[2]
            if domain not in later and len(asked) < CHECKS_AT_ONCE_MAX and self._may_ask(domain):
                asked.append(one)
            elif domain == self.domain or not self._asked_lately(domain):
                continue  # the next round asks it
            else:
                later.setdefault(domain, []).append(one)
        await self._registry.put_off(
            [
                (one, now_ms + turn * DOMAIN_PAUSE_MS)
                for waiting in later.values()
                for turn, one in enumerate(waiting, 1)
            ]
        )
        if asked:
            await asyncio.gather(*map(self._check, asked))
        return len(asked) + sum(map(len, later.values()))

    async def _check(self, asked: Due) -> None:
        handle = parse_handle(asked.handle)
        assert handle is not None, "checked when the operation came in"
        try:
            verified: bool | None = await self._ask(handle) == asked.id
        except NodeError:
            verified = None
        await self._note(asked, verified)

    async def _note(self, asked: Due, verified: bool | None) -> None:
        wait_ms = RECHECK_MS if verified else min(RETRY_MS << min(asked.failures, 8), RETRY_MS_MAX)
        wait_ms += self._rng.randrange(wait_ms // 4)
        await self._registry.found(asked, verified, self._clock.now_ms() + wait_ms)

    def _may_ask(self, domain: str) -> bool:
        """Whether a domain was left alone long enough; if so, it is being asked now."""
        if domain == self.domain:
            return True
        if self._asked_lately(domain):
            return False
        self._asked_ms[domain] = self._clock.monotonic_ms()
        self._asked_ms.move_to_end(domain)
        if len(self._asked_ms) > DOMAINS_MAX:
            self._asked_ms.popitem(last=False)
        return True

    def _asked_lately(self, domain: str) -> bool:
        now_ms = self._clock.monotonic_ms()
        return now_ms - self._asked_ms.get(domain, now_ms - DOMAIN_PAUSE_MS) < DOMAIN_PAUSE_MS

    async def _ask(self, handle: Handle) -> bytes | None:
        if handle.domain == self.domain:
            return await self._db.read(lambda db: self._registry.account_of(db, handle.name))
        if self._lookup is None:
            raise NodeError(Code.TIMEOUT, detail="no domain is asked here")
        return await self._lookup.account_of(handle, self._stated(handle.domain))

    def _stated(self, domain: str) -> str | None:
        """In a private network: where the node of this domain says it is, port and all."""
        if self._private:
            for said in self._roster.nodes.values():
                for address in said.addresses:
                    if said.node != self._own and urlsplit(address).hostname == domain:
                        return address
        return None

    # --- answering -------------------------------------------------------------------------

    async def resolve(self, handle: Handle) -> Found:
        """Whose handle it is, as both the domain and the account say.

        Raises `NodeError`: `not_found`, `timeout` if the domain does not answer, `bad_address`,
        `busy`.
        """
        account = await self._known(handle)
        if account is None and handle.domain != self.domain:
            account = await self._asked(handle)
        if account is None:
            raise NodeError(Code.NOT_FOUND, safe="Nobody has this name.")
        return Found(handle, account)

    async def _known(self, handle: Handle) -> bytes | None:
        since_ms = self._clock.now_ms() - VERIFIED_MS_MAX

        def look(db: sqlite3.Connection) -> bytes | None:
            if handle.domain == self.domain:
                return self._registry.account_of(db, handle.name)
            return names.verified_account(db, str(handle), since_ms)

        return await self._db.read(look)

    async def _asked(self, handle: Handle) -> bytes | None:
        """Ask the domain, then look whether the account says so too."""
        now_ms = self._clock.monotonic_ms()
        if self._nobody.get(handle, 0) > now_ms:
            return None
        if self._resolving >= RESOLVES_MAX:
            raise NodeError(Code.BUSY, retry_ms=BUSY_RETRY_MS)
        self._resolving += 1
        try:
            account = await self._ask(handle)
            if account is not None and await self._agrees(handle, account):
                return account
        finally:
            self._resolving -= 1
        self._nobody[handle] = now_ms + NOBODY_MS
        self._nobody.move_to_end(handle)
        if len(self._nobody) > NOBODY_MAX:
            self._nobody.popitem(last=False)
        return None

    async def _agrees(self, handle: Handle, account: bytes) -> bool:
        def listed(db: sqlite3.Connection) -> tuple[bool, Due | None]:
            lists = str(handle) in read.handles(db, account)
            return lists, names.listed_as(db, account, str(handle)) if lists else None

        agrees, row = await self._db.read(listed)
        if not agrees:
            await self._hub.errands.find(FIND_ACCOUNT, account)
            agrees, row = await self._db.read(listed)
        if row is not None:
            await self._note(row, True)
        return agrees
