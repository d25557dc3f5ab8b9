"""`POST /v1/records`: one record or a batch into the gate, with the copies counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ratoon_node.api import asked, batch
from ratoon_node.api.answers import RECORD_TYPE, RECORDS_TYPE, answer, failure
from ratoon_node.api.ports import CountsLike, Services
from ratoon_node.api.rate import Pool, records_cost
from ratoon_node.api.route import Example, Route
from ratoon_node.api.types import Count, Id
from ratoon_node.errors import NodeError, told
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.ingest.submission import Outcome as Judged
from ratoon_protocol.errors import Code, DecodeError

API = Origin(Way.API)
#: The record is durable here.
ACCEPTED = frozenset({Code.STORED, Code.DUPLICATE, Code.SUPERSEDED, Code.HELD})
# One waiting publisher in so many requests: waiting must not keep others from reading.
WAITING_SHARE = 2


class WaitQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Until when an answer waits: so many confirmed providers, or so many milliseconds."""

    wait: (
        Annotated[
            str,
            Meta(
                pattern="^providers:([1-9]|1[0-6])$",
                description="providers:N, how many must hold every record",
            ),
        ]
        | None
    ) = None
    timeout: Annotated[int, Meta(ge=0, le=2**31, description="milliseconds to wait")] | None = None


class Outcome(msgspec.Struct, omit_defaults=True):
    """What became of one record; the id is null if it could not be read.

    The counts stand there if they were waited for: nodes, confirmed providers and countries that
    hold it, and nodes whose provider nobody confirmed.
    """

    id: Id | None
    code: Code
    detail: str = ""
    nodes: Count | None = None
    providers: Count | None = None
    countries: Count | None = None
    unconfirmed: Count | None = None


class Published(msgspec.Struct, omit_defaults=True):
    """The outcome of each record, in the order in which they were sent."""

    records: list[Outcome]
    #: Where to ask again for who holds them.
    location: str | None = None


class Holders(msgspec.Struct):
    """Who holds a record, in numbers."""

    id: Id
    nodes: Count
    providers: Count
    countries: Count
    unconfirmed: Count


# What the gate says of a single record that it does not take.
REFUSALS = (
    Code.WITHHELD,
    Code.GONE,
    Code.REVOKED,
    Code.CAPPED,
    Code.INVALID,
    Code.WANTED,
    Code.DROPPED,
    Code.LEGAL,
    Code.MALFORMED,
    Code.TRAILING,
    Code.TOO_DEEP,
    Code.NON_CANONICAL,
    Code.BAD_TYPE,
    Code.BAD_LENGTH,
    Code.OUT_OF_RANGE,
    Code.BAD_UTF8,
    Code.BAD_TEXT,
    Code.TOO_LONG,
    Code.TOO_MANY,
    Code.BAD_BODY,
    Code.UNSUPPORTED,
    Code.WRONG_NETWORK,
    Code.BAD_KEY,
    Code.BAD_SIGNATURE,
    Code.BAD_PROOF,
    Code.BAD_SEAL,
    Code.PAYLOAD_MISMATCH,
    Code.BAD_SLOT,
    Code.BAD_CHAIN,
    Code.BAD_TARGET,
    Code.FUTURE,
    Code.TOO_OLD,
    Code.UNKNOWN_KEY,
    Code.UNKNOWN_ACCOUNT,
    Code.BAD_OPERATION,
    Code.PENDING,
    Code.NOT_HOSTED,
    Code.NOT_HOME,
    Code.BLOCKED,
)


class Publishing:
    """Routes that bring records in, and tell who holds them."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._waiting = 0

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            Route(
                "POST",
                "/v1/records",
                self.publish,
                "Takes one signed record or up to 10,000 of them.",
                "publish",
                query=WaitQuery,
                takes=(RECORD_TYPE, RECORDS_TYPE),
                answer=Published,
                status=201,
                also=(200, 202),
                codes=REFUSALS,
                pool=Pool.WRITE,
                example=Example(body="{record}"),
            ),
            Route(
                "GET",
                "/v1/records/{id}/receipts",
                self.receipts,
                "How many nodes, providers and countries hold a record.",
                "publish",
                query=WaitQuery,
                answer=Holders,
                also=(202,),
                example=Example(path={"id": "{post}"}),
            ),
        ]

    async def publish(self, request: web.Request) -> web.Response:
        """Each record gets its own outcome; a bad one never fails the others. If the store took
        none of them, as on a full disk, the whole is refused as `busy`. With `wait` the
        answer is 201 when enough providers hold all of them, else 202 with the counts so far.
        """
        providers, timeout_ms = self._wait_asked(request)
        items = await self._items(request)
        cost = records_cost(len(items), sum(map(len, items))) - 1
        asked.charge(request, self._services, cost, Pool.WRITE)
        outcomes = await self._services.node.gate.submit(items, API)
        refused = _refused(outcomes)
        if refused and (len(outcomes) == 1 or all(one.code is Code.BUSY for one in outcomes)):
            records = [outcome_view(one, None) for one in outcomes]
            return failure(_error(outcomes[0]), records=records)
        ids = [one.id for one in outcomes if one.code in ACCEPTED and one.id is not None]
        counts = await self._counts(ids, providers, timeout_ms)
        body = Published([outcome_view(one, counts.get(one.id or b"")) for one in outcomes])
        lacking = [id_ for id_ in ids if _providers(counts, id_) < providers]
        if lacking:
            body.location = f"/v1/records/{lacking[0].hex()}/receipts"
            return answer(body, 202, {"Location": body.location}, items=0)
        if refused:
            return answer(body, 200, items=0)
        fresh = any(one.code is not Code.DUPLICATE for one in outcomes)
        return answer(body, 201 if fresh or providers else 200, items=0)

    async def receipts(self, request: web.Request) -> web.Response:
        """Who holds a record now; `wait` as when publishing."""
        id_ = asked.id_of_path(request)
        providers, timeout_ms = self._wait_asked(request)
        counts = await self._counts([id_], providers, timeout_ms, always=True)
        found = counts[id_]
        if not found.nodes:
            raise NodeError(Code.NOT_FOUND)
        view = Holders(id_.hex(), found.nodes, found.providers, found.countries, found.unconfirmed)
        return answer(view, 202 if found.providers < providers else 200)

    async def _items(self, request: web.Request) -> list[bytes]:
        if request.content_type not in (RECORD_TYPE, RECORDS_TYPE):
            words = f"Send {RECORD_TYPE} or {RECORDS_TYPE}."
            raise NodeError(Code.BAD_REQUEST, safe=words)
        data = await asked.body(request, self._services)
        if request.content_type == RECORD_TYPE:
            return [data]
        try:
            self._services.node.gate.check_room(API.way, batch.count(data), len(data))
            items = batch.split(data)
        except DecodeError as error:
            raise told(error) from error
        if not items:
            raise NodeError(Code.EMPTY)
        return items

    def _wait_asked(self, request: web.Request) -> tuple[int, int]:
        """(providers, timeout in ms) of the query; 0 providers: do not wait."""
        query = asked.query(request, WaitQuery)
        longest = self._services.node.settings.wait_timeout_ms_max
        if query.wait is None:
            return 0, 0
        timeout_ms = longest if query.timeout is None else min(query.timeout, longest)
        return int(query.wait.rpartition(":")[2]), timeout_ms

    async def _counts(
        self, ids: Sequence[bytes], providers: int, timeout_ms: int, always: bool = False
    ) -> Mapping[bytes, CountsLike]:
        """Counts of `ids` if they were asked for. Past the bound of those who wait, nobody
        waits: they get the counts so far and an address to ask again.
        """
        if not ids or not (providers or always):
            return {}
        receipts = self._services.node.receipts
        room = self._services.node.settings.requests_active_max // WAITING_SHARE
        if not providers or self._waiting >= room:
            return await receipts.counts(ids)
        clock = self._services.node.runtime.clock
        started_ms = clock.monotonic_ms()
        self._waiting += 1
        try:
            counts = await receipts.wait(ids, providers, timeout_ms)
        finally:
            self._waiting -= 1
        reached = all(_providers(counts, id_) >= providers for id_ in ids)
        self._services.node.metrics.wait_seconds.labels("reached" if reached else "short").observe(
            (clock.monotonic_ms() - started_ms) / 1000
        )
        return counts


def _providers(counts: Mapping[bytes, CountsLike], id_: bytes) -> int:
    return counts[id_].providers if id_ in counts else 0


def _refused(outcomes: Sequence[Judged]) -> bool:
    return any(one.code not in ACCEPTED for one in outcomes)


def _error(judged: Judged) -> NodeError:
    return NodeError(judged.code, detail=judged.detail)


def outcome_view(judged: Judged, counts: CountsLike | None) -> Outcome:
    """The answer for one item."""
    view = Outcome(judged.id.hex() if judged.id else None, judged.code, judged.detail)
    if counts is not None:
        view.nodes, view.providers = counts.nodes, counts.providers
        view.countries, view.unconfirmed = counts.countries, counts.unconfirmed
    return view
