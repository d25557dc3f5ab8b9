"""What a route is: who may call it, with what, and what it answers.

Every group of routes is a list of these. The server makes its routing table of them and the
OpenAPI document is made of the same list, so the one cannot say what the other does not do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from aiohttp import web

from ratoon_node.api.rate import Pool
from ratoon_protocol.errors import Code

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Access(Enum):
    """Whom a route answers."""

    ANYBODY = "anybody"
    PERSON = "person"  # signed in with a device key
    OPERATOR = "operator"  # signed in as an account of an operator, or with the token


#: The account of whoever signed in, on routes for people.
PERSON = web.RequestKey("person", bytes)


@dataclass(frozen=True)
class Example:
    """A call that works on a node that holds what `fill` names.

    `path`, `query` and `body` have the shapes of the route; words in braces (`{post}`,
    `{account}`) stand for what the reader puts there.
    """

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True)
class Route:
    """One operation of the API.

    `query`, `body` and `answer` are msgspec structs (None: there is none, or it is not JSON).
    `media` names other types of content that are answered when asked for (the only ones where
    `answer` is None), `takes` those of a body beside JSON. `also` are other statuses with the
    same answer. `codes` are the errors that this route answers beyond those that any route can.

    `cost` is what a request takes from the allowance `pool` before it is looked at; what it
    returns is charged when it is known. A route that `holds` its connection has bounds of its own
    and no time to answer in; one that answers `always` has neither price nor bound.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    group: str
    query: type | None = None
    body: type | None = None
    answer: Any = None
    status: int = 200
    media: tuple[str, ...] = ()
    access: Access = Access.ANYBODY
    codes: tuple[Code, ...] = ()
    example: Example = field(default_factory=Example)
    also: tuple[int, ...] = ()
    takes: tuple[str, ...] = ()
    pool: Pool = Pool.READ
    cost: float = 1
    holds: bool = False
    always: bool = False

    @property
    def described(self) -> bool:
        """Whether it stands in the OpenAPI document: pages and feeds for people do not."""
        return self.path.startswith(_DESCRIBED)


#: Where programs ask; everything else is for people with a browser.
_DESCRIBED = ("/v1/", "/.well-known/", "/nodeinfo/", "/livez", "/readyz", "/metrics")


def link_route(handler: Handler) -> Route:
    """Where other nodes link (R-71); whoever opens the sockets answers it."""
    return Route(
        "GET",
        "/v1/link",
        handler,
        "Where other nodes link; the specification says how",
        "nodes",
        holds=True,
    )
