"""`/v1/session`: signing in with a device key, and out again; `/v1/read-marks`."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from msgspec import Meta

from ratoon_node.api import asked
from ratoon_node.api.access import SIGNED_IN, token_of
from ratoon_node.api.answers import answer
from ratoon_node.api.ports import Services
from ratoon_node.api.rate import Pool
from ratoon_node.api.route import PERSON, Access, Example, Route
from ratoon_node.api.types import Id, Ms, Position
from ratoon_node.errors import NodeError
from ratoon_node.ingest.sessions import SignedIn
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import STATEMENT_BYTES_MAX
from ratoon_protocol.statement import PORTS, origin_of

# Timelines that one account may mark: its home, lists, tags, conversations.
MARKS_MAX = 256
# Letters of a timeline's name.
MARK_NAME_CHARS_MAX = 128

_MSGPACK = "application/msgpack"


class ChallengeAsked(msgspec.Struct, forbid_unknown_fields=True):
    """Whose device will sign."""

    account: Id


class ChallengeGiven(msgspec.Struct):
    """What a device signs (R-127): this node is the audience, the nonce counts once."""

    audience: Id
    nonce: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    expires_ms: Ms


class SigningIn(msgspec.Struct, forbid_unknown_fields=True):
    """The signed statement: base64 in JSON."""

    statement: Annotated[bytes, Meta(max_length=STATEMENT_BYTES_MAX)]


class SessionView(msgspec.Struct):
    """Who is signed in, until when, and as what besides a person (`operator`)."""

    account: Id
    expires_ms: Ms
    roles: list[str]


class SessionGiven(SessionView):
    """A new session. `token` goes into `Authorization: Bearer`, and nowhere else."""

    token: str


class SigningOut(msgspec.Struct, forbid_unknown_fields=True):
    """Which sessions end: this one, or all of the account."""

    all: bool = False


class SignedOut(msgspec.Struct):
    """Whose sessions ended."""

    account: Id


Timeline = Annotated[str, Meta(min_length=1, max_length=MARK_NAME_CHARS_MAX)]


class Marks(msgspec.Struct, forbid_unknown_fields=True):
    """How far a person has read, by timeline. Marks move forwards unless `back` says otherwise."""

    marks: Annotated[dict[Timeline, Position], Meta(max_length=MARKS_MAX)]
    back: bool = False


class Mark(msgspec.Struct):
    """A position, and when it was set."""

    position: Position
    at_ms: Ms


class MarksView(msgspec.Struct):
    """All marks of a person."""

    marks: dict[str, Mark]


class Sessions:
    """Routes to sign in and out, and what a person keeps here."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            Route(
                "POST",
                "/v1/session/challenge",
                self.challenge,
                "Get what a device must sign to sign in.",
                "session",
                body=ChallengeAsked,
                answer=ChallengeGiven,
                pool=Pool.ENTRY,
                example=Example(body={"account": "{account}"}),
            ),
            Route(
                "POST",
                "/v1/session",
                self.sign_in,
                "Sign in with a signed challenge.",
                "session",
                body=SigningIn,
                answer=SessionGiven,
                status=201,
                takes=(_MSGPACK,),
                pool=Pool.ENTRY,
                codes=_REFUSALS,
                example=Example(body={"statement": "{statement}"}),
            ),
            Route(
                "GET",
                "/v1/session",
                self.session,
                "Who is signed in.",
                "session",
                answer=SessionView,
                access=Access.PERSON,
            ),
            Route(
                "DELETE",
                "/v1/session",
                self.sign_out,
                "Sign out here, or everywhere.",
                "session",
                query=SigningOut,
                answer=SignedOut,
                access=Access.PERSON,
            ),
            Route(
                "GET",
                "/v1/read-marks",
                self.marks,
                "How far the person has read.",
                "me",
                answer=MarksView,
                access=Access.PERSON,
            ),
            Route(
                "PUT",
                "/v1/read-marks",
                self.mark,
                "Mark timelines as read.",
                "me",
                body=Marks,
                answer=MarksView,
                access=Access.PERSON,
                codes=(Code.TOO_MANY,),
                example=Example(body={"marks": {"home": 1}}),
            ),
        ]

    async def challenge(self, request: web.Request) -> web.Response:
        """A challenge for one account; nothing is kept for it."""
        form = await asked.json_body(request, self._services, ChallengeAsked)
        node = self._services.node
        made = node.sessions.challenge(asked.id_in(form.account, "account"))
        return answer(ChallengeGiven(node.own.account.hex(), made.nonce.hex(), made.expires_ms))

    async def sign_in(self, request: web.Request) -> web.Response:
        """A session for the device that signed."""
        form = await self._form(request)
        node = self._services.node
        origins = own_origins(node.settings.public_addresses)
        token, found = await node.sessions.sign_in(form.statement, is_own(origins, request))
        given = SessionGiven(found.account.hex(), found.expires_ms, list(found.roles), token)
        return answer(given, 201)

    async def _form(self, request: web.Request) -> SigningIn:
        if request.content_type != _MSGPACK:
            return await asked.json_body(request, self._services, SigningIn)
        data = await asked.body(request, self._services, asked.JSON_BYTES_MAX)
        try:
            return msgspec.msgpack.decode(data, type=SigningIn)
        except msgspec.DecodeError:
            raise NodeError(Code.MALFORMED) from None

    async def session(self, request: web.Request) -> web.Response:
        """The session whose token came with the request."""
        return answer(_view(request[SIGNED_IN]))

    async def sign_out(self, request: web.Request) -> web.Response:
        """End this session, or every one of the account."""
        form = asked.query(request, SigningOut)
        account, sessions = request[PERSON], self._services.node.sessions
        if form.all:
            await sessions.sign_out_all(account)
        else:
            await sessions.sign_out(token_of(request))
        return answer(SignedOut(account.hex()))

    async def marks(self, request: web.Request) -> web.Response:
        """Every mark of the person."""
        found = await self._services.node.read_marks.all_of(request[PERSON])
        return answer(_marks_view(found))

    async def mark(self, request: web.Request) -> web.Response:
        """Move marks."""
        form = await asked.json_body(request, self._services, Marks)
        if not all(name.isprintable() for name in form.marks):
            raise NodeError(Code.BAD_REQUEST, safe="A timeline's name has unprintable characters.")
        found = await self._services.node.read_marks.set(
            request[PERSON], form.marks, MARKS_MAX, form.back
        )
        return answer(_marks_view(found))


_REFUSALS = (
    *(Code.MALFORMED, Code.TRAILING, Code.TOO_DEEP, Code.NON_CANONICAL, Code.BAD_TYPE),
    *(Code.OUT_OF_RANGE, Code.BAD_UTF8, Code.BAD_TEXT, Code.TOO_LONG, Code.TOO_MANY),
    *(Code.BAD_LENGTH, Code.BAD_BODY, Code.BAD_KEY, Code.BAD_SIGNATURE, Code.EMPTY),
    *(Code.WRONG_ACCOUNT, Code.UNAUTHORISED, Code.UNKNOWN_ACCOUNT, Code.UNKNOWN_KEY),
    *(Code.GONE, Code.NOT_HOME, Code.BLOCKED),
)


def own_origins(addresses: Iterable[str]) -> frozenset[str]:
    """The addresses by which others reach this node, each as scheme, host and port."""
    return frozenset(filter(None, map(origin_of, addresses)))


def is_own(origins: frozenset[str], request: web.Request) -> Callable[[str], bool]:
    """Whether an origin names this node, for a client that came by `request`.

    That is a public address, an address of this very machine, or the one that the client's
    connection ends at, port and all: whoever stands in between has another, and other ports of
    this machine may be somebody else's. What the client says in `Host` is not believed, because
    the one in between would say it too.
    """
    socket = request.transport.get_extra_info("sockname") if request.transport else None

    def known(origin: str) -> bool:
        if origin != origin_of(origin) or not origin.startswith("http"):
            return False
        return origin in origins or _is_here(origin, socket or ("", 0))

    return known


def _is_here(origin: str, socket: tuple[str, int]) -> bool:
    parts = urlsplit(origin)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
        if address.is_loopback:
            return True
        here = ipaddress.ip_address(socket[0])
    except ValueError:
        return False
    return (address, port) == (getattr(here, "ipv4_mapped", None) or here, socket[1])


def _view(found: SignedIn) -> SessionView:
    return SessionView(found.account.hex(), found.expires_ms, list(found.roles))


def _marks_view(found: dict[str, tuple[int, int]]) -> MarksView:
    return MarksView({name: Mark(*mark) for name, mark in found.items()})
