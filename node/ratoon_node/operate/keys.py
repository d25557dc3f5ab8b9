"""The keys that a node runs with, and the file they are in.

The account keys are on paper: whoever takes the machine cannot take the account (invariant 8).
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from ratoon_node.operate.disk import write_private
from ratoon_protocol import phrase
from ratoon_protocol.author import Draft, capability_set, device_row, new_account
from ratoon_protocol.errors import RatoonError
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.kinds import Capability

# What a node's key may do: serve, moderate for its operator, show a profile, erase its own.
_CAPABILITIES = capability_set(
    [
        Capability.SERVE,
        Capability.MODERATE,
        Capability.PROFILE,
        Capability.ERASE,
        Capability.PRIVATE,
    ]
)


class KeyFileError(RatoonError):
    """The key file cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Keys:
    """What the key file holds: seeds (32 bytes each) and the genesis that lists them."""

    network: bytes
    account: bytes
    device_seed: bytes
    agreement_seed: bytes
    link_seed: bytes
    slot_key: bytes
    genesis: bytes

    def save(self, path: Path) -> None:
        """Write the file for its owner only, and have it on disk before anything uses it."""
        fields = {name: getattr(self, name).hex() for name in Keys.__dataclass_fields__}
        write_private(path, json.dumps(fields, indent=1))

    @classmethod
    def load(cls, path: Path) -> Keys:
        """Read the file. Raises `KeyFileError`."""
        try:
            fields = json.loads(path.read_text())
            return cls(**{name: bytes.fromhex(fields[name]) for name in cls.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KeyFileError(f"{path} cannot be read: {error}") from error


def make_keys(network: bytes, entropy: bytes, rng: random.Random, now_ms: int) -> Keys:
    """Keys for a new node account whose recovery phrase is `entropy` (32 bytes)."""
    paper = phrase.account_key(entropy)
    device = SigningKey.from_seed(device_seed := rng.randbytes(32))
    agreement = AgreementKey(agreement_seed := rng.randbytes(32))
    row = device_row(network, paper.public, device, agreement.public, _CAPABILITIES)
    account, genesis = new_account(
        network, paper, Draft(devices=[row]), now_ms, salt=rng.randbytes(16)
    )
    return Keys(
        network=network,
        account=account,
        device_seed=device_seed,
        agreement_seed=agreement_seed,
        link_seed=rng.randbytes(32),
        slot_key=phrase.slot_key(entropy),
        genesis=genesis.encode(),
    )
