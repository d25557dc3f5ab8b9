"""Checks of the database: read only, beside a node that may be running."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ratoon_node.operate.doctor.finding import Finding, fail, ok, sized, warn
from ratoon_node.store import schema

# A quick check reads the whole file: it is cut here, and says so.
CHECK_MS_MAX = 30_000
# SQLite's steps between two looks at the clock.
_STEPS = 100_000
# Several connections that write and checkpoint can corrupt the log of these versions.
_WAL_FAULT_LAST = (3, 51, 2)
# The newest records, by which growth is reckoned.
_SAMPLE = 10_000
DAY_MS = 86_400_000
# Lines that the digest may be behind: it takes 250 at a time, many times a second.
LAG_LINES_WARN = 100_000
# Payloads that are known of and not here: more than a link brings in a few minutes.
WANTED_WARN = 10_000


@dataclass(frozen=True)
class Looked:
    """What the database showed: findings, and growth in bytes a day (0: not known)."""

    findings: list[Finding]
    growth_bytes_per_day: float = 0.0


def check_sqlite() -> Finding:
    """The library this program runs on, and what is known to be wrong with it."""
    version = sqlite3.sqlite_version
    with closing(sqlite3.connect(":memory:")) as db:
        options = {row[0] for row in db.execute("PRAGMA compile_options")}
    if "ENABLE_FTS5" not in options:
        words = f"SQLite {version} was built without full-text search (FTS5)"
        return fail("sqlite", words, "use a Python whose SQLite has it, such as Debian's")
    if sqlite3.sqlite_version_info <= _WAL_FAULT_LAST:
        return ok(
            "sqlite",
            f"SQLite {version}: it can corrupt its log if several programs write, and this node"
            " has one writer; never write to the database with another program",
        )
    return ok("sqlite", f"SQLite {version}")


def check_database(path: Path, now_ms: int, monotonic_ms: Callable[[], int]) -> Looked:
    """Whether it opens, is whole, fits this program, and is up with its own journal."""
    if not path.exists():
        words = f"there is no {path.name} yet"
        return Looked([warn("database", words, "it is made when the node starts")])
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return _look(db, path, now_ms, monotonic_ms)
    except sqlite3.DatabaseError as error:
        return Looked([_broken(path, str(error))])


def _broken(path: Path, why: str) -> Finding:
    return fail(
        "database",
        f"{path.name} is damaged: {why}",
        "stop the node, keep a copy of the folder, check the disk; with its words and its peers the"
        " node can begin anew in an empty folder, and gets from them what they hold",
    )


def _look(
    db: sqlite3.Connection, path: Path, now_ms: int, monotonic_ms: Callable[[], int]
) -> Looked:
    findings = [_whole(db, path, monotonic_ms)]
    version, known = schema.version(db), len(schema.MIGRATIONS)
    if version > known:
        findings.append(
            fail(
                "schema",
                f"the database has schema {version}, this program knows {known}: it was written by"
                " a newer one, and this one refuses it",
                "run the newer program",
            )
        )
        return Looked(findings)
    if version < known:
        words = f"the database has schema {version}, this program makes {known} of it at its start"
        findings.append(warn("schema", words, "keep a copy of the folder before you start it"))
        return Looked(findings)
    findings.append(ok("schema", f"schema {version}, as this program has it"))
    findings += [_lag(db), _wanted(db)]
    return Looked(findings, _growth(db, path, now_ms))


def _whole(db: sqlite3.Connection, path: Path, monotonic_ms: Callable[[], int]) -> Finding:
    began = monotonic_ms()
    size = sized(path.stat().st_size)
    db.set_progress_handler(lambda: int(monotonic_ms() - began > CHECK_MS_MAX), _STEPS)
    try:
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if monotonic_ms() - began <= CHECK_MS_MAX:
            raise
        return warn(
            "database",
            f"{path.name} ({size}) opens; {CHECK_MS_MAX // 1000} s of looking found nothing"
            f" wrong, and it is too large to look at all of it ({error})",
            "the node itself reads everything again in the background and asks its peers for what"
            " is damaged: see scrub_records in its metrics",
        )
    finally:
        db.set_progress_handler(None, 0)
    if found != "ok":
        return _broken(path, found)
    seconds = (monotonic_ms() - began) / 1000
    return ok("database", f"{path.name} ({size}) is whole, looked at in {seconds:.1f} s")


def _lag(db: sqlite3.Connection) -> Finding:
    (end,) = db.execute("SELECT ifnull(max(n), 0) FROM journal").fetchone()
    row = db.execute("SELECT n FROM position WHERE consumer = 'digest'").fetchone()
    lag = max(0, end - (row[0] if row else 0))
    if lag > LAG_LINES_WARN:
        return warn(
            "digest",
            f"threads, search and notifications are {lag} changes behind what is stored",
            "wait a while; if this number does not fall, see the log for `digest`",
        )
    behind = f"{lag} changes behind, which is little" if lag else "up with what is stored"
    return ok("digest", f"threads, search and notifications are {behind}")


def _wanted(db: sqlite3.Connection) -> Finding:
    query = f"SELECT count(*) FROM (SELECT 1 FROM wanted LIMIT {WANTED_WARN + 1})"
    (count,) = db.execute(query).fetchone()
    if count > WANTED_WARN:
        return warn(
            "wanted",
            f"more than {WANTED_WARN} records are known of and not here yet",
            "link with nodes that hold them (`ratoon peer add`), or wait until they are fetched",
        )
    return ok("wanted", f"{count} records are known of and not here yet")


def _growth(db: sqlite3.Connection, path: Path, now_ms: int) -> float:
    """Bytes a day, by how long the newest records took to come."""
    (last,) = db.execute("SELECT ifnull(max(n), 0) FROM record").fetchone()
    first = db.execute(
        "SELECT n, created_ms FROM record WHERE n >= ? ORDER BY n LIMIT 1", (last - _SAMPLE,)
    ).fetchone()
    if first is None or last == first[0] or now_ms - first[1] < DAY_MS:
        return 0.0
    days = (now_ms - first[1]) / DAY_MS
    return float(path.stat().st_size / last * (last - first[0]) / days)


def name_given(path: Path) -> str | None:
    """A name that this node gave out; None if nobody has one."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        row = db.execute("SELECT name FROM name WHERE lapsed_ms IS NULL LIMIT 1").fetchone()
        return str(row[0]) if row else None
