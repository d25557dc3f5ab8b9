"""Nothing a node says is believed: every record is checked against its author's identity log.

A node can keep records and operations back, it cannot make or alter any. A log only ever grows
here, so a node that hides the newest operation cannot bring a revoked key back to one who has
seen its revocation.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

from ratoon_client.errors import ClientError, Refused, Untrue
from ratoon_client.nodes import RECORDS_TYPE, Nodes
from ratoon_protocol import bodies, keys, kinds, record
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.identity import IdentityLog
from ratoon_protocol.kinds import Lane
from ratoon_protocol.operation import Operation, parse_operation
from ratoon_protocol.record import Body, Header, Record
from ratoon_protocol.status import Status, authority_status, reached_by_all, walks

# Identity logs kept in memory.
LOGS_MAX = 2000
# A log is asked for again after this long: a revocation is seen by then.
FRESH_S = 300.0
# Headers read to walk the chain of a revoked key; beyond it nothing of that chain is believed.
WALKED_MAX = 20_000


class Checked(NamedTuple):
    """A record that verifies: its body is what the account said."""

    record: Record
    body: Body


class _Known:
    """What is known of one account."""

    def __init__(self, log: IdentityLog) -> None:
        self.log = log
        self.asked_at = 0.0
        self.headers: dict[bytes, Header] = {}
        self.walked = False


class Verifier:
    """Checks what nodes give, with what it knows of the authors."""

    def __init__(self, nodes: Nodes, network: bytes) -> None:
        self._nodes = nodes
        self._network = network
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def log(self, account: bytes, fresh: bool = False) -> IdentityLog:
        """The identity log of an account; with `fresh` the nodes are asked again."""
        return (await self._of(account, fresh)).log

    async def check(self, data: bytes, id_: bytes | None = None) -> Checked:
        """A whole record. Raises `Untrue`; with `id_` also if it is another than asked for."""
        try:
            found = record.decode_record(data)
            header = found.header
            record.check_network(header, self._network)
            keys.verify(header.key, found.signature, record.signed_message(found.header_bytes))
            if found.payload is None:
                raise Untrue("a record came without its content")
            record.check_payload_fits(header, found.payload)
            body = record.decode_payload(found.payload)
            bodies.check_body(header, body)
        except ProtocolError as error:
            raise Untrue(f"a record does not verify: {error.code.value}") from None
        if id_ is not None and found.id != id_:
            raise Untrue("another record than the one asked for")
        try:
            status = await self._status(found)
        except Refused as error:
            if error.status != 404:
                raise
            raise Untrue("nobody has the identity of its account") from None
        if status is not Status.LIVE:
            raise Untrue(f"its key does not speak for the account: {status.name.lower()}")
        return Checked(found, body)

    async def _status(self, found: Record) -> Status:
        """What the key's authority says; a key nobody knows may stand in a newer operation."""
        known = await self._of(found.header.account)
        status = await self._judge(known, found)
        if status is Status.UNPROVEN:
            known = await self._of(found.header.account, fresh=True)
            status = await self._judge(known, found)
        return status

    async def _judge(self, known: _Known, found: Record) -> Status:
        header = found.header
        lane = header.kind_class.lane
        fresh = found.id not in known.headers
        known.headers[found.id] = header
        if known.log.authority(header.key).limiting_tips(lane) and not known.walked:
            await self._gather_headers(known, header.account)

        def reached(key: bytes, lane: Lane) -> frozenset[bytes]:
            authority = known.log.authority(key)
            return reached_by_all(walks(header.account, authority, lane, known.headers.get))

        status = authority_status(known.log, found.id, header, reached)
        if not known.walked:
            known.headers.clear()
        elif fresh:  # or a long stream keeps a header of every post
            known.headers.pop(found.id, None)
        return status

    async def _gather_headers(self, known: _Known, account: bytes) -> None:
        """Headers of an account with a revoked key: what is valid is reached from its tips."""
        known.walked = True
        after: int | None = 0
        asked = -1
        while after is not None and after > asked and len(known.headers) < WALKED_MAX:
            asked = after
            answer = await self._nodes.ask(
                "GET",
                f"/v1/accounts/{account.hex()}/records",
                query={"after": after},
                headers={"Accept": RECORDS_TYPE},
            )
            items, after = _page(answer.unpacked())
            for header_bytes in items:
                try:
                    header = record.decode_header(header_bytes)
                except ProtocolError:
                    continue
                known.headers[record.record_id(header_bytes)] = header

    async def _of(self, account: bytes, fresh: bool = False) -> _Known:
        now = asyncio.get_running_loop().time()
        known = self._known.get(account)
        if known is None:
            known = self._known[account] = _Known(IdentityLog(account, self._network))
        self._known.move_to_end(account)
        if len(self._known) > LOGS_MAX:
            self._known.popitem(last=False)
        if fresh or not known.asked_at or now - known.asked_at > FRESH_S:
            await self._grow(account, known)
            known.asked_at = now
        return known

    async def _grow(self, account: bytes, known: _Known) -> None:
        """Add what a node has of a log; nothing is ever taken out of it."""
        try:
            answer = await self._nodes.ask(
                "GET",
                f"/v1/accounts/{account.hex()}/log",
                headers={"Accept": RECORDS_TYPE},
                elsewhere=lambda error: error.status == 404,
            )
            items = answer.unpacked()
        except ClientError:
            if known.log.head is None:
                raise
            return  # what is known already goes on being right
        if not isinstance(items, list):
            raise Untrue(f"{answer.node} answers with what is not a log")
        before = len(known.log.kept)
        known.log.add_all(_operations(items, account))
        if known.log.head is None:
            raise Untrue(f"{answer.node} has no valid identity of the account")
        if len(known.log.kept) != before:
            known.walked = False


def _operations(items: Iterable[Any], account: bytes) -> list[Operation]:
    """The operations among records that are the account's own and signed."""
    found: list[Operation] = []
    for item in items:
        try:
            one = record.decode_record(item if isinstance(item, bytes) else b"")
            header = one.header
            if header.account != account or header.kind != kinds.IDENTITY or one.payload is None:
                continue
            keys.verify(header.key, one.signature, record.signed_message(one.header_bytes))
            record.check_payload_fits(header, one.payload)
            found.append(parse_operation(one.id, header, record.decode_payload(one.payload)))
        except ProtocolError:
            continue
    return found


def _page(found: Any) -> tuple[list[bytes], int | None]:
    """Headers and the cursor to go on from, of a page of an account's records."""
    if not (isinstance(found, list) and len(found) == 2 and isinstance(found[0], list)):
        raise Untrue("a node answers with what is not a page of records")
    items, after = found
    if not (after is None or type(after) is int):
        raise Untrue("a node answers with what is no place to go on from")
    headers = [item[0] for item in items if isinstance(item, list) and item]
    return [one for one in headers if isinstance(one, bytes)], after if items else None
