"""What the checks work with: the node under test, accounts made on the way, and what was seen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from ratoon_node.cli.conformance.people import Person
from ratoon_node.cli.conformance.probe_http import HttpProbe
from ratoon_node.cli.conformance.probe_link import (
    LinkEnded,
    LinkProbe,
    NodeAccount,
    dial,
    frame_bytes,
)
from ratoon_node.cli.conformance.suite import Findings, Unmet
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import Intro
from ratoon_protocol.record import Record, decode_record

# Of a value that is wrong this much is shown.
SHOWN_CHARS_MAX = 160


@dataclass(frozen=True)
class Options:
    """What the caller says about the node and the run. Times are seconds."""

    url: str
    link_url: str
    network: bytes
    timeout_s: float
    wait_s: float
    invite: str = ""
    operator_token: str = ""


class Bench:
    """One run against one node."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.network = options.network
        self.findings = Findings()
        self.http = HttpProbe(options.url, options.timeout_s, options.wait_s)
        self.people: list[Person] = []
        self.nodes: list[NodeAccount] = []
        self._links = aiohttp.ClientSession()
        self._node: bytes | None = None
        self._resident: Person | None = None
        self._guest: Person | None = None
        self._home: tuple[NodeAccount, LinkProbe] | None = None
        self._unmet: dict[str, str] = {}

    async def close(self) -> None:
        """End every connection."""
        if self._home is not None:
            await self._home[1].close()
        await self._links.close()
        await self.http.close()

    # --- what was seen -----------------------------------------------------------------------

    def same(self, requirement: str, case: str, got: object, wanted: object) -> bool:
        """Note a case: what came, and what should have come (one of several, if it is a set)."""
        right = got in wanted if isinstance(wanted, frozenset) else got == wanted
        if isinstance(wanted, frozenset):
            wanted = " or ".join(sorted(map(str, wanted)))
        problem = None if right else f"{case}: {_shown(got)} instead of {_shown(wanted)}"
        self.findings.saw(requirement, problem)
        return right

    def true(self, requirement: str, case: str, right: bool) -> None:
        """Note a case that is right or not; `case` says what should hold."""
        self.findings.saw(requirement, None if right else f"not so: {case}")

    # --- the node ----------------------------------------------------------------------------

    async def node(self) -> bytes:
        """The account of the node under test: what it proves on a link, else what it says."""
        if self._node is None:
            try:
                self._node = await self._ask_link()
            except (Unmet, LinkEnded, TimeoutError):
                self._node = await self._ask_http()
        return self._node

    async def reach(self) -> None:
        """Raises `Unmet` if nobody answers at the address, in either way."""
        try:
            await self.node()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unmet(f"no node at {self.options.url}: {error}") from None

    async def _ask_link(self) -> bytes:
        link = await dial(self._links, self.options.link_url, self.network, self.options.timeout_s)
        try:
            await link.shake_hands()
            intro = await link.expect(Intro)
            return decode_record(intro.node).header.account
        finally:
            await link.close()

    async def _ask_http(self) -> bytes:
        match (await self.http.ask("GET", "/v1/node")).json:
            case {"account": str(account)} if len(account) == 64:
                return bytes.fromhex(account)
        raise Unmet("the node tells its account neither on a link nor at GET /v1/node")

    # --- people ------------------------------------------------------------------------------

    async def newcomer(self, *other_homes: bytes) -> Person:
        """Somebody at home at the node. Raises `Unmet` where nobody is let in."""
        if "newcomer" in self._unmet:
            raise Unmet(self._unmet["newcomer"])
        who = Person(self.network, [await self.node(), *other_homes])
        found = await self.http.register([who.genesis], await self._invite())
        if found.status not in (200, 201):
            words = f"the node takes no new account ({found.code or f'HTTP {found.status}'})"
            if found.code == "invite_needed":
                words += ": say --invite CODE with an invitation for 20"
            self._unmet["newcomer"] = words
            raise Unmet(self._unmet["newcomer"])
        self.people.append(who)
        return who

    async def _invite(self) -> str:
        """The invite that was given, or one that the operator's token gets."""
        if self.options.invite or not self.options.operator_token:
            return self.options.invite
        made = await self.operate("POST", "/v1/operator/invites", b'{"uses": 1}')
        return str((made or {}).get("code", ""))

    async def operate(
        self, method: str, path: str, data: bytes | None = None
    ) -> dict[str, Any] | None:
        """Ask with the operator's token; None if that is refused. `Unmet` without a token."""
        if not self.options.operator_token:
            raise Unmet("it needs the operator: --operator-token-file")
        found = await self.http.ask(
            method,
            path,
            data,
            Authorization=f"Bearer {self.options.operator_token}",
            Content_Type="application/json",
        )
        return found.json if found.status < 400 else None

    async def resident(self) -> Person:
        """The one account that most checks write with."""
        if self._resident is None:
            self._resident = await self.newcomer()
        return self._resident

    async def refused(
        self, cases: Iterable[tuple[str, str, Record | bytes, str | frozenset[str]]]
    ) -> None:
        """Publish records that must be refused: (requirement, case, record, code)."""
        rows = list(cases)
        data = [row[2] if isinstance(row[2], bytes) else row[2].encode() for row in rows]
        for at in range(0, len(rows), 100):
            codes = await self.http.batch(data[at : at + 100])
            if len(codes) != len(data[at : at + 100]):
                self.findings.saw("R-132", "a batch with an outcome for each item")
                continue
            for (requirement, case, _, wanted), got in zip(rows[at : at + 100], codes, strict=True):
                self.same(requirement, case, got, wanted)

    async def accepted(self, cases: Iterable[tuple[str, str, Record]]) -> None:
        """Publish records that must be stored, in order, and come back as they were signed."""
        rows = list(cases)
        codes = await self.http.publish(*(record for _, _, record in rows))
        for (requirement, case, _), got in zip(rows, codes, strict=False):
            self.same(requirement, case, got, "stored")

    # --- links -------------------------------------------------------------------------------

    def new_node(self) -> NodeAccount:
        """A node account of ours that the node has never met."""
        made = NodeAccount(self.network)
        self.nodes.append(made)
        return made

    async def wire(self) -> LinkProbe:
        """A WebSocket, nothing said yet."""
        if "link" in self._unmet:
            raise Unmet(self._unmet["link"])
        try:
            return await dial(
                self._links, self.options.link_url, self.network, self.options.timeout_s
            )
        except Unmet as error:
            self._unmet["link"] = str(error)
            raise

    @asynccontextmanager
    async def stranger(self) -> AsyncIterator[LinkProbe]:
        """A link after its handshake, before any introduction."""
        link = await self.wire()
        try:
            await link.shake_hands()
            yield link
        finally:
            await link.close()

    @asynccontextmanager
    async def linked(self, node: NodeAccount | None = None) -> AsyncIterator[LinkProbe]:
        """An open link of a node account of ours, a fresh one unless it is named."""
        link = await self._opened(node or self.new_node())
        try:
            yield link
        finally:
            await link.close()

    async def _opened(self, node: NodeAccount) -> LinkProbe:
        link = await self.wire()
        try:
            await link.meet(node)
            if not await link.alive():
                raise LinkEnded(link.bye or "no answer")
        except (LinkEnded, TimeoutError) as error:
            await link.close()
            self._unmet["link"] = (
                f"the node does not link with the suite's node account ({error}): let it in, for"
                f" example with `ratoon peer add`; this one was {node.account.hex()}"
            )
            raise Unmet(self._unmet["link"]) from None
        return link

    async def home(self) -> tuple[NodeAccount, LinkProbe]:
        """The suite's well-behaved node and its link, which stays open over the run."""
        if self._home is None or self._home[1].ended:
            node = self._home[0] if self._home else self.new_node()
            link = await self._opened(node)
            self._home = node, link
        return self._home

    async def carried(self) -> tuple[Person, NodeAccount, LinkProbe]:
        """Somebody whom the suite's own node hosts; most checks share one such guest."""
        node, link = await self.home()
        if self._guest is None:
            self._guest, _, _ = await self.newly_carried()
        return self._guest, node, link

    async def newly_carried(self) -> tuple[Person, NodeAccount, LinkProbe]:
        """A fresh account that the suite's own node hosts, known there by link."""
        node, link = await self.home()
        who = Person(self.network, [node.account])
        codes = await link.push(node.hosting(who.account))
        if "stored" not in codes.values():
            raise Unmet(f"the node does not take a hosting record of ours ({codes.popitem()[1]})")
        codes = await link.push(who.genesis)
        if "stored" not in codes.values():
            raise Unmet(f"the node does not carry whom we host ({codes.popitem()[1]})")
        self.people.append(who)
        return who, node, link

    async def ends(
        self,
        requirement: str,
        case: str,
        said: Sequence[list[Any] | bytes],
        code: Code | frozenset[Code],
    ) -> None:
        """On a fresh open link these frames end it with the code."""
        async with self.linked() as link:
            link.polite = False
            data = [frame_bytes(one) if isinstance(one, list) else one for one in said]
            with suppress(LinkEnded):
                await link.send(*data)
            wanted = {code.value} if isinstance(code, Code) else {one.value for one in code}
            self.same(requirement, case, await link.end(), frozenset(wanted))


def _shown(value: object) -> str:
    """A value as a person can compare it, cut where it is long."""
    if isinstance(value, bytes):
        return value.hex()[:SHOWN_CHARS_MAX]
    if isinstance(value, set):
        return "{" + ", ".join(sorted(map(_shown, value)))[:SHOWN_CHARS_MAX] + "}"
    return str(value)[:SHOWN_CHARS_MAX]
