"""Every bad record by every way in: the right code, nothing kept or passed on, no exception.

One node a way serves all cases, one after the other on one connection; behind each bad record
comes a good one, which is taken.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog

from ratoon_node.fanout import Subscription
from ratoon_node.store import read
from ratoon_node.store.rows import Bytes
from ratoon_protocol.record import Record
from tests.badinput.asked import REQUEST_BYTES_MAX, all_asked
from tests.badinput.asking import answer
from tests.badinput.doors import door
from tests.badinput.forge import MARK, WAYS, Case
from tests.badinput.frames import link_cases
from tests.badinput.town import Town, rules
from tests.node.api.site import Site, site
from tests.node.world import Clock

pytestmark = pytest.mark.asyncio(loop_scope="module")
CASES_MIN = 120
#: A bad record that leaves every connection as it is.
USUAL = "a byte behind a record"


@cache
def names() -> dict[str, tuple[str, ...]]:
    """The ways of each case."""
    clock = Clock()
    clock.stop()
    return {case.name: case.ways for case in Town(clock).cases}


ASKED = {case.name: case for case in (*all_asked(), *link_cases())}
PAIRS = [(way, name) for way in WAYS for name, ways in names().items() if way in ways]


@dataclass
class Place:
    """A node behind one door, and what it told and stored so far."""

    here: Site
    town: Town
    door: Any
    folder: Path
    told: Subscription
    cases: dict[str, Case] = field(default_factory=dict)
    sent: set[bytes] = field(default_factory=set)
    journal: int = 0
    _looked: dict[Path, tuple[int, int]] = field(default_factory=dict)

    async def news(self) -> set[bytes]:
        """Ids of what was told or journaled since the last time; bytes that were told are
        those of good records alone.
        """
        found: set[bytes] = set()
        while not self.told.idle:
            commit = await self.told.next()
            assert commit is not None, "a reader that reads after every record misses nothing"
            found |= {change.id for change in commit.changes} | set(commit.records)
            self.sent |= set(commit.records)
        found |= await self.here.node.db.read(self._lines)
        return found - {b""}

    def _lines(self, db: sqlite3.Connection) -> set[bytes]:
        sql = (
            "SELECT journal.n, coalesce(record.id, journal.id, x'') FROM journal"
            " LEFT JOIN record ON record.n = journal.record WHERE journal.n > ?"
        )
        rows = db.execute(sql, (self.journal,)).fetchall()
        self.journal = max([self.journal, *(n for n, _ in rows)])
        return {id_ for _, id_ in rows}

    def holding(self, traces: list[bytes]) -> list[str]:
        """Files of the data folder that hold one of the traces, of those written since the last
        time.
        """
        found = []
        for path in self.folder.rglob("*"):
            stat = path.stat()
            stamp = stat.st_mtime_ns, stat.st_size
            if path.is_file() and stat.st_size and self._looked.get(path) != stamp:
                self._looked[path] = stamp
                with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as text:
                    found += [path.name] if any(text.find(one) >= 0 for one in traces) else []
        return found

    @contextmanager
    def quiet(self, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        """Nothing is logged as an error, and nothing that strangers sent is logged at all."""
        with structlog.testing.capture_logs() as lines, caplog.at_level(logging.WARNING):
            yield
        loud = [line for line in lines if line["log_level"] in ("error", "critical")]
        assert (loud, [line for line in caplog.records if line.exc_info]) == ([], [])
        assert MARK not in repr(lines) + caplog.text

    async def serves(self, way: str, case: Case) -> Record:
        """Bring a case in, see it answered as the table says, and then a good one taken."""
        good = self.town.good()
        if case.cut and way in case.cut:
            assert await self.door.cut(case) == case.cut[way]
            case = self.cases[USUAL]
        assert await self.door.offer(case, good) == case.code(way)
        return good

    async def holds_nothing(self, way: str, case: Case, good: Record) -> None:
        """Nothing was stored or told but the good one, and the header of the case if it counts."""
        headers = {case.id} if case.leaves_header(way) else set()
        news = await self.news()
        brought = self.door.brought if way == "link" else set()
        assert headers | {good.id} <= news <= headers | {good.id} | brought
        assert case.id not in self.sent or case.known
        stored = await self.here.node.db.read(lambda db: read.by_id(db, case.id))
        if not case.known:
            assert (stored is not None) == bool(headers)
        if stored is not None and not (case.known or case.masked):
            assert (stored.payload, stored.bytes_state is Bytes.HERE) == (None, False)
        assert self.holding(case.traces(way)) == []


class Street:
    """The places that were asked for, one a way."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._places: dict[str, Place] = {}

    async def place(self, way: str) -> Place:
        if way not in self._places:
            folder = self._folder / way / "node"
            folder.mkdir(parents=True)
            here = await self._stack.enter_async_context(
                site(
                    folder,
                    policy=rules(),
                    records_per_minute_max=0,
                    requests_per_minute_max=0,
                    entries_per_minute_max=0,
                    request_bytes_max=REQUEST_BYTES_MAX,
                )
            )
            here.clock.stop()
            town = Town(here.clock)
            await town.settle(here)
            told = here.node.fanout.subscribe()
            opened = await self._stack.enter_async_context(door(way, here, folder))
            place = Place(here, town, opened, folder, told)
            place.cases = {case.name: case for case in town.cases}
            await place.news()
            self._places[way] = place
        return self._places[way]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def street(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    folder = tmp_path_factory.mktemp("street")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
            patch.setenv(name, str(folder / "home"))
        async with AsyncExitStack() as stack:
            yield Street(stack, folder)


async def test_there_are_enough_cases() -> None:
    assert len(names()) >= CASES_MIN
    assert {way for way, _ in PAIRS} == set(WAYS)


@pytest.mark.parametrize(("way", "name"), PAIRS, ids=lambda value: value.replace(" ", "-"))
async def test_bad_input(
    way: str, name: str, street: Street, caplog: pytest.LogCaptureFixture
) -> None:
    place = await street.place(way)
    case = place.cases[name]
    with place.quiet(caplog):
        good = await place.serves(way, case)
    await place.holds_nothing(way, case, good)


@pytest.mark.parametrize("name", ASKED, ids=lambda value: value.replace(" ", "-"))
async def test_bad_request(name: str, street: Street, caplog: pytest.LogCaptureFixture) -> None:
    case = ASKED[name]
    place = await street.place(case.way)
    with place.quiet(caplog):
        assert await answer(place.door, case, place.here.port) == case.code
        good = await place.serves(case.way, place.cases[USUAL])
    await place.holds_nothing(case.way, place.cases[USUAL], good)
