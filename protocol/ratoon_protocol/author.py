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
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.kinds import Capability, Lane, kind_class
from ratoon_protocol.limits import SALT_BYTES
from ratoon_protocol.operation import (
    AccountKey,
    Device,
    Form,
    Operation,
    Revocation,
    Tip,
    account_key_statement,
    device_statement,
)
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


def account_key_row(network: bytes, anchor: bytes, rank: int, key: SigningKey) -> AccountKey:
    """An account key as an operation lists it, with its proof of possession (R-42).

    `anchor` is the public rank-0 key of the genesis operation.
    """
    statement = account_key_statement(network, anchor, rank, key.public)
    return AccountKey(rank, key.public, key.sign(statement))


def device_row(
    network: bytes,
    anchor: bytes,
    key: SigningKey,
    agreement: bytes,
    capabilities: int,
    held_by: bytes | None = None,
) -> Device:
    """A device as an operation lists it (R-42); made where the device's key is, then handed on.

    `agreement`: its public X25519 key; `held_by`: the node that holds the key for somebody.
    """
    row = Device(key.public, agreement, capabilities, b"", held_by)
    return row._replace(proof=key.sign(device_statement(network, anchor, row)))


@dataclass
class Draft:
    """The next identity operation: what the account is to be, and whom it revokes (R-41).

    Start `after` the operation to build on, or empty for a genesis; change the lists; then sign
    `body()` with `Author.sign(kinds.IDENTITY, …)` and an account key.
    """

    prev_op: bytes | None = None
    keys: list[AccountKey] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    homes: list[bytes] = field(default_factory=list)
    handles: list[str] = field(default_factory=list)
    revoked: list[Revocation] = field(default_factory=list)
    tips: list[Tip] = field(default_factory=list)
    vanish: bool = False

    @classmethod
    def after(cls, operation: Operation) -> Draft:
        """What `operation` says, to be changed. Paper builds on the last one its owner
        recognises, which need not be the head (R-48).
        """
        return cls(
            operation.id,
            list(operation.keys),
            list(operation.devices),
            list(operation.homes),
            list(operation.handles),
        )

    def retire(self, key: bytes, at_ms: int, deletes: Iterable[Chain] = ()) -> None:
        """Take `key` off; what it signed up to `at_ms` stays.

        Of its log lane only what is reached from `deletes` stays (R-49).
        """
        self._revoke(key, Form.RETIRED, at_ms, {Lane.LOG: deletes})

    def stolen(self, key: bytes, at_ms: int, tips: Mapping[Lane, Iterable[Chain]]) -> None:
        """Take `key` off; only what is reached from `tips` stays, whatever its time (R-50).

        Reconcile the account with every node in reach first, so that the tips are the newest.
        """
        self._revoke(key, Form.STOLEN, at_ms, tips)

    def _revoke(
        self, key: bytes, form: Form, at_ms: int, tips: Mapping[Lane, Iterable[Chain]]
    ) -> None:
        self.keys = [row for row in self.keys if row.key != key]
        self.devices = [row for row in self.devices if row.key != key]
        self.revoked.append(Revocation(key, form, at_ms))
        for lane, chains in tips.items():
            self.tips += [Tip(key, lane, chain.seq, chain.id) for chain in chains]

    def body(self) -> Body:
        """The operation's body; rows stand in one order, whatever order they were added in."""
        body: Body = {
            "devices": [list(row) for row in sorted(self.devices, key=lambda row: row.key)],
            "handles": self.handles,
            "homes": self.homes,
            "keys": [list(row) for row in sorted(self.keys)],
            "prev_op": self.prev_op,
            "revoked": [[key, int(form), at_ms] for key, form, at_ms in sorted(self.revoked)],
            "tips": [[key, int(lane), seq, id_] for key, lane, seq, id_ in sorted(self.tips)],
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
    if all(row.key != paper.public for row in draft.keys):
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
