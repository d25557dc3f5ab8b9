"""Section 6, the operations themselves: their shape, their proofs, and who may sign what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ratoon_node.cli.conformance.bench import Bench
from ratoon_node.cli.conformance.encoding import Case
from ratoon_node.cli.conformance.people import (
    EVERYTHING,
    WRITE,
    Person,
    fresh_key,
    fresh_salt,
    now_ms,
)
from ratoon_node.cli.conformance.suite import check
from ratoon_protocol.author import Draft, account_key_row, device_row
from ratoon_protocol.kinds import Capability
from ratoon_protocol.operation import Form, Revocation, account_key_statement

Rows = tuple[tuple[str, str, dict[str, Any], str], ...]


def _shapes(who: Person) -> Rows:
    """Changes to a good operation that leave it misshapen: requirement, case, fields, code."""
    body = Draft.after(who.head).body()
    many = [fresh_salt() * 2 for _ in range(65)]
    gone = [many[0], 1, 0]
    device, key = body["devices"][0], body["keys"][0]
    tip = [many[0], 2, 1, many[1]]
    ranks = [[rank % 8, many[rank], bytes(64)] for rank in range(9)]
    tips = [[many[0], 2, 1, id_] for id_ in many[1:18]]

    def held(capabilities: int) -> dict[str, Any]:
        return {"devices": [[*device[:2], capabilities, device[3], many[5]]]}

    return (
        *(("R-41", f"without {name}", {name: ...}, "bad_body") for name in body),
        *(("R-41", f"{name} is a number", {name: 7}, "bad_type") for name in body),
        ("R-41", "prev_op of 31 bytes", {"prev_op": bytes(31)}, "bad_length"),
        ("R-41", "vanish 0", {"vanish": 0}, "bad_body"),
        ("R-41", "no keys", {"keys": []}, "bad_operation"),
        ("R-41", "no key of rank 0", {"keys": body["keys"][1:]}, "bad_operation"),
        ("R-41", "rank 8", {"keys": [key, [8, many[0], bytes(64)]]}, "out_of_range"),
        ("R-41", "nine account keys", {"keys": ranks}, "too_many"),
        ("R-41", "two keys of one rank", {"keys": [key, [0, many[0], bytes(64)]]}, "bad_operation"),
        ("R-41", "a key row of two", {"keys": [key[:2]]}, "bad_length"),
        ("R-41", "a proof of 63 bytes", {"keys": [[*key[:2], bytes(63)]]}, "bad_length"),
        ("R-41", "33 devices", {"devices": [[k, *device[1:]] for k in many[:33]]}, "too_many"),
        ("R-41", "a device twice", {"devices": [device, device]}, "bad_operation"),
        (
            "R-41",
            "a key both account and device",
            {"devices": [[key[1], *device[1:]]]},
            "bad_operation",
        ),
        ("R-41", "nine homes", {"homes": many[:9]}, "too_many"),
        ("R-41", "a home twice", {"homes": [many[0]] * 2}, "bad_operation"),
        ("R-41", "a home of 33 bytes", {"homes": [bytes(33)]}, "bad_length"),
        ("R-41", "five handles", {"handles": [f"a@{n}.example" for n in range(5)]}, "too_many"),
        ("R-41", "a handle twice", {"handles": ["a@b"] * 2}, "bad_operation"),
        ("R-41", "a handle too long", {"handles": ["a@" + "b" * 319]}, "too_long"),
        *(
            ("R-41", f"handle {handle!r}", {"handles": [handle]}, "bad_text")
            for handle in ("a", "@b", "A@b", "a b@c", "-a@b", "a@-b", "a@b.")
        ),
        ("R-41", "65 revoked", {"revoked": [[k, 0, 0] for k in many[:65]]}, "too_many"),
        ("R-43", "a device that may sign operations", _capable(device, 1), "out_of_range"),
        ("R-43", "a device with the one-time bit", _capable(device, 128), "out_of_range"),
        ("R-43", "a bit of a later version", _capable(device, 256), "out_of_range"),
        ("R-43", "a held key that may delete", held(1 << Capability.ERASE), "out_of_range"),
        ("R-49", "a third form", {"revoked": [[many[0], 2, 0]]}, "out_of_range"),
        ("R-49", "revoked twice", {"revoked": [gone, gone]}, "bad_operation"),
        (
            "R-49",
            "revoked and listed",
            {"revoked": [[device[0], 0, 0]]},
            "bad_operation",
        ),
        ("R-50", "a tip of no revoked key", {"tips": [tip]}, "bad_operation"),
        ("R-50", "a tip twice", {"revoked": [gone], "tips": [tip, tip]}, "bad_operation"),
        ("R-50", "a tip of seq 0", _tipped(gone, [*tip[:2], 0, tip[3]]), "out_of_range"),
        ("R-50", "a tip of lane 4", _tipped(gone, [tip[0], 4, *tip[2:]]), "out_of_range"),
        ("R-50", "17 tips of one lane", {"revoked": [gone], "tips": tips}, "too_many"),
    )


def _capable(device: list[Any], capabilities: int) -> dict[str, Any]:
    return {"devices": [[*device[:2], capabilities, *device[3:]]]}


def _tipped(gone: list[Any], tip: list[Any]) -> dict[str, Any]:
    return {"revoked": [gone], "tips": [tip]}


def shape_cases(who: Person) -> Iterator[Case]:
    """Operations by paper, each with one fault of shape."""
    body = Draft.after(who.head).body()
    for requirement, case, change, code in _shapes(who):
        changed = {name: value for name, value in (body | change).items() if value is not ...}
        yield requirement, f"operation: {case}", who.spell(changed), code


def proof_cases(who: Person) -> Iterator[Case]:
    """Rows whose key did not agree."""
    network, anchor = who.network, who.paper.public
    fresh = fresh_key()
    good = account_key_row(network, anchor, 2, fresh)
    foreign = fresh.sign(account_key_statement(network, fresh_key().public, 2, fresh.public))
    device = who.row(fresh_key(), WRITE)
    for case, row in (
        ("no proof", good._replace(proof=bytes(64))),
        ("a proof for another rank", good._replace(rank=3)),
        ("a proof for another account", good._replace(proof=foreign)),
    ):
        draft = Draft.after(who.head)
        draft.keys.append(row)
        yield "R-42", f"an account key with {case}", who.operation(draft), "bad_proof"
    for case, listed in (
        ("for other capabilities", device._replace(capabilities=EVERYTHING)),
        ("for another agreement key", device._replace(agreement=fresh_salt() * 2)),
        ("for no holder", device._replace(held_by=bytes(32))),
    ):
        draft = Draft.after(who.head)
        draft.devices.append(listed)
        yield "R-42", f"a device with a proof {case}", who.operation(draft), "bad_proof"


def authority_cases(who: Person) -> Iterator[Case]:
    """Operations by keys that may not sign them; `who` has paper, a second key and a device."""
    head, stranger = who.head, fresh_key()

    def draft() -> Draft:
        return Draft.after(head)

    yield "R-44", "by a device", who.operation(draft(), who.device), "bad_operation"
    codes = frozenset({"bad_operation", "unknown_key"})
    yield "R-44", "by a key that is not listed", who.operation(draft(), stranger), codes
    paperless = draft()
    new = account_key_row(who.network, who.paper.public, 0, stranger)
    paperless.keys = [new, *[row for row in paperless.keys if row.rank]]
    paperless.revoked.append(Revocation(who.paper.public, Form.RETIRED, now_ms()))
    yield "R-44", "rank 1 replaces paper", who.operation(paperless, who.second), "bad_operation"
    itself = draft()
    itself.retire(who.second.public, now_ms())
    yield "R-44", "rank 1 takes itself off", who.operation(itself, who.second), "bad_operation"
    fewer = draft()
    fewer.devices = []
    yield "R-45", "a device drops out", who.operation(fewer), "bad_operation"
    keys = draft()
    keys.keys = keys.keys[:1]
    yield "R-45", "an account key drops out", who.operation(keys), "bad_operation"
    other = draft()
    row = device_row(
        who.network, who.paper.public, who.device, who.head.devices[0].agreement, WRITE
    )
    other.devices = [row]
    yield "R-43", "a device's capabilities change", who.operation(other), "bad_operation"
    turned = draft()
    turned.devices = []
    turned.keys.append(account_key_row(who.network, who.paper.public, 2, who.device))
    yield "R-43", "a device becomes an account key", who.operation(turned), "bad_operation"


def genesis_cases(who: Person) -> Iterator[Case]:
    """A first operation that is not this account's."""
    other = Person(who.network, who.homes)
    renamed = other.genesis.header._replace(account=who.account)
    forged = other.bad(other.genesis.payload or b"", by=other.paper, **renamed._asdict())
    yield "R-40", "another account's genesis under this name", forged, "bad_operation"
    draft = Draft.after(who.head)
    draft.prev_op = None
    again = who.operation(draft, who.second)
    codes = frozenset({"bad_operation"})
    yield "R-40", "a genesis that rank 0 did not sign", again, codes


@check("R-40", "R-41", "R-42", "R-43", "R-44", "R-45", "R-49", "R-50", title="operations")
async def operations(bench: Bench) -> None:
    """Each with one fault is refused, and the account is as it was before."""
    who = await bench.resident()
    await bench.refused(
        [
            *shape_cases(who),
            *proof_cases(who),
            *authority_cases(who),
            *genesis_cases(who),
        ]
    )
    after = who.post()
    codes = await bench.http.publish(after)
    bench.same("R-44", "the device after all of that", codes, ["stored"])


@check("R-40", "R-41", "R-42", "R-43", "R-44", "R-45", "R-46", title="operations that are right")
async def good_operations(bench: Bench) -> None:
    """New keys of all sorts are taken; their records too, as far as they may sign them."""
    who = await bench.newcomer()
    third, phone, held = fresh_key(), fresh_key(), fresh_key()
    first = Draft.after(who.head)
    first.keys.append(account_key_row(who.network, who.paper.public, 7, third))
    first.devices.append(who.row(phone, WRITE))
    first.handles = ["a_b.c-1@example.org", "x@localhost"]
    made = who.move(who.operation(first))
    second = Draft.after(who.head)
    agreement = fresh_salt() * 2
    row = device_row(who.network, who.paper.public, held, agreement, WRITE, await bench.node())
    second.devices.append(row)
    by_third = who.move(who.operation(second, third))
    last = Draft.after(who.head)
    last.retire(third.public, now_ms())
    codes = await bench.http.publish(made, by_third, who.move(who.operation(last)))
    for requirement in ("R-40", "R-41", "R-42", "R-43", "R-44", "R-45", "R-46"):
        bench.same(requirement, "three operations, one on the other", codes, ["stored"] * 3)
    posts = [who.by(key).post() for key in (phone, held)]
    codes = await bench.http.publish(*posts)
    bench.same("R-43", "posts by the new devices", codes, ["stored"] * 2)
    deleting = who.by(phone).delete(posts[0].id)
    bench.same("R-43", "a delete by one", await bench.http.publish(deleting), ["revoked"])
