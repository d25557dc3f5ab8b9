"""`/healthz`, `/readyz`, `/metrics`: for whatever watches the node."""

from __future__ import annotations

import ipaddress

from aiohttp import web

from ratoon_node.api.answers import answer
from ratoon_node.api.operator import is_operator
from ratoon_node.api.ports import Services
from ratoon_node.errors import NodeError
from ratoon_node.store import read
from ratoon_node.telemetry import METRICS_TYPE
from ratoon_protocol.errors import Code

# A request that came through a proxy says so: then the loopback address is the proxy's.
_PROXIED = ("Forwarded", "X-Forwarded-For", "Via")


class Health:
    """Routes for supervisors and collectors."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[web.RouteDef]:
        """The group's routes."""
        return [
            web.get("/healthz", self.alive),
            web.get("/readyz", self.ready),
            web.get("/metrics", self.metrics),
        ]

    async def alive(self, request: web.Request) -> web.Response:
        """The process answers."""
        return answer({"ok": True})

    async def ready(self, request: web.Request) -> web.Response:
        """The store answers too."""
        position = await self._services.node.db.read(read.journal_end)
        return answer({"ok": True, "position": position})

    async def metrics(self, request: web.Request) -> web.Response:
        """Numbers for Prometheus, on the machine itself or with the operator's token."""
        if not is_operator(request, self._services) and not _on_this_machine(request):
            raise NodeError(Code.UNAUTHORISED)
        body = self._services.node.metrics.text()
        return web.Response(body=body, headers={"Content-Type": METRICS_TYPE})


def _on_this_machine(request: web.Request) -> bool:
    if any(name in request.headers for name in _PROXIED):
        return False
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
