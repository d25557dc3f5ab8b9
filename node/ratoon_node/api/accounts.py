"""`/v1/accounts`: who an account is here, its log, its chains, its records by cursor."""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.answers import RECORDS_TYPE, answer, binary, plain
from ratoon_node.api.batch import join
from ratoon_node.api.ports import Services
from ratoon_node.api.view import item_view, masked_view
from ratoon_node.errors import NodeError
from ratoon_node.policy.verdict import Decision
from ratoon_node.store import listed, read
from ratoon_node.store.rows import Row
from ratoon_node.timeline.visibility import HIDDEN_FROM, Item, Viewer
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import FIND_ACCOUNT, FIND_ACCOUNT_KEY
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import INT_MAX
from ratoon_protocol.record import Record, decode_header, decode_payload

# What asking every peer for an account costs the client who asks, in requests.
FIND_COST = 10


class Known(NamedTuple):
    """What is known here of an account."""

    row: read.AccountRow
    hosts: tuple[bytes, ...]
    head: Row | None
    profile: Row | None
    decision: Decision | None


class Accounts:
    """Routes about accounts."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[web.RouteDef]:
        """The group's routes."""
        return [
            web.get("/v1/accounts", self.by_key),
            web.get("/v1/accounts/{id}", self.account),
            web.get("/v1/accounts/{id}/log", self.log),
            web.get("/v1/accounts/{id}/heads", self.heads),
            web.get("/v1/accounts/{id}/records", self.records),
        ]

    async def by_key(self, request: web.Request) -> web.Response:
        """Accounts whose head lists `key`: how recovery words alone find their account.

        If none is known here, the peers are asked.
        """
        key = asked.id_in(request.query.get("key", ""), "key")
        db = self._services.node.db
        found = await db.read(lambda db: read.accounts_by_key(db, key))
        if not found and await self._find(request, FIND_ACCOUNT_KEY, key):
            found = await db.read(lambda db: read.accounts_by_key(db, key))
        return answer({"accounts": plain(found)})

    async def account(self, request: web.Request) -> web.Response:
        """Who an account is here; peers are asked if it is not known."""
        id_ = asked.id_of_path(request)
        return answer(account_view(await self._known(request, id_)))

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
        id_ = asked.id_of_path(request)
        after = asked.number(request, "after", 0, INT_MAX)
        most = self._services.node.settings.page_records_max
        limit = asked.number(request, "limit", most, most, 1)
        node = self._services.node
        policy, now_ms = node.gate.policy, node.runtime.clock.now_ms()
        known = await self._known(request, id_)

        def look(db: sqlite3.Connection) -> tuple[list[Any], list[Any], int | None]:
            viewer, raw, views = Viewer(db, policy, now_ms), [], []
            rows = listed.listed_all_by(db, known.row.n, after, limit)
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
            return binary(join([raw, last]), RECORDS_TYPE)
        return answer({"records": views, "next": last})

    async def _known(self, request: web.Request, id_: bytes) -> Known:
        node = self._services.node
        policy, now_ms = node.gate.policy, node.runtime.clock.now_ms()

        def look(db: sqlite3.Connection) -> Known | None:
            row = read.account(db, id_)
            if row is None:
                return None
            head = read.by_id(db, row.head) if row.head else None
            profile = read.current(db, row.n, kinds.PROFILE)
            decision = Viewer(db, policy, now_ms).of_account(id_)
            return Known(row, read.hosts(db, id_), head, profile, decision)

        known = await node.db.read(look)
        if known is None and await self._find(request, FIND_ACCOUNT, id_):
            known = await node.db.read(look)
        if known is None:
            raise NodeError(Code.UNKNOWN_ACCOUNT)
        return known

    async def _find(self, request: web.Request, by: int, name: bytes) -> bool:
        """Ask the peers; False if there are none."""
        hub = self._services.node.hub
        if not hub.neighbours:
            return False
        asked.charge(request, self._services, FIND_COST)
        await hub.find(by, name)
        return True


def account_view(known: Known) -> dict[str, Any]:
    """An account as JSON: identity is shown whatever policy says, words only if it allows."""
    view: dict[str, Any] = {
        "account": known.row.id.hex(),
        "first_seen_ms": known.row.first_seen_ms,
        "hosts": plain(known.hosts),
        "code": Code.STORED.value,
    }
    if known.head is not None and known.head.payload is not None:
        body = decode_payload(known.head.payload)
        view["head"] = known.head.id.hex()
        for name in ("homes", "handles", "keys", "devices", "revoked"):
            view[name] = plain(body[name])
    if known.row.vanished_ms is not None:
        view |= {"code": Code.GONE.value, "vanished_ms": known.row.vanished_ms}
    elif known.decision is not None and known.decision.verdict >= HIDDEN_FROM:
        view |= {"code": Code.WITHHELD.value, "reason": known.decision.reason}
    elif known.profile is not None and read.code_of(known.profile) is Code.STORED:
        view["profile"] = profile_view(known.profile)
    return view


def profile_view(row: Row) -> dict[str, Any]:
    """What a person says of themselves."""
    assert row.payload is not None, "only a profile that is here is shown"
    body = decode_payload(row.payload)
    return {key: plain(value) for key, value in body.items() if key not in ("slot_salt", "target")}


def _head_view(head: read.Head) -> dict[str, Any]:
    return {
        "key": head.key.hex(),
        "lane": head.lane,
        "seq": head.seq,
        "id": head.id.hex(),
        "created_ms": head.created_ms,
        "forked": head.forked,
    }


def _whole(row: Row) -> Record:
    return Record(row.id, decode_header(row.header), row.header, row.signature, row.payload)
