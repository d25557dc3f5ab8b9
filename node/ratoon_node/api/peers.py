"""`/v1/node`, `/v1/peers`, `/v1/replication`: what this node is and whom it exchanges with."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ratoon_node import __version__
from ratoon_node.api import asked
from ratoon_node.api.answers import answer
from ratoon_node.api.ports import Services
from ratoon_node.store import listed
from ratoon_protocol.introduction import Side
from ratoon_protocol.limits import INT_MAX, VERSION


class Peers:
    """Routes about this node and others."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[web.RouteDef]:
        """The group's routes."""
        return [
            web.get("/v1/node", self.node),
            web.get("/v1/peers", self.peers),
            web.get("/v1/replication", self.replication),
        ]

    async def node(self, request: web.Request) -> web.Response:
        """What this node is, and by which rules it lives."""
        return answer(await node_view(self._services))

    async def peers(self, request: web.Request) -> web.Response:
        """The nodes known here: what they say of themselves, and what is known for sure.

        `provider` and `country` are what this operator confirmed, `says` is what they claim.
        Those that he added come first; `next` is where to go on, null at the end.
        """
        node = self._services.node
        after = asked.number(request, "after", 0, INT_MAX)
        most = node.settings.page_records_max
        limit = asked.number(request, "limit", most, most, 1)
        added = {account for account, peer in node.roster.peers.items() if peer.added}
        known = {*node.roster.peers, *node.roster.nodes} - {node.own.account}
        ordered = [*sorted(known & added), *sorted(known - added)]
        views = [peer_view(self._services, account) for account in ordered[after : after + limit]]
        more = after + limit < len(ordered)
        return answer({"peers": views, "next": after + limit if more else None})

    async def replication(self, request: web.Request) -> web.Response:
        """Links, and count and fingerprint of every scope: equal ones hold equal records."""
        node = self._services.node
        links = [
            {
                "node": account.hex(),
                "dialled": neighbour.link.session.side is Side.DIALER,
                "useful": neighbour.exchange.useful,
                "faults": neighbour.exchange.faults,
            }
            for account, neighbour in sorted(node.hub.neighbours.items())
        ]
        scopes = [
            {"scope": scope.name.lower(), "records": count, "fingerprint": digest.hex()}
            for scope, (count, digest) in node.sets.state().items()
        ]
        return answer({"links": links, "scopes": scopes})


async def node_view(services: Services) -> dict[str, Any]:
    """This node as JSON."""
    node, settings = services.node, services.node.settings
    sizes = await node.db.read(listed.sizes)
    return {
        "account": node.own.account.hex(),
        "name": settings.name,
        "network": settings.network_id,
        "version": VERSION,
        "software": f"ratoon/{__version__}",
        "provider": settings.provider,
        "country": settings.country,
        "addresses": list(settings.public_addresses),
        "registration": settings.registration,
        "horizon_days": settings.horizon_days,
        "policy": node.gate.policy.version,
        "rules": [
            {"id": rule.id, "then": rule.then.word, "reason": rule.reason}
            for rule in node.gate.policy.rules
        ],
        "records": sum(count for count, _ in node.sets.state().values()),
        "accounts": sizes.accounts,
        "peers": len(node.hub.neighbours),
        "now_ms": node.runtime.clock.now_ms(),
    }


def peer_view(services: Services, account: bytes) -> dict[str, Any]:
    """A node as this one knows it; addresses are only those it states itself."""
    node = services.node
    peer, said = node.roster.peers.get(account), node.roster.nodes.get(account)
    body = said.body if said else {}
    return {
        "node": account.hex(),
        "name": body.get("name", ""),
        "addresses": list(body.get("addresses", ())),
        "says": {"provider": body.get("provider", ""), "country": body.get("country", "")},
        "provider": peer.provider if peer else None,
        "country": peer.country if peer else None,
        "added": bool(peer and peer.added),
        "linked": account in node.hub.neighbours,
    }
