"""What every request passes: bounds, rate, the shape of errors, headers, numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import structlog
from aiohttp import web
from multidict import CIMultiDict

from ratoon_node.api import access, asked
from ratoon_node.api.answers import ITEMS, failure, refused_status
from ratoon_node.api.operator import is_operator
from ratoon_node.api.pages.frame import refusal, wants_page
from ratoon_node.api.ports import Services
from ratoon_node.api.rate import BYTES_PER_REQUEST, ITEMS_PER_REQUEST, Places, Pool
from ratoon_node.api.route import Handler, Route
from ratoon_node.api.sending import AT_ONCE_BYTES, sent
from ratoon_node.errors import NodeError, told
from ratoon_node.store.failing import passes
from ratoon_node.telemetry import Metrics
from ratoon_protocol.errors import Code, ProtocolError

# How long a browser may remember that other sites may ask this node.
PREFLIGHT_SECONDS = "86400"
# A preflight reads nothing; a browser sends one before most requests of another site's page.
PREFLIGHT_COST = 0.1

#: Groups of routes for people with a browser; what is nowhere has none.
_FOR_PEOPLE = frozenset({"", "pages"})
#: Where no page of another site has any business.
_OWN = ("/v1/operator/", "/metrics")
_ALL = {"X-Content-Type-Options": "nosniff", "Server": "ratoon"}
#: Pages have no script and load one style sheet, from here.
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_PAGE = {
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": PAGE_POLICY,
    "Cache-Control": "no-cache",
}
#: Whatever is not a page is nothing to a browser.
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
_DATA = {"Content-Security-Policy": DATA_POLICY, "Cache-Control": "no-store"}
#: Any site's page may ask, because nothing a browser adds by itself counts here: no cookie does.
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Location, RateLimit, RateLimit-Policy, Retry-After",
}

log = structlog.get_logger()


class Place:
    """A route as requests meet it: all that is the same for each of them is made once."""

    def __init__(self, route: Route, metrics: Metrics, own: bool) -> None:
        self.route = route
        common = _ALL | ({} if own else _CORS)
        if route.answer is not None and route.media:
            common["Vary"] = "Accept"
        self.page = CIMultiDict(common | _PAGE)
        self.data = CIMultiDict(common | _DATA)
        self._metrics = metrics
        self._seconds = metrics.request_seconds.labels(route.path)
        self._counters = {200: metrics.requests.labels(route.path, "200")}

    def count(self, status: int, seconds: float) -> None:
        """One request was answered."""
        counter = self._counters.get(status)
        if counter is None:
            counter = self._metrics.requests.labels(self.route.path, str(status))
            self._counters[status] = counter
        counter.inc()
        if not self.route.holds:
            self._seconds.observe(seconds)


class Guard:
    """The one middleware: everything in the order in which it must happen."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._taken = Places()
        services.node.metrics.requests_active.set_function(lambda: self._taken.open)
        self._places: dict[web.AbstractRoute, Place] = {}
        nowhere, metrics = Route("GET", "none", _nothing, "", ""), services.node.metrics
        self._nowhere = {own: Place(nowhere, metrics, own) for own in (False, True)}
        self._policies: Mapping[Pool, str] = {
            pool: f'"{pool}";q={rates.per_minute};w=60'
            for pool, rates in services.rates.items()
            if rates.per_minute
        }

    def mount(self, app: web.Application, routes: Sequence[Route]) -> None:
        """Have the application answer `routes`, which this guards."""
        paths = {route.path for route in routes}
        for route in routes:
            place = Place(route, self._services.node.metrics, _is_own(route.path))
            heads = route.method == "GET" and not route.holds
            for method in (route.method, "HEAD") if heads else (route.method,):
                made = app.router.add_route(method, _spelt(route.path, paths), route.handler)
                self._places[made] = place

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer one request, whatever happens in it."""
        clock = self._services.node.runtime.clock
        started_ms = clock.monotonic_ms()
        place = self._places.get(request.match_info.route)
        if place is None:
            place = self._nowhere[_is_own(request.path)]
        try:
            response = await self._allowed(request, place, handler)
        except NodeError as error:
            response = self._refused(request, place, error)
        except ProtocolError as error:
            response = failure(told(error))
        except web.HTTPNotFound:
            response = self._refused(request, place, NodeError(Code.NOT_FOUND))
        except web.HTTPException as error:
            response = _translated(error)
        except ConnectionError:
            raise  # nobody is left to answer
        except Exception as error:
            if passes(error):  # a full disk: the gate and /readyz say so, not each request
                busy = NodeError(Code.BUSY, detail=str(error))
                response = self._refused(request, place, busy)
            else:
                log.exception("request_failed", route=place.route.path)
                response = failure(NodeError(Code.INTERNAL))
        if request.get(asked.CUT):
            response.force_close()
        if not response.prepared:
            self._finish(request, place, response)
        place.count(response.status, (clock.monotonic_ms() - started_ms) / 1000)
        return response

    def _refused(self, request: web.Request, place: Place, error: NodeError) -> web.StreamResponse:
        """A refusal as whoever asks reads it: a person with a browser gets a page."""
        if place.route.group in _FOR_PEOPLE and wants_page(request):
            return refusal(self._services.node.settings, error)
        return failure(error)

    async def _allowed(
        self, request: web.Request, place: Place, handler: Handler
    ) -> web.StreamResponse:
        """Refuse what is too much or not allowed before anything is read."""
        route = place.route
        if "Content-Encoding" in request.headers:  # small bytes that grow: never unpacked
            request[asked.CUT] = True
            raise NodeError(Code.ENCODING_REFUSED)
        if route.always:
            return await handler(request)
        operates = is_operator(request, self._services)
        if not operates:
            request[asked.CLIENTS] = (asked.client(request, self._services),)
        if request.method == "OPTIONS":
            asked.charge(request, self._services, PREFLIGHT_COST)
            return _options(request)
        asked.charge(request, self._services, route.cost, route.pool)
        await access.enter(request, route, self._services)
        if route.query is None and route.described:
            asked.no_query(request)
        if route.holds:
            return await handler(request)
        return await self._bounded(request, place, handler)

    async def _bounded(
        self, request: web.Request, place: Place, handler: Handler
    ) -> web.StreamResponse:
        """Answer, if not too many are being answered, nor too many for this client.

        A long answer counts until the client has taken it: it waits in this node's memory.
        """
        most = self._services.node.settings.requests_active_max
        with self._taken.one(request.get(asked.CLIENTS, ()), most):
            response = await handler(request)
            size = _size_of(response)
            if size > AT_ONCE_BYTES and not request.get(asked.CUT):
                self._finish(request, place, response)
                await response.prepare(request)
                await sent(request, response.write_eof(), size)
            return response

    def _finish(self, request: web.Request, place: Place, response: web.StreamResponse) -> None:
        """Charge for what is given, and add the headers that were not set."""
        headers = response.headers
        clients = request.get(asked.CLIENTS)
        if clients:
            self._charge_given(clients, place, response)
        template = place.page if response.content_type == "text/html" else place.data
        if len(headers) == 1:  # only the type, as most have
            headers.extend(template)
        else:
            for name, value in template.items():
                headers.setdefault(name, value)

    def _charge_given(
        self, clients: tuple[str | bytes, ...], place: Place, response: web.StreamResponse
    ) -> None:
        services = self._services
        now_ms = services.node.runtime.clock.monotonic_ms()
        size = _size_of(response)
        cost = max(response.get(ITEMS, 0) / ITEMS_PER_REQUEST, size // BYTES_PER_REQUEST)
        if cost:
            for client in clients:
                services.rates[Pool.READ].given(client, cost, now_ms)
        policy = self._policies.get(place.route.pool)
        if policy is not None:
            rates = services.rates[place.route.pool]
            left, seconds = min(rates.left(client, now_ms) for client in clients)
            response.headers["RateLimit-Policy"] = policy
            response.headers["RateLimit"] = f'"{place.route.pool}";r={left};t={seconds}'


def _size_of(response: web.StreamResponse) -> int:
    """Bytes of a body that is sent whole."""
    body = getattr(response, "body", None)
    return len(body) if isinstance(body, bytes) else 0


async def _nothing(_: web.Request) -> web.StreamResponse:
    raise NodeError(Code.NOT_FOUND)


def _spelt(path: str, paths: Iterable[str]) -> str:
    """A path as the router has it: `/a/{id}` is never `/a/word` where that is a path of its own."""
    begin, _, last = path.rpartition("/")
    if not last.startswith("{"):
        return path
    words = [
        re.escape(word)
        for one in paths
        for before, _, word in (one.rpartition("/"),)
        if before == begin and "{" not in word
    ]
    return f"{begin}/{{{last[1:-1]}:(?!(?:{'|'.join(words)})$)[^{{}}/]+}}" if words else path


def _is_own(path: str) -> bool:
    return path.startswith(_OWN)


def _translated(error: web.HTTPException) -> web.StreamResponse:
    """The framework's own refusals in the one shape."""
    if error.status < 400:
        return error
    codes = {413: Code.TOO_LARGE, 408: Code.TIMEOUT}
    code = codes.get(error.status, Code.BAD_REQUEST if error.status < 500 else Code.INTERNAL)
    status = error.status if error.status == 405 else refused_status(code)
    response = failure(NodeError(code), status)
    if isinstance(error, web.HTTPMethodNotAllowed):
        response.headers["Allow"] = _methods(error)
    return response


def _methods(error: web.HTTPMethodNotAllowed) -> str:
    return ", ".join(sorted({*error.allowed_methods, "OPTIONS"}))


def _options(request: web.Request) -> web.Response:
    """What may be asked here, and whether pages of other sites may (the Fetch standard)."""
    unfit = request.match_info.http_exception
    if not isinstance(unfit, web.HTTPMethodNotAllowed):
        raise NodeError(Code.NOT_FOUND)
    allow = _methods(unfit)
    headers = {"Allow": allow}
    if not _is_own(request.path):
        headers |= {
            "Access-Control-Allow-Methods": allow,
            "Access-Control-Allow-Headers": "Accept, Authorization, Content-Type, If-None-Match",
            "Access-Control-Max-Age": PREFLIGHT_SECONDS,
        }
    return web.Response(status=204, headers=headers)
