"""Commands sign in by themselves, at the home of their account and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from ratoon_client.keyfile import KeyFile
from ratoon_node.cli.client import Client, Refused, Unreachable
from ratoon_node.cli.session import signed_in
from ratoon_protocol.statement import origin_of
from tests.node.api.members import member
from tests.node.api.site import Site, site
from tests.node.world import Person


def key_file(place: Site, who: Person, device: bytes, home: str = "") -> KeyFile:
    return KeyFile(
        name="ann",
        network=place.node.settings.network_id,
        account=who.account.hex(),
        anchor="",
        node=place.url,
        device_seed=device.hex(),
        agreement_seed="",
        slot_key="",
        instance="",
        home=home,
    )


def device_seed(seed: int) -> bytes:
    """The seed of the device that `member` makes."""
    rng = random.Random(seed)
    rng.randbytes(32)
    return rng.randbytes(32)


async def test_a_command_signs_in(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await member(place.node, 2)
        home = place.node.own.account.hex()
        file = key_file(place, ann, device_seed(2), home)

        def run() -> dict:
            with contextlib.closing(Client(place.url)) as client:
                return dict(signed_in(client, file).get("/v1/session"))

        assert (await asyncio.to_thread(run))["account"] == ann.account.hex()


async def test_another_node_or_another_device_gets_nothing(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await member(place.node, 2)
        elsewhere = key_file(place, ann, device_seed(2), "ab" * 32)
        stranger = key_file(place, ann, bytes(range(32)))
        with contextlib.closing(Client(place.url)) as client:
            with pytest.raises(Unreachable, match="another node"):
                await asyncio.to_thread(signed_in, client, elsewhere)
            with pytest.raises(Refused, match="unknown_key"):
                await asyncio.to_thread(signed_in, client, stranger)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Node.Example", "https://node.example"),
        ("https://node.example:443", "https://node.example"),
        ("http://127.0.0.1:7420", "http://127.0.0.1:7420"),
        ("http://[::1]:80/under", "http://[::1]"),
    ],
)
def test_addresses_are_spelt_as_the_specification_says(url: str, origin: str) -> None:
    assert origin_of(url) == origin
