"""What goes wrong with one machine: its power, its disk, its clock; and providers that go away."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from ratoon_node.operate.twins import Standing
from ratoon_node.peering.clocks import WITNESSES_MIN
from tests.node.powercut.disk import Survivors, write_out
from tests.node.powercut.vfs import ALWAYS, FULL, IOERR_FSYNC, IOERR_WRITE
from tests.sim.machine import STORE, Life, Machine, MachineDown, Outage
from tests.sim.script import Kind, Mark, Params, Shape, Stage

DAY_MS = 86_400_000
# The first bytes of an SQLite file; without them it is none.
MAGIC_BYTES = 16


def _machine(rng: random.Random, shape: Shape) -> Params:
    return {"machine": rng.choice(shape.machines)}


def _running(stage: Stage, mark: Mark) -> Machine | None:
    """The machine that a fault names, if it is up; then the fault is carried out."""
    machine: Machine = stage.machine(mark.fault.params["machine"])
    if machine.life is None or machine.lost.is_set() or not machine.booted.is_set():
        return None
    mark.carried = True
    return machine


def _off_s(rng: random.Random) -> float:
    return rng.choice((0.1, 2, 10, 30))


# --- power -----------------------------------------------------------------------------------


def _draw_crash(rng: random.Random, shape: Shape) -> Params:
    silent = rng.random() < 0.5
    return _machine(rng, shape) | {"silent": silent, "off_s": _off_s(rng)}


async def _crash(stage: Stage, mark: Mark, rng: random.Random) -> None:
    machine = _running(stage, mark)
    if machine is not None:
        params = mark.fault.params
        mark.mattered = len(machine.node.runtime.spawner) > 0
        machine.lose_power(Outage(params["silent"], params["off_s"]))


def _draw_mid_write(rng: random.Random, shape: Shape) -> Params:
    return _draw_crash(rng, shape) | {"operations": rng.randrange(40)}


async def _mid_write(stage: Stage, mark: Mark, rng: random.Random) -> None:
    """What was not synced is lost, or half of it, or torn."""
    machine = _running(stage, mark)
    if machine is None or machine.life is None:
        return
    params, life = mark.fault.params, machine.life
    machine.outage = Outage(params["silent"], params["off_s"])
    life.power.cut_after(params["operations"], rng)
    await stage.lasts(20)
    mark.mattered = life.power.survivors is not None or machine.life is not life


# --- the disk --------------------------------------------------------------------------------


def _draw_full(rng: random.Random, shape: Shape) -> Params:
    first = rng.randrange(1, 20)
    return _machine(rng, shape) | {"nth": first, "for_s": rng.choice((1, 10, 40))}


async def _full(stage: Stage, mark: Mark, rng: random.Random) -> None:
    await _failing(stage, mark, FULL, ALWAYS)


def _draw_failing(rng: random.Random, shape: Shape) -> Params:
    on = rng.choice(("write", "sync"))
    nth = rng.randrange(1, 12 if on == "write" else 4)
    return _machine(rng, shape) | {"on": on, "nth": nth, "for_s": 20}


async def _failing_once(stage: Stage, mark: Mark, rng: random.Random) -> None:
    await _failing(stage, mark, IOERR_FSYNC if mark.fault.params["on"] == "sync" else IOERR_WRITE)


async def _failing(stage: Stage, mark: Mark, code: int, times: int = 1) -> None:
    machine = _running(stage, mark)
    if machine is None or machine.life is None:
        return
    params, power = mark.fault.params, machine.life.power
    before = power.failures
    power.fail(code, nth=params["nth"], on=params.get("on", "write"), times=times)
    await stage.lasts(params["for_s"])
    power.work()
    mark.mattered = power.failures > before


def _draw_slow(rng: random.Random, shape: Shape) -> Params:
    return _machine(rng, shape) | {"factor": rng.choice((10, 100)), "for_s": rng.choice((5, 30))}


async def _slow(stage: Stage, mark: Mark, rng: random.Random) -> None:
    machine = _running(stage, mark)
    if machine is None or machine.life is None:
        return
    db, operations = machine.life.db, machine.life.power.operations
    db.slowness = mark.fault.params["factor"]
    await stage.lasts(mark.fault.params["for_s"])
    mark.mattered = machine.life is not None and machine.life.power.operations > operations
    db.slowness = 1


# --- a disk that forgets: at the unlucky provider alone --------------------------------------


def _unlucky(rng: random.Random, shape: Shape) -> Params | None:
    there = shape.at(shape.unlucky)
    return {"machine": rng.choice(there), "off_s": _off_s(rng)} if there else None


def _draw_old_backup(rng: random.Random, shape: Shape) -> Params | None:
    found = _unlucky(rng, shape)
    return found and {**found, "after_s": rng.choice((3, 10, 30))}


async def _old_backup(stage: Stage, mark: Mark, rng: random.Random) -> None:
    """The disk is copied; later the machine goes on with that copy, whatever came in between."""
    machine = _running(stage, mark)
    if machine is None:
        return
    params = mark.fault.params
    try:
        copy, taken_s = machine.backup(), stage.loop.time()
    except MachineDown:
        return
    await stage.lasts(params["after_s"])
    if machine.life is None or machine.lost.is_set():
        mark.carried = False
        return

    def restore(folder: Path) -> None:
        _replace(folder, copy)
        mark.mattered = stage.notes.lost_since(machine.name, taken_s)

    stage.trace.say(f"{machine.name} goes back to its backup of {taken_s:.3f}")
    machine.lose_power(Outage(silent=False, off_s=params["off_s"], meanwhile=restore))


def _replace(folder: Path, content: Survivors) -> None:
    for path in folder.iterdir():
        path.unlink()
    write_out(content, folder)


def _draw_rot(rng: random.Random, shape: Shape) -> Params | None:
    found = _unlucky(rng, shape)
    part = rng.choice(("payload", "payload", "header"))
    more = {"rows": rng.choice((1, 5)), "part": part, "up": rng.random() < 0.5}
    return found and {**found, **more}


async def _rot(stage: Stage, mark: Mark, rng: random.Random) -> None:
    """Bits of stored records flip, under the running node or while it is off."""
    machine = _running(stage, mark)
    if machine is None or not await _fold(machine):
        return
    if (life := machine.life) is None:
        return  # it went meanwhile
    params = mark.fault.params
    column = params["part"]
    rows = machine.peek(
        lambda db: db.execute(
            f"SELECT id, {column} FROM record WHERE {column} IS NOT NULL ORDER BY n"
        ).fetchall()
    )
    chosen = rng.sample(rows, min(params["rows"], len(rows)))
    if params["up"]:
        hit = _flip(life.store, chosen, rng, life)
        machine.peek(lambda db: db.execute("PRAGMA shrink_memory").fetchall())
        _note_rot(stage, mark, machine, hit)
        return

    def rot(folder: Path) -> None:
        _note_rot(stage, mark, machine, _flip(folder / STORE, chosen, rng))

    machine.lose_power(Outage(silent=False, off_s=params["off_s"], meanwhile=rot))


async def _fold(machine: Machine) -> bool:
    try:
        return await machine.call(lambda node: node.db.checkpoint())
    except (MachineDown, sqlite3.Error):  # its disk fails in another way just now
        return False


def _note_rot(stage: Stage, mark: Mark, machine: Machine, hit: Sequence[bytes]) -> None:
    mark.mattered = bool(hit)
    stage.notes.rotten.setdefault(machine.name, set()).update(hit)
    stage.trace.say(f"{machine.name}: bits of {len(hit)} records flip")


def _flip(
    store: Path, rows: Sequence[tuple[bytes, bytes]], rng: random.Random, life: Life | None = None
) -> list[bytes]:
    """One bit of each of these values in the file; which records' values were found there."""
    content = store.read_bytes()
    log = store.with_name(f"{STORE}-wal")
    newer = log.read_bytes() if log.exists() else b""
    hit = []
    with store.open("r+b") as file:
        for id_, value in rows:
            # A large value goes over several pages: what stands on its first one will do.
            part = value[: min(len(value), 100)]
            at = content.find(part)
            if at < 0 or part in newer:
                continue
            at, mask = at + rng.randrange(20, len(part)), 1 << rng.randrange(8)
            file.seek(at)
            file.write(bytes([content[at] ^ mask]))
            if life is not None:
                life.power.disk.spoil(store, at, mask)
            hit.append(id_)
    return hit


async def _ruin(stage: Stage, mark: Mark, rng: random.Random) -> None:
    """The store cannot even be opened: its operator keeps the key file and begins anew."""
    machine = _running(stage, mark)
    if machine is None:
        return

    def spoil(folder: Path) -> None:
        mark.mattered = True
        for path in folder.glob(f"{STORE}-*"):
            path.unlink()
        with (folder / STORE).open("r+b") as file:
            file.write(rng.randbytes(MAGIC_BYTES))

    machine.lose_power(Outage(silent=False, off_s=mark.fault.params["off_s"], meanwhile=spoil))


# --- clocks ----------------------------------------------------------------------------------


def _draw_jump(rng: random.Random, shape: Shape) -> Params:
    by_ms = rng.choice((rng.randrange(-60_000, 60_000), 300_000, -300_000))
    return _machine(rng, shape) | {"by_ms": by_ms, "for_s": rng.choice((5, 40))}


def _draw_big_jump(rng: random.Random, shape: Shape) -> Params:
    by_ms = rng.choice((DAY_MS, -DAY_MS, 3_600_000))
    return _machine(rng, shape) | {"by_ms": by_ms, "for_s": rng.choice((5, 20, 60))}


async def _jump(stage: Stage, mark: Mark, rng: random.Random) -> None:
    """The clock is wrong for a while; whatever starts the machine again sets it right."""
    machine = _running(stage, mark)
    if machine is None:
        return
    params = mark.fault.params
    machine.clock.skew_ms = machine.site.skew_ms + params["by_ms"]
    mark.mattered = True
    await stage.lasts(params["for_s"])
    machine.clock.skew_ms = machine.site.skew_ms


async def _great_jump(stage: Stage, mark: Mark, rng: random.Random) -> None:
    """As `_jump`, further than records may be ahead. A node that knows the clocks of too few peers
    cannot know that it is wrong: what it signs then, others take when its time has come.
    """
    machine = stage.machine(mark.fault.params["machine"])
    if machine.up and len(machine.node.hub.neighbours) >= WITNESSES_MIN:
        await _jump(stage, mark, rng)


# --- a copied machine, a lost provider --------------------------------------------------------


def _draw_twin(rng: random.Random, shape: Shape) -> Params:
    return _machine(rng, shape) | {"for_s": rng.choice((10, 40))}


async def _twin(stage: Stage, mark: Mark, rng: random.Random) -> None:
    """Two nodes with one key at once, until the operator finds out and ends the copy."""
    machine = _running(stage, mark)
    if machine is None:
        return
    try:
        copy = machine.backup()
    except MachineDown:
        return
    twin = stage.copy_of(machine, mark.fault.number)
    twin.disk.mkdir(parents=True)
    write_out(copy, twin.disk)
    twin.start()
    await stage.lasts(mark.fault.params["for_s"])
    mark.mattered = twin.up and bool(twin.node.hub.neighbours)
    stage.notes.taken_along |= _payloads(twin) - _payloads(machine)
    await twin.destroy()
    if machine.up and machine.node.own.twins.standing is Standing.SILENT:
        machine.lose_power(Outage())  # it started after the copy did; its operator starts it anew
    await stage.found_out(machine)


def _payloads(machine: Machine) -> set[bytes]:
    """Ids of which it has the bytes; of none while it is off."""
    if machine.life is None:
        return set()
    rows = machine.peek(lambda db: db.execute("SELECT id FROM record WHERE payload IS NOT NULL"))
    return {id_ for (id_,) in rows}


def _draw_destroy(rng: random.Random, shape: Shape) -> Params | None:
    left = [place for place in shape.places if place.provider != shape.unlucky]
    return {"provider": shape.unlucky} if left and shape.at(shape.unlucky) else None


async def _destroy(stage: Stage, mark: Mark, rng: random.Random) -> None:
    mark.carried = mark.mattered = True
    await stage.lose_provider(mark.fault.params["provider"])


KINDS = [
    Kind("crash", 5, _draw_crash, _crash, "{machine} is off for {off_s} s (silently: {silent})"),
    Kind(
        "power cut in a write",
        5,
        _draw_mid_write,
        _mid_write,
        "{machine} loses power {operations} disk operations later, for {off_s} s",
    ),
    Kind("full disk", 2, _draw_full, _full, "{machine} has a full disk for {for_s} s"),
    Kind(
        "failing write",
        2,
        _draw_failing,
        _failing_once,
        "{machine}: the next {on} number {nth} fails",
    ),
    Kind("slow disk", 2, _draw_slow, _slow, "{machine}: disk {factor} times slower for {for_s} s"),
    Kind(
        "old backup",
        2,
        _draw_old_backup,
        _old_backup,
        "{machine} goes back {after_s} s later to its disk as it is now",
    ),
    Kind(
        "bit rot",
        2,
        _draw_rot,
        _rot,
        "{machine}: a bit flips in the {part} of {rows} records (while up: {up})",
    ),
    Kind("ruined store", 1, _unlucky, _ruin, "{machine} cannot open its store any more", 1),
    Kind("clock jump", 2, _draw_jump, _jump, "{machine}: clock jumps by {by_ms} ms for {for_s} s"),
    Kind("great clock jump", 1, _draw_big_jump, _great_jump, "{machine}: clock off by {by_ms} ms"),
    Kind("two with one key", 1, _draw_twin, _twin, "a copy of {machine} runs for {for_s} s", 1),
    Kind("lost provider", 1, _draw_destroy, _destroy, "provider {provider} goes away", 1),
]
