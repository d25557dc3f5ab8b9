"""`/v1/records/{id}`: one record, as JSON or as it was signed; many by their ids; versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ratoon_node.api import asked
from ratoon_node.api.answers import JSON_TYPE, RECORD_TYPE, binary, cached, failure, to_json
from ratoon_node.api.fetching import bring
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Example, Route
from ratoon_node.api.threads import Missing, missing_view
from ratoon_node.api.types import Id
from ratoon_node.api.view import Named, Shown, faces_json, item_json, items_json, masked_view
from ratoon_node.errors import NodeError
from ratoon_node.store import references
from ratoon_node.timeline.tallies import tallies
from ratoon_node.timeline.thread import Placeholder, look
from ratoon_node.timeline.visibility import Item, Masked, Viewer
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code

#: A header is here and its content was not kept: the words of the code, but not its status.
_NO_CONTENT = frozenset({Code.SUPERSEDED, Code.WANTED, Code.HELD})
#: What becomes of records that are not shown.
_HIDDEN = (
    Code.NOT_FOUND,
    Code.GONE,
    Code.REVOKED,
    Code.CAPPED,
    Code.HELD,
    Code.WITHHELD,
    Code.LEGAL,
    Code.SUPERSEDED,
    Code.WANTED,
    Code.INVALID,
    Code.DROPPED,
)
#: Records asked for by id in one request.
READ_IDS_MAX = 100


class ReadBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which records."""

    ids: Annotated[list[Id], Meta(min_length=1, max_length=READ_IDS_MAX)]


class ReadAnswer(msgspec.Struct):
    """Records in the order asked for, null for those that cannot be read: `missing` says why."""

    items: list[Shown | None]
    missing: list[Missing]
    accounts: dict[str, Named]


class VersionsAnswer(msgspec.Struct):
    """A post as it was written, and every edit of it that is kept, in the order of their dates."""

    items: list[Shown]


class Records:
    """Routes to records by their ids."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The group's routes."""
        about = Example(path={"id": "{post}"})
        return [
            Route(
                "GET",
                "/v1/records/{id}",
                self.record,
                "One record; what is not shown is answered with the code why",
                "records",
                answer=Shown,
                media=(RECORD_TYPE,),
                codes=_HIDDEN,
                example=about,
            ),
            Route(
                "POST",
                "/v1/records/read",
                self.read,
                "Records by their ids, in the order asked for",
                "records",
                body=ReadBody,
                answer=ReadAnswer,
                example=Example(body={"ids": ["{post}"]}),
            ),
            Route(
                "GET",
                "/v1/records/{id}/versions",
                self.versions,
                "A post as it was first written, and its edits",
                "records",
                answer=VersionsAnswer,
                codes=_HIDDEN,
                example=about,
            ),
        ]

    async def record(self, request: web.Request) -> web.Response:
        """A record by its id. `Accept: application/vnd.ratoon.record` gives the signed bytes."""
        id_ = asked.id_of_path(request)
        signed = asked.wants(request, RECORD_TYPE)
        look = partial(_signed if signed else _shown, id_=id_)
        try:
            found = await self._services.sight.read(look)
        except NodeError:  # not here: peers are asked
            if not await bring(request, self._services, [id_]):
                raise
            found = await self._services.sight.read(look)
        if isinstance(found, Masked):
            return _hidden(id_, found)
        if signed:
            return cached(request, found, RECORD_TYPE, id_.hex())
        return binary(found, JSON_TYPE)

    async def read(self, request: web.Request) -> web.Response:
        """Many records: bookmarks, and whatever else a client has ids of."""
        wanted = await asked.json_body(request, self._services, ReadBody)
        make = partial(_read, ids=[bytes.fromhex(id_) for id_ in wanted.ids])
        data, items = await self._services.sight.read(make)
        return binary(data, JSON_TYPE, items)

    async def versions(self, request: web.Request) -> web.Response:
        """The history of a post (R-85)."""
        id_ = asked.id_of_path(request)
        found = await self._services.sight.read(partial(_versions, id_=id_))
        if isinstance(found, Masked):
            return _hidden(id_, found)
        return binary(b'{"items":[%b]}' % b",".join(found), JSON_TYPE, len(found))


def _hidden(id_: bytes, found: Masked) -> web.Response:
    status = 404 if found.code in _NO_CONTENT else None
    return failure(NodeError(found.code), status, record=masked_view(id_, found))


def _find(db: sqlite3.Connection, viewer: Viewer, id_: bytes) -> Item | Masked:
    """A public record by its id. Raises `NodeError(not_found)`.

    What is private is not found: whoever may read it asks in another way.
    """
    found = look(db, viewer, [id_])[id_]
    if isinstance(found, Item):
        return found
    if found.masked is None:
        raise NodeError(Code.NOT_FOUND)
    return found.masked


def _signed(db: sqlite3.Connection, viewer: Viewer, id_: bytes) -> bytes | Masked:
    """A record as it was signed. Raises as `_find`."""
    found = _find(db, viewer, id_)
    return found if isinstance(found, Masked) else found.record.encode()


def _shown(db: sqlite3.Connection, viewer: Viewer, id_: bytes) -> bytes | Masked:
    """A record in JSON, with its counts. Raises as `_find`."""
    found = _find(db, viewer, id_)
    return found if isinstance(found, Masked) else items_json(db, viewer, [found])[0]


def _read(db: sqlite3.Connection, viewer: Viewer, ids: Sequence[bytes]) -> tuple[bytes, int]:
    """As `ReadAnswer` says."""
    found = look(db, viewer, list(dict.fromkeys(ids)))
    items = [one for one in found.values() if isinstance(one, Item)]
    missing = [missing_view(one) for one in found.values() if isinstance(one, Placeholder)]
    texts = dict(zip((one.id for one in items), items_json(db, viewer, items), strict=True))
    data = b'{"items":[%b],"missing":%b,"accounts":{%b}}' % (
        b",".join(texts.get(id_, b"null") for id_ in ids),
        to_json(missing),
        faces_json(db, viewer, dict.fromkeys(one.account for one in items)),
    )
    return data, len(ids)


def _versions(db: sqlite3.Connection, viewer: Viewer, id_: bytes) -> list[bytes] | Masked:
    """The versions that can be read, each in JSON. Raises as `_find`."""
    post = _find(db, viewer, id_)
    if isinstance(post, Masked):
        return post
    counted = tallies(db, viewer, [post])  # of the post as it stands, whatever it said at first
    found = [item_json(Item(post.card, post.verdict, None), counted.get(post.id))]
    if post.record.header.kind == kinds.POST:
        edits = viewer.look_at(references.versions(db, post.card.n, id_))
        found += [item_json(one) for one in edits if isinstance(one, Item)]
    return found
