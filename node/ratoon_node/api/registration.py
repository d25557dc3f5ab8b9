"""`POST /v1/accounts`: an account makes this node its home (R-64).

The account itself must say so: its newest identity operation lists this node among its homes.
Then the node publishes a hosting record, and everything the account publishes is taken here.
"""

from __future__ import annotations

import sqlite3

import msgspec
from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.answers import JSON_TYPE, answer
from ratoon_node.api.ports import Services
from ratoon_node.api.publish import ACCEPTED, API
from ratoon_node.api.rate import Pool, records_cost
from ratoon_node.api.route import Example, Route
from ratoon_node.api.types import Id
from ratoon_node.errors import NodeError, told
from ratoon_node.ingest.registry import Wish
from ratoon_node.policy.naming import name_fault
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import read
from ratoon_node.store.rows import Row
from ratoon_protocol import bodies, kinds, record
from ratoon_protocol.errors import Code, ProtocolError
from ratoon_protocol.identity import IdentityLog
from ratoon_protocol.keys import verify
from ratoon_protocol.operation import Operation, parse_operation
from ratoon_protocol.record import Record, decode_header, decode_payload

# Records of one registration: the identity log of an account that changed its keys often.
RECORDS_MAX = 256
_MSGPACK = "application/msgpack"
# A second try for an account whose first one is still under way.
RETRY_MS = 500


class Registration(msgspec.Struct, forbid_unknown_fields=True):
    """The request: identity records (base64 in JSON), an invite where one is needed, and a name.

    The name's handle must stand among those of the newest operation.
    """

    records: list[bytes]
    invite: str = ""
    name: str = ""


class StoredRecord(msgspec.Struct, omit_defaults=True):
    """What became of one of the records."""

    id: Id | None
    code: str
    detail: str = ""


class Registered(msgspec.Struct):
    """The record by which this node hosts the account, and the handle that was asked for."""

    account: Id
    hosting: Id
    records: list[StoredRecord]
    handle: str | None = None


class Registrations:
    """Routes that make this node a home."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._under_way: set[bytes] = set()

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            Route(
                "POST",
                "/v1/accounts",
                self.register,
                "Makes this node a home of an account, under a name of its domain if one is asked.",
                "accounts",
                body=Registration,
                takes=(_MSGPACK,),
                pool=Pool.ENTRY,
                answer=Registered,
                status=201,
                also=(200,),
                codes=(
                    Code.INVITE_NEEDED,
                    Code.NAME_TAKEN,
                    Code.NOT_HOSTED,
                    Code.NOT_HOME,
                    Code.GONE,
                    Code.PENDING,
                    Code.FUTURE,
                    Code.WRONG_NETWORK,
                    Code.BLOCKED,
                ),
                example=Example(body={"records": ["{genesis}"]}),
            )
        ]

    async def register(self, request: web.Request) -> web.Response:
        """Host an account. Asking again is answered alike and takes no second invite."""
        form = await self._form(request)
        cost = records_cost(len(form.records), sum(map(len, form.records)))
        asked.charge(request, self._services, cost, Pool.WRITE)
        log = await self._read_log(form.records)
        self._check_policy(log.account)
        if log.account in self._under_way:
            raise NodeError(Code.BUSY, retry_ms=RETRY_MS)
        self._under_way.add(log.account)
        try:
            hosting, fresh = await self._host(log, form)
        finally:
            self._under_way.discard(log.account)
        outcomes = await self._services.node.gate.submit(form.records, API)
        for outcome in outcomes:
            if outcome.code not in ACCEPTED:
                raise NodeError(outcome.code, detail=outcome.detail)
        domain = self._services.node.registry.domain
        body = Registered(
            log.account.hex(),
            hosting.hex(),
            [
                StoredRecord(one.id.hex() if one.id else None, one.code.value, one.detail)
                for one in outcomes
            ],
            f"{form.name}@{domain}" if form.name else None,
        )
        return answer(body, 201 if fresh else 200)

    async def _form(self, request: web.Request) -> Registration:
        data = await asked.body(request, self._services)
        if request.content_type == _MSGPACK:
            try:
                form = msgspec.msgpack.decode(data, type=Registration)
            except msgspec.DecodeError:
                raise NodeError(Code.MALFORMED) from None
        elif request.content_type == JSON_TYPE:
            form = asked.parse_json(data, Registration)
        else:
            raise NodeError(Code.BAD_REQUEST, safe=f"Send {JSON_TYPE} or {_MSGPACK}.")
        if not form.records:
            raise NodeError(Code.EMPTY)
        if len(form.records) > RECORDS_MAX:
            raise NodeError(Code.TOO_MANY)
        return form

    async def _read_log(self, data: list[bytes]) -> IdentityLog:
        """The account's log with what is known here and what was sent.

        Raises `NodeError`: what is wrong with a record, `not_home` if it does not name this node.
        """
        node = self._services.node
        network, own = node.settings.network_bytes, node.own.account
        try:
            now_ms = node.runtime.clock.now_ms()
            found = [_checked(record.decode_record(one), network, now_ms) for one in data]
        except ProtocolError as error:
            raise told(error) from error
        account = found[0].header.account
        if any(one.header.account != account for one in found):
            raise NodeError(Code.BAD_REQUEST, safe="The records are of several accounts.")

        def known(db: sqlite3.Connection) -> list[Operation]:
            rows = read.identity_records(db, account)
            return [_operation(_record(row)) for row in rows if row.payload is not None]

        log = IdentityLog(account, network)
        try:
            for operation in [*await node.db.read(known), *map(_operation, found)]:
                log.add(operation)
        except ProtocolError as error:
            raise told(error) from error
        if log.head is None:
            raise NodeError(Code.PENDING)
        if log.head.vanish:
            raise NodeError(Code.GONE)
        if own not in log.head.homes:
            raise NodeError(Code.NOT_HOME)
        return log

    def _check_policy(self, account: bytes) -> None:
        node = self._services.node
        now_ms = node.runtime.clock.now_ms()
        decision = node.gate.policy.account_decision(account, (), now_ms)
        if decision is not None and decision.verdict >= Verdict.HOLD:
            raise NodeError(Code.BLOCKED)

    async def _host(self, log: IdentityLog, form: Registration) -> tuple[bytes, bool]:
        """The id of the hosting record, and whether it is new."""
        node = self._services.node

        def current(db: sqlite3.Connection) -> bytes | None:
            own = read.account(db, node.own.account)
            if own is None or node.own.account not in read.hosts(db, log.account):
                return None
            row = read.current(db, own.n, kinds.HOSTING, log.account)
            return row.id if row else None

        before = await node.db.read(current)
        mode = node.settings.registration
        if before is None and mode == "closed":
            raise NodeError(Code.NOT_HOSTED, safe="This node takes no new accounts.")
        wish = self._wish(log, form, mode == "invite" and before is None)
        named = await node.registry.admit(wish)
        if before is not None:
            return before, False
        try:
            return (await node.own.host(log.account)).id, True
        except NodeError:
            await node.registry.undo(wish, named)
            raise

    def _wish(self, log: IdentityLog, form: Registration, by_invite: bool) -> Wish:
        """What the account asks for. Raises `bad_request` for a name it may not ask for."""
        assert log.head is not None, "checked when the log was read"
        domain = self._services.node.registry.domain
        if form.name:
            words = name_fault(form.name) if domain else "This node gives out no names."
            if not words and f"{form.name}@{domain}" not in log.head.handles:
                words = f"The account does not list {form.name}@{domain} among its handles."
            if words:
                raise NodeError(Code.BAD_REQUEST, safe=words)
        invite = form.invite if by_invite else None
        return Wish(log.account, log.head.handles, form.name, invite)


def _checked(found: Record, network: bytes, now_ms: int) -> Record:
    """An identity record whose network, time, payload and signature are right: what the gate would
    refuse must be refused before an invite is used and the account is hosted.
    """
    if found.header.kind != kinds.IDENTITY:
        raise NodeError(Code.BAD_REQUEST, safe="Only identity records register an account.")
    if found.payload is None:
        raise NodeError(Code.EMPTY)
    record.check_network(found.header, network)
    record.check_time(found.header, now_ms)
    bodies.check_body(found.header, decode_payload(found.payload))
    verify(found.header.key, found.signature, record.signed_message(found.header_bytes))
    return found


def _operation(found: Record) -> Operation:
    assert found.payload is not None, "checked before"
    return parse_operation(found.id, found.header, decode_payload(found.payload))


def _record(row: Row) -> Record:
    return Record(row.id, decode_header(row.header), row.header, row.signature, row.payload)
