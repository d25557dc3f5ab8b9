"""A person of the client library: a key file on this machine, at home on nodes of the test."""

from __future__ import annotations

import random

from ratoon_client.keyfile import KeyFile, instance
from ratoon_node.app import Node
from ratoon_node.ingest.submission import Origin, Way
from ratoon_protocol import phrase
from ratoon_protocol.author import Draft, device_row, new_account
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.record import Record
from tests.node.world import EVERYTHING


async def settle(name: str, node: Node, url: str, seed: int, *more: Node) -> tuple[KeyFile, Record]:
    """A new account at home on nodes, its key file, and the genesis that made it."""
    rng = random.Random(seed)
    network = node.settings.network_bytes
    entropy = rng.randbytes(32)
    paper = phrase.account_key(entropy)
    device = rng.randbytes(32)
    agreement = AgreementKey(rng.randbytes(32))
    row = device_row(
        network, paper.public, SigningKey.from_seed(device), agreement.public, EVERYTHING
    )
    homes = [one.own.account for one in (node, *more)]
    now_ms = node.runtime.clock.now_ms()
    draft = Draft(devices=[row], homes=homes)
    account, genesis = new_account(network, paper, draft, now_ms, rng.randbytes(16))
    file = KeyFile(
        name,
        network.hex(),
        account.hex(),
        paper.public.hex(),
        url,
        device.hex(),
        agreement.private.private_bytes_raw().hex(),
        phrase.slot_key(entropy).hex(),
        instance(),
    )
    file.save()
    for one in (node, *more):
        await one.own.host(account)
        outcomes = await one.gate.submit([genesis.encode()], Origin(Way.API))
        assert outcomes[0].code == "stored", outcomes
    return file, genesis
