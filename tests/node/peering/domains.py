"""Domains on loopback: a name server for texts, and a site that says whose names are whose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from aiohttp import web


class _NameServer(asyncio.DatagramProtocol):
    """Answers TXT questions from a table; what is not in it does not exist."""

    def __init__(self, texts: Mapping[str, list[str]], asked: list[str]) -> None:
        self._texts = texts
        self._asked = asked

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        question = dns.message.from_wire(data)
        name = question.question[0].name.to_text().rstrip(".")
        self._asked.append(name)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        if name in self._texts:
            quoted = [f'"{text}"' for text in self._texts[name]]
            answer.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "TXT", *quoted))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), source)


@asynccontextmanager
async def name_server(
    texts: Mapping[str, list[str]],
) -> AsyncIterator[tuple[dns.asyncresolver.Resolver, list[str]]]:
    """A resolver that asks a name server on loopback, and the names it was asked for."""
    asked: list[str] = []
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _NameServer(texts, asked), local_addr=("127.0.0.1", 0)
    )
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = transport.get_extra_info("sockname")[1]
    try:
        yield resolver, asked
    finally:
        transport.close()


@asynccontextmanager
async def domain(answer: web.Response | None = None, **names: str) -> AsyncIterator[str]:
    """The address of a site with a well-known answer for each name (or one answer for all)."""

    async def well_known(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if answer is not None:
            return web.Response(
                status=answer.status, body=answer.body, headers=dict(answer.headers)
            )
        if name not in names:
            raise web.HTTPNotFound
        return web.json_response({"account": names[name]})

    app = web.Application()
    app.router.add_get("/.well-known/ratoon/{name}", well_known)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
