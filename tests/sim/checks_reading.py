"""What people could read of a store, asked in the node's own way; and what is derived from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store.rows import Row
from ratoon_node.timeline import thread, walk
from ratoon_node.timeline.visibility import Item, Viewer
from ratoon_node.timeline.walk import Cursor
from ratoon_protocol import kinds, record
from ratoon_protocol.kinds import Lane, Scope
from ratoon_protocol.status import Status
from tests.node.timeline.test_chapters import slow_look, tables
from tests.sim.machine import Machine
from tests.sim.notes import Broken

# Records on one page of a timeline.
PAGE = 100


def check_hidden(machine: Machine, rows: dict[bytes, Row], blocked: Iterable[ListEntry]) -> None:
    """Nothing that is deleted, revoked or blocked can be read. Raises `Broken`."""
    policy, now_ms = machine.node.gate.policy, machine.clock.now_ms()

    def readable(db: sqlite3.Connection) -> list[Item]:
        viewer = Viewer(db, policy, now_ms)
        ids = [id_ for id_, one in rows.items() if _scope(one) is not Scope.PRIVATE]
        asked = thread.look(db, viewer, ids)
        return [*_timeline(db, viewer), *(one for one in asked.values() if isinstance(one, Item))]

    entries = list(blocked)
    accounts = {bytes.fromhex(one.entity) for one in entries if one.subject is Subject.ACCOUNT}
    domains = [one.entity for one in entries if one.subject is Subject.DOMAIN]
    for item in machine.peek(readable):
        stored = rows[item.id]
        name = f"{machine.name}: {kinds.name(stored.kind)} {item.id.hex()[:12]}"
        shown = stored.status in (Status.LIVE, Status.SUPERSEDED)
        if not shown and kinds.kind_class(stored.kind).lane is not Lane.LOG:
            raise Broken(f"{name} is {stored.status.name.lower()}, yet can be read")
        if stored.disposition >= Verdict.HOLD or item.verdict >= Verdict.HOLD:
            raise Broken(f"{name} is refused, yet can be read")
        if item.account in accounts and kinds.kind_class(stored.kind).lane is not Lane.LOG:
            raise Broken(f"{name} is of a blocked account, yet can be read")
        text = str(item.body.get("text", ""))
        if any(f"//{domain}/" in text for domain in domains):
            raise Broken(f"{name} links to a blocked domain, yet can be read")
    for id_, stored in rows.items():
        if stored.disposition >= Verdict.WITHHOLD and stored.payload is not None:
            raise Broken(f"{machine.name}: withheld, yet kept: {id_.hex()[:12]}")


def _scope(stored: Row) -> Scope:
    return record.decode_header(stored.header).kind_class.scope


def _timeline(db: sqlite3.Connection, viewer: Viewer) -> list[Item]:
    """All of the network's timeline, page by page."""
    found: list[Item] = []
    cursor = Cursor()
    while True:
        page = walk.network(db, viewer, cursor, PAGE)
        found += page.items
        if page.next is None:
            return found
        cursor = Cursor(page.next)


def check_derived(machine: Machine) -> None:
    """Derived tables hold what a slow look at every record finds. Raises `Broken`."""
    wanted = machine.peek(lambda db: slow_look(db, machine.account))
    found = machine.peek(tables)
    for name, expected in wanted.items():
        wrong = found[name] ^ expected
        if wrong:
            raise Broken(f"{machine.name}: table {name} has or lacks {len(wrong)}: {min(wrong)}")
