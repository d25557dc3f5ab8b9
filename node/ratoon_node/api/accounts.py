"""`/v1/accounts`: who an account is here, its log, its chains, its records by cursor."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.answers import RECORDS_TYPE, answer, binary, plain
from ratoon_node.api.batch import join
from ratoon_node.api.fetching import FIND_COST
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Example, Handler, Route
from ratoon_node.api.types import LIMIT_MAX, Count, Id, Limit, Ms, Position
from ratoon_node.api.view import item_view, masked_view
from ratoon_node.errors import NodeError
from ratoon_node.policy.verdict import Decision
from ratoon_node.store import listed, read
from ratoon_node.store.rows import Row
from ratoon_node.timeline import circles
from ratoon_node.timeline.circles import Sizes
from ratoon_node.timeline.visibility import HIDDEN_FROM, Item, Viewer
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import FIND_ACCOUNT, FIND_ACCOUNT_KEY
from ratoon_protocol.kinds import Lane
from ratoon_protocol.record import Record, decode_header, decode_payload


class Known(NamedTuple):
    """What is known here of an account; `profile` if it may be shown."""

    row: read.AccountRow
    hosts: tuple[bytes, ...]
    head: Row | None
    profile: Row | None
    decision: Decision | None
    sizes: Sizes | None


class KeyQuery(msgspec.Struct, forbid_unknown_fields=True):
    """An account key."""

    key: Id


class FoundAccounts(msgspec.Struct):
    """Accounts whose head lists a key."""

    accounts: list[Id]


class SizesView(msgspec.Struct, omit_defaults=True):
    """How many; with `more` some of it is only "at least so many"."""

    posts: Count
    follows: Count
    followers: Count
    more: bool = False


class AccountView(msgspec.Struct, omit_defaults=True):
    """An account: identity is shown whatever policy says, words only if it allows.

    `hosts` are the nodes that say they host it; what stands in its head are `homes` (nodes),
    `handles` (verified or not), `keys`, `devices` and `revoked`, as in the specification.
    """

    account: Id
    first_seen_ms: Ms
    hosts: list[Id]
    code: str
    head: Id | None = None
    homes: list[Id] | None = None
    handles: list[str] | None = None
    keys: list[Any] | None = None
    devices: list[Any] | None = None
    revoked: list[Any] | None = None
    vanished_ms: Ms | None = None
    reason: str | None = None
    profile: dict[str, Any] | None = None
    profile_id: Id | None = None
    counts: SizesView | None = None


class HeadView(msgspec.Struct):
    """Where one chain ends."""

    key: Id
    lane: Count
    seq: Count
    id: Id
    created_ms: Ms
    forked: bool


class HeadsAnswer(msgspec.Struct):
    """Where every public chain of an account ends."""

    heads: list[HeadView]


class RecordsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Records after a cursor, and how many."""

    after: Position = 0
    limit: Limit | None = None


class RecordsAnswer(msgspec.Struct):
    """Records in the order of their arrival, those that are not shown without their content;
    `next` goes on with `after`, null at the end.
    """

    records: list[dict[str, Any]]
    next: Position | None


class Accounts:
    """Routes about accounts."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            self._route(
                "",
                self.by_key,
                "Accounts whose head lists an account key",
                KeyQuery,
                FoundAccounts,
                Example(query={"key": "{key}"}),
            ),
            self._route("/{id}", self.account, "An account", None, AccountView),
            self._route("/{id}/log", self.log, "Its identity records, whole", None, None),
            self._route("/{id}/heads", self.heads, "Where its chains end", None, HeadsAnswer),
            self._route(
                "/{id}/records",
                self.records,
                "All its public records, in the order of their arrival",
                RecordsQuery,
                RecordsAnswer,
            ),
        ]

    def _route(
        self,
        path: str,
        handler: Handler,
        summary: str,
        query: type | None,
        answer: type | None,
        example: Example | None = None,
    ) -> Route:
        return Route(
            "GET",
            f"/v1/accounts{path}",
            handler,
            summary,
            "accounts",
            query=query,
            answer=answer,
            media=(RECORDS_TYPE,) if answer in (None, RecordsAnswer) else (),
            codes=(Code.UNKNOWN_ACCOUNT,) if path else (),
            example=example or Example(path={"id": "{account}"}),
        )

    async def by_key(self, request: web.Request) -> web.Response:
        """Accounts whose head lists `key`: how recovery words alone find their account.

        If none is known here, the peers are asked.
        """
        key = bytes.fromhex(asked.query(request, KeyQuery).key)
        db = self._services.node.db
        found = await db.read(lambda db: read.accounts_by_key(db, key))
        if not found and await self._find(request, FIND_ACCOUNT_KEY, key):
            found = await db.read(lambda db: read.accounts_by_key(db, key))
        return answer({"accounts": plain(found)})

    async def account(self, request: web.Request) -> web.Response:
        """Who an account is here; peers are asked if it is not known."""
        id_ = asked.id_of_path(request)
        return answer(account_view(await self._known(request, id_, counted=True)))

    async def log(self, request: web.Request) -> web.Response:
        """The identity log: whole records, a path before what builds on it."""
        id_ = asked.id_of_path(request)
        await self._known(request, id_)
        rows = await self._services.node.db.read(lambda db: read.identity_records(db, id_))
        return binary(join([_whole(row).encode() for row in rows]), RECORDS_TYPE)

    async def heads(self, request: web.Request) -> web.Response:
        """The newest known place of every public chain: where a signer goes on."""
        known = await self._known(request, asked.id_of_path(request))
        found = await self._services.node.db.read(lambda db: read.heads(db, known.row.n))
        return answer({"heads": [_head_view(head) for head in found if head.lane < Lane.SELF]})

    async def records(self, request: web.Request) -> web.Response:
        """Public records in the order of their arrival, after a cursor.

        As MessagePack each is [header, signature, payload or nil, code]; one that is withheld
        has its header and the code, so that a reader sees that something is missing.
        """
        id_, query = asked.id_of_path(request), asked.query(request, RecordsQuery)
        limit = asked.limit_of(query.limit, self._services, LIMIT_MAX)
        node = self._services.node
        policy, now_ms = node.gate.policy, node.runtime.clock.now_ms()
        known = await self._known(request, id_)

        def look(db: sqlite3.Connection) -> tuple[list[Any], list[Any], int | None]:
            viewer, raw, views = Viewer(db, policy, now_ms), [], []
            rows = listed.listed_all_by(db, known.row.n, query.after, limit)
            for one in rows:
                found = viewer.look(one)
                code = Code.STORED if isinstance(found, Item) else found.code
                bare = found.record
                if bare is not None:
                    raw.append([bare.header_bytes, bare.signature, bare.payload, code.value])
                else:
                    raw.append([None, None, None, code.value])
                views.append(
                    item_view(found) if isinstance(found, Item) else masked_view(one.row.id, found)
                )
            return raw, views, rows[-1].row.n if rows else None

        raw, views, last = await node.db.read(look)
        if asked.wants(request, RECORDS_TYPE):
            return binary(join([raw, last]), RECORDS_TYPE, len(raw))
        return answer({"records": views, "next": last})

    async def _known(self, request: web.Request, id_: bytes, counted: bool = False) -> Known:
        look = partial(_look, id_=id_, counted=counted)
        known = await self._services.sight.read(look)
        if known is None and await self._find(request, FIND_ACCOUNT, id_):
            known = await self._services.sight.read(look)
        if known is None:
            raise NodeError(Code.UNKNOWN_ACCOUNT)
        return known

    async def _find(self, request: web.Request, by: int, name: bytes) -> bool:
        """Ask the peers; False if there are none."""
        hub = self._services.node.hub
        if not hub.neighbours:
            return False
        asked.charge(request, self._services, FIND_COST)
        await hub.errands.find(by, name)
        return True


def _look(db: sqlite3.Connection, viewer: Viewer, id_: bytes, counted: bool) -> Known | None:
    row = read.account(db, id_)
    if row is None:
        return None
    head = read.by_id(db, row.head) if row.head else None
    profile = read.current(db, row.n, kinds.PROFILE)
    if profile is not None and not isinstance(viewer.look_at([profile.n])[0], Item):
        profile = None
    sizes = circles.sizes(db, viewer, id_) if counted else None
    return Known(row, read.hosts(db, id_), head, profile, viewer.of_account(id_), sizes)


def account_view(known: Known) -> AccountView:
    """An account as JSON has it."""
    view = AccountView(
        known.row.id.hex(), known.row.first_seen_ms, plain(known.hosts), Code.STORED.value
    )
    if known.head is not None and known.head.payload is not None:
        body = decode_payload(known.head.payload)
        view.head = known.head.id.hex()
        for name in ("homes", "handles", "keys", "devices", "revoked"):
            setattr(view, name, plain(body[name]))
    if known.row.vanished_ms is not None:
        view.code, view.vanished_ms = Code.GONE.value, known.row.vanished_ms
        return view
    if known.decision is not None and known.decision.verdict >= HIDDEN_FROM:
        view.code, view.reason = Code.WITHHELD.value, known.decision.reason
        return view
    if known.profile is not None:
        view.profile, view.profile_id = profile_view(known.profile), known.profile.id.hex()
    if known.sizes is not None:
        view.counts = SizesView(*known.sizes)
    return view


def profile_view(row: Row) -> dict[str, Any]:
    """What a person says of themselves."""
    assert row.payload is not None, "only a profile that is here is shown"
    body = decode_payload(row.payload)
    return {key: plain(value) for key, value in body.items() if key not in ("slot_salt", "target")}


def _head_view(head: read.Head) -> HeadView:
    return HeadView(
        head.key.hex(), head.lane, head.seq, head.id.hex(), head.created_ms, head.forked
    )


def _whole(row: Row) -> Record:
    return Record(row.id, decode_header(row.header), row.header, row.signature, row.payload)
