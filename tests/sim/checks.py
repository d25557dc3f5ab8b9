"""What must be true of every world, whatever happened in it; knows notes and stores alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from ratoon_node.policy.lists import Subject
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import read
from ratoon_node.store.rows import COLUMNS, Bytes, Row, row
from ratoon_protocol import kinds, record
from ratoon_protocol.errors import Code, ProtocolError
from ratoon_protocol.identity import IdentityLog, parse_operation
from ratoon_protocol.kinds import Lane, Scope
from ratoon_protocol.record import Header
from ratoon_protocol.status import Status, judge
from tests.sim import checks_reading as reading
from tests.sim.machine import Machine
from tests.sim.notes import Broken, Notes, Promise


def check_all(machines: Sequence[Machine], notes: Notes) -> None:
    """Everything that can be checked once the world is quiet. Raises `Broken`."""
    left = [machine for machine in machines if not machine.destroyed]
    seen = {machine.name: _rows(machine) for machine in left}
    for machine in left:
        _check_status(machine, seen[machine.name])
    _check_one_head(left)
    _check_same(left, seen)
    _check_promises(machines, seen, notes)
    _check_thefts(seen, notes)
    _check_erased(left, seen, notes)
    _check_receipts(machines, seen, notes)
    for machine in left:
        _check_sound(machine, seen[machine.name])
        reading.check_hidden(machine, seen[machine.name], notes.blocked.get(machine.name, ()))
    reading.check_derived(left[-1])


def _check_sound(machine: Machine, rows: dict[bytes, Row]) -> None:
    """What disks changed has been mended or is at least known to be missing."""
    for id_, stored in rows.items():
        if not _is_sound(stored):
            raise Broken(f"{machine.name}: damaged on disk: {_named(id_, stored)}")


def _is_sound(stored: Row) -> bool:
    if record.record_id(stored.header) != stored.id:
        return False
    try:
        if stored.payload is not None:
            record.check_payload_fits(_header(stored), stored.payload)
    except ProtocolError:
        return False
    return True


def _rows(machine: Machine) -> dict[bytes, Row]:
    found = machine.peek(lambda db: db.execute(f"SELECT {COLUMNS} FROM record").fetchall())
    return {stored.id: stored for stored in map(row, found)}


def _header(stored: Row) -> Header:
    return record.decode_header(stored.header)


def _named(id_: bytes, stored: Row | None) -> str:
    if stored is None:
        return f"{id_.hex()[:12]} (not here)"
    return (
        f"{kinds.name(stored.kind)} {id_.hex()[:12]} seq {stored.seq}"
        f" {stored.status.name.lower()} bytes {stored.bytes_state.name.lower()}"
    )


# --- equal views ---------------------------------------------------------------------------


def difference(machines: Sequence[Machine], notes: Notes | None = None) -> str:
    """In what nodes that are up differ, in words; "" when their sets are equal and whole."""
    notes = notes or Notes()
    up = [machine for machine in machines if not machine.destroyed]
    first = up[0].node.sets.state()
    for machine in up:
        state = machine.node.sets.state()
        if state != first:
            return f"{up[0].name} {_counts(first)}, {machine.name} {_counts(state)}"
    for machine in up:
        for _, id_ in machine.peek(lambda db: read.wanted(db, 2**53, 0, 1000)):
            one = partial(read.by_id, id_=id_)
            rows = {other.name: other.peek(one) for other in up}
            if any(_gives(name, held, notes, machine.name) for name, held in rows.items()):
                holds = ", ".join(f"{name} {_named(id_, held)}" for name, held in rows.items())
                return f"{machine.name} wants bytes: {holds}"
        if machine.peek(read.unjudged):
            return f"{machine.name} is still judging"
        behind = machine.peek(read.journal_end) - machine.node.digest.position
        if behind:
            return f"{machine.name}: the digest is {behind} lines behind"
    return _private_difference(up) or _rot(up, notes)


def _rot(up: Sequence[Machine], notes: Notes) -> str:
    """What the scrubber has not found yet."""
    for machine in up:
        rows = _rows(machine) if machine.name in notes.rotten else {}
        for id_ in notes.rotten.get(machine.name, ()):
            if id_ in rows and not _is_sound(rows[id_]):
                return f"{machine.name} still has damaged {_named(id_, rows[id_])}"
    return ""


def _private_difference(up: Sequence[Machine]) -> str:
    """Homes of one account hold the same private records of it."""
    by_account: dict[bytes, tuple[str, set[bytes]]] = {}
    for machine in up:
        held = _private(machine)
        mine_of = partial(read.hosted, node=machine.account, after=b"", limit=1000)
        for account in machine.peek(mine_of):
            mine = held.get(account, set())
            name, theirs = by_account.setdefault(account, (machine.name, mine))
            if mine != theirs:
                return f"{name} and {machine.name} hold other private records of one account"
    return ""


def _private(machine: Machine) -> dict[bytes, set[bytes]]:
    found: dict[bytes, set[bytes]] = {}
    private = f"SELECT id, header FROM record WHERE kind % 8 >= {int(Lane.SELF)}"
    for id_, header in machine.peek(lambda db: db.execute(private).fetchall()):
        found.setdefault(record.decode_header(header).account, set()).add(id_)
    return found


def _counts(state: dict[Scope, tuple[int, bytes]]) -> str:
    return " ".join(
        f"{scope.name.lower()} {count} {print_.hex()[:6]}"
        for scope, (count, print_) in state.items()
    )


def _check_same(left: Sequence[Machine], seen: dict[str, dict[bytes, Row]]) -> None:
    """What the sets say equal is equal in the stores: same public headers, same status."""
    views = {
        name: {
            id_: stored.status
            for id_, stored in rows.items()
            if kinds.kind_class(stored.kind).lane < Lane.SELF
            # In no set: kept only until the operation that proves it is back.
            and stored.status is not Status.UNPROVEN
        }
        for name, rows in seen.items()
    }
    first = left[0].name
    for name, view in views.items():
        for id_ in sorted(view.keys() | views[first].keys()):
            if view.get(id_) != views[first].get(id_):
                one, other = seen[first].get(id_), seen[name].get(id_)
                raise Broken(f"{first}: {_named(id_, one)}; {name}: {_named(id_, other)}")


# --- status --------------------------------------------------------------------------------


def _check_status(machine: Machine, rows: dict[bytes, Row]) -> None:
    """Every stored status is the one that the whole account, judged at once, gives."""
    headers: dict[bytes, dict[bytes, Header]] = {}
    for id_, stored in rows.items():
        header = _header(stored)
        headers.setdefault(header.account, {})[id_] = header
    for account, own in headers.items():
        log = IdentityLog(account, machine.keys.network)
        log.add_all(_operations(own, rows))
        expected = judge(log, own, _deletes(own, rows))
        for id_, status in expected.items():
            if rows[id_].status is not status:
                found = _named(id_, rows[id_])
                raise Broken(f"{machine.name}: {found}, judged at once {status.name.lower()}")


def _operations(own: dict[bytes, Header], rows: dict[bytes, Row]) -> list:
    found = []
    for id_, header in own.items():
        payload = rows[id_].payload
        if header.kind == kinds.IDENTITY and payload is not None:
            try:
                found.append(parse_operation(id_, header, record.decode_payload(payload)))
            except ProtocolError:
                continue
    return found


def _deletes(own: dict[bytes, Header], rows: dict[bytes, Row]) -> dict[bytes, list[bytes]]:
    found = {}
    for id_, header in own.items():
        payload = rows[id_].payload
        if header.kind == kinds.DELETE and payload is not None:
            found[id_] = record.decode_payload(payload)["ids"]
    return found


def _check_one_head(left: Sequence[Machine]) -> None:
    heads: dict[bytes, tuple[str, bytes | None]] = {}
    for machine in left:
        for account, head in machine.peek(
            lambda db: db.execute("SELECT id, head FROM account").fetchall()
        ):
            name, other = heads.setdefault(account, (machine.name, head))
            if head != other:
                raise Broken(f"{name} and {machine.name} have other heads of {account.hex()[:12]}")


# --- promises ------------------------------------------------------------------------------


def _check_promises(
    machines: Sequence[Machine], seen: dict[str, dict[bytes, Row]], notes: Notes
) -> None:
    """Nothing acknowledged is lost where it was, nor anywhere if two providers had it: unless one
    of the two was the copy of a machine, whose disk is gone with it.
    """
    for promise in notes.promises.values():
        if promise.account in notes.vanished:
            continue
        everywhere = promise.two_providers and promise.id not in notes.taken_along
        for name, rows in seen.items():
            due = name in promise.machines or (everywhere and not promise.private)
            if due and not _edit_of_gone_post(promise, seen):
                may_lack = _may_lack(name, promise.id, seen, notes)
                may_lack |= name not in promise.machines and _hidden(promise.id, seen, notes)
                _check_promise(name, promise, rows, may_lack)


def _edit_of_gone_post(promise: Promise, seen: dict[str, dict[bytes, Row]]) -> bool:
    """Its bytes are erased, and whoever never had them cannot know of which post it is."""
    held = [rows.get(promise.id) for rows in seen.values()]
    return any(
        stored is not None and stored.kind == kinds.EDIT and stored.bytes_state is Bytes.ERASED
        for stored in held
    )


def _may_lack(name: str, id_: bytes, seen: Mapping[str, dict[bytes, Row]], notes: Notes) -> bool:
    """Whether a node may be without bytes that it promised: a thief had a part in it, its operator
    refuses them, or its disk lost them and nobody else has any.
    """
    stored = seen[name].get(id_)
    if stored is not None and stored.disposition >= Verdict.WITHHOLD:
        return name in notes.blocking
    forgot = name in notes.forgetful or id_ in notes.rotten.get(name, ())
    promise = notes.promises.get(id_)
    if promise is not None and promise.private:
        # Refused once, and then left: homes give it nothing private any more.
        left = name in notes.blocking and name in notes.left.get(promise.account, ())
        return notes.may_lack_bytes(id_) or forgot or left
    return notes.may_lack_bytes(id_) or (forgot and not _given(id_, seen, notes))


def _given(id_: bytes, seen: Mapping[str, dict[bytes, Row]], notes: Notes) -> bool:
    """Whether any node has the bytes of a record and gives them to others."""
    return any(_gives(name, rows.get(id_), notes) for name, rows in seen.items())


def _hidden(id_: bytes, seen: Mapping[str, dict[bytes, Row]], notes: Notes) -> bool:
    """Whether bytes are not lost, but with operators alone who give them to nobody."""
    held = (rows.get(id_) for rows in seen.values())
    return not _given(id_, seen, notes) and any(map(_is_here, held))


def _gives(name: str, stored: Row | None, notes: Notes, to: str = "") -> bool:
    """Whether a node has bytes and gives them to others: of an account that its operator blocks it
    hides what was stored before, but for the log; and what is private goes from one present home
    to the other (R-68), not to one that was left.
    """
    if stored is None or not _is_here(stored):
        return False
    if kinds.kind_class(stored.kind).scope is Scope.PRIVATE:
        left = notes.left.get(_header(stored).account, set())
        if left & {name, to}:
            return False
    entries = notes.blocked.get(name, ())
    accounts = [one.entity for one in entries if one.subject is Subject.ACCOUNT]
    log = kinds.kind_class(stored.kind).lane is Lane.LOG
    return log or _header(stored).account.hex() not in accounts


def _is_here(stored: Row | None) -> bool:
    return stored is not None and stored.bytes_state is Bytes.HERE


def _check_promise(name: str, promise: Promise, rows: dict[bytes, Row], may_lack: bool) -> None:
    stored = rows.get(promise.id)
    if stored is None:
        if may_lack:
            return
        raise Broken(f"{name}: lost {kinds.name(promise.kind)} {promise.id.hex()[:12]}")
    if _lacks(stored) and not may_lack:
        raise Broken(f"{name}: lost the bytes of {_named(stored.id, stored)}")


def _lacks(stored: Row) -> bool:
    """Whether bytes are missing that ought to be here; those of edits go with their post."""
    here = {Bytes.HERE, Bytes.ERASED} if stored.kind == kinds.EDIT else {Bytes.HERE}
    return stored.status is Status.LIVE and stored.bytes_state not in here


def _check_thefts(seen: dict[str, dict[bytes, Row]], notes: Notes) -> None:
    """Where the owner's word is known, nothing that a thief signed counts."""
    for name, rows in seen.items():
        for id_, revocation in notes.stolen.items():
            stored = rows.get(id_)
            if revocation in rows and stored is not None and stored.status is Status.LIVE:
                raise Broken(f"{name}: a thief's {_named(id_, stored)}")


# --- what must be gone ---------------------------------------------------------------------


def _check_erased(left: Sequence[Machine], seen: dict[str, dict[bytes, Row]], notes: Notes) -> None:
    """A delete in effect leaves no word of its targets, in no row and in no file."""
    for machine in left:
        rows = seen[machine.name]
        gone: list[bytes] = []
        for delete, targets in notes.deletes.items():
            stored = rows.get(delete)
            if stored is not None and stored.status is Status.LIVE:
                gone += targets
        for vanish in notes.vanished.items():
            if vanish[1] in rows:
                gone += [id_ for id_, p in notes.promises.items() if p.account == vanish[0]]
                _check_vanished(machine.name, vanish[0], rows)
        for id_ in gone:
            stored = rows.get(id_)
            lane = kinds.kind_class(stored.kind).lane if stored else Lane.LOG
            if stored is not None and lane is not Lane.LOG and stored.payload is not None:
                raise Broken(f"{machine.name}: deleted, yet here: {_named(id_, stored)}")
        _check_files(machine, [notes.words[id_] for id_ in gone if id_ in notes.words])


def _check_vanished(name: str, account: bytes, rows: dict[bytes, Row]) -> None:
    for id_, stored in rows.items():
        log = kinds.kind_class(stored.kind).lane is Lane.LOG
        if not log and _header(stored).account == account:
            raise Broken(f"{name}: of a vanished account: {_named(id_, stored)}")


def _check_files(machine: Machine, words: Iterable[bytes]) -> None:
    assert machine.life is not None, "what is left runs"
    content = b"".join(
        path.read_bytes() for path in sorted(machine.life.folder.iterdir()) if path.is_file()
    )
    for word in words:
        if word in content:
            raise Broken(f"{machine.name}: {word.decode()!r} is deleted, yet on its disk")


# --- receipts ------------------------------------------------------------------------------


def _check_receipts(
    machines: Sequence[Machine], seen: dict[str, dict[bytes, Row]], notes: Notes
) -> None:
    """Whoever is counted as a holder holds: the bytes, or a reason why they are gone since."""
    names = {machine.account: machine.name for machine in machines}
    for machine in machines:
        if machine.destroyed:
            continue
        found = machine.peek(
            lambda db: db.execute(
                "SELECT record.id, node, code FROM ack JOIN record ON record.n = ack.record"
            ).fetchall()
        )
        for id_, node, code in found:
            if code != Code.STORED or names.get(node) not in seen:
                continue
            held = seen[names[node]].get(id_)
            if (held is None or _lacks(held)) and not _may_lack(names[node], id_, seen, notes):
                raise Broken(
                    f"{machine.name} counts {names[node]} as holder of {_named(id_, held)}"
                )
