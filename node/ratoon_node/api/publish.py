"""`POST /v1/records`: one record or a batch into the gate, with the copies counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from ratoon_node.api import asked, batch
from ratoon_node.api.answers import RECORD_TYPE, RECORDS_TYPE, answer, failure
from ratoon_node.api.ports import CountsLike, Services
from ratoon_node.errors import NodeError, told
from ratoon_node.ingest.submission import Origin, Outcome, Way
from ratoon_protocol.errors import Code, DecodeError

API = Origin(Way.API)
#: The record is durable here.
ACCEPTED = frozenset({Code.STORED, Code.DUPLICATE, Code.SUPERSEDED, Code.HELD})
# Providers a publisher may wait for: acks of more are not kept with a record.
PROVIDERS_MAX = 16
# Records that cost a client as much as one request.
RECORDS_PER_REQUEST = 100
# One waiting publisher in so many requests: waiting must not keep others from reading.
WAITING_SHARE = 2


class Publishing:
    """Routes that bring records in, and tell who holds them."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._waiting = 0

    def routes(self) -> list[web.RouteDef]:
        """The group's routes."""
        return [
            web.post("/v1/records", self.publish),
            web.get("/v1/records/{id}/receipts", self.receipts),
        ]

    async def publish(self, request: web.Request) -> web.Response:
        """Store what was sent; with `wait=providers:N&timeout=ms` count the copies too."""
        providers, timeout_ms = self._wait_asked(request)
        items = await self._items(request)
        asked.charge(request, self._services, len(items) / RECORDS_PER_REQUEST)
        outcomes = await self._services.node.gate.submit(items, API)
        refused = _refused(outcomes)
        if len(outcomes) == 1 and refused:
            return failure(_error(outcomes[0]), records=[outcome_view(outcomes[0], None)])
        ids = [one.id for one in outcomes if one.code in ACCEPTED and one.id is not None]
        counts = await self._counts(ids, providers, timeout_ms)
        body: dict[str, Any] = {
            "records": [outcome_view(one, counts.get(one.id or b"")) for one in outcomes]
        }
        lacking = [id_ for id_ in ids if _providers(counts, id_) < providers]
        if lacking:
            body["location"] = f"/v1/records/{lacking[0].hex()}/receipts"
            return answer(body, 202, {"Location": body["location"]})
        if refused:
            return answer(body, 200)
        fresh = any(one.code is not Code.DUPLICATE for one in outcomes)
        return answer(body, 201 if fresh or providers else 200)

    async def receipts(self, request: web.Request) -> web.Response:
        """Who holds a record now; `wait` as when publishing."""
        id_ = asked.id_of_path(request)
        providers, timeout_ms = self._wait_asked(request)
        counts = await self._counts([id_], providers, timeout_ms, always=True)
        if not counts[id_].nodes:
            raise NodeError(Code.NOT_FOUND)
        view = {"id": id_.hex(), **counts_view(counts[id_])}
        return answer(view, 202 if counts[id_].providers < providers else 200)

    async def _items(self, request: web.Request) -> list[bytes]:
        if request.content_type not in (RECORD_TYPE, RECORDS_TYPE):
            words = f"Send {RECORD_TYPE} or {RECORDS_TYPE}."
            raise NodeError(Code.BAD_REQUEST, safe=words)
        data = await asked.body(request, self._services)
        if request.content_type == RECORD_TYPE:
            return [data]
        try:
            items = batch.split(data)
        except DecodeError as error:
            raise told(error) from error
        if not items:
            raise NodeError(Code.EMPTY)
        return items

    def _wait_asked(self, request: web.Request) -> tuple[int, int]:
        """(providers, timeout in ms) of the query; 0 providers: do not wait."""
        longest = self._services.node.settings.wait_timeout_ms_max
        timeout_ms = min(asked.number(request, "timeout", longest, 2**31), longest)
        wait = request.query.get("wait")
        if wait is None:
            return 0, 0
        what, _, count = wait.partition(":")
        if what != "providers":
            raise NodeError(Code.BAD_REQUEST, safe="wait must be providers:N.")
        return asked.number_in(count, "wait", PROVIDERS_MAX, 1), timeout_ms

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


def _refused(outcomes: Sequence[Outcome]) -> bool:
    return any(one.code not in ACCEPTED for one in outcomes)


def _error(outcome: Outcome) -> NodeError:
    return NodeError(outcome.code, detail=outcome.detail)


def counts_view(counts: CountsLike) -> dict[str, int]:
    """Who holds a record, in numbers."""
    return {
        "nodes": counts.nodes,
        "providers": counts.providers,
        "countries": counts.countries,
        "unconfirmed": counts.unconfirmed,
    }


def outcome_view(outcome: Outcome, counts: CountsLike | None) -> dict[str, Any]:
    """The answer for one item; `id` is null if it could not be read."""
    view: dict[str, Any] = {
        "id": outcome.id.hex() if outcome.id else None,
        "code": outcome.code.value,
    }
    if outcome.detail:
        view["detail"] = outcome.detail
    if counts is not None:
        view |= counts_view(counts)
    return view
