"""Two nodes and the wire between them, for the tests of links."""

from __future__ import annotations

import hashlib

from ratoon_protocol import kinds
from ratoon_protocol.author import Author, Draft, device_row, new_account
from ratoon_protocol.events import Ready
from ratoon_protocol.framing import pack_item
from ratoon_protocol.introduction import Introduced, Own, Side
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.kinds import Capability
from ratoon_protocol.session import PeerSession

NETWORK = b"ratoon\x00\x01"
NOW = 1_700_000_000_000
SERVE = 1 << Capability.SERVE
BODY = {
    "addresses": ["http://127.0.0.1:1"],
    "admits": [],
    "country": "DE",
    "home_open": 0,
    "name": "a node",
    "network": "",
    "provider": "one",
    "software": "ratoon",
}


def seed(word: str) -> bytes:
    """32 bytes that look random and are always the same."""
    return hashlib.sha256(b"linked " + word.encode()).digest()


def key(word: str) -> SigningKey:
    return SigningKey.from_seed(seed(word))


def node(word: str, capabilities: int = SERVE, network: bytes = NETWORK) -> Own:
    """A node with one device, its genesis and its node record."""
    paper, device = key(word + " paper"), key(word + " device")
    row = device_row(network, paper.public, device, seed(word + " agreement"), capabilities)
    account, genesis = new_account(network, paper, Draft(devices=[row]), NOW, bytes(16))
    return Own(account, (genesis.encode(),), node_record(account, device, network), device)


def node_record(account: bytes, device: SigningKey, network: bytes = NETWORK) -> bytes:
    author = Author(network, account, device, slot_key=bytes(32))
    return author.sign(kinds.NODE, dict(BODY), NOW, bytes(16), target=b"").encode()


ANNA, BORIS = node("anna"), node("boris")


def dialer(own=ANNA, network=NETWORK, **more):
    return PeerSession(Side.DIALER, network, own, seed("d"), seed("de"), NOW, **more)


def acceptor(own=BORIS, network=NETWORK, **more):
    return PeerSession(Side.ACCEPTOR, network, own, seed("a"), seed("ae"), NOW, **more)


def carry(one, other, now_ms=NOW):
    """Bring everything across until neither has more to say."""
    while True:
        there, back = one.data_to_send(), other.data_to_send()
        if not there and not back:
            return
        for message in there:
            other.receive(message, now_ms)
        for message in back:
            one.receive(message, now_ms)


def welcome(session, admitted=(), clock_ms=NOW):
    session.welcome(
        horizon_ms=0,
        identity_head=seed("head"),
        admitted=admitted,
        clock_ms=clock_ms,
        counts=(3, 2, 1),
    )


def introduced():
    """Both have been introduced to each other and nobody has decided."""
    one, other = dialer(), acceptor()
    carry(one, other)
    assert [type(event) for event in one.events() + other.events()] == [Introduced] * 2
    return one, other


def linked():
    """An open link, nothing under way."""
    one, other = introduced()
    welcome(one)
    welcome(other)
    carry(one, other)
    assert [type(event) for event in one.events() + other.events()] == [Ready] * 2
    return one, other


def said(one, other):
    """What `other` is told once everything is across."""
    carry(one, other)
    return other.events()


def items(count, size=100):
    return [pack_item(b"header %d" % number, bytes(64), bytes(size)) for number in range(count)]
