"""People at home on a node, as their own operations say, and their devices signing in."""

from __future__ import annotations

import base64
import random
from typing import Any

from ratoon_node.api.publish import ACCEPTED, API
from ratoon_node.app import Node
from ratoon_protocol import kinds, phrase, record
from ratoon_protocol.author import Author, Draft, device_row, new_account
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.operation import parse_operation
from ratoon_protocol.record import Record
from ratoon_protocol.statement import SignIn, sign_in
from tests.node.api.site import Site
from tests.node.world import EVERYTHING, Person, movable


async def member(node: Node, seed: int, capabilities: int = EVERYTHING) -> Person:
    """An account whose genesis lists the node as its home, and that the node hosts."""
    rng, clock = random.Random(seed), movable(node.runtime.clock)
    network, entropy = node.settings.network_bytes, rng.randbytes(32)
    paper = phrase.account_key(entropy)
    device = SigningKey.from_seed(rng.randbytes(32))
    agreement = AgreementKey(rng.randbytes(32)).public
    row = device_row(network, paper.public, device, agreement, capabilities)
    draft = Draft(devices=[row], homes=[node.own.account])
    account, genesis = new_account(network, paper, draft, clock.now_ms(), rng.randbytes(16))
    author = Author(network, account, device, phrase.slot_key(entropy))
    await node.own.host(account)
    await publish(node, genesis)
    return Person(account, genesis, paper, author, rng, clock)


def operation(who: Person) -> Draft:
    """The operation after a person's genesis, to be changed."""
    body = record.decode_payload(who.genesis.payload or b"")
    return Draft.after(parse_operation(who.genesis.id, who.genesis.header, body))


def signed_operation(who: Person, draft: Draft) -> Record:
    """The same, signed by paper."""
    author = who.paper_author()
    return author.sign(kinds.IDENTITY, draft.body(), who.clock.now_ms(), who.rng.randbytes(16))


async def publish(node: Node, *records: Record) -> None:
    """Offer records, all of which are taken, and wait until every derived table has them."""
    outcomes = await node.gate.submit([one.encode() for one in records], API)
    assert {one.code for one in outcomes} <= ACCEPTED, outcomes
    await node.gate.settled()


async def challenge(site: Site, who: Person) -> SignIn:
    """What a device must sign to sign in at the address of the site."""
    status, found = await post(site, "/v1/session/challenge", {"account": who.account.hex()})
    assert status == 200, found
    audience, nonce = bytes.fromhex(found["audience"]), bytes.fromhex(found["nonce"])
    return SignIn(who.account, audience, site.url, nonce, found["expires_ms"])


async def enter(site: Site, said: SignIn, device: SigningKey) -> tuple[int, Any]:
    """Sign in with what a device says."""
    data = sign_in(site.node.settings.network_bytes, said, device)
    return await post(site, "/v1/session", {"statement": base64.b64encode(data).decode()})


async def signed_in(site: Site, who: Person) -> str:
    """A token of a new session."""
    status, found = await enter(site, await challenge(site, who), who.author.key)
    assert status == 201, found
    return str(found["token"])


async def post(site: Site, path: str, body: Any) -> tuple[int, Any]:
    async with site.http.post(site.url + path, json=body) as response:
        return response.status, await response.json()


async def ask(site: Site, method: str, path: str, token: str, body: Any = None) -> tuple[int, Any]:
    """A request of somebody who is signed in."""
    headers = {"Authorization": f"Bearer {token}"}
    async with site.http.request(method, site.url + path, json=body, headers=headers) as response:
        return response.status, await response.json()
