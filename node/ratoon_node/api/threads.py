"""`/v1/records/{id}/…`: the conversation around a post, and what others made of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby
from typing import Annotated, Any, NamedTuple

import msgspec
from aiohttp import web
from msgspec import Meta

from ratoon_node.api import asked
from ratoon_node.api.answers import JSON_TYPE, RECORDS_TYPE, binary, to_json
from ratoon_node.api.fetching import bring
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Example, Handler, Route
from ratoon_node.api.types import Id, Limit, Ms, PageQuery, Position
from ratoon_node.api.view import Named, Shown, Timeline, answer_page, faces_json, items_json
from ratoon_node.errors import NodeError
from ratoon_node.store import references
from ratoon_node.store.references import Reacted, Relation
from ratoon_node.timeline import tables
from ratoon_node.timeline.thread import REPLIES_MAX, Placeholder, Thread, thread
from ratoon_node.timeline.visibility import Item, Viewer
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code

# Replies of one answer when the client does not say.
REPLIES_DEFAULT = 200
# Reactions of one answer when the client does not say.
REACTIONS_DEFAULT = 50

# Reading a whole conversation costs as much as these plain requests.
THREAD_COST = 3


class ThreadQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Replies above a position, and how many."""

    after: Position = 0
    limit: Annotated[int, Meta(ge=1, le=REPLIES_MAX)] = REPLIES_DEFAULT


class Missing(msgspec.Struct, omit_defaults=True):
    """Something that cannot be read: the code says why (`not_found`: it is not here), `parent`
    what it answers.
    """

    id: Id
    code: str
    reason: str | None = None
    parent: Id | None = None
    account: Id | None = None
    created_ms: Ms | None = None


class ThreadAnswer(msgspec.Struct):
    """A thread: `focus` is null if it cannot be read (then it is the first of `missing`),
    `ancestors` begin with the root, `replies` are all others of the thread by position,
    `uninvited` are those that the root's author did not ask for. `next` goes on with `after`.
    """

    focus: Shown | None
    ancestors: list[Shown]
    replies: list[Shown]
    missing: list[Missing]
    uninvited: list[Id]
    next: Position | None
    end: Position
    accounts: dict[str, Named]


class ReactionsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Reactions after a cursor, and how many."""

    after: Position = 0
    limit: Limit | None = None


class ReactionView(msgspec.Struct):
    """What one account feels about a post."""

    id: Id
    account: Id
    emoji: str
    created_ms: Ms


class ReactionsAnswer(msgspec.Struct):
    """Reactions, one an account; `next` goes on with `after`."""

    items: list[ReactionView]
    next: Position | None
    accounts: dict[str, Named]


class Threads:
    """Routes to threads and to what refers to a post."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The group's routes."""
        about = Example(path={"id": "{post}"})
        return [
            Route(
                "GET",
                "/v1/records/{id}/thread",
                self.thread,
                "The whole conversation around a post; peers are asked for what is missing",
                "threads",
                query=ThreadQuery,
                answer=ThreadAnswer,
                codes=(Code.NOT_FOUND,),
                cost=THREAD_COST,
                example=about,
            ),
            *(
                Route(
                    "GET",
                    f"/v1/records/{{id}}/{name}",
                    self._referring(how),
                    summary,
                    "threads",
                    query=PageQuery,
                    answer=Timeline,
                    media=(RECORDS_TYPE,),
                    example=about,
                )
                for name, how, summary in _RELATED
            ),
            Route(
                "GET",
                "/v1/records/{id}/reactions",
                self.reactions,
                "Who feels what about a post",
                "threads",
                query=ReactionsQuery,
                answer=ReactionsAnswer,
                example=about,
            ),
        ]

    async def thread(self, request: web.Request) -> web.Response:
        """A page of a thread; what is missing is fetched, and told if it comes in time."""
        query, id_ = asked.query(request, ThreadQuery), asked.id_of_path(request)
        make = partial(_compose, id_=id_, query=query)
        found = await self._services.sight.read(make)
        absent = [id_] if found is None else found.absent
        if absent and await bring(request, self._services, absent):
            found = await self._services.sight.read(make)
        if found is None:
            raise NodeError(Code.NOT_FOUND)
        return binary(found.data, JSON_TYPE, found.items)

    def _referring(self, how: Relation) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            cursor, limit = asked.cursor_of(asked.query(request, PageQuery), self._services)
            id_ = asked.id_of_path(request)
            make = partial(tables.referring, how=how, id_=id_, cursor=cursor, limit=limit)
            return await answer_page(request, self._services, make)

        return answer

    async def reactions(self, request: web.Request) -> web.Response:
        """Reactions by the number of the account."""
        query, id_ = asked.query(request, ReactionsQuery), asked.id_of_path(request)
        limit = asked.limit_of(query.limit, self._services, REACTIONS_DEFAULT)
        make = partial(_reactions, id_=id_, after=query.after, limit=limit)
        data, items = await self._services.sight.read(make)
        return binary(data, JSON_TYPE, items)


_RELATED = (
    ("replies", Relation.REPLY, "What answers a post"),
    ("quotes", Relation.QUOTE, "What quotes a post"),
    ("reposts", Relation.REPOST, "Who reposted a post"),
)


class _Composed(NamedTuple):
    data: bytes
    items: int
    absent: list[bytes]


def _compose(
    db: sqlite3.Connection, viewer: Viewer, id_: bytes, query: ThreadQuery
) -> _Composed | None:
    found = thread(db, viewer, id_, query.after, query.limit)
    if found is None:
        return None
    shown = [*found.ancestors, *found.replies]
    if isinstance(found.focus, Item):
        shown.append(found.focus)
    return _Composed(_thread_json(db, viewer, found, shown), len(shown), found.absent)


def _thread_json(
    db: sqlite3.Connection, viewer: Viewer, found: Thread, shown: Sequence[Item]
) -> bytes:
    """As `ThreadAnswer` says, put together from what each item and account already is."""
    texts = dict(zip((one.id for one in shown), items_json(db, viewer, shown), strict=True))
    missing = list(found.missing)
    if isinstance(found.focus, Placeholder):
        missing.insert(0, found.focus)
    rest = to_json(
        {
            "missing": list(map(missing_view, missing)),
            "uninvited": [id_.hex() for id_ in found.uninvited],
            "next": found.next,
            "end": found.end,
        }
    )
    return b'{"focus":%b,"ancestors":[%b],"replies":[%b],%b,"accounts":{%b}}' % (
        texts.get(found.focus.id, b"null"),
        b",".join(texts[one.id] for one in found.ancestors),
        b",".join(texts[one.id] for one in found.replies),
        rest[1:-1],
        faces_json(db, viewer, _authors(shown)),
    )


def _authors(items: Iterable[Item]) -> Iterable[bytes]:
    return dict.fromkeys(item.account for item in items)


def missing_view(one: Placeholder) -> Missing:
    """A placeholder as JSON has it."""
    masked = one.masked
    found = Missing(one.id.hex(), one.code.value)
    if one.parent is not None:
        found.parent = one.parent.hex()
    if masked is not None:
        found.reason = masked.reason or None
        if masked.record is not None:
            found.account = masked.account.hex()
            found.created_ms = masked.record.header.created_ms
    return found


def _reactions(
    db: sqlite3.Connection, viewer: Viewer, id_: bytes, after: int, limit: int
) -> tuple[bytes, int]:
    """A page of reactions as JSON; of each account the last one, and none of hidden ones."""
    rows = references.reactions_to(db, id_, kinds.REACTION, after, limit + 1)
    voices = [list(group) for _, group in groupby(rows, key=lambda row: row.author)]
    more = len(rows) > limit
    if more and len(voices) > 1:
        voices.pop()  # it may go on behind the last row
    last = [voice[-1] for voice in voices]
    seen = viewer.look_at([one.n for one in last])
    shown = [one for one, found in zip(last, seen, strict=True) if isinstance(found, Item)]
    body: dict[str, Any] = {
        "items": list(map(_reaction_view, shown)),
        "next": voices[-1][-1].author if more else None,
    }
    faces = faces_json(db, viewer, dict.fromkeys(one.account for one in shown))
    return to_json(body)[:-1] + b',"accounts":{' + faces + b"}}", len(shown)


def _reaction_view(one: Reacted) -> ReactionView:
    return ReactionView(one.record.hex(), one.account.hex(), one.value, one.created_ms)
