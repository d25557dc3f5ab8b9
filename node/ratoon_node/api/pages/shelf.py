"""Pages and feeds as they were made last, given out again while they are still true.

What was taken away since (deleted, edited, hidden, a block, other rules) takes a page down at once.
What was only added may wait for a second, as everything that is derived, so that a page which
many read during a flood is made once a second and not once a reader.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from threading import Lock

from aiohttp import web

from ratoon_node.api.answers import ITEMS
from ratoon_node.api.ports import Services
from ratoon_node.config import Settings
from ratoon_node.policy.engine import Policy
from ratoon_node.store import digested, memory, read
from ratoon_node.store.rows import What
from ratoon_node.timeline.recent import Recent
from ratoon_protocol import kinds

# Memory for what was made: about 500 pages.
SHELF_BYTES_MAX = 16 * 1024 * 1024
# A page beside its bytes.
ENTRY_BYTES = 500
# A page is made anew after this long even if nothing changed: entries of lists expire, handles
# are confirmed, trends and peers change without a line of the journal.
AGE_MS_MAX = 10_000
# How long something new may wait to be on a page that was made before it.
NEWS_MS_MAX = 1000
# A browser or a proxy may show what it has for this long before it asks again.
MAX_AGE_SECONDS = 10
# Lines of the journal looked at to see whether a page still holds; after more it is made anew.
LINES_MAX = 500

#: What these add changes nothing that could be read before, beside counts.
_ADDING = frozenset(
    {kinds.POST, kinds.REPOST, kinds.SEALED_POST, kinds.FOLLOW, kinds.REACTION, kinds.VOTE}
)
_ADDED = frozenset({What.ADDED, What.BYTES})


@dataclass(frozen=True)
class Sheet:
    """Something made for readers: bytes with their type, how many items it gives (for its price),
    and the status if it stands for something that is not shown.
    """

    data: bytes
    items: int = 1
    type: str = "text/html"
    status: int = 200


@dataclass
class _Kept:
    """A sheet, what it was made of, and since when its bytes are what they are."""

    sheet: Sheet
    policy: Policy
    settings: Settings
    position: int
    digested: int
    made_ms: int
    since_ms: int
    tag: str = ""
    news: bool = field(default=False)

    def __post_init__(self) -> None:
        self.tag = hashlib.sha256(self.sheet.data).hexdigest()[:32]


def _cost(kept: _Kept) -> int:
    return ENTRY_BYTES + len(kept.sheet.data)


#: Makes a sheet; may raise `NodeError`.
Make = Callable[[], Awaitable[Sheet]]


class Shelf:
    """A bounded memory of sheets by what they are of."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kept: Recent[Hashable, _Kept] = Recent(SHELF_BYTES_MAX, Lock(), _cost)
        self._making: dict[Hashable, asyncio.Event] = {}

    @property
    def bytes(self) -> int:
        """What everything on it takes, at most."""
        return self._kept.cost

    async def serve(self, request: web.Request, key: Hashable, make: Make) -> web.Response:
        """The sheet of a key, made if need be, or 304 if the client has it."""
        now_ms = self._services.node.runtime.clock.now_ms()
        kept = await self._true(key, now_ms)
        if kept is None and key in self._making:
            # Somebody makes it already; whether it holds for this reader too is looked at anew.
            await self._making[key].wait()
            kept = await self._true(key, now_ms)
        if kept is None:
            kept = await self._make(key, make, now_ms)
        return _answer(request, kept, now_ms)

    async def _true(self, key: Hashable, now_ms: int) -> _Kept | None:
        """What is kept, if it may be shown still."""
        kept, node = self._kept.get(key), self._services.node
        if kept is None or not 0 <= now_ms - kept.made_ms < AGE_MS_MAX:
            return None
        if kept.policy is not node.gate.policy or kept.settings is not node.settings:
            return None
        end, reached, taken = await node.db.read(lambda db: _since(db, kept.position))
        if taken:
            return None
        if end != kept.position or reached != kept.digested:
            kept.position, kept.digested, kept.news = end, reached, True
        return None if kept.news and now_ms - kept.made_ms >= NEWS_MS_MAX else kept

    async def _make(self, key: Hashable, make: Make, now_ms: int) -> _Kept:
        node = self._services.node
        before, done = self._kept.get(key), asyncio.Event()
        self._making[key] = done
        try:
            # What it is made of is at least as new as this.
            policy, settings = node.gate.policy, node.settings
            end, reached = await node.db.read(_moment)
            sheet = await make()
            kept = _Kept(sheet, policy, settings, end, reached, now_ms, now_ms)
            if before is not None and before.tag == kept.tag:
                kept.since_ms = before.since_ms
            if sheet.status == 200:
                self._kept.keep(key, kept)
            return kept
        finally:
            if self._making.get(key) is done:
                del self._making[key]
            done.set()


def _moment(db: sqlite3.Connection) -> tuple[int, int]:
    return read.journal_end(db), digested.position(db)


def _since(db: sqlite3.Connection, position: int) -> tuple[int, int, bool]:
    """The journal's end, how far the digest is, and whether something was taken away since."""
    end, reached = _moment(db)
    if end - position > LINES_MAX:
        return end, reached, True
    lines = memory.lines(db, position, end) if end > position else ()
    taken = any(line.what not in _ADDED or line.kind not in _ADDING for line in lines)
    return end, reached, taken


def _answer(request: web.Request, kept: _Kept, now_ms: int) -> web.Response:
    """The sheet, or that it has not changed (RFC 9110, section 13)."""
    sheet = kept.sheet
    if sheet.status != 200:
        return web.Response(
            body=sheet.data, status=sheet.status, content_type=sheet.type, charset="utf-8"
        )
    headers = {"ETag": f'"{kept.tag}"', "Cache-Control": f"public, max-age={MAX_AGE_SECONDS}"}
    # The second after: in the one in which it changed it might change again, and no date would
    # tell the two apart.
    since = kept.since_ms // 1000 + 1
    if since <= now_ms // 1000:
        headers["Last-Modified"] = format_datetime(datetime.fromtimestamp(since, UTC), usegmt=True)
    if _known(request, kept.tag, since):
        return web.Response(status=304, headers=headers)
    made = web.Response(body=sheet.data, content_type=sheet.type, charset="utf-8", headers=headers)
    made[ITEMS] = sheet.items
    return made


def _known(request: web.Request, tag: str, since: int) -> bool:
    tags = request.if_none_match
    if tags is not None:
        return any(one.value in (tag, "*") for one in tags)
    date = request.if_modified_since
    return date is not None and since <= date.timestamp()
