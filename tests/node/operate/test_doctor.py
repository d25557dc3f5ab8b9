"""Each check of the doctor, made to fail on a real folder."""

from __future__ import annotations

import os
import random
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from ratoon_node.config import Settings
from ratoon_node.operate.doctor import database, folder, standing
from ratoon_node.operate.doctor.finding import Finding, State, failed, sized
from ratoon_node.operate.folder import Folder
from ratoon_node.runtime import SystemClock
from ratoon_node.store.db import InlineDb
from ratoon_protocol.limits import DAY_MS, NETWORK_PUBLIC

NOW_MS = 1_800_000_000_000


@pytest.fixture
async def place(tmp_path: Path) -> Folder:
    """The folder of a node that does not run, with a database of this program."""
    found = Folder(tmp_path / "node")
    found.claim()
    found.make_keys(NETWORK_PUBLIC, bytes(32), random.Random(1), NOW_MS)
    found.make_operator_token()
    await InlineDb(found.store).close()
    found.release()
    return found


@pytest.fixture
def db(place: Folder) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(place.store, isolation_level=None)) as opened:
        yield opened


def states(findings: list[Finding]) -> dict[str, State]:
    return {finding.check: finding.state for finding in findings}


def looked(place: Folder) -> dict[str, State]:
    clock = SystemClock()
    return states(database.check_database(place.store, NOW_MS, clock.monotonic_ms).findings)


def test_a_sound_folder_has_nothing_to_do(place: Folder) -> None:
    findings = folder.check_folder(place, NETWORK_PUBLIC)
    assert set(states(findings)) == {"folder", "keys", "token", "words"}
    assert not any(finding.do for finding in findings)
    assert set(looked(place).values()) == {State.OK}


@pytest.mark.parametrize(
    ("name", "mode", "check"),
    [
        (".", 0o750, "folder"),
        ("keys.json", 0o640, "keys"),
        ("operator-token", 0o604, "token"),
        ("recovery-words.txt", 0o644, "words"),
    ],
)
def test_what_others_can_read_fails(place: Folder, name: str, mode: int, check: str) -> None:
    place.leave_words(bytes(32))
    (place.path / name).chmod(mode)
    found = {one.check: one for one in folder.check_folder(place, NETWORK_PUBLIC)}
    assert found[check].state is State.FAIL
    assert "chmod" in found[check].do


def test_words_lying_about_are_a_warning(place: Folder) -> None:
    place.leave_words(bytes(32))
    assert states(folder.check_folder(place, NETWORK_PUBLIC))["words"] is State.WARN


def test_keys_that_are_missing_broken_or_of_another_network_fail(place: Folder) -> None:
    assert states(folder.check_folder(place, bytes(8)))["keys"] is State.FAIL
    keys = place.path / "keys.json"
    keys.write_text("{")
    assert states(folder.check_folder(place, NETWORK_PUBLIC))["keys"] is State.FAIL
    keys.unlink()
    missing = {one.check: one for one in folder.check_folder(place, NETWORK_PUBLIC)}["keys"]
    assert (missing.state, "new account" in missing.says) == (State.FAIL, True)
    place.store.unlink()
    assert states(folder.check_folder(place, NETWORK_PUBLIC))["keys"] is State.WARN
    assert looked(place) == {"database": State.WARN}


def test_a_folder_that_is_not_there_or_not_ours_fails(
    place: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # what a user who is not root sees
    assert states(folder.check_folder(place, NETWORK_PUBLIC))["folder"] is State.FAIL
    shutil.rmtree(place.path)
    assert states(folder.check_folder(place, NETWORK_PUBLIC)) == {"folder": State.FAIL}


# --- database --------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1], ids=["its head", "a page"])
def test_a_damaged_database_fails(place: Folder, at: int) -> None:
    size = place.store.stat().st_size
    with place.store.open("r+b") as file:
        file.seek(at * 4096)
        file.write(b"\xa5" * (4096 if at == 0 else size - 4096))
    assert looked(place)["database"] is State.FAIL


def test_a_database_too_large_to_look_at_says_so(
    place: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_STEPS", 1)
    times = iter(range(0, 10**9, database.CHECK_MS_MAX))
    found = database.check_database(place.store, NOW_MS, lambda: next(times)).findings
    assert (found[0].state, "too large" in found[0].says) == (State.WARN, True)


def test_another_schema_is_told(place: Folder, db: sqlite3.Connection) -> None:
    db.execute("PRAGMA user_version = 99")
    assert looked(place) == {"database": State.OK, "schema": State.FAIL}
    db.execute("PRAGMA user_version = 1")
    assert looked(place) == {"database": State.OK, "schema": State.WARN}


def test_what_is_behind_is_a_warning(place: Folder, db: sqlite3.Connection) -> None:
    last = database.LAG_LINES_WARN + 1
    db.execute("INSERT INTO journal (n, what) VALUES (?, 0)", (last,))
    rows = [(number, 0) for number in range(database.WANTED_WARN + 1)]
    db.execute("BEGIN")
    db.executemany("INSERT INTO wanted (record, ask_ms) VALUES (?, ?)", rows)
    db.execute("COMMIT")
    found = looked(place)
    assert (found["digest"], found["wanted"]) == (State.WARN, State.WARN)
    db.execute("INSERT OR REPLACE INTO position VALUES ('digest', ?)", (last,))
    assert looked(place)["digest"] is State.OK


def test_growth_follows_the_newest_records(place: Folder, db: sqlite3.Connection) -> None:
    clock = SystemClock()

    def grown() -> float:
        return database.check_database(place.store, NOW_MS, clock.monotonic_ms).growth_bytes_per_day

    assert grown() == 0
    db.execute("BEGIN")
    for number in range(1, 101):
        db.execute(
            "INSERT INTO record (n, id, account, chain, kind, seq, created_ms, status, flags,"
            " disposition, bytes_state, header, signature) VALUES (?, ?, 1, 1, 0, 1, ?, 0, 0, 0, 0,"
            " x'', x'')",
            (number, number.to_bytes(32), NOW_MS - 10 * DAY_MS),
        )
    db.execute("COMMIT")
    assert grown() == pytest.approx(place.store.stat().st_size / 100 * 99 / 10)


def test_versions_of_sqlite_and_their_traps_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))
    assert "one writer" in database.check_sqlite().says
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    assert "one writer" not in database.check_sqlite().says


# --- the machine -----------------------------------------------------------------------------

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("free", "growth", "state"),
    [
        (63 * MIB, 0, State.FAIL),
        (100 * MIB, 0, State.OK),
        (100 * MIB, 60 * MIB, State.FAIL),
        (100 * MIB, 10 * MIB, State.WARN),
        (100 * MIB, MIB, State.OK),
    ],
)
def test_room_and_how_long_it_lasts(
    place: Folder, monkeypatch: pytest.MonkeyPatch, free: int, growth: int, state: State
) -> None:
    room = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: room)
    assert folder.check_disk(place, growth).state is state


def test_open_files_are_counted_against_the_settings(place: Folder) -> None:
    has = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    fits = Settings(data_dir=place.path, links_max=1, streams_max=0, requests_active_max=8)
    assert folder.check_files(fits, os.getpid()).state is State.OK
    many = Settings(data_dir=place.path, streams_max=has)
    assert folder.check_files(many, os.getpid()).state is State.WARN
    assert folder.check_files(many, None).state is State.WARN


def test_rules_are_read_and_compared_with_those_in_force(place: Folder) -> None:
    settings = Settings(data_dir=place.path)
    assert folder.check_policy(settings, None).state is State.OK
    settings.policy_path.write_text("nonsense = 1\n")
    wrong = folder.check_policy(settings, None)
    assert (wrong.state, "nonsense" in wrong.says) == (State.FAIL, True)
    settings.policy_path.write_text("")
    assert folder.check_policy(settings, None).state is State.OK
    assert folder.check_policy(settings, "older").state is State.WARN
    settings.policy_path.unlink()
    settings.policy_path.mkdir()
    assert folder.check_policy(settings, None).state is State.FAIL


def test_an_open_door_needs_somebody_at_it(place: Folder) -> None:
    def stands(**more: object) -> State:
        settings = Settings(data_dir=place.path, **more)  # type: ignore[arg-type]
        return folder.check_registration(settings).state

    assert stands() is State.OK
    assert stands(registration="open") is State.WARN
    assert stands(registration="open", entries_per_minute_max=0) is State.FAIL
    (place.path / "policy.toml").write_text("")
    assert stands(registration="open") is State.OK


# --- the network -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("skew_s", "links", "state"),
    [
        (0, 3, State.OK),
        (-121, 3, State.WARN),
        (121, 1, State.WARN),
        (601, 2, State.FAIL),
        (601, 0, State.OK),
    ],
)
def test_clocks(skew_s: float, links: int, state: State) -> None:
    assert standing.check_clock(skew_s, links).state is state


@pytest.mark.parametrize(
    ("keys", "state"), [("ok", State.OK), ("shared", State.FAIL), ("silent", State.FAIL)]
)
def test_two_machines_with_one_key_are_to_be_put_right(keys: str, state: State) -> None:
    found = standing.check_keys(keys)
    assert found.state is state
    assert bool(found.do) is (state is State.FAIL)


def peer(node: str, provider: str | None, added: bool = True) -> dict[str, object]:
    return {"node": node, "provider": provider, "added": added, "address": f"https://{node}"}


def test_copies_are_counted_by_confirmed_providers() -> None:
    peers = [peer("a", "North"), peer("b", None), peer("c", "East", added=False)]

    def stands(provider: str, *links: str) -> dict[str, State]:
        return states(standing.check_peers(provider, peers, links))

    ok, warn = State.OK, State.WARN
    assert stands("") == {"links": warn, "provider": warn, "providers": warn}
    assert stands("North", "a") == {"links": warn, "provider": ok, "providers": warn}
    assert stands("north", "a", "b") == {"links": ok, "provider": ok, "providers": warn}
    assert stands("North", "a", "b", "c") == {"links": ok, "provider": ok, "providers": ok}


def test_proxies_are_named_and_nobody_else_is() -> None:
    def stands(trusted: tuple[str, ...], address: str) -> list[State]:
        return [one.state for one in standing.check_proxies(trusted, (address,))]

    assert stands((), "http://a.example") == []
    assert stands((), "https://a.example") == [State.WARN]
    assert stands(("127.0.0.1",), "https://a.example") == [State.OK]
    assert stands(("127.0.0.1", "0.0.0.0/0"), "https://a.example") == [State.FAIL]


@pytest.mark.parametrize(
    ("hosts", "state"),
    [
        ({}, State.WARN),
        ({"a.example": {"192.0.2.1"}}, State.WARN),
        ({"a.example": {"192.0.2.1"}, "b.a.example": {"192.0.2.9"}}, State.WARN),
        ({"a.example": {"192.0.2.1"}, "b.test": {"192.0.2.1"}}, State.WARN),
        ({"a.example": {"192.0.2.1"}, "b.test": {"192.0.2.9"}}, State.OK),
        ({"a.example": {"192.0.2.1"}, "x.onion": set()}, State.OK),
        ({"192.0.2.1": {"192.0.2.1"}, "192.0.3.1": {"192.0.3.1"}}, State.OK),
    ],
)
def test_one_vendor_for_everything(hosts: dict[str, set[str]], state: State) -> None:
    addresses = [f"https://{host}" for host in hosts]
    resolved = {host: frozenset(found) for host, found in hosts.items()}
    assert standing.check_vendors(addresses, resolved).state is state


def test_findings_count_as_failed_only_if_one_fails() -> None:
    def of(*found: State) -> bool:
        return failed(Finding("x", state, "") for state in found)

    assert (of(), of(State.OK, State.WARN), of(State.WARN, State.FAIL)) == (False, False, True)
    assert [sized(n) for n in (7, 2048, 3 << 30, 5 << 40)] == ["7 bytes", "2 KiB", "3 GiB", "5 TiB"]
