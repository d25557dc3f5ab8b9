"""Asking domains whose name it is, with everything a hostile domain can do about it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from ratoon_node.errors import NodeError
from ratoon_node.peering.lookup import ANSWER_BYTES_MAX, DomainLookup
from ratoon_node.policy.naming import Handle, is_public_domain
from ratoon_protocol.errors import Code
from tests.node.peering.domains import domain, name_server

ANN, BEN = "aa" * 32, "bb" * 32
HERE = Handle("ann", "127.0.0.1")


@asynccontextmanager
async def asking(private: bool = True, **parts: Any) -> AsyncIterator[DomainLookup]:
    lookup = DomainLookup(private, **parts)
    try:
        yield lookup
    finally:
        await lookup.close()


class Inwards(AbstractResolver):
    """A name server of somebody who wants this node to call its own machine."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


async def test_the_well_known_answer_names_the_account() -> None:
    async with asking() as lookup, domain(ann=ANN) as address:
        assert await lookup.account_of(HERE, address) == bytes.fromhex(ANN)
        assert await lookup.account_of(Handle("ben", "127.0.0.1"), address) is None


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (web.Response(text="no JSON"), None),
        (web.json_response({"account": "short"}), None),
        (web.json_response({"account": 7}), None),
        (web.json_response([ANN]), None),
        (web.json_response({"account": "zz" * 32}), None),
        (web.json_response({"account": ANN, "more": {"of": 1}}), bytes.fromhex(ANN)),
        (web.Response(status=410), None),
        (web.Response(status=500), Code.TIMEOUT),
        (web.Response(status=302, headers={"Location": "http://127.0.0.1:1/x"}), Code.TIMEOUT),
        (web.Response(body=b" " * (ANSWER_BYTES_MAX + 1)), Code.TIMEOUT),
    ],
)
async def test_answers_that_are_none(answer: web.Response, found: bytes | Code | None) -> None:
    async with asking() as lookup, domain(answer) as address:
        if isinstance(found, Code):
            with pytest.raises(NodeError) as error:
                await lookup.account_of(HERE, address)
            assert error.value.code is found
        else:
            assert await lookup.account_of(HERE, address) == found


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("node.example", True),
        ("a.b.example", True),
        ("localhost", False),
        ("127.0.0.1", False),
        ("127.1", False),
        ("2130706433", False),
        ("printer.local", False),
        ("x.internal", False),
    ],
)
async def test_only_public_domains_are_asked(name: str, public: bool) -> None:
    assert is_public_domain(name) is public
    if not public:
        async with asking(private=False) as lookup:
            with pytest.raises(NodeError) as error:
                await lookup.account_of(Handle("ann", name), "http://127.0.0.1:1")
        assert error.value.code is Code.BAD_ADDRESS


async def test_a_domain_that_points_inwards_is_not_called_and_dns_answers() -> None:
    inwards = Inwards()
    texts = {"ann._ratoon.node.example": ["v=other", f"ratoon={ANN}"]}
    async with (
        name_server(texts) as (dns, asked),
        asking(private=False, resolver=inwards, dns=dns) as lookup,
    ):
        assert await lookup.account_of(Handle("ann", "node.example")) == bytes.fromhex(ANN)
        assert (inwards.asked, asked) == (["node.example"], ["ann._ratoon.node.example"])
        with pytest.raises(NodeError) as error:  # the site was not asked: nothing is known
            await lookup.account_of(Handle("ben", "node.example"))
        assert error.value.code is Code.BAD_ADDRESS
        assert error.value.safe == "This domain leads to no address that may be called."


@pytest.mark.parametrize(
    "texts", [["ratoon=xyz"], [BEN], ["ratoon"], ["ratoon=" + "c" * 63], ["\\255\\254"]]
)
async def test_other_texts_name_nobody(texts: Sequence[str]) -> None:
    async with (
        name_server({"ann._ratoon.node.example": list(texts)}) as (dns, _),
        asking(private=False, resolver=Inwards(), dns=dns) as lookup,
    ):
        with pytest.raises(NodeError):
            await lookup.account_of(Handle("ann", "node.example"))


async def test_a_site_that_nobody_serves_does_not_take_long() -> None:
    async with asking() as lookup:
        with pytest.raises(NodeError) as error:
            await lookup.account_of(HERE, "http://127.0.0.1:1")
        assert (error.value.code, error.value.safe) == (
            Code.TIMEOUT,
            "This domain does not answer as it should.",
        )


async def test_a_silent_name_server_is_no_answer() -> None:
    async with (
        name_server({}) as (dns, _),
        asking(private=False, resolver=Inwards(), dns=dns) as lookup,
    ):
        dns.port = 9  # nobody
        dns.lifetime = 0.2
        with pytest.raises(NodeError) as error:
            await lookup.account_of(Handle("ann", "node.example"))
        assert error.value.code is Code.TIMEOUT
