"""`/v1/operator`: peers, lists and the policy file, for whoever runs the node.

Allowed with the token that the node keeps in a file only its operator can read.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.answers import answer, failure
from ratoon_node.api.peers import peer_view
from ratoon_node.api.ports import Services
from ratoon_node.errors import NodeError
from ratoon_node.policy.document import POLICY_BYTES_MAX, PolicyFileError
from ratoon_node.policy.engine import Policy
from ratoon_node.policy.lists import REASON_CHARS_MAX, ListEntry, Subject, spell_entity
from ratoon_node.policy.verdict import RULE_VERDICTS, Verdict
from ratoon_node.store import listed
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import LINE_BYTES_MAX, URL_BYTES_MAX

_VERDICTS = {verdict.word: verdict for verdict in RULE_VERDICTS}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def allowed(services: Services, handler: Handler) -> Handler:
    """The handler, for whoever has the operator's token."""

    async def checked(request: web.Request) -> web.StreamResponse:
        if not is_operator(request, services):
            raise NodeError(Code.UNAUTHORISED)
        return await handler(request)

    return checked


class AddPeer(msgspec.Struct, forbid_unknown_fields=True):
    """A node by its address (it is called first), by its account, or both."""

    address: str | None = None
    node: str | None = None
    provider: str | None = None
    country: str | None = None


class Block(msgspec.Struct, forbid_unknown_fields=True):
    """An entry of the operator's lists; the verdict `accept` is an allow."""

    subject: str
    entity: str
    verdict: str = "withhold"
    reason: str = "blocked"
    expires_ms: int | None = None


class Unblock(msgspec.Struct, forbid_unknown_fields=True):
    """Which entry to take off."""

    subject: str
    entity: str


class Operator:
    """Routes of the operator."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._turn = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """The group's routes."""
        return [
            web.get("/v1/operator/peers", allowed(self._services, self.peers)),
            web.post("/v1/operator/peers", allowed(self._services, self.add_peer)),
            web.delete("/v1/operator/peers/{id}", allowed(self._services, self.remove_peer)),
            web.get("/v1/operator/blocks", allowed(self._services, self.blocks)),
            web.post("/v1/operator/blocks", allowed(self._services, self.block)),
            web.post("/v1/operator/unblock", allowed(self._services, self.unblock)),
            web.post("/v1/operator/policy", allowed(self._services, self.reload_policy)),
        ]

    # --- peers ---------------------------------------------------------------------------

    async def peers(self, request: web.Request) -> web.Response:
        """Known nodes with what only the operator sees: addresses dialled and scores."""
        views = []
        for account, peer in self._services.node.roster.peers.items():
            views.append(
                peer_view(self._services, account)
                | {"address": peer.address, "linked_ms": peer.linked_ms}
                | {"useful": peer.useful, "faults": peer.faults}
            )
        return answer({"peers": views})

    async def add_peer(self, request: web.Request) -> web.Response:
        """Add a node; with an address it is called and must prove its account."""
        form = await asked.json_body(request, self._services, AddPeer)
        node = self._services.node
        for text, most in (
            (form.address, URL_BYTES_MAX),
            (form.provider, LINE_BYTES_MAX),
            (form.country, LINE_BYTES_MAX),
        ):
            if text is not None and len(text.encode()) > most:
                raise NodeError(Code.TOO_LONG)
        account = asked.id_in(form.node, "node") if form.node else None
        if form.address:
            met = await node.hub.meet(form.address)
            if account is not None and met != account:
                raise NodeError(Code.WRONG_ACCOUNT)
            account = met
        if account is None:
            raise NodeError(Code.BAD_REQUEST, safe="Say an address or a node.")
        if account == node.own.account:
            raise NodeError(Code.SELF_LINK)
        async with self._turn:
            await node.ledger.add_peer(account, form.address, form.provider, form.country)
            await node.peers_changed()
        return answer(peer_view(self._services, account), 201)

    async def remove_peer(self, request: web.Request) -> web.Response:
        """Forget a node."""
        account = asked.id_of_path(request)
        node = self._services.node
        async with self._turn:
            if account not in node.roster.peers:
                raise NodeError(Code.NOT_FOUND)
            await node.ledger.remove_peer(account)
            await node.peers_changed()
        return answer({"node": account.hex()})

    # --- lists ---------------------------------------------------------------------------

    async def blocks(self, request: web.Request) -> web.Response:
        """The operator's entries."""
        rows = await self._services.node.db.read(listed.blocks)
        return answer({"blocks": [_block_view(row) for row in rows]})

    async def block(self, request: web.Request) -> web.Response:
        """Put an entry on the lists; it hides what is stored from the next read on."""
        form = await asked.json_body(request, self._services, Block)
        subject, entity = _entity(form.subject, form.entity)
        if form.verdict not in _VERDICTS:
            words = f"verdict must be one of: {', '.join(_VERDICTS)}."
            raise NodeError(Code.BAD_REQUEST, safe=words)
        if not 0 < len(form.reason) <= REASON_CHARS_MAX or not form.reason.isprintable():
            raise NodeError(Code.BAD_REQUEST, safe="reason must be one short word.")
        now_ms = self._services.node.runtime.clock.now_ms()
        entry = ListEntry(
            subject,
            entity,
            _VERDICTS[form.verdict],
            form.reason,
            form.expires_ms,
            "operator",
            now_ms,
        )
        async with self._turn:
            await self._services.node.ledger.block(entry)
            await self._services.node.roster.load()
        return answer({"subject": subject.value, "entity": entity, "verdict": form.verdict}, 201)

    async def unblock(self, request: web.Request) -> web.Response:
        """Take an entry off the lists."""
        form = await asked.json_body(request, self._services, Unblock)
        subject, entity = _entity(form.subject, form.entity)
        async with self._turn:
            if not await self._services.node.ledger.unblock(subject, entity):
                raise NodeError(Code.NOT_FOUND)
            await self._services.node.roster.load()
        self._review()
        return answer({"subject": subject.value, "entity": entity})

    def _review(self) -> None:
        """Undo what stands no longer, behind the answer: a large store takes a while."""
        node = self._services.node
        node.runtime.spawn(node.gate.review(), "operator.review")

    # --- policy --------------------------------------------------------------------------

    async def reload_policy(self, request: web.Request) -> web.Response:
        """Read the policy file again: all of it takes effect, or nothing does."""
        node = self._services.node
        path = node.settings.policy_path
        async with self._turn:
            entries = await node.db.read(_entries)
            try:
                policy = await node.runtime.signatures.run(_parse, path, entries)
            except PolicyFileError as error:
                node.metrics.policy_reloads.labels("refused").inc()
                problems = [problem._asdict() for problem in error.problems]
                first = str(error.problems[0])
                words = f"{path.name} has errors, nothing was changed. {first}"
                return failure(NodeError(Code.BAD_REQUEST, safe=words), problems=problems)
            node.gate.policy = policy
            node.metrics.policy_reloads.labels("done").inc()
            await node.roster.load()
        self._review()
        return answer({"policy": policy.version})


def is_operator(request: web.Request, services: Services) -> bool:
    """Whether the request carries the operator's token."""
    header = request.headers.get("Authorization")
    if header is None:
        return False
    scheme, _, given = header.partition(" ")
    expected = services.operator_token.encode()
    fits = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), expected)
    return bool(expected) and scheme.lower() == "bearer" and fits


def _parse(path: Path, entries: list[ListEntry]) -> Policy:
    """The file's rules; no file means none. Runs in a worker thread."""
    try:
        with path.open("rb") as file:
            data = file.read(POLICY_BYTES_MAX + 1)
    except FileNotFoundError:
        data = b""
    return Policy.parse(data, entries)


def _entries(db: Any) -> list[ListEntry]:
    return [
        ListEntry(
            Subject(row.subject),
            row.entity,
            Verdict(row.verdict),
            row.reason,
            row.expires_ms,
            row.made_by,
            row.at_ms,
        )
        for row in listed.blocks(db)
    ]


def _entity(subject: str, entity: str) -> tuple[Subject, str]:
    try:
        found = Subject(subject)
        return found, spell_entity(found, entity)
    except ValueError as error:
        raise NodeError(Code.BAD_REQUEST, safe=f"{subject[:16]}: {error}"[:200]) from None


def _block_view(row: listed.BlockRow) -> dict[str, Any]:
    return row._asdict() | {"verdict": Verdict(row.verdict).word}
