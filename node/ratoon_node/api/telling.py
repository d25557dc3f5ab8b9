"""Notifications live, for one person who is signed in, whatever carries them."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ratoon_node.api.access import signed_in
from ratoon_node.api.answers import error_body, to_json
from ratoon_node.api.following import Notice
from ratoon_node.api.notifications import notification_json
from ratoon_node.api.ports import Services
from ratoon_node.errors import NodeError
from ratoon_node.store import notices
from ratoon_node.timeline import inbox
from ratoon_node.timeline.visibility import Viewer
from ratoon_node.timeline.walk import Cursor

# Notifications read in one step of catching up.
STEP_MAX = 50


class _Step(NamedTuple):
    """What was told above a place: places with their JSON, and where to go on from."""

    told: list[tuple[int, bytes]]
    upto: int
    more: bool


class NoticeReader:
    """Follows the notifications of whom a token speaks for. `tell` sends one, with its place;
    `note` sends words about the stream itself. Both are JSON.

    Each is `{"cursor", "notification"}`. Nothing is queued: a slow client is read for later. The
    session is asked again before anything is told, so nothing is told after its end.
    """

    def __init__(
        self,
        services: Services,
        token: str,
        since: int | None,
        tell: Callable[[int, bytes], Awaitable[None]],
        note: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._services = services
        self._token = token
        self._since = since
        self._tell = tell
        self._note = note

    async def run(self) -> None:
        """Tell for ever; ends when cancelled, or with the session (the client is told why)."""
        try:
            account = (await signed_in(self._services, self._token)).account
            await self._follow(account)
        except NodeError as error:
            await self._note(to_json({"error": error_body(error)}))

    async def _follow(self, account: bytes) -> None:
        node = self._services.node
        number, end = await node.db.read(
            lambda db: (notices.number_of(db, account), notices.end(db))
        )
        assert number is not None, "whoever signs in is here"
        sent = end if self._since is None else min(self._since, end)
        if self._since is not None and self._since > end:
            await self._tell(end, to_json(Notice(True, self._since)))
        bell = node.bells.listen(number)
        try:
            while True:
                bell.clear()
                sent = await self._catch_up(number, sent)
                await bell.wait()
                await signed_in(self._services, self._token)
        finally:
            node.bells.leave(number, bell)

    async def _catch_up(self, number: int, sent: int) -> int:
        """Tell everything above a place; the place that was reached."""
        more = True
        while more:
            after = sent

            def look(db: sqlite3.Connection, viewer: Viewer, after: int = after) -> _Step:
                cursor = Cursor(after, newest_first=False)
                page = inbox.page(db, viewer, number, cursor, inbox.ALL, STEP_MAX)
                told = [(one.line.n, notification_json(one)) for one in page.items]
                upto = max(page.end, after) if page.next is None else page.next
                return _Step(told, upto, page.next is not None)

            async with self._services.feed.past:
                step = await self._services.sight.read(look)
            for n, text in step.told:
                await self._tell(n, b'{"cursor":%d,"notification":%b}' % (n, text))
            self._services.node.metrics.stream_records.inc(len(step.told))
            sent, more = step.upto, step.more
        return sent
