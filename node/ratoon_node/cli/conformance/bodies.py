"""Section 12: what stands in a body, kind by kind."""

from __future__ import annotations

from ratoon_node.cli.conformance.bench import Bench
from ratoon_node.cli.conformance.body_cases import BodyCase, faults, good
from ratoon_node.cli.conformance.people import Person, fresh_key, fresh_salt
from ratoon_node.cli.conformance.suite import check
from ratoon_protocol import kinds
from ratoon_protocol.kinds import Lane
from ratoon_protocol.record import Record

_REQUIREMENTS = tuple(f"R-{number}" for number in (*range(90, 99), *range(100, 115), 120))


def _record(who: Person, case: BodyCase, good_: bool) -> Record:
    """The case as a record that is right but for its body."""
    payload = who.payload(case.body)
    if kinds.kind_class(case.kind).lane is Lane.NONE:
        once = fresh_key()
        return who.bad(payload, by=once, kind=case.kind, key=once.public, seq=0)
    slot = who.slotted(case.kind, case.body) if kinds.kind_class(case.kind).slot else None
    if good_:
        return who.move_on(payload, case.kind, slot)
    return who.bad(payload, kind=case.kind, slot=slot)


@check(*_REQUIREMENTS, title="one fault in a body, and its code")
async def bad_bodies(bench: Bench) -> None:
    """Published, each is refused with the code of its fault."""
    who = await bench.resident()
    cases = list(faults(who.device.public))
    await bench.refused((c.requirement, c.name, _record(who, c, False), c.code) for c in cases)


@check(*_REQUIREMENTS, title="bodies that every node takes")
async def good_bodies(bench: Bench) -> None:
    """The least and the most of every kind are stored."""
    who = await bench.newcomer()
    cases = list(good(who.device.public))
    await bench.accepted((c.requirement, c.name, _record(who, c, True)) for c in cases)


@check("R-27", "R-90", title="slots fit salt and target")
async def wrong_slots(bench: Bench) -> None:
    """A body that names another slot than its header is refused."""
    who = await bench.resident()
    rows = []
    for case in good(who.device.public):
        if kinds.kind_class(case.kind).slot and case.name.endswith("the least"):
            record = who.bad(who.payload(case.body), kind=case.kind, slot=fresh_salt())
            rows.append(("R-27", f"{case.name}, in another slot", record, "bad_slot"))
    await bench.refused(rows)
