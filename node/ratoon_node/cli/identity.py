"""Making accounts and changing them: what the words on paper are for.

Everything is signed on this machine; nodes only ever see records. A change is built on the last
operation of all logs that the nodes in reach hold (R-48), and its chain goes on where they say.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ratoon_client.keyfile import KeyFile, instance
from ratoon_node.cli.client import Client, Refused, Unreachable, spell_url
from ratoon_node.cli.say import Exit, fail, note
from ratoon_node.runtime import SystemClock
from ratoon_protocol import keys, kinds, phrase, record
from ratoon_protocol.author import (
    Author,
    Chain,
    Draft,
    capability_set,
    device_row,
    new_account,
)
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.identity import IdentityLog, parse_operation
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.kinds import Capability, Lane
from ratoon_protocol.limits import HOMES_MAX, NETWORK_PUBLIC, SALT_BYTES, TIPS_PER_LANE_MAX
from ratoon_protocol.operation import Device, Operation
from ratoon_protocol.record import Record

#: What a person's own device may do: everything a device can, but serve a node.
CAPABILITIES = capability_set(
    [
        Capability.WRITE,
        Capability.PROFILE,
        Capability.ERASE,
        Capability.PRIVATE,
        Capability.MODERATE,
    ]
)
# Nodes asked what they know of an account, and how long each may take: half a minute together.
REACHED_MAX = 8
REACH_TIMEOUT_S = 4.0


def now_ms() -> int:
    """The machine's time."""
    return SystemClock().now_ms()


def fresh_salt() -> bytes:
    """Sixteen random bytes."""
    return secrets.token_bytes(SALT_BYTES)


@dataclass(frozen=True)
class Seeds:
    """The private halves of a new device."""

    device: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    agreement: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def row(self, network: bytes, anchor: bytes) -> Device:
        """How an operation lists the device."""
        return device_row(
            network,
            anchor,
            SigningKey.from_seed(self.device),
            AgreementKey(self.agreement).public,
            CAPABILITIES,
        )

    def file(
        self, name: str, network: bytes, account: bytes, anchor: bytes, node: str, slot_key: bytes
    ) -> KeyFile:
        """What this machine keeps of the account."""
        return KeyFile(
            name=name,
            network=network.hex(),
            account=account.hex(),
            anchor=anchor.hex(),
            node=node,
            device_seed=self.device.hex(),
            agreement_seed=self.agreement.hex(),
            slot_key=slot_key.hex(),
            instance=instance(),
        )


@dataclass(frozen=True)
class NodeInfo:
    """What a command needs to know of a node."""

    account: bytes
    network: bytes
    #: Of the names it gives out; "" if it gives out none.
    domain: str = ""

    def handle(self, name: str) -> str:
        """The handle of a name there. Raises `CommandError` if that cannot be."""
        from ratoon_node.policy.naming import name_fault, parse_handle

        alone = name.removeprefix("@").partition("@")[0].lower()
        if not self.domain:
            fail("this node gives out no names: its operator has not said its domain")
        if "@" in name:
            fail(
                f"say the name alone: --handle {alone}; it becomes {alone}@{self.domain}",
                Exit.USAGE,
            )
        if name != alone or parse_handle(f"{name}@{self.domain}") is None:
            fail(f"{name} is no name. {name_fault(name)}", Exit.USAGE)
        return f"{name}@{self.domain}"


def ask_node(client: Client) -> NodeInfo:
    """Who answers at an address."""
    found = client.get("/v1/node")
    try:
        account = bytes.fromhex(found["account"])
        network = bytes.fromhex(found.get("network") or NETWORK_PUBLIC.hex())
    except (KeyError, TypeError, ValueError):
        raise Unreachable(f"what answers at {client.url} is not a Ratoon node") from None
    return NodeInfo(account, network, str(found.get("domain") or ""))


def create(
    name: str, node: NodeInfo, url: str, entropy: bytes, handles: Sequence[str] = ()
) -> tuple[KeyFile, Record]:
    """A new account at home on `node`: its key file, and the genesis that registers it."""
    paper = phrase.account_key(entropy)
    seeds = Seeds()
    devices = [seeds.row(node.network, paper.public)]
    draft = Draft(devices=devices, homes=[node.account], handles=list(handles))
    account, genesis = new_account(node.network, paper, draft, now_ms(), fresh_salt())
    slot_key = phrase.slot_key(entropy)
    return seeds.file(name, node.network, account, paper.public, url, slot_key), genesis


# --- what nodes know of an account -----------------------------------------------------------


@dataclass
class Known:
    """An account as all the nodes that were asked know it together."""

    account: bytes
    network: bytes
    log: IdentityLog
    records: dict[bytes, bytes] = field(default_factory=dict)
    heads: dict[tuple[bytes, Lane], set[Chain]] = field(default_factory=dict)
    #: What its owner recognises, if that is not what nodes follow now.
    base: Operation | None = None

    @property
    def head(self) -> Operation:
        """The operation to build on (R-48)."""
        if self.base is not None:
            return self.base
        assert self.log.head is not None, "checked by gather"
        return self.log.head

    @property
    def anchor(self) -> bytes:
        """The rank-0 key of the genesis, which all proofs name."""
        return self.log.path(self.head.id)[0].signer

    def path(self) -> list[bytes]:
        """The records of the log from the genesis to the head."""
        return [self.records[op.id] for op in self.log.path(self.head.id)]

    def ends(self) -> list[Operation]:
        """The last operation of every branch, the one that nodes follow first."""
        kept = self.log.kept
        built_on = {op.prev_op for op in kept}
        found = [op for op in kept if op.id not in built_on]
        return sorted(found, key=lambda op: op is not self.log.head)

    def build_on(self, id_: bytes) -> None:
        """Go on from another operation than the head. Raises `CommandError`."""
        found = [op for op in self.log.kept if op.id == id_]
        if not found:
            fail(f"no node in reach has an operation {id_.hex()} of this account")
        self.base = found[0]

    def wins(self, changed: bytes) -> bool:
        """Whether the account is what a change says once nodes have it (R-47)."""
        found = _operation(changed, self.account)
        assert found is not None, "signed here"
        self.log.add(found)
        return self.log.head == found

    def chain(self, key: bytes, lane: Lane) -> Chain | None:
        """Where a chain goes on; of several ends the highest."""
        return max(self.heads.get((key, lane), ()), default=None)

    def tips(self, key: bytes) -> dict[Lane, list[Chain]]:
        """The ends of all chains of a key, newest first, as many as an operation may name."""
        return {
            lane: sorted(found, reverse=True)[:TIPS_PER_LANE_MAX]
            for (owner, lane), found in self.heads.items()
            if owner == key
        }


def find_account(clients: Sequence[Client], paper: bytes, named: str | None = None) -> bytes:
    """The account whose paper key this is, asked at every node; `named` chooses among several.

    Raises `CommandError`.
    """
    found: set[str] = set()
    reached = 0
    last: Unreachable | None = None
    for client in clients:
        try:
            found.update(client.get("/v1/accounts", key=paper.hex())["accounts"])
            reached += 1
        except Refused as error:
            reached += error.json_code == "not_found"
        except Unreachable as error:
            last = error
    if last and not reached:
        raise last
    if not found:
        fail("no node that was asked knows an account with these words: name others with --node")
    if named is not None and named not in found:
        fail(f"these words are not for the account {named} but for {', '.join(sorted(found))}")
    if named is not None:
        return bytes.fromhex(named)
    if len(found) > 1:
        fail(
            f"these words are for several accounts: say which with --id: {', '.join(sorted(found))}"
        )
    return bytes.fromhex(found.pop())


def gather(clients: Sequence[Client], network: bytes, account: bytes) -> Known:
    """Everything that the nodes in reach know of an account's log and chains.

    Only what is signed counts: a node cannot add to the log, it can only keep things back, which
    is why every node in reach is asked. Raises `CommandError` if none has the genesis.
    """
    known = Known(account, network, IdentityLog(account, network))
    operations: list[Operation] = []
    for client in clients:
        try:
            items = client.records(f"/v1/accounts/{account.hex()}/log")
            heads = client.get(f"/v1/accounts/{account.hex()}/heads")["heads"]
        except (Unreachable, Refused) as error:
            note(str(error))
            continue
        for item in items:
            if (found := _operation(item, account)) is not None:
                operations.append(found)
                known.records[found.id] = item
        for head in heads:
            place = bytes.fromhex(head["key"]), Lane(head["lane"])
            chain = Chain(head["seq"], bytes.fromhex(head["id"]), head["created_ms"])
            known.heads.setdefault(place, set()).add(chain)
    known.log.add_all(operations)
    if known.log.head is None:
        fail("no node in reach has the account's identity log")
    if known.log.contested:
        note("this account is contested: somebody else holds one of its keys")
    return known


def _operation(data: bytes, account: bytes) -> Operation | None:
    """The operation in a record, or None if it is not one of this account, signed and valid."""
    try:
        found = record.decode_record(data)
        header = found.header
        keys.verify(header.key, found.signature, record.signed_message(found.header_bytes))
        if header.kind != kinds.IDENTITY or header.account != account or found.payload is None:
            return None
        return parse_operation(found.id, header, record.decode_payload(found.payload))
    except ProtocolError:
        return None


# --- changing it -----------------------------------------------------------------------------


def amend(known: Known, paper: SigningKey, draft: Draft) -> Record:
    """Sign `draft` with the key on paper. Raises `CommandError` if it is not the account's."""
    if all(row.key != paper.public or row.rank for row in known.head.keys):
        fail("these words are not this account's paper key")
    chain = known.chain(paper.public, Lane.LOG)
    if chain is None:
        fail("no node in reach says where the chain of the paper key is; try again")
    author = Author(known.network, known.account, paper, None, {Lane.LOG: chain})
    return author.sign(kinds.IDENTITY, draft.body(), now_ms(), fresh_salt())


def retire(known: Known, draft: Draft, devices: Iterable[bytes], stolen: bool) -> None:
    """Take devices off: all that nodes hold of them stays, or (retired) all up to now."""
    for key in devices:
        tips = known.tips(key)
        if stolen:
            draft.stolen(key, now_ms(), tips)
        else:
            draft.retire(key, now_ms(), tips.get(Lane.LOG, ()))


def add_home(draft: Draft, node: bytes, first: bool) -> None:
    """Put a node among the homes; the last gives way when there are too many."""
    others = [home for home in draft.homes if home != node]
    draft.homes = ([node, *others] if first else [*others, node])[:HOMES_MAX]


def register(client: Client, path: Sequence[bytes], invite: str | None, name: str = "") -> None:
    """Ask a node to be a home of the account whose log this is, and for a name at its domain.

    Raises `CommandError`.
    """
    body: dict[str, Any] = {"records": [base64.b64encode(item).decode() for item in path]}
    given = {"invite": invite, "name": name}
    client.send("POST", "/v1/accounts", body | {key: text for key, text in given.items() if text})


def tell(client: Client, changed: bytes) -> None:
    """Have a node that knows the account store a new operation. Raises `Refused`."""
    outcome = client.post_records("/v1/records", [changed])["records"][0]
    if outcome["code"] not in ("stored", "duplicate"):
        words = outcome.get("detail") or "the node refused the change"
        raise Refused(outcome["code"], f"{words} ({outcome['code']})", 403)


def change(client: Client, known: Known, entropy: bytes, draft: Draft) -> None:
    """Sign what the account is to be and have the node store it."""
    tell(client, amend(known, paper_of(entropy), draft).encode())


def paper_of(entropy: bytes) -> SigningKey:
    """The rank-0 key that the words spell."""
    return phrase.account_key(entropy)


def key_file(seeds: Seeds, name: str, known: Known, url: str, entropy: bytes) -> KeyFile:
    """The key file of a new device of a known account."""
    slot_key = phrase.slot_key(entropy)
    return seeds.file(name, known.network, known.account, known.anchor, url, slot_key)


def reach(first: Client, also: Sequence[str]) -> list[Client]:
    """The nodes to ask what they know: `first`, those named, and those that `first` knows.

    What one node keeps back another may have, so a change that cuts chains off asks them all.
    """
    addresses = dict.fromkeys(spell_url(address) for address in also)
    try:
        for peer in first.get("/v1/peers")["peers"][:REACHED_MAX]:
            for address in peer["addresses"][:1]:
                if address.startswith(("http://", "https://")):
                    addresses.setdefault(spell_url(address))
    except (Unreachable, Refused, KeyError, TypeError):
        note(f"{first.url} does not say which nodes it knows")
    addresses.pop(first.url, None)
    return [first, *(Client(address, timeout_s=REACH_TIMEOUT_S) for address in addresses)]
