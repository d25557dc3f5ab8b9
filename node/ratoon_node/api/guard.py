"""What every request passes: bounds, rate, the shape of errors, headers, numbers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.answers import failure
from ratoon_node.api.operator import is_operator
from ratoon_node.api.ports import Services
from ratoon_node.errors import ANSWERS, NodeError, told
from ratoon_protocol.errors import Code, ProtocolError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# What somebody is told who comes while all places are taken.
BUSY_RETRY_MS = 1000
# How long a browser may remember that other sites may ask this node.
PREFLIGHT_SECONDS = "86400"
#: Routes that hold their connection on purpose, and have bounds of their own.
HELD_OPEN = frozenset({"/v1/stream", "/v1/link"})
#: Routes that must answer while the node is full.
ALWAYS = frozenset({"/healthz", "/readyz", "/metrics"})

_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}
#: Pages have no script and load one style sheet, from here.
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
#: Whatever is not a page is nothing to a browser.
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, Retry-After",
}

log = structlog.get_logger()


class Guard:
    """The one middleware: everything in the order in which it must happen."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._active = 0

    @property
    def active(self) -> int:
        """Requests being answered."""
        return self._active

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer one request, whatever happens in it."""
        clock, metrics = self._services.node.runtime.clock, self._services.node.metrics
        started_ms = clock.monotonic_ms()
        route = route_of(request)
        try:
            response = await self._bounded(request, route, handler)
        except NodeError as error:
            response = failure(error)
        except ProtocolError as error:
            response = failure(told(error))
        except web.HTTPException as error:
            response = _translated(error)
        except ConnectionError:
            raise  # nobody is left to answer
        except Exception:
            log.exception("request_failed", route=route)
            response = failure(NodeError(Code.INTERNAL))
        if request.get(asked.CUT):
            response.force_close()
        if not response.prepared:
            _add_headers(request, response)
        metrics.requests.labels(route, str(response.status)).inc()
        if route not in HELD_OPEN:
            metrics.request_seconds.labels(route).observe(
                (clock.monotonic_ms() - started_ms) / 1000
            )
        return response

    async def _bounded(
        self, request: web.Request, route: str, handler: Handler
    ) -> web.StreamResponse:
        """Refuse what is too much before anything is read."""
        if "Content-Encoding" in request.headers:  # small bytes that grow: never unpacked
            request[asked.CUT] = True
            raise NodeError(Code.ENCODING_REFUSED)
        if route in ALWAYS:
            return await handler(request)
        if not is_operator(request, self._services):
            asked.charge(request, self._services, 1)
        if request.method == "OPTIONS":
            return _preflight()
        if route in HELD_OPEN:
            return await handler(request)
        if self._active >= self._services.node.settings.requests_active_max:
            raise NodeError(Code.BUSY, retry_ms=BUSY_RETRY_MS)
        self._active += 1
        self._services.node.metrics.requests_active.set(self._active)
        try:
            return await handler(request)
        finally:
            self._active -= 1
            self._services.node.metrics.requests_active.set(self._active)


def route_of(request: web.Request) -> str:
    """The route's pattern, never the path that was asked for."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"


def _translated(error: web.HTTPException) -> web.StreamResponse:
    """The framework's own refusals in the one shape."""
    if error.status < 400:
        return error
    codes = {404: Code.NOT_FOUND, 413: Code.TOO_LARGE, 408: Code.TIMEOUT}
    code = codes.get(error.status, Code.BAD_REQUEST if error.status < 500 else Code.INTERNAL)
    status = error.status if error.status == 405 else ANSWERS[code].status
    response = failure(NodeError(code), status)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _preflight() -> web.Response:
    headers = {
        "Access-Control-Allow-Methods": "GET, POST, DELETE",
        "Access-Control-Allow-Headers": "Accept, Content-Type",
        "Access-Control-Max-Age": PREFLIGHT_SECONDS,
    }
    return web.Response(status=204, headers=headers)


def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    headers = response.headers
    for name, value in _SECURITY.items():
        headers.setdefault(name, value)
    is_page = response.content_type == "text/html"
    headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else DATA_POLICY)
    headers.setdefault(
        "Cache-Control", "no-store" if request.path.startswith("/v1/") else "no-cache"
    )
    if request.path.startswith("/v1/") and not request.path.startswith("/v1/operator/"):
        for name, value in _CORS.items():
            headers.setdefault(name, value)
