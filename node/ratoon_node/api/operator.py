"""`/v1/operator`: peers and lists, for whoever runs the node.

Allowed with the token that the node keeps in a file only its operator can read.
"""

from __future__ import annotations

import asyncio
import hmac
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from ratoon_node.api import asked
from ratoon_node.api.answers import answer
from ratoon_node.api.peers import PeerView, peer_fields, peer_view
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Access, Example, Route
from ratoon_node.api.types import Count, Id, Ms
from ratoon_node.errors import NodeError
from ratoon_node.policy.lists import ListEntry, Subject, spell_entity
from ratoon_node.policy.verdict import ENTRY_VERDICTS, Verdict
from ratoon_node.store import listed
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import LINE_BYTES_MAX, URL_BYTES_MAX

# Why the node at an address cannot be added.
MEETING = (
    Code.BAD_ADDRESS,
    Code.TIMEOUT,
    Code.BAD_HANDSHAKE,
    Code.WRONG_NETWORK,
    Code.BLOCKED,
    Code.CLOCK,
    Code.UNSUPPORTED,
)
_VERDICTS = {verdict.word: verdict for verdict in ENTRY_VERDICTS}
Word = Literal["account", "node", "domain", "word", "media"]


class AddPeer(msgspec.Struct, forbid_unknown_fields=True):
    """A node by its address (it is called first), by its account, or both."""

    address: Annotated[str, Meta(max_length=URL_BYTES_MAX)] | None = None
    node: Id | None = None
    provider: Annotated[str, Meta(max_length=LINE_BYTES_MAX)] | None = None
    country: Annotated[str, Meta(max_length=LINE_BYTES_MAX)] | None = None


class KnownPeer(PeerView, kw_only=True):
    """A node with what only the operator sees: where it was dialled, and how useful it was."""

    address: str | None
    linked_ms: Ms | None
    useful: Count
    faults: Count


class KnownPeers(msgspec.Struct):
    """Every node that is remembered."""

    peers: list[KnownPeer]


class Removed(msgspec.Struct):
    """Which node was forgotten."""

    node: Id


class Block(msgspec.Struct, forbid_unknown_fields=True):
    """An entry of the operator's lists; the verdict `accept` is an allow."""

    subject: Word
    entity: Annotated[str, Meta(min_length=1, max_length=URL_BYTES_MAX)]
    verdict: Literal["accept", "limit", "hold", "withhold"] = "withhold"
    reason: Annotated[str, Meta(pattern="^[a-z0-9_-]{1,32}$")] = "blocked"
    expires_ms: Ms | None = None


class Blocked(msgspec.Struct):
    """The entry as it is kept."""

    subject: str
    entity: str
    verdict: str


class BlockView(msgspec.Struct):
    """An entry of the lists, who made it and when."""

    subject: str
    entity: str
    verdict: str
    reason: str
    expires_ms: Ms | None
    made_by: str
    at_ms: Ms


class Blocks(msgspec.Struct):
    """Every entry, newest first."""

    blocks: list[BlockView]


class Unblock(msgspec.Struct, forbid_unknown_fields=True):
    """Which entry to take off."""

    subject: Word
    entity: Annotated[str, Meta(min_length=1, max_length=URL_BYTES_MAX)]


class Unblocked(msgspec.Struct):
    """The entry that was taken off."""

    subject: str
    entity: str


class Operator:
    """Routes of the operator."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._turn = asyncio.Lock()

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [*self._peer_routes(), *self._list_routes()]

    def _peer_routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/v1/operator/peers",
                self.peers,
                "Known nodes, with what only the operator sees.",
                "operator",
                answer=KnownPeers,
                access=Access.OPERATOR,
            ),
            Route(
                "POST",
                "/v1/operator/peers",
                self.add_peer,
                "Adds a node; with an address it is called and must prove its account.",
                "operator",
                body=AddPeer,
                answer=PeerView,
                status=201,
                access=Access.OPERATOR,
                codes=(*MEETING, Code.WRONG_ACCOUNT, Code.SELF_LINK),
                example=Example(body={"node": "{node}", "provider": "North", "country": "NO"}),
            ),
            Route(
                "DELETE",
                "/v1/operator/peers/{id}",
                self.remove_peer,
                "Forgets a node.",
                "operator",
                answer=Removed,
                access=Access.OPERATOR,
                example=Example(path={"id": "{peer}"}),
            ),
        ]

    def _list_routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/v1/operator/blocks",
                self.blocks,
                "The entries of the operator's lists.",
                "operator",
                answer=Blocks,
                access=Access.OPERATOR,
            ),
            Route(
                "POST",
                "/v1/operator/blocks",
                self.block,
                "Puts an entry on the lists; it hides what is stored from the next read on.",
                "operator",
                body=Block,
                answer=Blocked,
                status=201,
                access=Access.OPERATOR,
                example=Example(
                    body={"subject": "domain", "entity": "bad.example", "reason": "spam"}
                ),
            ),
            Route(
                "POST",
                "/v1/operator/unblock",
                self.unblock,
                "Takes an entry off the lists.",
                "operator",
                body=Unblock,
                answer=Unblocked,
                access=Access.OPERATOR,
                codes=(Code.NOT_FOUND,),
                example=Example(body={"subject": "domain", "entity": "{blocked}"}),
            ),
        ]

    # --- peers ---------------------------------------------------------------------------

    async def peers(self, request: web.Request) -> web.Response:
        """Known nodes with what only the operator sees: addresses dialled and scores."""
        views = [
            KnownPeer(
                **peer_fields(self._services, account),
                address=peer.address,
                linked_ms=peer.linked_ms,
                useful=peer.useful,
                faults=peer.faults,
            )
            for account, peer in self._services.node.roster.peers.items()
        ]
        return answer(KnownPeers(views))

    async def add_peer(self, request: web.Request) -> web.Response:
        """Add a node; with an address it is called and must prove its account."""
        form = await asked.json_body(request, self._services, AddPeer)
        node = self._services.node
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
        return answer(Removed(account.hex()))

    # --- lists ---------------------------------------------------------------------------

    async def blocks(self, request: web.Request) -> web.Response:
        """The operator's entries."""
        rows = await self._services.node.db.read(listed.blocks)
        return answer(Blocks([_block_view(row) for row in rows]))

    async def block(self, request: web.Request) -> web.Response:
        """Put an entry on the lists; it hides what is stored from the next read on."""
        form = await asked.json_body(request, self._services, Block)
        subject, entity = _entity(form.subject, form.entity)
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
        return answer(Blocked(subject.value, entity, form.verdict), 201)

    async def unblock(self, request: web.Request) -> web.Response:
        """Take an entry off the lists."""
        form = await asked.json_body(request, self._services, Unblock)
        subject, entity = _entity(form.subject, form.entity)
        async with self._turn:
            if not await self._services.node.ledger.unblock(subject, entity):
                raise NodeError(Code.NOT_FOUND)
            await self._services.node.roster.load()
        self._review()
        return answer(Unblocked(subject.value, entity))

    def _review(self) -> None:
        """Undo what stands no longer, behind the answer: a large store takes a while."""
        node = self._services.node
        node.runtime.spawn(node.gate.review(), "operator.review")


def is_operator(request: web.Request, services: Services) -> bool:
    """Whether the request carries the operator's token."""
    header = request.headers.get("Authorization")
    if header is None:
        return False
    scheme, _, given = header.partition(" ")
    expected = services.operator_token.encode()
    fits = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), expected)
    return bool(expected) and scheme.lower() == "bearer" and fits


def _entity(subject: str, entity: str) -> tuple[Subject, str]:
    try:
        found = Subject(subject)
        return found, spell_entity(found, entity)
    except ValueError as error:
        raise NodeError(Code.BAD_REQUEST, safe=f"{subject[:16]}: {error}"[:200]) from None


def _block_view(row: listed.BlockRow) -> BlockView:
    return BlockView(**(row._asdict() | {"verdict": Verdict(row.verdict).word}))
