"""`ratoon seed`: a made-up network of any size in a node's store, to try and to measure things."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ratoon_node.cli import say
from ratoon_node.cli.flags import Json, with_settings
from ratoon_node.config import Config, Settings

if TYPE_CHECKING:
    from ratoon_node.operate.folder import Folder
    from ratoon_node.operate.keys import Keys
    from ratoon_node.operate.seed.fill import State

_HOUR_MS = 3_600_000


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(seed)


@with_settings
def seed(
    config: Config,
    records: Annotated[int, typer.Option(min=100, help="How many records in all.")],
    accounts: Annotated[
        int | None, typer.Option(min=10, help="How many people. [records / 200, at least 600]")
    ] = None,
    seed: Annotated[str, typer.Option(help="Any words: the same give the same records.")] = "1",
    days: Annotated[int, typer.Option(min=1, max=365, help="Over how many days.")] = 30,
    until: Annotated[
        datetime | None, typer.Option(help="When the last is written (UTC). [the last full hour]")
    ] = None,
    json_: Json = False,
) -> None:
    """Fill a stopped node with made-up people and posts.

    For trying things and for measuring: the keys of these people, and of a node that is made
    here, follow from the seed. Run it again to go on where it was stopped.
    """
    import uvloop

    from ratoon_node.operate.folder import Folder
    from ratoon_node.operate.seed.people import people_for

    settings = config.settings
    folder = Folder(settings.data_dir)
    folder.claim()
    try:
        state = _state(
            folder,
            {
                "network": settings.network_bytes.hex(),
                "seed": seed,
                "records": records,
                "accounts": accounts or people_for(records),
                "days": days,
            },
            _ms(until),
        )
        keys = folder.keys(settings.network_bytes) or _new_node(folder, state)
        started = time.monotonic()
        uvloop.run(_fill(settings, folder, keys, state, quiet=json_))
    finally:
        folder.release()
    _tell(settings, keys, state, time.monotonic() - started, json_)


def _ms(until: datetime | None) -> int | None:
    return None if until is None else int(until.replace(tzinfo=UTC).timestamp() * 1000)


def _state(folder: Folder, asked: dict[str, Any], until_ms: int | None) -> State:
    """What is to be filled in: as it was begun, or new. Raises `CommandError`."""
    from ratoon_node.operate.seed.fill import State
    from ratoon_node.operate.seed.stream import VERSION

    asked["version"] = VERSION
    begun = State.load(folder.path)
    if begun is None:
        hour_ms = time.time_ns() // 1_000_000 // _HOUR_MS * _HOUR_MS
        state = State(**asked, until_ms=hour_ms if until_ms is None else until_ms)
        if problem := state.plan.problem():
            say.fail(problem, say.Exit.USAGE)
        return state
    if until_ms is not None:
        asked["until_ms"] = until_ms
    for name, value in asked.items():
        if (was := getattr(begun, name)) != value:
            say.fail(
                f"the folder {folder.path} was seeded with {name} {was}, not {value}: go on with"
                " the same, or take another folder"
            )
    return begun


def _new_node(folder: Folder, state: State) -> Keys:
    """Keys of a node that lives for this alone; they follow from the seed like all others."""
    from ratoon_node.operate.folder import KEYS
    from ratoon_node.operate.seed.people import node_keys

    keys = node_keys(state.plan, "here")
    keys.save(folder.path / KEYS)
    return keys


async def _fill(settings: Settings, folder: Folder, keys: Keys, state: State, quiet: bool) -> None:
    """Open the store as `run` does, with nobody to talk to, and fill it."""
    from ratoon_node.cli.serve import open_node
    from ratoon_node.operate.seed.fill import Filling
    from ratoon_node.store import read

    node = await open_node(settings, folder, keys)
    try:
        node.gate.start()
        await node.digest.start()
        state.save(folder.path)
        with _progress(state.records, quiet) as advance:
            await Filling(node, keys, state, folder.path, node.roster.load).run(advance)
        await node.digest.reached(await node.db.read(read.journal_end))
        await node.gate.settled()
    finally:
        await node.close()


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar where somebody looks at it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Remaining(),
        console=console,
        disable=quiet or not console.is_terminal,
    )
    with bar:
        task = bar.add_task("Seeding", total=total)
        yield lambda count: bar.advance(task, count)


def _tell(settings: Settings, keys: Keys, state: State, seconds: float, json_: bool) -> None:
    found = {
        "data_dir": str(settings.data_dir),
        "node": keys.account.hex(),
        "records": state.records,
        "accounts": state.accounts,
        "until_ms": state.until_ms,
        "follows_50": state.usual or None,
        "follows_500": state.many or None,
        "thread_1000": state.thread or None,
        "digest": state.digest,
        "seconds": round(seconds, 1),
    }
    if json_:
        say.result(found)
        return
    say.line(f"{state.records} records of {state.accounts} accounts are in {settings.data_dir}")
    say.line(f"  follows 50 accounts    {state.usual or '(too few accounts)'}")
    say.line(f"  follows 500 accounts   {state.many or '(too few accounts)'}")
    say.line(f"  thread, 1,000 replies  {state.thread or '(too few records)'}")
    say.line(f"  all of it              sha256 {state.digest}, {seconds:.0f} s")
    say.line(f"Their keys are known to all: never let this node talk to others. {say.called()} run")
