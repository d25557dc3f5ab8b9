"""`/v1/node`, `/v1/peers`, `/v1/replication`: what this node is and whom it exchanges with."""

from __future__ import annotations

from typing import Any, Literal, cast

import msgspec
from aiohttp import web

from ratoon_node import __version__
from ratoon_node.api import asked
from ratoon_node.api.answers import answer
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Example, Route
from ratoon_node.api.types import Count, Id, Limit, Ms, Position
from ratoon_node.errors import NodeError
from ratoon_node.store import listed
from ratoon_protocol.errors import Code
from ratoon_protocol.introduction import Side
from ratoon_protocol.limits import VERSION


class RuleView(msgspec.Struct):
    """A rule of this node's policy: which verdict, and the reason people are told."""

    id: str
    then: str
    reason: str


class NodeView(msgspec.Struct):
    """What this node is, and by which rules it lives."""

    account: Id
    name: str
    network: str
    version: Count
    software: str
    provider: str
    country: str
    addresses: list[str]
    registration: Literal["closed", "invite", "open"]
    #: Of the names given out here (`name@domain`); empty if there are none.
    domain: str
    horizon_days: Count
    policy: str
    rules: list[RuleView]
    records: Count
    accounts: Count
    peers: Count
    now_ms: Ms


class Claims(msgspec.Struct):
    """What a node says of itself; nobody here has checked it."""

    provider: str
    country: str


class PeerView(msgspec.Struct, kw_only=True):
    """A node as this one knows it: `provider` and `country` are what this operator confirmed."""

    node: Id
    name: str
    addresses: list[str]
    says: Claims
    provider: str | None
    country: str | None
    added: bool
    linked: bool


class PeersQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Where to go on, and how far."""

    after: Position = 0
    limit: Limit | None = None


class PeersPage(msgspec.Struct):
    """Nodes known here; `next` is where to go on, null at the end."""

    peers: list[PeerView]
    next: Position | None


class LinkView(msgspec.Struct):
    """An open link: who dialled, records that came over it first, and faults."""

    node: Id
    dialled: bool
    useful: Count
    faults: Count


class ScopeView(msgspec.Struct):
    """Count and fingerprint of a scope: equal ones hold equal records."""

    scope: str
    records: Count
    fingerprint: str


class Replication(msgspec.Struct):
    """Links of this node, and what it holds."""

    links: list[LinkView]
    scopes: list[ScopeView]


class Peers:
    """Routes about this node and others."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            Route(
                "GET",
                "/v1/node",
                self.node,
                "What this node is, and by which rules it lives.",
                "node",
                answer=NodeView,
            ),
            Route(
                "GET",
                "/v1/peers",
                self.peers,
                "The nodes known here; those that the operator added come first.",
                "node",
                query=PeersQuery,
                answer=PeersPage,
                example=Example(query={"after": 0, "limit": 10}),
            ),
            Route(
                "GET",
                "/v1/replication",
                self.replication,
                "Links, and count and fingerprint of each scope.",
                "node",
                answer=Replication,
                codes=(Code.BUSY,),
            ),
        ]

    async def node(self, request: web.Request) -> web.Response:
        """Everything that clients and other nodes decide by."""
        return answer(await node_view(self._services), items=0)

    async def peers(self, request: web.Request) -> web.Response:
        """What nodes say of themselves, and what is known for sure."""
        node = self._services.node
        query = asked.query(request, PeersQuery)
        limit = asked.limit_of(query.limit, self._services, node.settings.page_records_max)
        added = {account for account, peer in node.roster.peers.items() if peer.added}
        known = {*node.roster.peers, *node.roster.nodes} - {node.own.account}
        ordered = [*sorted(known & added), *sorted(known - added)]
        end = query.after + limit
        views = [peer_view(self._services, account) for account in ordered[query.after : end]]
        return answer(PeersPage(views, end if end < len(ordered) else None))

    async def replication(self, request: web.Request) -> web.Response:
        """Links, and count and fingerprint of every scope: equal ones hold equal records."""
        node = self._services.node
        if not node.sets.loaded.is_set():
            raise NodeError(Code.BUSY, retry_ms=1000)
        links = [
            LinkView(
                account.hex(),
                neighbour.link.session.side is Side.DIALER,
                neighbour.exchange.useful,
                neighbour.exchange.faults,
            )
            for account, neighbour in sorted(node.hub.neighbours.items())
        ]
        scopes = [
            ScopeView(scope.name.lower(), count, digest.hex())
            for scope, (count, digest) in node.sets.state().items()
        ]
        return answer(Replication(links, scopes))


async def node_view(services: Services) -> NodeView:
    """This node as JSON."""
    node, settings = services.node, services.node.settings
    sizes = await node.db.read(listed.sizes)
    return NodeView(
        account=node.own.account.hex(),
        name=settings.name,
        network=settings.network_id,
        version=VERSION,
        software=f"ratoon/{__version__}",
        provider=settings.provider,
        country=settings.country,
        addresses=list(settings.public_addresses),
        registration=cast(Literal["closed", "invite", "open"], settings.registration),
        domain=settings.name_domain,
        horizon_days=settings.horizon_days,
        policy=node.gate.policy.version,
        rules=[RuleView(rule.id, rule.then.word, rule.reason) for rule in node.gate.policy.rules],
        records=(
            sum(count for count, _ in node.sets.state().values())
            if node.sets.loaded.is_set()
            else sizes.records
        ),
        accounts=sizes.accounts,
        peers=len(node.hub.neighbours),
        now_ms=node.runtime.clock.now_ms(),
    )


def peer_view(services: Services, account: bytes) -> PeerView:
    """A node as this one knows it; addresses are only those it states itself."""
    return PeerView(**peer_fields(services, account))


def peer_fields(services: Services, account: bytes) -> dict[str, Any]:
    """The fields of a `PeerView`."""
    node = services.node
    peer, said = node.roster.peers.get(account), node.roster.nodes.get(account)
    body = said.body if said else {}
    return {
        "node": account.hex(),
        "name": body.get("name", ""),
        "addresses": list(body.get("addresses", ())),
        "says": Claims(body.get("provider", ""), body.get("country", "")),
        "provider": peer.provider if peer else None,
        "country": peer.country if peer else None,
        "added": bool(peer and peer.added),
        "linked": account in node.hub.neighbours,
    }
