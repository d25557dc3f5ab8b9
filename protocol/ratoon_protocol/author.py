"""The signing side: chains, slots, new accounts and the operations that change them.

Pure: the caller draws random bytes, reads the clock, keeps the keys and stores the chains. A copy
of an installation must never sign on with copied chains (R-36): it gets a new device key.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ratoon_protocol import kinds
from ratoon_protocol.bodies import check_body
from ratoon_protocol.codec import Value
from ratoon_protocol.errors import UsageError
from ratoon_protocol.keys import Context, SigningKey, signed_bytes
from ratoon_protocol.kinds import Capability, Lane, kind_class
from ratoon_protocol.limits import SALT_BYTES
from ratoon_protocol.record import (
    Body,
    Header,
    Record,
    account_id,
    encode_header,
    encode_payload,
    new_header,
    record_id,
    signed_message,
    slot_id,
)

Row = list[Value]

RETIRED = 0
STOLEN = 1


class Chain(NamedTuple):
    """The last record of one lane of a key: its seq, id (32 bytes) and created_ms."""

    seq: int
    id: bytes
    created_ms: int


def slot_salt(slot_key: bytes, kind: int, target: bytes) -> bytes:
    """The salt (16 bytes) of the slot for `target`: only the account can work it out (R-35)."""
    return hmac.digest(slot_key, kind.to_bytes(2) + target, "sha256")[:SALT_BYTES]


class Author:
    """One key of one account, and how far its chains are.

    `slot_key` (32 bytes, from the recovery phrase) is needed for kinds with a slot only.
    """

    def __init__(
        self,
        network: bytes,
        account: bytes,
        key: SigningKey,
        slot_key: bytes | None = None,
        chains: Mapping[Lane, Chain] | None = None,
    ) -> None:
        self.network = network
        self.account = account
        self.key = key
        self.chains = dict(chains or {})
        self._slot_key = slot_key

    def sign(
        self, kind: int, body: Body, now_ms: int, salt: bytes, target: bytes | None = None
    ) -> Record:
        """The next record of the kind's lane. `salt`: 16 fresh random bytes.

        For a kind with a slot `target` says whom or what the value is about; salt and target are
        put into the body here. `created_ms` is `now_ms`, or the chain's last time if that is
        later (R-34). Raises UsageError, or what `check_body` raises for a body no node takes; the
        chain then stays where it was.
        """
        class_ = kind_class(kind)
        if class_.lane is Lane.NONE:
            raise UsageError("an envelope is signed by a one-time key: see sign_envelope")
        if class_.slot != (target is not None):
            raise UsageError("a target belongs to the kinds that have a slot, and to no other")
        slot = None
        if target is not None:
            body, slot = self._slotted(kind, body, target)
        last = self.chains.get(class_.lane)
        payload = encode_payload(body, salt)
        header = new_header(
            network=self.network,
            kind=kind,
            account=self.account,
            key=self.key.public,
            seq=last.seq + 1 if last else 1,
            prev=last.id if last else None,
            created_ms=max(now_ms, last.created_ms) if last else now_ms,
            payload=payload,
            slot=slot,
        )
        record = _signed(self.key, header, payload, body)
        self.chains[class_.lane] = Chain(header.seq, record.id, header.created_ms)
        return record

    def _slotted(self, kind: int, body: Body, target: bytes) -> tuple[Body, bytes]:
        if self._slot_key is None:
            raise UsageError("a kind with a slot needs the slot key")
        salt = slot_salt(self._slot_key, kind, target)
        slot = slot_id(self.account, kind, salt, target)
        return body | {"slot_salt": salt, "target": target}, slot

    def saved_chains(self) -> dict[str, list[int | str]]:
        """The chains in a shape that JSON holds; `restored_chains` reads it."""
        return {
            lane.name.lower(): [chain.seq, chain.id.hex(), chain.created_ms]
            for lane, chain in self.chains.items()
        }


def restored_chains(saved: Mapping[str, Sequence[Value]]) -> dict[Lane, Chain]:
    """The chains that `Author.saved_chains` gave. Raises UsageError for anything else."""
    try:
        return {
            Lane[name.upper()]: Chain(int(seq), bytes.fromhex(id_), int(created_ms))
            for name, (seq, id_, created_ms) in saved.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError("these are not saved chains") from error


def sign_envelope(
    network: bytes,
    kind: int,
    recipient: bytes,
    one_time_key: SigningKey,
    body: Body,
    now_ms: int,
    salt: bytes,
) -> Record:
    """An envelope for `recipient` (account), signed by a key used for nothing else (R-120)."""
    if kind_class(kind).lane is not Lane.NONE:
        raise UsageError("not the kind of an envelope")
    payload = encode_payload(body, salt)
    header = new_header(
        network=network,
        kind=kind,
        account=recipient,
        key=one_time_key.public,
        seq=0,
        prev=None,
        created_ms=now_ms,
        payload=payload,
    )
    return _signed(one_time_key, header, payload, body)


def _signed(key: SigningKey, header: Header, payload: bytes, body: Body) -> Record:
    header_bytes = encode_header(header)
    check_body(header, body)
    signature = key.sign(signed_message(header_bytes))
    return Record(record_id(header_bytes), header, header_bytes, signature, payload)


# --- identity ------------------------------------------------------------------------------
def capability_set(capabilities: Iterable[Capability]) -> int:
    """The number that stands in a device's row."""
    found = 0
    for capability in capabilities:
        found |= 1 << capability
    return found


def account_key_row(network: bytes, anchor: bytes, rank: int, key: SigningKey) -> Row:
    """An account key as an operation lists it, with its proof of possession (R-42).

    `anchor` is the public rank-0 key of the genesis operation.
    """
    body = anchor + rank.to_bytes(1) + key.public
    return [rank, key.public, key.sign(signed_bytes(Context.ACCOUNT_KEY, network, body))]


def device_row(
    network: bytes,
    anchor: bytes,
    key: SigningKey,
    agreement: bytes,
    capabilities: int,
    held_by: bytes | None = None,
) -> Row:
    """A device as an operation lists it (R-43); made where the device's key is, then handed on.

    `agreement`: its public X25519 key; `held_by`: the node that holds the key for somebody.
    """
    body = anchor + key.public + agreement + capabilities.to_bytes(2) + (held_by or b"")
    proof = key.sign(signed_bytes(Context.DEVICE, network, body))
    return [key.public, agreement, capabilities, proof, held_by]


@dataclass
class Draft:
    """The next identity operation: what the account is to be, and whom it revokes (R-41).

    Start from the state at `prev_op` (nil for a genesis), change the lists, then sign `body()`
    with `Author.sign(kinds.IDENTITY, …)` and an account key.
    """

    prev_op: bytes | None = None
    keys: list[Row] = field(default_factory=list)
    devices: list[Row] = field(default_factory=list)
    homes: list[bytes] = field(default_factory=list)
    handles: list[str] = field(default_factory=list)
    revoked: list[Row] = field(default_factory=list)
    tips: list[Row] = field(default_factory=list)
    vanish: bool = False

    def retire(self, key: bytes, at_ms: int, deletes: Iterable[Chain] = ()) -> None:
        """Take `key` off; what it signed up to `at_ms` stays.

        Of its log lane only what is reached from `deletes` stays (R-48).
        """
        self._revoke(key, RETIRED, at_ms, {Lane.LOG: deletes})

    def stolen(self, key: bytes, at_ms: int, tips: Mapping[Lane, Iterable[Chain]]) -> None:
        """Take `key` off; only what is reached from `tips` stays, whatever its time (R-49).

        Reconcile the account with every node in reach first, so that the tips are the newest.
        """
        self._revoke(key, STOLEN, at_ms, tips)

    def _revoke(
        self, key: bytes, form: int, at_ms: int, tips: Mapping[Lane, Iterable[Chain]]
    ) -> None:
        self.keys = [row for row in self.keys if row[1] != key]
        self.devices = [row for row in self.devices if row[0] != key]
        self.revoked.append([key, form, at_ms])
        for lane, chains in tips.items():
            self.tips += [[key, int(lane), chain.seq, chain.id] for chain in chains]

    def body(self) -> Body:
        """The operation's body, rows in the order that the spec wants (R-41)."""
        body: Body = {
            "devices": sorted(self.devices, key=lambda row: bytes(row[0])),
            "handles": self.handles,
            "homes": self.homes,
            "keys": sorted(self.keys, key=lambda row: int(row[0])),
            "prev_op": self.prev_op,
            "revoked": sorted(self.revoked),
            "tips": sorted(self.tips),
        }
        return body | {"vanish": 1} if self.vanish else body


def new_account(
    network: bytes, paper: SigningKey, draft: Draft, now_ms: int, salt: bytes
) -> tuple[bytes, Record]:
    """A new account's id and genesis operation, signed by the rank-0 key (R-40).

    `draft` lists keys and devices whose proofs name `paper.public` as their anchor; the rank-0
    row is added here if it is missing. The chain of `paper` goes on after this record:
    `Chain(1, genesis.id, genesis.header.created_ms)` in `Lane.LOG`.
    """
    if all(row[1] != paper.public for row in draft.keys):
        own_row = account_key_row(network, paper.public, 0, paper)
        draft = replace(draft, keys=[own_row, *draft.keys])
    body = draft.body()
    payload = encode_payload(body, salt)
    header = new_header(
        network=network,
        kind=kinds.IDENTITY,
        account=bytes(32),
        key=paper.public,
        seq=1,
        prev=None,
        created_ms=now_ms,
        payload=payload,
    )
    account = account_id(network, header.payload_hash)
    return account, _signed(paper, header._replace(account=account), payload, body)
