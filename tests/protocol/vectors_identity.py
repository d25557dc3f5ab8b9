"""Makes the vectors of identity and status; what is expected comes from the naive twin.

Each case is a history turned into signed records. A reader takes the records in any order: the
answer may not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from ratoon_protocol.identity import AccountKey, Form, Operation, account_key_statement
from ratoon_protocol.kinds import Capability
from ratoon_protocol.record import Body, Header
from tests.protocol import naive_account
from tests.protocol.histories import (
    ACCOUNT,
    DAY0_MS,
    NETWORK,
    WRITE,
    History,
    account_key,
    device,
    digest,
    public,
    signing_key,
)
from tests.protocol.signed_histories import Signed, signed, signed_operation
from tests.protocol.thefts import anything

Case = dict[str, Any]
RETIRED, STOLEN = Form.RETIRED, Form.STOLEN


# --- the shape of one operation ------------------------------------------------------------
def body_of(**change: Any) -> Body:
    bare: Body = {
        "devices": [list(device("D1"))],
        "handles": ["ann@example.org"],
        "homes": [digest("home")],
        "keys": [list(account_key("K0", 0)), list(account_key("K1", 1))],
        "prev_op": digest("before"),
        "revoked": [[public("D2"), 1, DAY0_MS]],
        "tips": [[public("D2"), 2, 5, digest("tip")]],
    }
    return {name: value for name, value in (bare | change).items() if value is not ...}


def header_of(signer: str = "K0", account: bytes = ACCOUNT, kind: int = kinds.IDENTITY) -> Header:
    return Header(
        0, NETWORK, kind, account, public(signer), 1, None, DAY0_MS, None, 64, digest("payload")
    )


def device_rows(**change: Any) -> list[list[Any]]:
    return [list(device("D1")._replace(**change))]


KEYS = [list(account_key(f"K{rank}", rank)) for rank in range(8)]
ROW = list(account_key("K0", 0))
TIP = [public("D2"), 2, 5, digest("tip")]
REVOKED = [public("D2"), 1, DAY0_MS]

SHAPES: list[tuple[dict[str, Any], Code]] = [
    *(({name: ...}, Code.BAD_BODY) for name in body_of()),
    *(({name: 7}, Code.BAD_TYPE) for name in body_of()),
    ({"prev_op": bytes(31)}, Code.BAD_LENGTH),
    ({"vanish": 0}, Code.BAD_BODY),
    ({"vanish": None}, Code.BAD_BODY),
    ({"keys": [7]}, Code.BAD_TYPE),
    ({"keys": [ROW[:2]]}, Code.BAD_LENGTH),
    ({"keys": [["0", *ROW[1:]]]}, Code.BAD_TYPE),
    ({"keys": [[8, *ROW[1:]]]}, Code.OUT_OF_RANGE),
    ({"keys": [[0, "key", ROW[2]]]}, Code.BAD_TYPE),
    ({"keys": [[0, bytes(31), ROW[2]]]}, Code.BAD_LENGTH),
    ({"keys": [[0, ROW[1], bytes(63)]]}, Code.BAD_LENGTH),
    ({"keys": [*KEYS, KEYS[0]]}, Code.TOO_MANY),
    ({"keys": []}, Code.BAD_OPERATION),
    ({"keys": KEYS[1:]}, Code.BAD_OPERATION),
    ({"keys": [KEYS[0], list(account_key("K1", 0))]}, Code.BAD_OPERATION),
    ({"keys": [KEYS[0], list(account_key("K0", 1))]}, Code.BAD_OPERATION),
    ({"keys": [KEYS[0], list(account_key("D1", 1))]}, Code.BAD_OPERATION),
    ({"keys": [KEYS[0], list(account_key("D2", 1))]}, Code.BAD_OPERATION),
    ({"devices": device_rows() * 33}, Code.TOO_MANY),
    ({"devices": device_rows() * 2}, Code.BAD_OPERATION),
    ({"devices": device_rows(key=public("D2"))}, Code.BAD_OPERATION),
    ({"devices": device_rows(capabilities=1 << Capability.ACCOUNT)}, Code.OUT_OF_RANGE),
    ({"devices": device_rows(capabilities=1 << Capability.NONE)}, Code.OUT_OF_RANGE),
    ({"devices": device_rows(held_by=bytes(31))}, Code.BAD_LENGTH),
    ({"devices": device_rows(held_by=bytes(32))}, Code.OUT_OF_RANGE),  # may do more than write
    ({"homes": [bytes(33)]}, Code.BAD_LENGTH),
    ({"homes": [digest(number) for number in range(9)]}, Code.TOO_MANY),
    ({"homes": [bytes(32)] * 2}, Code.BAD_OPERATION),
    ({"handles": [b"ann@example.org"]}, Code.BAD_TYPE),
    ({"handles": ["a" * 320 + "@b"]}, Code.TOO_LONG),
    ({"handles": ["ann"]}, Code.BAD_TEXT),
    ({"handles": ["Ann@example.org"]}, Code.BAD_TEXT),
    ({"handles": ["ann@example.org"] * 2}, Code.BAD_OPERATION),
    ({"revoked": [REVOKED[:2]]}, Code.BAD_LENGTH),
    ({"revoked": [[public("D2"), 2, 0]]}, Code.OUT_OF_RANGE),
    ({"revoked": [[public("D2"), 0, None]]}, Code.BAD_TYPE),
    ({"revoked": [REVOKED, REVOKED]}, Code.BAD_OPERATION),
    ({"revoked": [[public("D1"), 0, 0], REVOKED]}, Code.BAD_OPERATION),  # listed too
    ({"revoked": []}, Code.BAD_OPERATION),  # the tip's key is not revoked
    ({"tips": [[*TIP[:1], 4, *TIP[2:]]]}, Code.OUT_OF_RANGE),
    ({"tips": [[*TIP[:2], 0, TIP[3]]]}, Code.OUT_OF_RANGE),
    ({"tips": [TIP, TIP]}, Code.BAD_OPERATION),
    ({"tips": [[*TIP[:3], digest(number)] for number in range(17)]}, Code.TOO_MANY),
]


# --- the place of an operation -------------------------------------------------------------
def three_keys() -> tuple[History, Operation]:
    history = History()
    return history, history.genesis(("K0", "K1", "K2"))


Build = Callable[[History, Operation], Operation]

FORBIDDEN: dict[str, Build] = {
    "signed by a device": lambda h, g: h.op("D1", g),
    "signed by a stranger": lambda h, g: h.op("T", g, add_keys={"T": 3}),
    "a lower key changes a better one": lambda h, g: h.op(
        "K2", g, revoke={"K1": (RETIRED, [])}, add_keys={"T": 1}
    ),
    "a lower key replaces itself": lambda h, g: h.op("K1", g, revoke={"K1": (RETIRED, [])}),
    "a lower key adds one above itself": lambda h, g: h.op(
        "K2", h.op("K0", g, revoke={"K1": (RETIRED, [])}), add_keys={"T": 1}
    ),
    "a key drops out": lambda h, g: g._replace(
        id=digest("x"), prev_op=g.id, devices=(), signer=public("K0")
    ),
    "an account key drops out": lambda h, g: g._replace(
        id=digest("x"), prev_op=g.id, keys=g.keys[:2], signer=public("K0")
    ),
    "builds on a vanish": lambda h, g: h.op("K0", h.op("K1", g, vanish=True)),
    "capabilities change": lambda h, g: g._replace(
        id=digest("x"), prev_op=g.id, devices=(device("D1", WRITE),), signer=public("K0")
    ),
    "capabilities change after a revocation": lambda h, g: h.op(
        "K0", h.op("K1", g, revoke={"D1": (RETIRED, [])}), add=[device("D1", WRITE)]
    ),
    "a device becomes an account key": lambda h, g: h.op(
        "K0", g._replace(devices=()), add_keys={"D1": 3}
    ),
    "an account key becomes a device": lambda h, g: h.op(
        "K0", h.op("K1", g, revoke={"K2": (RETIRED, [])}), add=["K2"]
    ),
    "the same rank lists again": lambda h, g: h.op(
        "K0", h.op("K0", g, revoke={"D1": (STOLEN, [])}), add=["D1"]
    ),
    "a worse rank revokes more": lambda h, g: h.op(
        "K2", h.op("K1", g, revoke={"D1": (RETIRED, [])}), revoke={"D1": (STOLEN, [])}
    ),
}


ALLOWED: dict[str, Build] = {
    "paper replaces itself": lambda h, g: h.op(
        "K0", g, revoke={"K0": (RETIRED, [])}, add_keys={"K9": 0}
    ),
    "paper moves a key": lambda h, g: h.op(
        "K0", g, revoke={"K2": (RETIRED, [])}, add_keys={"K3": 2}
    ),
    "a key adds one below itself": lambda h, g: h.op("K1", g, add_keys={"K3": 3}),
    "the lowest key vanishes the account": lambda h, g: h.op("K2", g, vanish=True),
    "the same rank revokes more": lambda h, g: h.op(
        "K1", h.op("K1", g, revoke={"D1": (RETIRED, [])}), revoke={"D1": (STOLEN, [])}
    ),
    "a better rank lists again": lambda h, g: h.op(
        "K1", h.op("K2", g, revoke={"D1": (RETIRED, [])}), add=["D1"]
    ),
    "names a key that was never listed": lambda h, g: h.op("K2", g, revoke={"D7": (STOLEN, [])}),
}


# --- proofs --------------------------------------------------------------------------------
def other_anchor(row: AccountKey) -> AccountKey:
    """The row with a proof made for another account."""
    statement = account_key_statement(NETWORK, public("T"), row.rank, row.key)
    return row._replace(proof=signing_key("K0").sign(statement))


UNPROVEN: dict[str, dict[str, Any]] = {
    "no proof": {"keys": (account_key("K0", 0)._replace(proof=bytes(64)),)},
    "a proof for another account": {"keys": (other_anchor(account_key("K0", 0)),)},
    "a proof for another rank": {
        "keys": (account_key("K0", 0), account_key("K1", 1)._replace(rank=2))
    },
    "a key of small order": {"keys": (account_key("K0", 0), AccountKey(1, bytes(32), bytes(64)))},
    "a device's proof for other capabilities": {
        "devices": (device("D1")._replace(capabilities=WRITE),)
    },
    "a device's proof for another agreement key": {
        "devices": (device("D1")._replace(agreement=bytes(32)),)
    },
    "a device's proof for no holder": {
        "devices": (device("D1", WRITE)._replace(held_by=bytes(32)),)
    },
}


# --- identity.json -------------------------------------------------------------------------
def _drawn() -> History:
    history = History()
    genesis = history.genesis()
    for name in ("D2", "D3"):
        history.op("K1", genesis, add=[name])
    return history


def _thief_vanishes() -> History:
    history = History()
    genesis = history.genesis()
    history.op("K1", genesis, vanish=True)
    history.op("K0", genesis, revoke={"K1": (STOLEN, [])})
    return history


def _admitted() -> History:
    """A key that the fork point does not list counts as the one that admitted it."""
    history = History()
    genesis = history.genesis(("K0", "K1", "K2"))
    low = history.op("K2", genesis, add_keys={"K3": 3})
    history.op("K3", low, add=["D2"])
    history.op("K1", genesis, add=["D3"])
    return history


def _nine_siblings() -> History:
    """Paper speaks below the sibling that would be cut by its id."""
    history = History()
    genesis = history.genesis()
    for number in range(9):
        history.op("K1", genesis, add=[f"T{number}"])
    ids = signed(history).ids
    last = max((op for op in history.ops.values() if op.prev_op), key=lambda op: ids[op.id])
    history.op("K0", last, revoke={"K1": (STOLEN, [])})
    return history


def _two_geneses() -> History:
    history = History()
    genesis = history.genesis()
    twin = genesis._replace(id=digest("twin"))
    history.ops[twin.id] = twin
    return history


HISTORIES: dict[str, tuple[str, Callable[[], History]]] = {
    "two holders of one key": ("R-47", _drawn),
    "paper undoes a vanish": ("R-47", _thief_vanishes),
    "a key counts as the one that admitted it": ("R-47", _admitted),
    "nine siblings": ("R-48", _nine_siblings),
    "two genesis records of one payload": ("R-40", _two_geneses),
}


def _allowed(name: str) -> History:
    history, genesis = three_keys()
    ALLOWED[name](history, genesis)
    return history


def _tree(name: str, requirement: str, history: History) -> Case:
    made = signed(history)
    naive = naive_account.Identity(made.ops)
    return {
        "name": name,
        "requirement": requirement,
        "account": made.account.hex(),
        "records": [made.records[one].hex() for one in made.ops],
        "head": naive.head.hex() if naive.head else None,
        "kept": sorted(one.hex() for one in naive.kept),
        "contested": naive.contested(),
        "expect": "ok",
    }


def _refused(name: str, requirement: str, made: Signed, record: bytes, code: Code) -> Case:
    return {
        "name": name,
        "requirement": requirement,
        "account": made.account.hex(),
        "before": [made.records[one].hex() for one in made.ops],
        "record": record.hex(),
        "expect": code.value,
    }


def _misshapen() -> Iterator[Case]:
    history, _ = three_keys()
    made = signed(history)
    for number, (change, code) in enumerate(SHAPES):
        body = body_of(**change)
        record = signed_operation(made.account, "K0", body, DAY0_MS + 1)
        yield _refused(f"shape {number}: {', '.join(change)}", "R-41", made, record.encode(), code)


def _misplaced() -> Iterator[Case]:
    for name, build in FORBIDDEN.items():
        history, genesis = three_keys()
        op = build(history, genesis)
        history.ops[op.id] = op
        whole = signed(history)
        before = {one: kept for one, kept in history.ops.items() if one != op.id}
        made = signed(History(ops=before))
        record = whole.records[whole.ids[op.id]]
        yield _refused(name, "R-46", made, record, Code.BAD_OPERATION)


def _unproven() -> Iterator[Case]:
    for name, change in UNPROVEN.items():
        history = History()
        genesis = history.genesis()._replace(**change)
        made = signed(History(ops={genesis.id: genesis}))
        record = made.records[made.ids[genesis.id]]
        yield _refused(name, "R-42", made._replace(ops={}), record, Code.BAD_PROOF)


def identity() -> dict[str, Any]:
    """identity.json: trees of operations, and operations that are refused at their place."""
    valid = [_tree(name, about, build()) for name, (about, build) in HISTORIES.items()]
    valid += [_tree(name, "R-46", _allowed(name)) for name in ALLOWED]
    valid += [
        _tree(f"random {seed}", "R-47", anything(Random(seed), records_max=3)) for seed in range(16)
    ]
    return {
        "how": "valid: offer the records in any order, each with its path, some may be invalid; "
        "invalid: the last one after those before it",
        "network": NETWORK.hex(),
        "valid": valid,
        "invalid": [*_misshapen(), *_misplaced(), *_unproven()],
    }


# --- status.json ---------------------------------------------------------------------------
def _stolen(history: History) -> None:
    genesis = history.genesis()
    mine = history.chain("D1", 3)
    history.chain("D1", 2, prev=mine[0])
    history.record("D1", digest("nowhere"), seq=4)
    history.op("K1", genesis, revoke={"D1": (STOLEN, [mine[-1]])})


def _retired(history: History) -> None:
    genesis = history.genesis()
    post, unwanted = history.chain("D1", 2)
    mine = history.delete("D1", [unwanted])
    history.record("D1", post)
    history.record("D1", unwanted, at_ms=DAY0_MS + 2)
    history.delete("D1", [post], prev=mine)
    history.op("K1", genesis, revoke={"D1": (RETIRED, [mine])}, at_ms=DAY0_MS + 1)


def _vote_of_a_thief(history: History) -> None:
    genesis = history.genesis()
    mine = history.record("D1", kind=kinds.VOTE, slot="poll")
    other = history.record("D1", mine, kind=kinds.VOTE, slot="poll", at_ms=DAY0_MS + 1)
    delete = history.delete("D1", [other])
    history.op("K1", genesis, revoke={"D1": (STOLEN, [mine, delete])})


def _vanished(history: History) -> None:
    genesis = history.genesis()
    post = history.record("D1")
    history.delete("D1", [post])
    history.record("D9")
    history.op("K1", genesis, vanish=True)


def _lost_branch(history: History) -> None:
    genesis = history.genesis()
    history.record("D1")
    history.record("TD")
    history.record("D9")
    history.op("K1", genesis, add=["TD"])
    history.op("K0", genesis)


def _slots(history: History) -> None:
    history.genesis()
    old = history.record("D1", kind=kinds.PROFILE, slot="a")
    new = history.record("D1", old, kind=kinds.PROFILE, slot="a", at_ms=DAY0_MS + 1)
    history.delete("D1", [new])


def _newer_before_older(history: History) -> None:
    genesis = history.genesis()
    newer = history.record("D1", at_ms=DAY0_MS + 1)
    tip = history.record("D1", newer, at_ms=DAY0_MS)
    history.op("K1", genesis, revoke={"D1": (STOLEN, [tip])})


def _revoked_twice(history: History) -> None:
    genesis = history.genesis()
    mine = history.chain("D1", 3)
    first = history.op("K1", genesis, revoke={"D1": (STOLEN, [mine[1]])})
    history.op("K1", first, revoke={"D1": (STOLEN, [mine[2]])})


def _capability(history: History) -> None:
    genesis = history.genesis(devices=[])
    post = history.record("D1")
    history.delete("D1", [post])
    history.record("K1")
    history.op("K1", genesis, add=[device("D1", WRITE)])


STORIES: dict[str, tuple[str, Callable[[History], None]]] = {
    "stolen with a tip": ("R-50", _stolen),
    "retired": ("R-49", _retired),
    "a thief's value of a slot": ("R-57", _vote_of_a_thief),
    "vanished": ("R-83", _vanished),
    "listed in a branch that lost, or nowhere": ("R-54", _lost_branch),
    "an older value does not come back": ("R-57", _slots),
    "a tip whose prev is newer": ("R-55", _newer_before_older),
    "one rank revokes more": ("R-51", _revoked_twice),
    "without the capability": ("R-54", _capability),
}


def _statuses(name: str, requirement: str, history: History) -> Case:
    made = signed(history)
    found = naive_account.statuses(made.ops, made.headers, made.deletes)
    return {
        "name": name,
        "requirement": requirement,
        "account": made.account.hex(),
        "records": [record.hex() for record in made.records.values()],
        "status": {one.hex(): status.name.lower() for one, status in sorted(found.items())},
        "expect": "ok",
    }


def status() -> dict[str, Any]:
    """status.json: all records held of one account, and the status of each."""
    valid = []
    for name, (requirement, tell) in STORIES.items():
        history = History()
        tell(history)
        valid.append(_statuses(name, requirement, history))
    for seed in range(100, 116):
        history = anything(Random(seed), ops_max=8, records_max=12)
        valid.append(_statuses(f"random {seed}", "R-53", history))
    return {
        "how": "hold all records, in any order; the payloads of identity records and deletes count",
        "network": NETWORK.hex(),
        "valid": valid,
        "invalid": [],
    }
