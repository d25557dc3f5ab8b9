"""Names: whose handle it is, and what others ask a domain about the people at home there.

`/.well-known/ratoon/{name}` (R-134), WebFinger (RFC 7033) and NodeInfo 2.1.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from msgspec import Meta

from ratoon_node import __version__
from ratoon_node.api import asked
from ratoon_node.api.answers import answer, to_json
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Example, Route
from ratoon_node.api.types import Count, Id
from ratoon_node.errors import NodeError
from ratoon_node.policy.naming import Handle, parse_handle
from ratoon_node.store import names, read
from ratoon_node.store.names import Tally
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import HANDLE_BYTES_MAX

# A question that makes this node ask another domain costs as much as these plain ones.
RESOLVE_COST = 5
JRD_TYPE = "application/jrd+json"
NODEINFO_TYPE = 'application/json; profile="http://nodeinfo.diaspora.software/ns/schema/2.1#"'
NODEINFO_REL = "http://nodeinfo.diaspora.software/ns/schema/2.1"
PROFILE_REL = "http://webfinger.net/rel/profile-page"
ACCOUNT_REL = "self"
_ID = re.compile("[0-9a-f]{64}")
# Whoever asks from a page of another site may read the answer (RFC 7033, section 5).
_OPEN = {"Access-Control-Allow-Origin": "*"}


class Resolved(msgspec.Struct):
    """A handle that its domain and its account agree on."""

    handle: str
    account: Id
    #: Nodes that host the account, as far as this one knows.
    hosts: list[Id]


class NameAnswer(msgspec.Struct):
    """Whose a name of this domain is, and where to read it."""

    handle: str
    account: Id
    node: Id
    addresses: list[str]


class FingerQuery(msgspec.Struct, forbid_unknown_fields=True):
    """`resource`: `acct:name@domain`, or the address of a profile here; `rel`: only such links."""

    resource: Annotated[str, Meta(min_length=1, max_length=HANDLE_BYTES_MAX + 256)]
    rel: str = ""


class FingerLink(msgspec.Struct, omit_defaults=True):
    """One link of a JSON Resource Descriptor."""

    rel: str
    href: str
    type: str = ""


class Finger(msgspec.Struct):
    """A JSON Resource Descriptor (RFC 7033, section 4.4)."""

    subject: str
    aliases: list[str]
    links: list[FingerLink]


class InfoLinks(msgspec.Struct):
    """Where the description of this node is."""

    links: list[FingerLink]


class Users(msgspec.Struct):
    """How many."""

    total: Count


class Usage(msgspec.Struct, rename="camel"):
    """What the node is used for."""

    users: Users
    local_posts: Count


class Info(msgspec.Struct, rename="camel"):
    """A description of this node, as NodeInfo 2.1 has it."""

    version: str
    software: dict[str, str]
    protocols: list[str]
    services: dict[str, list[str]]
    open_registrations: bool
    usage: Usage
    metadata: dict[str, str]


class Names:
    """Routes about names."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            Route(
                "GET",
                "/v1/names/{handle}",
                self.resolve,
                "Whose handle it is; the domain is asked if it is not known here.",
                "names",
                answer=Resolved,
                codes=(Code.NOT_FOUND, Code.TIMEOUT, Code.BAD_ADDRESS),
                example=Example(path={"handle": "{handle}"}),
            ),
            Route(
                "GET",
                "/.well-known/ratoon/{name}",
                self.name,
                "Whose a name of this domain is.",
                "names",
                answer=NameAnswer,
                codes=(Code.NOT_FOUND,),
                example=Example(path={"name": "{name}"}),
            ),
            Route(
                "GET",
                "/.well-known/webfinger",
                self.finger,
                "WebFinger (RFC 7033) for a name of this domain.",
                "names",
                query=FingerQuery,
                answer=Finger,
                media=(JRD_TYPE,),
                codes=(Code.NOT_FOUND,),
                example=Example(query={"resource": "acct:{handle}"}),
            ),
            Route(
                "GET",
                "/.well-known/nodeinfo",
                self.info_links,
                "Where the description of this node is.",
                "names",
                answer=InfoLinks,
            ),
            Route(
                "GET",
                "/nodeinfo/2.1",
                self.info,
                "This node, as NodeInfo 2.1 describes servers.",
                "names",
                answer=Info,
            ),
        ]

    async def resolve(self, request: web.Request) -> web.Response:
        """Whose handle it is."""
        handle = parse_handle(request.match_info["handle"])
        if handle is None:
            raise NodeError(Code.BAD_REQUEST, safe="A handle has the form name@domain.")
        asked.charge(request, self._services, RESOLVE_COST)
        node = self._services.node
        found = await node.names.resolve(handle)
        hosts = await node.db.read(lambda db: read.hosts(db, found.account))
        account = found.account.hex()
        return answer(Resolved(str(handle), account, [host.hex() for host in hosts]))

    async def name(self, request: web.Request) -> web.Response:
        """Whose a name is."""
        handle = Handle(request.match_info["name"], self._services.node.names.domain)
        account = await self._holder(handle)
        node = self._services.node
        view = NameAnswer(
            str(handle), account.hex(), node.own.account.hex(), list(node.settings.public_addresses)
        )
        return answer(view, headers=_OPEN)

    async def finger(self, request: web.Request) -> web.Response:
        """What WebFinger says of a name."""
        handle = self._resource(await self._without_alias(request.query.get("resource", "")))
        account = (await self._holder(handle)).hex()
        base = self._base(request)
        page, api = f"{base}/@{account}", f"{base}/v1/accounts/{account}"
        links = [
            FingerLink(PROFILE_REL, page, "text/html"),
            FingerLink(ACCOUNT_REL, api, "application/json"),
        ]
        wanted = request.query.getall("rel", [])
        view = Finger(
            f"acct:{handle}",
            [page],
            [link for link in links if not wanted or link.rel in wanted],
        )
        return web.Response(body=to_json(view), content_type=JRD_TYPE, headers=_OPEN)

    async def _without_alias(self, resource: str) -> str:
        """The `acct:` of the account whose page a resource is, if it has a name here: what is
        given as an alias is understood as one.
        """
        page, node = self._profile(resource), self._services.node
        if page is None or page.domain != node.names.domain or not _ID.fullmatch(page.name):
            return resource
        account = bytes.fromhex(page.name)

        def name_of(db: sqlite3.Connection) -> str | None:
            held = names.held_by(db, account)
            return next((one for one in held if node.registry.counts(db, one, account)), None)

        name = await node.db.read(name_of)
        return f"acct:{name}@{page.domain}" if name is not None else resource

    def _resource(self, resource: str) -> Handle:
        """The handle of a name here that a resource is about. Raises `NodeError`.

        Parameters are taken as RFC 7033 has them: unknown ones are nothing, `rel` may be repeated.
        """
        scheme, _, rest = resource.partition(":")
        if scheme.lower() == "acct":
            handle = parse_handle(rest)
        elif scheme.lower() in ("http", "https"):
            handle = self._profile(resource)
        else:
            raise NodeError(Code.BAD_REQUEST, safe="resource must be acct:name@domain.")
        if handle is None:
            raise NodeError(Code.BAD_REQUEST, safe="resource must be acct:name@domain.")
        return handle

    def _profile(self, resource: str) -> Handle | None:
        try:
            parts = urlsplit(resource)
        except ValueError:
            return None
        name = parts.path.removeprefix("/@")
        return parse_handle(f"{name}@{parts.hostname}") if name != parts.path else None

    async def _holder(self, handle: Handle) -> bytes:
        """The account of a name of this domain, if its posts may be seen. Raises `not_found`."""
        node = self._services.node
        if not handle.domain or handle.domain != node.names.domain:
            raise NodeError(Code.NOT_FOUND)
        return (await node.names.resolve(handle)).account

    async def info_links(self, request: web.Request) -> web.Response:
        """Where NodeInfo is."""
        link = FingerLink(NODEINFO_REL, self._base(request) + "/nodeinfo/2.1")
        return answer(InfoLinks([link]), headers=_OPEN)

    async def info(self, request: web.Request) -> web.Response:
        """This node in numbers that are kept, not counted."""
        node = self._services.node
        counts = await node.db.read(names.tallies)
        view = Info(
            version="2.1",
            software={"name": "ratoon", "version": __version__},
            protocols=["ratoon"],
            services={"inbound": [], "outbound": ["atom1.0", "rss2.0"]},
            open_registrations=node.settings.registration == "open",
            usage=Usage(Users(counts[Tally.RESIDENTS]), counts[Tally.LOCAL_POSTS]),
            metadata={"nodeName": node.settings.name, "account": node.own.account.hex()},
        )
        return web.Response(body=to_json(view), headers={**_OPEN, "Content-Type": NODEINFO_TYPE})

    def _base(self, request: web.Request) -> str:
        """Where this node is reached: as its operator says, else as the client did."""
        addresses: Any = self._services.node.settings.public_addresses
        if addresses and addresses[0].startswith(("http://", "https://")):
            return str(addresses[0]).rstrip("/")
        return f"http://{request.host}"
