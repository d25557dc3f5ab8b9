"""Invitations: made, listed and revoked by the operator, with who came by each."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ratoon_node.api import asked
from ratoon_node.api.answers import answer
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Access, Example, Route
from ratoon_node.api.types import Count, Id, Ms
from ratoon_node.errors import NodeError
from ratoon_node.store import invites
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import LINE_BYTES_MAX

# Invites shown at once, newest first, and of each who came by it.
INVITES_SHOWN_MAX = 1000
INVITED_SHOWN_MAX = 1000
# Accounts one invite may let in.
INVITE_USES_MAX = 10_000
# 80 bits: cannot be guessed at any rate a node answers, and can be read out.
INVITE_BYTES = 10


class NewInvite(msgspec.Struct, forbid_unknown_fields=True):
    """A new invite: how many it lets in, until when, and a note of the operator's."""

    uses: Annotated[int, Meta(ge=1, le=INVITE_USES_MAX)] = 1
    expires_ms: Ms | None = None
    note: Annotated[str, Meta(max_length=LINE_BYTES_MAX)] = ""


class Made(msgspec.Struct):
    """An invite that was made."""

    code: str
    uses: Count
    expires_ms: Ms | None


class InviteView(msgspec.Struct):
    """An invite; `uses` are those left."""

    code: str
    uses: Count
    made_ms: Ms
    expires_ms: Ms | None
    note: str
    revoked_ms: Ms | None


class InviteList(msgspec.Struct):
    """Invites, newest first."""

    invites: list[InviteView]


class Guest(msgspec.Struct):
    """An account that came by an invite."""

    account: Id
    at_ms: Ms


class Guests(msgspec.Struct):
    """Who came by an invite, in the order of their coming."""

    code: str
    accounts: list[Guest]


class Revoked(msgspec.Struct):
    """An invite that lets nobody in any more."""

    code: str


class Invites:
    """Routes about invites."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The group's routes."""
        path, one = "/v1/operator/invites", "/v1/operator/invites/{code}"
        example = Example(path={"code": "{invite}"})
        return [
            Route(
                "GET",
                path,
                self.invites,
                "Invites, newest first.",
                "operator",
                answer=InviteList,
                access=Access.OPERATOR,
            ),
            Route(
                "POST",
                path,
                self.invite,
                "Make an invite.",
                "operator",
                body=NewInvite,
                answer=Made,
                status=201,
                access=Access.OPERATOR,
                example=Example(body={"uses": 1}),
            ),
            Route(
                "GET",
                f"{one}/accounts",
                self.guests,
                "Who came by an invite.",
                "operator",
                answer=Guests,
                access=Access.OPERATOR,
                example=example,
            ),
            Route(
                "DELETE",
                one,
                self.revoke,
                "Let nobody in by an invite any more.",
                "operator",
                answer=Revoked,
                access=Access.OPERATOR,
                codes=(Code.NOT_FOUND,),
                example=example,
            ),
        ]

    async def invites(self, request: web.Request) -> web.Response:
        """Invites, newest first, with the uses left."""
        db = self._services.node.db
        rows = await db.read(lambda db: invites.newest(db, INVITES_SHOWN_MAX))
        return answer(InviteList([InviteView(*row) for row in rows]))

    async def invite(self, request: web.Request) -> web.Response:
        """Make an invite."""
        form = await asked.json_body(request, self._services, NewInvite)
        node = self._services.node
        if len(form.note.encode()) > LINE_BYTES_MAX:
            raise NodeError(Code.TOO_LONG)
        if form.expires_ms is not None and form.expires_ms <= node.runtime.clock.now_ms():
            raise NodeError(Code.OUT_OF_RANGE, safe="expires_ms is over already.")
        code = node.runtime.random.randbytes(INVITE_BYTES).hex()
        await node.registry.invite(code, form.uses, form.expires_ms, form.note)
        return answer(Made(code, form.uses, form.expires_ms), 201)

    async def guests(self, request: web.Request) -> web.Response:
        """Who came by an invite; empty for one that nobody used."""
        code = request.match_info["code"]
        db = self._services.node.db
        rows = await db.read(lambda db: invites.come_by(db, code, INVITED_SHOWN_MAX))
        if rows is None:
            raise NodeError(Code.NOT_FOUND)
        return answer(Guests(code, [Guest(row.account.hex(), row.at_ms) for row in rows]))

    async def revoke(self, request: web.Request) -> web.Response:
        """Revoke an invite; who came by it stays."""
        code = request.match_info["code"]
        if not await self._services.node.registry.revoke_invite(code):
            raise NodeError(Code.NOT_FOUND)
        return answer(Revoked(code))
