"""Folding the write-ahead log back, so that what was erased is in no file.

`secure_delete` zeroes a removed row where it is, and whole pages that are freed. But when SQLite
shares the rows of full pages out anew, a page keeps in its gap (between the places of its rows and
the rows themselves) what was there before: copies of rows that are on the page still, or on
another by now, and that nobody zeroes when those are erased. So every page that comes from the log
into the database has its gap zeroed on the way, whatever table or index it is of, and this is what
holds: **outside the log no page of the file has anything in its gap.**

SQLite reads nothing from a gap and writes it only as a part of its page. Hence bytes may be zeroed
there while others read; and while the log still has the page, a power cut undoes it at worst.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import structlog

# The log is folded back when it is longer. A page of an index changes in nearly every commit of a
# flood: the longer the log, the fewer times it is written twice.
LOG_BYTES_MAX = 64 * 2**20
# A page is known by its first byte: 2, 5, 10 or 13 for a part of a tree, while pages of long
# values and free ones begin with a page's number. Below this many pages (128 GiB) that is 0 or 1.
DATABASE_PAGES_MAX = 0x0200_0000 - 1
# First bytes of pages with rows, and the bytes of their headers.
_HEADER_BYTES = {2: 12, 5: 12, 10: 8, 13: 8}
# The file's own header stands before that of its first page.
_FILE_HEADER_BYTES = 100
# Of the log, and before each page in it.
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
# Says in the database that all of its pages were gone over once.
_MARK = "gaps_zeroed"

log = structlog.get_logger()


def prepare(db: sqlite3.Connection) -> None:
    """Leave folding to `Fold`; before anything else is done with a writing connection."""
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("PRAGMA journal_size_limit = 0")  # so that the file's size tells what is in the log
    db.execute(f"PRAGMA max_page_count = {DATABASE_PAGES_MAX}")


def gap(page: bytes, header: int = 0) -> tuple[int, int] | None:
    """Where a page has something in its gap: from, to. None: it has no gap, or zeros in it.

    `header`: where its header begins. A page that a disk has changed is left as it is.
    """
    size = _HEADER_BYTES.get(page[header]) if page else None
    if size is None:
        return None
    free, count, end = struct.unpack_from(">HHH", page, header + 1)
    end = end or 65536
    places = header + size
    begin = places + 2 * count
    if begin >= end or end > len(page) or not page[begin:end].strip(b"\0"):
        return None
    cells = struct.unpack_from(f">{count}H", page, places)
    sound = end <= min(cells, default=end) and (not free or free >= end)
    return (begin, end) if sound else None


class Fold:
    """Works on the writer's thread, between its transactions, and on no other.

    Keeps the database's file open beside SQLite: were it closed while SQLite uses it, the locks
    of the whole process would go. So `close` comes after all connections are closed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = Path(f"{path}-wal")
        self._file: int | None = None
        #: Pages that are out of the log and whose gaps the disk refused to zero.
        self._left: set[int] = set()

    def close(self) -> None:
        """Once, and last."""
        if self._file is not None:
            os.close(self._file)

    def begin(self, db: sqlite3.Connection) -> None:
        """Take what an earlier run left in the log; go over every page if that was never done.

        A disk without room keeps nobody from reading: then both come later. Raises
        `sqlite3.OperationalError` if the file cannot be opened.
        """
        with _disk_errors():
            self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            with _disk_errors():
                self._begin(db, self._file)
        except sqlite3.OperationalError as error:
            log.warning("fold_failed", error=str(error))

    def _begin(self, db: sqlite3.Connection, file: int) -> None:
        if not self.fold(db):
            return  # another program reads; what is missing is done at the next start
        if db.execute("SELECT 1 FROM meta WHERE key = ?", (_MARK,)).fetchone() is None:
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            _zero(file, range(1, pages + 1))
            db.execute("PRAGMA shrink_memory")
            db.execute("INSERT INTO meta (key, value) VALUES (?, x'')", (_MARK,))

    def committed(self, db: sqlite3.Connection) -> None:
        """After a commit: fold the log if it is long. The commit stands, whatever comes of it."""
        with contextlib.suppress(FileNotFoundError):
            if self._log.stat().st_size < LOG_BYTES_MAX:
                return
        try:
            self.fold(db)
        except sqlite3.Error as error:  # a full disk: the next commit tries again
            log.warning("fold_failed", error=str(error))

    def fold(self, db: sqlite3.Connection) -> bool:
        """Fold the log back and cut the file, so that no old page image stays in it either.

        Not waiting for readers: nobody could write meanwhile. False if one still needs the log;
        the caller comes again. Raises `sqlite3.OperationalError` if the disk fails.
        """
        if self._file is None:
            return False
        (wait_ms,) = db.execute("PRAGMA busy_timeout").fetchone()
        db.execute("PRAGMA busy_timeout = 0")
        try:
            with _disk_errors():
                return self._fold(db, self._file)
        finally:
            db.execute(f"PRAGMA busy_timeout = {wait_ms}")

    def _fold(self, db: sqlite3.Connection, file: int) -> bool:
        busy, frames, done = db.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        if busy or done < frames:
            return False
        if frames > 0:
            self._left |= _logged(self._log, frames, _page_bytes(file))
        # Before the log is cut: it has every page whole, should the power go meanwhile.
        _zero(file, self._left)
        self._left.clear()
        # The writer's own copies of pages would bring back what was in their gaps.
        db.execute("PRAGMA shrink_memory")
        return bool(db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """A disk that fails here fails as it does under SQLite: callers wait and come again."""
    try:
        yield
    except OSError as error:
        raise sqlite3.OperationalError(f"disk I/O error: {error}") from error


def _page_bytes(file: int) -> int:
    size = int.from_bytes(os.pread(file, 2, 16), "big")
    return 65536 if size == 1 else size


def _logged(path: Path, frames: int, page_bytes: int) -> set[int]:
    """The numbers of the pages in the log."""
    with path.open("rb", buffering=0) as log_:
        step = _FRAME_HEADER_BYTES + page_bytes
        places = range(_LOG_HEADER_BYTES, _LOG_HEADER_BYTES + step * frames, step)
        return {int.from_bytes(os.pread(log_.fileno(), 4, place), "big") for place in places}


def _zero(file: int, numbers: Iterable[int]) -> None:
    """Zero the gaps of these pages of a database, and have that on the disk."""
    size = _page_bytes(file)
    changed = False
    for number in sorted(numbers):
        place = (number - 1) * size
        found = gap(os.pread(file, size, place), _FILE_HEADER_BYTES if number == 1 else 0)
        if found is not None:
            begin, end = found
            os.pwrite(file, bytes(end - begin), place + begin)
            changed = True
    if changed:
        os.fdatasync(file)
