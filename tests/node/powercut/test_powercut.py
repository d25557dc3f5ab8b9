"""The disk shim loses what was not synced, and only that."""

from __future__ import annotations

import random
import sqlite3
import threading
from pathlib import Path

import pytest

from tests.node.powercut import vfs
from tests.node.powercut.disk import Disk, write_out
from tests.node.powercut.vfs import ALWAYS, FULL, IOERR_FSYNC, IOERR_WRITE, Powercut

SEEDS = range(50)
# Transactions in a life, and at most this many operations before the power goes.
ROUNDS, OPERATIONS_MAX = 40, 400


def connect(path: Path, power: Powercut, *pragmas: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{path.as_uri()}?vfs={power.vfs}", uri=True, isolation_level=None, check_same_thread=False
    )
    for pragma in pragmas:
        db.execute(f"PRAGMA {pragma}")
    return db


def change(db: sqlite3.Connection, n: int) -> None:
    """Transaction `n`: adds rows, changes older ones, deletes some."""
    rng = random.Random(n)
    db.execute("BEGIN")
    for m in range(rng.randint(1, 6)):
        db.execute("INSERT INTO rows VALUES (?, ?)", (n * 10 + m, rng.randbytes(700)))
    db.execute("UPDATE rows SET data = ? WHERE id % 7 = ?", (rng.randbytes(300), n % 7))
    db.execute("DELETE FROM rows WHERE id % 11 = ?", (n % 11,))
    db.execute("UPDATE life SET n = ?", (n,))
    db.execute("COMMIT")


def content(db: sqlite3.Connection) -> list[tuple]:
    return db.execute("SELECT id, data FROM rows ORDER BY id").fetchall()


def begin(db: sqlite3.Connection) -> None:
    db.execute("BEGIN")
    db.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, data BLOB)")
    db.execute("CREATE TABLE life (n INTEGER)")
    db.execute("INSERT INTO life VALUES (-1)")
    db.execute("COMMIT")


@pytest.fixture(scope="module")
def expected() -> list[list[tuple]]:
    """The content after each transaction (and at the end, the one before the first)."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    begin(db)
    states = []
    for n in range(ROUNDS):
        change(db, n)
        states.append(content(db))
    db.close()
    return [*states, []]


def live(path: Path, power: Powercut, rng: random.Random, *pragmas: str) -> int:
    """Work until the power goes; the number of the last transaction that was acknowledged."""
    done = -1
    db = connect(path, power, *pragmas, "wal_autocheckpoint=6")
    begin(db)
    db.execute("PRAGMA wal_checkpoint")  # so that the empty tables are not what is lost
    power.cut_after(rng.randrange(OPERATIONS_MAX), rng)
    try:
        for n in range(ROUNDS):
            change(db, n)
            done = n
    except sqlite3.OperationalError:
        pass
    finally:
        db.close()
    return done


def lost(folder: Path, seed: int, expected: list[list[tuple]], *pragmas: str) -> int | None:
    """How many acknowledged transactions one seed loses; None if the file is broken."""
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    with Powercut() as power:
        done = live(folder / "a.db", power, rng, *pragmas)
        assert power.survivors is not None, f"only {power.operations} operations"
    write_out(power.survivors, folder / "after")
    db = sqlite3.connect(folder / "after" / "a.db")
    try:
        if db.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            return None
        (kept,) = db.execute("SELECT n FROM life").fetchone()
        return done - kept if content(db) == expected[kept] else None
    except sqlite3.DatabaseError:
        return None
    finally:
        db.close()


def losses(tmp_path: Path, expected: list[list[tuple]], *pragmas: str) -> list[int | None]:
    return [lost(tmp_path / str(seed), seed, expected, *pragmas) for seed in SEEDS]


def test_a_log_that_is_synced_at_each_commit_loses_nothing(tmp_path, expected):
    found = losses(tmp_path, expected, "journal_mode=WAL", "synchronous=FULL")
    assert all(n is not None and n <= 0 for n in found)


def test_a_log_that_is_rarely_synced_loses_commits_but_not_the_file(tmp_path, expected):
    found = losses(tmp_path, expected, "journal_mode=WAL", "synchronous=NORMAL")
    assert None not in found
    assert max(n for n in found if n is not None) > 0


def test_without_syncs_commits_and_whole_files_are_lost(tmp_path, expected):
    found = losses(tmp_path, expected, "journal_mode=WAL", "synchronous=OFF")
    assert any(n is None or n > 0 for n in found)
    assert None in found


def test_a_journal_whose_deletion_is_not_synced_can_take_a_commit_back(tmp_path, expected):
    full = losses(tmp_path / "full", expected, "journal_mode=DELETE", "synchronous=FULL")
    assert None not in full
    assert 1 in full


def test_a_journal_whose_deletion_is_synced_loses_nothing(tmp_path, expected):
    extra = losses(tmp_path, expected, "journal_mode=DELETE", "synchronous=EXTRA")
    assert all(n is not None and n <= 0 for n in extra)


def test_the_same_seed_leaves_the_same_bytes(tmp_path):
    def once(name: str) -> dict[str, bytes]:
        (tmp_path / name).mkdir()
        with Powercut() as power:
            # Not in WAL mode: the log's salts are SQLite's own randomness.
            live(tmp_path / name / "a.db", power, random.Random(3), "journal_mode=MEMORY")
            assert power.survivors is not None
            return {path.name: data for path, data in power.survivors.items()}

    assert once("one") == once("two")


def test_a_cut_does_not_disturb_the_running_database(tmp_path, expected):
    with Powercut() as power:
        db = connect(tmp_path / "a.db", power, "journal_mode=WAL", "synchronous=FULL")
        begin(db)
        for n in range(10):
            change(db, n)
            write_out(power.cut(random.Random(n)), tmp_path / str(n))
        assert content(db) == expected[9]
        db.close()
    for n in range(10):
        after = sqlite3.connect(tmp_path / str(n) / "a.db")
        assert content(after) == expected[n]
        after.close()


def test_a_file_that_was_there_before_counts_as_synced(tmp_path, expected):
    db = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    begin(db)
    change(db, 0)
    db.close()
    with Powercut() as power:
        db = connect(tmp_path / "a.db", power, "synchronous=OFF")
        change(db, 1)
        db.close()
        kept = {power.cut(random.Random(seed))[tmp_path / "a.db"] for seed in range(20)}
    sizes = {len(data) for data in kept}
    assert len(kept) > 1
    assert min(sizes) > 0


def test_after_the_cut_nothing_is_written_any_more(tmp_path):
    with Powercut() as power:
        db = connect(tmp_path / "a.db", power, "journal_mode=WAL")
        begin(db)
        power.cut_after(0, random.Random(1))
        for _ in range(3):
            with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
                db.execute("UPDATE life SET n = 5")
        db.close()
        assert power.survivors is not None
        assert (tmp_path / "a.db-wal").exists()


@pytest.mark.parametrize(
    ("code", "on", "said"),
    [
        (FULL, "write", "database or disk is full"),
        (IOERR_WRITE, "write", "disk I/O error"),
        (IOERR_FSYNC, "sync", "disk I/O error"),
    ],
)
@pytest.mark.parametrize("nth", [1, 2])
def test_an_operation_can_be_made_to_fail_once(tmp_path, expected, code, on, said, nth):
    with Powercut() as power:
        db = connect(tmp_path / "a.db", power, "journal_mode=DELETE")
        begin(db)
        power.fail(code, nth=nth, on=on)
        with pytest.raises(sqlite3.OperationalError, match=said):
            change(db, 0)
        db.rollback()
        assert content(db) == []
        change(db, 0)
        assert content(db) == expected[0]
        db.close()


def test_a_full_disk_stays_full_until_there_is_room(tmp_path, expected):
    with Powercut() as power:
        db = connect(tmp_path / "a.db", power, "journal_mode=WAL")
        begin(db)
        power.fail(FULL, times=ALWAYS)
        for _ in range(3):
            with pytest.raises(sqlite3.OperationalError, match="database or disk is full"):
                change(db, 0)
            db.rollback()
        assert power.failures >= 3
        power.work()
        change(db, 0)
        assert content(db) == expected[0]
        db.close()


def test_readers_in_other_threads_see_what_is_committed(tmp_path, expected):
    with Powercut() as power:
        path = tmp_path / "a.db"
        db = connect(path, power, "journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=5")
        begin(db)
        seen: list[int] = []
        stop = threading.Event()

        def watch() -> None:
            reader = connect(path, power, "query_only=ON")
            while not stop.is_set() or not seen:
                with reader:
                    reader.execute("BEGIN")
                    (n,) = reader.execute("SELECT n FROM life").fetchone()
                    assert content(reader) == expected[n]
                seen.append(n)
            reader.close()

        thread = threading.Thread(target=watch)
        thread.start()
        for n in range(ROUNDS):
            change(db, n)
        stop.set()
        thread.join()
        db.close()
    assert seen == sorted(seen)
    assert ROUNDS > seen[-1] >= -1


def test_temporary_files_pass_unwatched(tmp_path):
    with Powercut() as power:
        db = connect(tmp_path / "a.db", power, "temp_store=FILE", "cache_size=2", "cache_spill=1")
        db.execute("CREATE TEMP TABLE t (data BLOB)")
        for _ in range(20):
            db.execute("INSERT INTO t VALUES (randomblob(4000))")
        assert db.execute("SELECT count(*) FROM t").fetchone() == (20,)
        db.close()
        assert power.operations == 0


def test_a_file_that_cannot_be_opened_is_only_an_error(tmp_path):
    with Powercut() as power, pytest.raises(sqlite3.OperationalError, match="unable to open"):
        connect(tmp_path / "none" / "a.db", power, "user_version")


def test_a_mistake_in_the_shim_is_an_error_and_is_raised(tmp_path, monkeypatch):
    def wrong(_self, _path):
        raise KeyError("wrong")

    monkeypatch.setattr(Disk, "made", wrong)
    power = Powercut()
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        connect(tmp_path / "a.db", power, "user_version")
    with pytest.raises(KeyError, match="wrong"):
        power.close()


def test_a_connection_left_open_is_told(tmp_path):
    power = Powercut()
    db = connect(tmp_path / "a.db", power, "user_version")
    with pytest.raises(RuntimeError, match=r"still open: a\.db"):
        power.close()
    db.close()


def test_a_closed_vfs_is_not_there_any_more(tmp_path):
    with Powercut() as power:
        pass
    with pytest.raises(sqlite3.OperationalError, match="no such vfs"):
        connect(tmp_path / "a.db", power)


def test_the_library_is_found_by_its_mapping():
    line = "7f3b-7f4c r-xp 00026000 fe:00 339893    /usr/lib/x86_64-linux-gnu/libsqlite3.so.0.8.6"
    assert vfs.shared_library(f"00-01 rw-p 0 00:00 0 [heap]\n{line}\n") == (
        "/usr/lib/x86_64-linux-gnu/libsqlite3.so.0.8.6"
    )
    with pytest.raises(vfs.NoSharedSqlite, match="linked into its _sqlite3 module"):
        vfs.shared_library("7f3b-7f4c r-xp 0 fe:00 1    /opt/lib-dynload/_sqlite3.so\n")
