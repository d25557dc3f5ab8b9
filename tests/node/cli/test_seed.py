"""Made-up networks: the same words give the same bytes, wherever a run was cut short."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ratoon_node.cli.serve import open_node
from ratoon_node.config import Settings
from ratoon_node.operate.folder import KEYS, STORE, Folder
from ratoon_node.operate.keys import Keys
from ratoon_node.operate.seed.days import DAY_RECORDS_MAX, THREAD_REPLIES
from ratoon_node.operate.seed.fill import Filling, SeedError, State
from ratoon_node.operate.seed.people import HOMES, Plan, people_for
from ratoon_node.operate.seed.speech import tongues
from ratoon_protocol import bodies, kinds, record
from ratoon_protocol.limits import DAY_MS, EPOCH_MS, NETWORK_PUBLIC
from tests.node.cli.shell import Home, new_home, serving

# The fewest in which everything is: accounts for 500 follows, time for 1,000 replies.
RECORDS = 7000
UNTIL = "2026-03-01T12:00:00"
UNTIL_MS = 1_772_366_400_000
FEW = 400


def seed(home: Home, folder: Path, *more: str, records: int = FEW) -> Any:
    told = ["--records", str(records), "--data-dir", str(folder), "--until", UNTIL, "--json"]
    return home.good("seed", *told, *more).json


def opened(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / STORE)


def stored(folder: Path) -> str:
    """A hash over everything that others could be sent, in the order in which it came in."""
    found = hashlib.sha256()
    for row in opened(folder).execute("SELECT header, signature, payload FROM record ORDER BY n"):
        for part in row:
            found.update(b"-" if part is None else part)
    return found.hexdigest()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A network with everything in it, and what the command said of it."""
    folder = tmp_path_factory.mktemp("seed")
    return seed(new_home(folder), folder / "node", records=RECORDS), folder / "node"


Read = list[tuple[record.Header, record.Body]]


@pytest.fixture(scope="module")
def records(network: tuple[dict[str, Any], Path]) -> Read:
    """Every record with its body, but those whose author took it back."""
    _, folder = network
    found = opened(folder).execute("SELECT header, payload FROM record WHERE payload IS NOT NULL")
    return [(record.decode_header(head), record.decode_payload(body)) for head, body in found]


def test_the_same_words_give_the_same_bytes(home: Home, tmp_path: Path):
    one, two = seed(home, tmp_path / "one"), seed(home, tmp_path / "two")
    other = seed(home, tmp_path / "other", "--seed", "another")
    assert one["digest"] == two["digest"] != other["digest"]
    assert stored(tmp_path / "one") == stored(tmp_path / "two") != stored(tmp_path / "other")


def test_everything_asked_for_is_there(network: tuple[dict[str, Any], Path], records: Read):
    said, folder = network
    (count,) = opened(folder).execute("SELECT count(*) FROM record").fetchone()
    assert count == RECORDS + 1  # and the node's own account
    assert {kinds.name(header.kind) for header, _ in records} == {
        "identity", "delete", "node", "hosting", "profile", "follow", "list", "post", "repost",
        "edit", "reaction", "vote",
    }  # fmt: skip
    spoken = {body["lang"] for header, body in records if header.kind == kinds.POST}
    assert spoken == {tongue.code for tongue in tongues()}
    used = {name for header, body in records if header.kind == kinds.POST for name in body}
    assert {"facets", "warning", "poll", "parent", "quote"} <= used
    assert said["accounts"] == people_for(RECORDS)


def test_two_people_follow_as_many_as_is_said(network: tuple[dict[str, Any], Path], records: Read):
    said, _ = network
    now: dict[tuple[str, bytes], int] = {}
    for header, body in records:
        if header.kind == kinds.FOLLOW:
            now[header.account.hex(), body["target"]] = body["state"]
    follows = Counter(account for (account, _), state in now.items() if state)
    assert (follows[said["follows_50"]], follows[said["follows_500"]]) == (50, 500)


def test_one_thread_has_as_many_replies_as_is_said(
    network: tuple[dict[str, Any], Path], records: Read
):
    said, _ = network
    root = bytes.fromhex(said["thread_1000"])
    assert sum(body.get("root") == root for _, body in records) == THREAD_REPLIES
    gone = {id_ for _, body in records for id_ in body.get("ids", ())}
    assert root not in gone


def test_people_are_at_home_at_three_nodes(network: tuple[dict[str, Any], Path], records: Read):
    said, _ = network
    homes = Counter(header.account.hex() for header, _ in records if header.kind == kinds.HOSTING)
    assert len(homes) == len(set(HOMES))
    assert sum(homes.values()) == said["accounts"]
    assert homes.most_common(1)[0][0] == said["node"]
    carried = {header.account for header, _ in records if header.kind == kinds.POST}
    elsewhere = {
        body["target"]
        for header, body in records
        if header.kind == kinds.HOSTING and header.account.hex() != said["node"]
    }
    assert carried & elsewhere


def test_times_are_in_the_past_and_below_the_cap_of_a_day(records: Read):
    said_ms = [header.created_ms for header, _ in records]
    assert max(said_ms) <= UNTIL_MS
    days = Counter(
        (header.key, header.kind_class.lane, header.created_ms // DAY_MS) for header, _ in records
    )
    assert max(days.values()) <= DAY_RECORDS_MAX
    hours = Counter(
        header.created_ms // (DAY_MS // 24) % 24
        for header, _ in records
        if header.kind in (kinds.REACTION, kinds.REPOST)
    )
    assert hours[20] > 2 * hours[2]  # people sleep


def test_what_points_somewhere_points_at_a_record_here(
    network: tuple[dict[str, Any], Path], records: Read
):
    ids = {id_ for (id_,) in opened(network[1]).execute("SELECT id FROM record")}
    for header, body in records:
        assert ids.issuperset(bodies.references(header.kind, body).records)


def test_a_run_cut_short_goes_on_to_the_same_end(
    home: Home, tmp_path: Path, network: tuple[dict[str, Any], Path]
):
    folder, (_, whole) = tmp_path / "cut", network
    folder.mkdir()
    State(**json.loads((whole / "seed.json").read_text()) | {"done": 0, "digest": ""}).save(folder)
    (folder / KEYS).write_bytes((whole / KEYS).read_bytes())
    asyncio.run(_cut(folder, after=1200))
    begun = State.load(folder)
    assert begun is not None
    assert 0 < begun.done < RECORDS - 1000
    (count,) = opened(folder).execute("SELECT count(*) FROM record").fetchone()
    assert begun.done < count < RECORDS
    for _ in range(2):  # the second time there is nothing left to do
        seed(home, folder, records=RECORDS)
        assert stored(folder) == stored(whole)


class _CutError(Exception):
    """The run ends here."""


async def _cut(folder: Path, after: int) -> None:
    """Fill until so many records are in, and then fail."""
    settings = Settings(data_dir=folder)
    node = await open_node(settings, Folder(folder), Keys.load(folder / KEYS))
    state = State.load(folder)
    assert state is not None
    seen = 0

    def advance(count: int) -> None:
        nonlocal seen
        seen += count
        if seen >= after:
            raise _CutError

    try:
        node.gate.start()
        with pytest.raises(_CutError):
            await Filling(node, Keys.load(folder / KEYS), state, folder, node.roster.load).run(
                advance
            )
    finally:
        await node.close()


def test_a_node_that_runs_is_left_alone(home: Home):
    with serving(home):
        done = home.run("seed", "--records", "400", "--json")
    assert done.code == 1
    assert "runs the node" in done.json["error"]["message"]


def test_a_folder_goes_on_with_what_it_was_begun_with(home: Home, tmp_path: Path):
    seed(home, tmp_path / "node")
    for more in (["--seed", "2"], ["--days", "3"], ["--records", "500"]):
        told = {"--records": str(FEW)} | dict([more])
        arguments = [part for pair in told.items() for part in pair]
        done = home.run("seed", "--data-dir", str(tmp_path / "node"), *arguments)
        assert done.code == 1
        assert "was seeded with" in done.err


def test_a_state_that_cannot_be_read_is_said(tmp_path: Path):
    (tmp_path / "seed.json").write_text("{")
    with pytest.raises(SeedError, match="cannot be read"):
        State.load(tmp_path)


GOOD = Plan(NETWORK_PUBLIC, "1", 10_000, 600, 30, UNTIL_MS)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (GOOD._replace(people=1001), "10010 records"),
        (GOOD._replace(until_ms=EPOCH_MS + 59 * DAY_MS), "2020"),
        (GOOD._replace(records=10**6, people=10**5, days=1), "accounts a day"),
        (GOOD._replace(records=10**8), "records a day"),
    ],
)
def test_what_cannot_be_made_is_said(plan: Plan, words: str):
    assert GOOD.problem() is None
    assert words in str(plan.problem())
