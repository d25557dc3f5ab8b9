"""The whole API as one aiohttp application; `app` opens the sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.accounts import Accounts
from ratoon_node.api.bundle import Bundles
from ratoon_node.api.circles import Circles
from ratoon_node.api.connection import Runner
from ratoon_node.api.events import Events
from ratoon_node.api.guard import Guard
from ratoon_node.api.health import Health
from ratoon_node.api.invites import Invites
from ratoon_node.api.names import Names
from ratoon_node.api.notifications import Notifications
from ratoon_node.api.openapi import Document
from ratoon_node.api.operator import Operator
from ratoon_node.api.pages.routes import Pages
from ratoon_node.api.peers import Peers
from ratoon_node.api.ports import NodeParts, Services
from ratoon_node.api.publish import Publishing
from ratoon_node.api.rate import Room, allowances
from ratoon_node.api.records import Records
from ratoon_node.api.registration import Registrations
from ratoon_node.api.reload import Reloader, Reloads
from ratoon_node.api.route import Handler, Route
from ratoon_node.api.search import Search
from ratoon_node.api.sessions import Sessions
from ratoon_node.api.stopping import Stopping
from ratoon_node.api.stream import Streams
from ratoon_node.api.threads import Threads
from ratoon_node.api.timelines import Timelines
from ratoon_node.api.trends import TrendRoutes
from ratoon_node.config import Settings
from ratoon_node.runtime import timeout_ms
from ratoon_node.timeline.feed import Feed
from ratoon_node.timeline.visibility import Sight

# What is left of a refused body is read for this long, so that the client sees the answer.
LINGER_SECONDS = 1.0
# An idle connection is kept for this long: longer than a client's pause between two pages.
KEEP_ALIVE_SECONDS = 30.0
# Clients of streams get this long to answer a goodbye.
GOODBYES_MS_MAX = 1000
# Request line and header lines: far above what the API needs.
LINE_BYTES_MAX = 8190

#: How a running node takes other settings: for whoever gets the signal.
RELOADER = web.AppKey("reloader", Reloader)

#: Every route of an application, as its group describes it.
ROUTES = web.AppKey("routes", tuple[Route, ...])

GROUPS = (
    Publishing,
    Records,
    Registrations,
    Sessions,
    Notifications,
    Accounts,
    Timelines,
    Threads,
    Circles,
    Search,
    TrendRoutes,
    Peers,
    Operator,
    Invites,
    Names,
    Bundles,
    Health,
    Pages,
)


def make_app(
    node: NodeParts,
    *,
    operator_token: str,
    routes: Iterable[Route] = (),
    fresh_settings: Callable[[], Settings] | None = None,
) -> web.Application:
    """The application of one node. `routes` are added to its own (the link's endpoint).

    `fresh_settings` reads the settings anew for a reload; see `RELOADER`.
    """
    clock = node.runtime.clock
    sight = Sight(node.db, clock, lambda: node.gate.policy)
    feed = Feed(node.db, node.fanout, sight, node.own.account)
    rates = allowances(node.settings)
    bodies = Room(max(asked.BODIES_BYTES_MAX, node.settings.request_bytes_max))
    services = Services(node, sight, feed, rates, bodies, operator_token)
    guard = Guard(services)

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await guard.answer(request, handler)

    stopping = Stopping(lambda: node.stopping)

    @web.middleware
    async def told(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await stopping.answer(request, handler)

    app = web.Application(middlewares=[told, guarded])
    app[RELOADER] = reloader = Reloader(node, fresh_settings)
    streams, events = Streams(services), Events(services)
    groups = [*(group(services) for group in GROUPS), Reloads(services, reloader), streams, events]
    whole = [route for group in groups for route in group.routes()]
    whole += routes
    document = Document(whole, lambda: node.settings.page_records_max)
    mounted = (*whole, document.route)
    app[ROUTES] = mounted
    guard.mount(app, mounted)

    async def start_feed(_: web.Application) -> None:
        await feed.start()
        node.runtime.spawn(feed.run(), "api.feed")

    async def end(_: web.Application) -> None:
        with contextlib.suppress(TimeoutError):
            async with timeout_ms(GOODBYES_MS_MAX):
                await asyncio.gather(streams.close(), events.close())
        await stopping.end()

    app.on_startup.append(start_feed)
    app.on_shutdown.append(end)
    return app


def make_runner(app: web.Application) -> Runner:
    """A runner that never unpacks bodies and never writes down who asked for what."""
    return Runner(
        app,
        access_log=None,
        auto_decompress=False,
        handle_signals=False,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        lingering_time=LINGER_SECONDS,
        max_line_size=LINE_BYTES_MAX,
        max_field_size=LINE_BYTES_MAX,
    )
