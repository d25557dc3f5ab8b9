"""Random histories: anything at all, and thefts that an owner answers as clients are told to.

`python -m tests.protocol.thefts [count] [first]` searches more of them than a test run does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from ratoon_protocol import kinds
from ratoon_protocol.identity import AccountKey, Device, Form, Operation, Revocation
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import DAY_MS
from ratoon_protocol.record import Header
from ratoon_protocol.status import Status
from tests.protocol.histories import (
    DAY0_MS,
    EVERYTHING,
    WRITE,
    History,
    account_key,
    device,
    digest,
    public,
)

ACCOUNT_KEYS = ("K0", "K1", "K2", "K3")
DEVICES = ("D1", "D2", "D3")
KINDS = (kinds.POST, kinds.POST, kinds.VOTE, kinds.PROFILE, kinds.DELETE, kinds.SETTING)


# --- anything at all -----------------------------------------------------------------------
def anything(random: Random, ops_max: int = 14, records_max: int = 24) -> History:
    """Operations and records without any sense but well formed, many of them invalid."""
    history = History()
    names = ACCOUNT_KEYS[: random.randint(1, 3)]
    made = [history.genesis(names, DEVICES[: random.randint(0, 2)])]
    for _ in range(random.randint(0, records_max)):
        _any_record(history, random)
    for _ in range(random.randint(0, ops_max)):
        prev = random.choice([made[-1], made[-1], *made[-4:], made[0]])
        made.append(_any_operation(history, random, prev))
    if random.random() < 0.1:  # the same genesis payload, signed a second time
        twin = made[0]._replace(id=digest("twin", random.random()))
        history.ops[twin.id] = twin
        _any_operation(history, random, twin)
    for op in made:
        if random.random() < 0.3:
            history.headers[op.id] = _identity_header(op)
    return history


def _any_operation(history: History, random: Random, prev: Operation) -> Operation:
    signer = random.choice((*ACCOUNT_KEYS, "D1"))
    listed = [name for name in ACCOUNT_KEYS if public(name) in {row.key for row in prev.keys}]
    if random.random() < 0.9:
        signer = random.choice(listed)
    below = [*ACCOUNT_KEYS, *DEVICES]
    if random.random() < 0.9:  # what the signer may revoke, so that most of them are valid
        below = [*DEVICES, *listed[listed.index(signer) + 1 :]] if signer in listed else []
    names = random.sample(below, min(len(below), random.choice((0, 0, 1, 1, 2))))
    own = list(history.headers)
    revoke = {
        name: (Form(random.randint(0, 1)), random.sample(own, min(len(own), random.randint(0, 3))))
        for name in names
    }
    at_ms = DAY0_MS + random.randint(0, 3) * DAY_MS // 2
    op = history.op(signer, prev, revoke=revoke, at_ms=at_ms, vanish=random.random() < 0.05)
    rows = {row.key: row for row in op.keys}
    devices = {row.key: row for row in op.devices}
    if random.random() < 0.3:
        row = device(random.choice(DEVICES), random.choice((EVERYTHING, EVERYTHING, WRITE)))
        devices[row.key] = row
    if random.random() < 0.15:
        added = account_key(random.choice(ACCOUNT_KEYS), random.randint(0, 3))
        rows = {key: row for key, row in rows.items() if row.rank != added.rank}
        rows[added.key] = added
    if all(row.rank for row in rows.values()):
        rows[prev.keys[0].key] = prev.keys[0]
    history.ops[op.id] = _well_formed(op, prev, rows, devices, whole=random.random() < 0.9)
    return history.ops[op.id]


def _well_formed(
    op: Operation,
    prev: Operation,
    rows: dict[bytes, AccountKey],
    devices: dict[bytes, Device],
    whole: bool,
) -> Operation:
    """Each key in one place; if `whole`, what was pushed out is revoked."""
    devices = {key: row for key, row in devices.items() if key not in rows}
    listed = rows.keys() | devices.keys()
    revoked = {row.key: row for row in op.revoked if row.key not in listed}
    if whole:
        for key in sorted(_listed(prev) - listed - revoked.keys()):
            revoked[key] = Revocation(key, Form.RETIRED, op.created_ms)
    return op._replace(
        keys=tuple(sorted(rows.values())),
        devices=tuple(devices.values()),
        revoked=tuple(revoked.values()),
        tips=tuple({tip.id: tip for tip in op.tips if tip.key in revoked}.values()),
    )


def _identity_header(op: Operation) -> Header:
    seq = 2 if op.prev_op else 1
    return Header(
        0, bytes(8), kinds.IDENTITY, op.account, op.signer, seq, op.prev_op, op.created_ms,
        None, 64, op.id,
    )  # fmt: skip


def _any_record(history: History, random: Random) -> None:
    key = random.choice((*DEVICES, "D1", "D1", "K1"))
    kind = random.choice(KINDS)
    lane = kinds.kind_class(kind).lane
    before = [
        one
        for one, header in history.headers.items()
        if random.random() < 0.1 or (header.key == public(key) and header.kind_class.lane is lane)
    ]
    prev = random.choice([*before[-4:], *before[-1:], None])
    seq = None
    if random.random() < 0.1:
        prev, seq = digest("nowhere"), random.randint(2, 5)
    elif random.random() < 0.1 and prev:
        seq = random.randint(2, 4)
    slot = random.choice("ab") if kinds.kind_class(kind).slot else None
    at_ms = DAY0_MS + random.randint(0, 3) * DAY_MS // 2
    if prev in history.headers and random.random() < 0.8:
        at_ms = max(at_ms, history.headers[prev].created_ms)
    made = history.record(key, prev, kind=kind, at_ms=at_ms, seq=seq, slot=slot)
    if kind == kinds.DELETE:
        ids = list(history.headers)
        history.deletes[made] = random.sample(ids, min(len(ids), random.randint(1, 3)))


# --- thefts --------------------------------------------------------------------------------
@dataclass
class Theft:
    """What was signed by whom, and what must hold of it."""

    history: History
    head: Operation
    owners: list[bytes] = field(default_factory=list)
    deleted: set[bytes] = field(default_factory=set)  # by the owner
    thiefs: list[bytes] = field(default_factory=list)
    last: dict[tuple[str, Lane], bytes] = field(default_factory=dict)  # the owner's tips


def theft(random: Random) -> Theft:
    """A thief with D1, with account keys or with both; a better key of the owner answers."""
    history = History()
    genesis = history.genesis(("K0", "K1", "K2"), ("D1", "D2"))
    story = Theft(history, genesis)
    for _ in range(random.randint(0, 2)):
        signer = random.choice(("K0", "K1", "K2"))
        name = f"D{len(story.head.devices) + 1}"
        story.head = history.op(signer, story.head, add=[name])
    stolen = random.choice(((), ("K1",), ("K2",), ("K1", "K2")))
    device_too = not stolen or random.random() < 0.5
    for _ in range(random.randint(3, 14)):
        if random.random() < 0.5:
            _owner_signs(story, random)
        elif device_too:
            _thief_signs(story, "D1", random)
    branches = list(history.ops.values())
    for _ in range(random.randint(1, 5)):
        _thief_operates(story, random.choice(stolen or ("D1",)), branches, random)
    for _ in range(random.randint(0, 3)):
        _thief_signs(story, "TD", random)
    better = ("K0", "K1", "K2")[: 1 if "K1" in stolen else 2 if stolen else 3]
    _owner_answers(story, random.choice(better), stolen, device_too)
    for _ in range(random.randint(0, 4)):
        _thief_operates(story, random.choice(stolen or ("D1",)), [*branches, story.head], random)
        if device_too:
            _thief_signs(story, "D1", random)
    return story


def _owner_signs(story: Theft, random: Random) -> None:
    """The next of a chain, never dated before the last, as clients do."""
    history = story.history
    key = random.choice(("D1", "D2"))
    kind = random.choice((kinds.POST, kinds.POST, kinds.PROFILE, kinds.DELETE))
    lane = kinds.kind_class(kind).lane
    prev = story.last.get((key, lane))
    at_ms = history.headers[prev].created_ms if prev else DAY0_MS
    slot = "profile" if kind == kinds.PROFILE else None
    made = history.record(
        key, prev, kind=kind, slot=slot, at_ms=at_ms + random.randint(0, 2) * DAY_MS // 3
    )
    if kind == kinds.DELETE:
        known = story.owners + story.thiefs
        history.deletes[made] = random.sample(known, min(len(known), random.randint(0, 2)))
        story.deleted |= {
            one
            for one in history.deletes[made]
            if history.headers[one].kind_class.lane is not Lane.LOG
        }
    story.last[key, lane] = made
    story.owners.append(made)


def _thief_signs(story: Theft, key: str, random: Random) -> None:
    """Forks, backdates, hangs on unknown records, takes slots, deletes."""
    history = story.history
    kind = random.choice((kinds.POST, kinds.PROFILE, kinds.DELETE))
    of_key = [one for one, header in history.headers.items() if header.key == public(key)]
    prev = random.choice([*of_key, digest("nowhere"), None])
    seq = random.randint(2, 6) if prev not in history.headers and prev else None
    if prev in history.headers and random.random() < 0.3:
        seq = random.randint(2, 6)
    at_ms = DAY0_MS + random.randint(0, 6) * DAY_MS // 3
    slot = "profile" if kind == kinds.PROFILE else None
    made = history.record(key, prev, kind=kind, at_ms=at_ms, seq=seq, slot=slot)
    if kind == kinds.DELETE and story.owners:
        history.deletes[made] = random.sample(story.owners, 1)
    story.thiefs.append(made)


def _thief_operates(story: Theft, signer: str, branches: list[Operation], random: Random) -> None:
    history = story.history
    prev = random.choice(branches)
    names = [
        name for name in ("D1", "D2", "K2") if public(name) in {*_listed(prev)} and name != signer
    ]
    revoke = {name: (Form.STOLEN, ()) for name in names if random.random() < 0.5}
    add = ["TD"] if public("TD") not in _listed(prev) and random.random() < 0.6 else []
    branches.append(history.op(signer, prev, revoke=revoke, add=add, vanish=random.random() < 0.15))


def _listed(op: Operation) -> set[bytes]:
    return {row.key for row in op.keys} | {row.key for row in op.devices}


def _owner_answers(story: Theft, signer: str, stolen: tuple[str, ...], device_too: bool) -> None:
    """A better key builds on the last operation that the owner recognises."""
    revoke: dict[str, tuple[Form, list[bytes]]] = {name: (Form.STOLEN, []) for name in stolen}
    if device_too:
        tips = [tip for (key, _), tip in story.last.items() if key == "D1"]
        revoke["D1"] = (Form.STOLEN, tips)
    story.head = story.history.op(signer, story.head, revoke=revoke)


def check(story: Theft, found: dict[bytes, Status]) -> None:
    """Exactly the owner's records count, but for what the owner deleted or replaced."""
    headers = story.history.headers
    for one in story.thiefs:
        expected = Status.GONE if one in story.deleted else Status.REVOKED
        known = headers[one].key != public("TD") or found[one] is not Status.UNPROVEN
        assert found[one] is (expected if known else Status.UNPROVEN)
    profiles = [one for one in story.owners if headers[one].kind == kinds.PROFILE]
    current = max(profiles, key=lambda one: (headers[one].created_ms, one), default=None)
    for one in story.owners:
        if one in story.deleted:
            assert found[one] is Status.GONE
        elif headers[one].kind == kinds.PROFILE and one != current:
            assert found[one] is Status.SUPERSEDED
        else:
            assert found[one] is Status.LIVE


def search(first: int, count: int, orders: int = 2) -> Iterator[int]:
    """Judge `count` thefts, each in several orders of arrival; gives the seeds that passed."""
    for seed in range(first, first + count):
        random = Random(seed)
        story = theft(random)
        for _ in range(orders):
            ops = list(story.history.ops.values())
            log = story.history.arrive(random.sample(ops, len(ops)), proven=True)
            assert log.head == story.head, f"seed {seed}"
            assert all(op.signer != public("D1") for op in log.kept), f"seed {seed}"
            ids = list(story.history.headers)
            check(story, story.history.judge(log, random.sample(ids, len(ids))))
        yield seed


if __name__ == "__main__":
    count, first = (int(one) for one in [*sys.argv[1:], *("100000", "0")[len(sys.argv) - 1 :]])
    print(sum(1 for _ in search(first, count)), "histories, all safe")
