"""Who is calling: the token of a session, or that of the operator's own file.

One place asks, before a handler runs; what a route needs stands in the route.
"""

from __future__ import annotations

from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.operator import is_operator
from ratoon_node.api.ports import Services
from ratoon_node.api.route import PERSON, Access, Route
from ratoon_node.errors import NodeError
from ratoon_node.ingest.sessions import OPERATOR, TOKEN_BYTES, SignedIn
from ratoon_protocol.errors import Code

#: The session of whoever signed in, beside `PERSON`.
SIGNED_IN = web.RequestKey("signed_in", SignedIn)


def token_of(request: web.Request) -> str:
    """The token in `Authorization: Bearer`, "" for none. Never in an address: those are logged."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


async def signed_in(services: Services, token: str) -> SignedIn:
    """Who a token speaks for now. Raises `NodeError(unauthorised)`."""
    sessions = services.node.sessions
    found = await sessions.find(token) if len(token) == 2 * TOKEN_BYTES else None
    if found is None:
        raise NodeError(Code.UNAUTHORISED, safe="Sign in first, or again if that has ended.")
    return found


async def enter(request: web.Request, route: Route, services: Services) -> None:
    """Let in whom the route answers, and say who it is in `request[PERSON]`.

    Raises `NodeError`: `unauthorised`, or `rate` for an account that asks too much.
    """
    if route.access is Access.ANYBODY:
        return
    if route.access is Access.OPERATOR and is_operator(request, services):
        return
    found = await signed_in(services, token_of(request))
    if route.access is Access.OPERATOR and OPERATOR not in found.roles:
        raise NodeError(Code.UNAUTHORISED, safe="This is for operators of this node.")
    rates, now_ms = services.rates[route.pool], services.node.runtime.clock.monotonic_ms()
    wait_ms = rates.take(found.account, route.cost, now_ms)
    if wait_ms:
        raise NodeError(Code.RATE, retry_ms=wait_ms)
    request[asked.CLIENTS] = (*request.get(asked.CLIENTS, ()), found.account)
    request[PERSON] = found.account
    request[SIGNED_IN] = found
