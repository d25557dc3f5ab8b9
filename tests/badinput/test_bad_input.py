"""Every bad record by every way in: the right code, nothing kept or passed on, no traceback."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from ratoon_node.api.answers import RECORD_TYPE
from ratoon_node.errors import ANSWERS
from ratoon_node.ingest.submission import Origin, Parts, Way
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import Outcome
from ratoon_protocol.framing import pack_item
from tests.badinput.cases import MARK, Case, all_cases
from tests.node.api.site import Site, site
from tests.node.peering.meeting import listening
from tests.node.world import Clock, person, running

CASES_MIN = 80
# Peers that share the cases: one that sent them all would be cut off before the end.
LIARS = 6
LINK = Origin(Way.LINK, bytes(31) + b"p")
NETWORK = b"ratoon\x00\x01"


def people(clock: Clock) -> list[Case]:
    ann = person(NETWORK, random.Random(5), clock)
    bob = person(NETWORK, random.Random(6), clock)
    return all_cases(ann, bob)


NAMES = [case.name for case in people(Clock())]


@asynccontextmanager
async def town(folder: Path) -> AsyncIterator[tuple[Site, dict[str, Case]]]:
    """A node with one resident, and the cases made for that resident."""
    async with site(folder) as here:
        ann = await here.resident(5)
        cases = all_cases(ann, here.person(6))
        yield here, {case.name: case for case in cases}


@pytest.fixture
def logged() -> Iterator[list[dict[str, object]]]:
    with structlog.testing.capture_logs() as lines:
        yield lines  # type: ignore[misc]


def leftovers(folder: Path) -> list[str]:
    """Files that hold a refused text."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [file.name for file in files if MARK.encode() in file.read_bytes()]


def test_there_are_enough_cases_and_each_has_a_name() -> None:
    assert len(NAMES) >= CASES_MIN
    assert len(set(NAMES)) == len(NAMES)


async def test_by_http(tmp_path: Path, logged: list[dict[str, object]]) -> None:
    async with town(tmp_path) as (here, cases):
        changes = here.node.fanout.subscribe()
        wrong = {}
        for case in cases.values():
            status, answer = await here.post("/v1/records", case.data, RECORD_TYPE)
            code = answer.get("error", {"code": None})["code"]
            if (code, status) != (case.api, ANSWERS[Code(case.api)].status):
                wrong[case.name] = (code, status, case.api)
        assert wrong == {}
        assert changes.idle, "nothing was stored, so nobody is told"
        assert leftovers(tmp_path) == []
    assert [line for line in logged if line["log_level"] in ("error", "critical")] == []


async def test_by_http_in_one_batch(tmp_path: Path) -> None:
    """One bad item never fails its batch, and the good one in the middle is stored."""
    async with town(tmp_path) as (here, cases):
        ann = here.person(5)
        good = ann.post("the good one")
        bad = [case for case in cases.values() if case.whole is None]
        items = [case.data for case in bad]
        middle = len(items) // 2
        items.insert(middle, good.encode())
        outcomes = await here.node.gate.submit(items, Origin(Way.API))
        codes = [outcome.code.value for outcome in outcomes]
        assert codes.pop(middle) == "stored"
        assert codes == [case.api for case in bad]
        assert leftovers(tmp_path) == []


async def test_by_link(tmp_path: Path, logged: list[dict[str, object]]) -> None:
    async with town(tmp_path) as (here, cases):
        wrong = {}
        for case in cases.values():
            if case.link is None:
                continue
            parts = Parts(case.header, case.signature, case.payload)
            outcome = (await here.node.gate.submit([parts], LINK))[0]
            if outcome.code != case.link:
                wrong[case.name] = (outcome.code.value, case.link, outcome.detail)
        assert wrong == {}
        assert leftovers(tmp_path) == []
    assert [line for line in logged if line["log_level"] in ("error", "critical")] == []


@pytest.mark.parametrize("part", range(LIARS))
async def test_over_a_real_link(part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer's own words, by frames on a socket; a few of them do not end the link."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with running(tmp_path / "a", seed=11) as liar, town(tmp_path / "b") as (here, cases):
        told: dict[bytes, asyncio.Future[str]] = {}

        def note(node: bytes, outcomes: Sequence[Outcome]) -> None:
            assert node == here.node.own.account
            for outcome in outcomes:
                if outcome.id in told and not told[outcome.id].done():
                    told[outcome.id].set_result(outcome.code.value)

        monkeypatch.setattr(liar.receipts, "note", note)
        async with listening(here.node) as address:
            await liar.hub.meet(address)
            link = liar.hub.neighbours[here.node.own.account].link
            wrong = {}
            for case in list(cases.values())[part::LIARS]:
                if case.link is None:
                    continue
                item = pack_item(case.header, case.signature, case.payload)
                told[item.id] = asyncio.get_running_loop().create_future()
                link.queue([item])
                code = await asyncio.wait_for(told[item.id], 10)
                if code != case.link:
                    wrong[case.name] = (code, case.link)
            assert wrong == {}
            assert link.open
        assert leftovers(tmp_path / "b") == []
