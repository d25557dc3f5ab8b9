"""`GET /v1/notifications`: what a person who is at home here is told."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from ratoon_node.api import asked
from ratoon_node.api.answers import JSON_TYPE, binary, to_json
from ratoon_node.api.ports import Services
from ratoon_node.api.route import PERSON, Access, Example, Route
from ratoon_node.api.types import Count, Id, Ms, Position
from ratoon_node.api.view import Named, faces_json, item_json, masked_view
from ratoon_node.errors import NodeError
from ratoon_node.store import sessions
from ratoon_node.store.notices import Notice
from ratoon_node.timeline import inbox
from ratoon_node.timeline.inbox import Inbox, Notification, Unread
from ratoon_node.timeline.visibility import Item, Viewer
from ratoon_node.timeline.walk import Cursor
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import INT_MAX

#: The read mark from which unread notifications are counted.
MARK = "notifications"

_BY_WORD = {what.word: what for what in Notice}
_WORD = "|".join(_BY_WORD)


class NotificationsAsked(msgspec.Struct, forbid_unknown_fields=True):
    """Which ones: below `before` (newest first) or above `since` (oldest first), of some kinds."""

    before: Position | None = None
    since: Position | None = None
    only: Annotated[
        str,
        Meta(
            pattern=f"^(({_WORD})(,({_WORD}))*)?$",
            max_length=200,
            description="kinds with commas between them; all if it is empty",
        ),
    ] = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = asked.LIMIT_DEFAULT


class NotificationView(msgspec.Struct, omit_defaults=True):
    """`n` is its place, `account` who did it, `record` what says so; `target` is the id of the
    person's own record that it is about, `outcome` what became of a report.
    """

    n: Position
    what: str
    at_ms: Ms
    account: Id
    record: dict[str, Any]
    target: Id | None = None
    outcome: str | None = None


class NotificationsView(msgspec.Struct):
    """A page, and what is unread above the read mark `notifications`, by kind.

    `unread_more`: the counts are lower bounds.
    """

    items: list[NotificationView]
    next: Position | None
    end: Position
    unread: dict[str, Count]
    unread_more: bool
    accounts: dict[str, Named]


class Notifications:
    """The route to notifications."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            Route(
                "GET",
                "/v1/notifications",
                self.notifications,
                "What the person is told: replies, mentions, reactions and the like.",
                "me",
                query=NotificationsAsked,
                answer=NotificationsView,
                access=Access.PERSON,
                example=Example(query={"limit": 5, "only": "reply,mention"}),
            )
        ]

    async def notifications(self, request: web.Request) -> web.Response:
        """A page of them."""
        form = asked.query(request, NotificationsAsked)
        if form.limit > self._services.node.settings.page_records_max:
            raise NodeError(Code.OUT_OF_RANGE)
        if form.before is not None and form.since is not None:
            raise NodeError(Code.BAD_REQUEST, safe="Say before or since, not both.")
        cursor = Cursor(form.before if form.before is not None else INT_MAX)
        if form.since is not None:
            cursor = Cursor(form.since, newest_first=False)
        only = tuple(_BY_WORD[word] for word in form.only.split(",") if word) or inbox.ALL
        make = partial(
            composed, account=request[PERSON], cursor=cursor, only=only, limit=form.limit
        )
        data, items = await self._services.sight.read(make)
        return binary(data, JSON_TYPE, items)


def composed(
    db: sqlite3.Connection,
    viewer: Viewer,
    *,
    account: bytes,
    cursor: Cursor,
    only: tuple[Notice, ...],
    limit: int,
) -> tuple[bytes, int]:
    """A page as `NotificationsView` says, and how many items it gives."""
    known = viewer.known(account)
    page, unread = Inbox([], None, 0), Unread({}, False)
    if known is not None:
        page = inbox.page(db, viewer, known.n, cursor, only, limit)
        mark = sessions.mark(db, account, MARK)
        unread = inbox.unread(db, viewer, known.n, mark)
    following = b"null" if page.next is None else b"%d" % page.next
    data = b'{"items":[%b],"next":%b,"end":%d,"unread":%b,"unread_more":%b,"accounts":{%b}}' % (
        b",".join(map(notification_json, page.items)),
        following,
        page.end,
        to_json({what.word: count for what, count in unread.counts.items()}),
        to_json(unread.more),
        faces_json(db, viewer, dict.fromkeys(one.account for one in page.items)),
    )
    return data, len(page.items)


def notification_json(one: Notification) -> bytes:
    """One notification as `NotificationView` says."""
    line = one.line
    record = one.record
    head: dict[str, Any] = {"n": line.n, "what": line.what.word, "at_ms": line.at_ms}
    head["account"] = one.account.hex()
    if one.target is not None:
        head["target"] = one.target.hex()
    if line.detail:
        head["outcome"] = line.detail
    if isinstance(record, Item):
        body = item_json(record)
    else:
        body = to_json(masked_view(one.id, record))
    return to_json(head)[:-1] + b',"record":' + body + b"}"
