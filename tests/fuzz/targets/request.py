"""Requests before they reach anything: bodies, parameters, cursors, addresses, hops."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import msgspec
from aiohttp.test_utils import make_mocked_request

from ratoon_node.api import asked
from ratoon_node.api.invites import NewInvite
from ratoon_node.api.operator import AddPeer, Block, Unblock
from ratoon_node.api.rate import client_of
from ratoon_node.api.records import ReadBody
from ratoon_node.api.registration import Registration
from ratoon_node.api.search import SearchQuery
from ratoon_node.api.sessions import ChallengeAsked, Marks, SigningIn
from ratoon_node.api.stream import Subscribe
from ratoon_node.api.types import PageQuery
from ratoon_node.errors import NodeError
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import INT_MAX
from tests.fuzz.mutation import bytewise
from tests.fuzz.target import Steered, Target, ask

BODIES = (
    NewInvite, AddPeer, Block, Unblock, ReadBody, Registration, ChallengeAsked, SigningIn, Marks,
    Subscribe,
)  # fmt: skip
QUERIES = (PageQuery, SearchQuery)
#: What a request may be told before anything is looked up.
REFUSALS = frozenset({Code.BAD_REQUEST, Code.OUT_OF_RANGE, Code.TOO_LONG, Code.TOO_MANY})
SEEDS = (
    b'{"records": ["aGk="], "name": "ann"}', b'{"subject": "domain", "entity": "a.example"}',
    b'{"uses": 1, "note": "x"}', b'{"account": "' + b"ab" * 32 + b'"}', b'{"ids": ["' + b"0" * 64,
    b'[[[[[[[[', b'{"a": 1e999}', b'"\\ud800"', b"\xff", b'{"limit": 99999999999999999999}',
)  # fmt: skip
ASKED = (
    b"before=9007199254740991&limit=20", b"since=0&since=1", b"q=a&order=best&after=1.2.3",
    b"limit=%D9%A1", b"limit=-1&zzz", b"among=tags&q=%23a", b"before=1&since=2", b"a=%FF&b=%00",
    b"10.0.0.1, [::1]:80,1.2.3.4:9 ,\t", b"::ffff:1.2.3.4%eth0, 010.1.1.1",
)  # fmt: skip


def run(data: bytes) -> None:
    """The first byte chooses a type; the others are a body, a query string, a header."""
    steered = Steered(data)
    choice, given = steered.getrandbits(8), steered.rest()
    body(given, BODIES[choice % len(BODIES)])
    query(given.decode("latin-1"), QUERIES[choice % len(QUERIES)])
    number(given.decode("utf-8", "replace"))
    hops(given.decode("latin-1"))


def refused(error: NodeError) -> None:
    """With a declared code, and words that are safe to show."""
    ask(error.code in REFUSALS and error.safe, f"another refusal: {error!r}")


def body(data: bytes, type_: type[msgspec.Struct]) -> None:
    """What is taken is written as what is taken again."""
    try:
        found = asked.parse_json(data, type_)
    except NodeError as error:
        refused(error)
        return
    again = asked.parse_json(msgspec.json.encode(found), type_)
    ask(again == found, "reads otherwise the second time")


def query(text: str, type_: type[msgspec.Struct]) -> None:
    """Parameters as a client may send them."""
    raw = "".join(sign for sign in text if 0x21 <= ord(sign) < 0x7F and sign != "#")
    try:
        found = asked.query(make_mocked_request("GET", f"/v1/x?{raw}"), type_)
    except NodeError as error:
        refused(error)
        return
    given = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in msgspec.to_builtins(found).items()
        if value is not None
    }
    again = asked.query(make_mocked_request("GET", f"/v1/x?{urlencode(given)}"), type_)
    ask(again == found, "asked otherwise the second time")


def number(text: str) -> None:
    """Ids and numbers of paths and parameters."""
    try:
        found = asked.number_in(text, "limit", INT_MAX)
        ask(0 <= found <= INT_MAX and int(text) == found, "another number")
    except NodeError as error:
        refused(error)
    try:
        ask(asked.id_in(text).hex() == text.lower(), "another id")
    except NodeError as error:
        refused(error)


def hops(text: str) -> None:
    """Who is charged, whatever the proxies' header says."""
    for proxies in ((), ("10.0.0.0/8",), ("0.0.0.0/0", "::/0")):
        for address in ("10.0.0.1", "203.0.113.9", ""):
            who = client_of(address, text[-512:], proxies)
            ask(isinstance(who, str) and len(who) < 80, "a client without bound")


def seeds() -> Iterator[bytes]:
    """Bodies for every type, and query strings."""
    for number_, data in enumerate((*SEEDS, *ASKED)):
        for choice in range(len(BODIES)):
            if number_ % 3 == choice % 3:
                yield bytes([choice]) + data


TARGET = Target(
    "request",
    run,
    seeds,
    (b"%00", b"&", b"limit=", b"before=", b'"', b"\\u0000", b"1e400", b"null", b"::ffff:", b"-0"),
    bytes_max=700,
    mutate=bytewise,
)
