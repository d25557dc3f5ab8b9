"""SQLite on a disk whose power can be cut: for the very library that Python's sqlite3 uses.

    with Powercut() as power:
        db = sqlite3.connect(f"file:{path}?vfs={power.vfs}", uri=True)
        power.cut_after(operations=100, rng=random.Random(seed))
        ...                                 # work until it fails with sqlite3.OperationalError
        db.close()
    write_out(power.survivors, folder)      # what was left; open it with the normal VFS

A VFS is SQLite's own seam to the operating system. This one is the normal one of the machine
with four operations watched on their way: write, truncate, sync and delete. They reach the real
files too (but for the sync, which nothing needs), so reads, locks and the shared memory of a
write-ahead log are the real thing; what they mean for a power cut is kept in a `Disk`. As SQLite
does, a folder is synced at the first sync of a new journal or log in it, and after a delete that
asks for it. Temporary files are not watched: nobody reads them after a cut.

    power.cut(rng)                   what a cut now would leave; the database goes on
    power.cut_after(operations, rng) a cut before the operation after so many: from there on all
                                     fail with SQLITE_IOERR, and `survivors` is what was left
    power.fail(code, nth=3)          the third write from now fails with a code, once
    power.fail(code, on="sync")      the next sync does
    power.fail(code, times=ALWAYS)   every write does, until power.work()
    power.operations                 how many operations there were so far

One `Powercut` is for one life of one set of files; connections are closed before it is. It is
safe to use from several threads. Python must load SQLite as a shared library (Debian's and
python.org's builds on Linux do); otherwise `NoSharedSqlite` says so.
"""

from __future__ import annotations

import ctypes
import itertools
import random
import sqlite3
import threading
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.node.powercut.disk import Disk, File, Survivors, Truncate, Write

OK = 0
IOERR = 10
FULL = 13
# More operations than there ever are.
ALWAYS = 2**62
IOERR_WRITE = IOERR | 3 << 8
IOERR_FSYNC = IOERR | 4 << 8

_DELETE_ON_CLOSE = 0x8
_MAIN_DB, _MAIN_JOURNAL, _SUPER_JOURNAL, _WAL = 0x100, 0x800, 0x4000, 0x80000
_WATCHED = _MAIN_DB | _MAIN_JOURNAL | _SUPER_JOURNAL | _WAL
_SYNCS_FOLDER = _MAIN_JOURNAL | _SUPER_JOURNAL | _WAL

_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_CLOSE = CFUNCTYPE(c_int, c_void_p)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)

Operation = Literal["write", "sync"]


class NoSharedSqlite(RuntimeError):
    """Python's sqlite3 is not linked to a shared libsqlite3, so no VFS can be put before it."""


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs`, version 3."""

    _fields_ = (
        ("version", c_int),
        ("file_bytes", c_int),
        ("path_bytes_max", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", c_void_p),
        ("delete", c_void_p),
        ("others", c_void_p * 14),
    )


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`, version 3."""

    _fields_ = (
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", c_void_p),
        ("truncate", c_void_p),
        ("sync", c_void_p),
        ("others", c_void_p * 13),
    )


@dataclass
class _Handle:
    """One open file: how the real VFS works on it, and what the disk knows of it."""

    base: _Methods
    path: Path
    file: File
    syncs_folder: bool
    #: The real VFS's write: made anew at each use it would cost as much as it does.
    write: Any


@dataclass
class _Fault:
    on: Operation
    left: int
    code: int
    times: int


def shared_library(maps: str) -> str:
    """The path of the loaded libsqlite3, from the text of /proc/self/maps."""
    for line in maps.splitlines():
        path = line[line.find("/") :]
        if "/" in line and Path(path).name.startswith("libsqlite3"):
            return path
    raise NoSharedSqlite(
        "this Python has SQLite linked into its _sqlite3 module (or is not on Linux), "
        "so power cuts cannot be simulated: run the tests with a Python that loads libsqlite3.so"
    )


def _load() -> ctypes.CDLL:
    library = ctypes.CDLL(shared_library(Path("/proc/self/maps").read_text()))
    library.sqlite3_vfs_find.restype = POINTER(_Vfs)
    return library


# Whatever SQLite may hold a pointer to stays for the life of the process.
_KEPT: list[Any] = []
_NUMBERS = itertools.count(1)
assert sqlite3.sqlite_version  # the module is what loads the library


class Powercut:
    """A VFS named `vfs`, and the power supply of its disk."""

    def __init__(self) -> None:
        self.vfs = f"powercut-{next(_NUMBERS)}"
        self.disk = Disk()
        self.operations = 0
        #: How many operations `fail` made fail.
        self.failures = 0
        self.survivors: Survivors | None = None
        #: What went wrong in the shim itself, for `close` to raise.
        self.failure: BaseException | None = None
        self._cut_at: tuple[int, random.Random] | None = None
        self._fault: _Fault | None = None
        self._open: dict[int, _Handle] = {}
        self._methods: dict[int, tuple[_Methods, _Methods]] = {}
        self._lock = threading.RLock()
        self._library = _load()
        self._base = self._library.sqlite3_vfs_find(None)
        self._struct = self._register()

    def _register(self) -> _Vfs:
        base = self._base.contents
        struct = _Vfs.from_buffer_copy(base)
        struct.name = self.vfs.encode()
        struct.next = None
        self._base_open, self._base_delete = _OPEN(base.open), _DELETE(base.delete)
        struct.open = self._pointer(_OPEN, self._on_open)
        struct.delete = self._pointer(_DELETE, self._on_delete)
        _KEPT.append(struct)
        code = self._library.sqlite3_vfs_register(ctypes.byref(struct), 0)
        assert code == OK
        return struct

    def _pointer(self, kind: Any, work: Callable[..., int]) -> int | None:
        """`work` as a C function: under the lock, and an exception is an error, not a success."""

        def guarded(*args: Any) -> int:
            try:
                with self._lock:
                    return work(*args)
            except BaseException as error:  # ctypes would print it and answer 0
                self.failure = error
                return IOERR

        function = kind(guarded)
        _KEPT.append(function)
        return ctypes.cast(function, c_void_p).value

    def __enter__(self) -> Powercut:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the VFS away again. Raises what went wrong in the shim, if anything did."""
        self._library.sqlite3_vfs_unregister(ctypes.byref(self._struct))
        if self._open:
            names = sorted(handle.path.name for handle in self._open.values())
            raise RuntimeError(f"still open: {', '.join(names)}")
        if self.failure is not None:
            raise self.failure

    # ------------------------------------------------------------------------ the supply

    def cut(self, rng: random.Random) -> Survivors:
        """What a power cut now would leave."""
        with self._lock:
            return self.disk.cut(rng)

    def cut_after(self, operations: int, rng: random.Random) -> None:
        """Cut the power once so many further operations are done, before the next."""
        self._cut_at = (self.operations + operations, rng)

    def fail(self, code: int, *, nth: int = 1, on: Operation = "write", times: int = 1) -> None:
        """Let the `nth` operation of that sort from now fail with a code of SQLite, and the next
        ones, `times` in all.
        """
        self._fault = _Fault(on, nth, code, times)

    def work(self) -> None:
        """Neither fail nor cut: what was asked for and has not happened is called off."""
        self._fault = self._cut_at = None

    def _refusal(self, on: Operation | None) -> int:
        """The code with which the operation about to happen fails, or OK."""
        if self.survivors is None and self._cut_at and self.operations >= self._cut_at[0]:
            self.survivors = self.disk.cut(self._cut_at[1])
        if self.survivors is not None:
            return IOERR
        self.operations += 1
        if self._fault is not None and self._fault.on == on:
            fault = self._fault
            fault.left -= 1
            if fault.left <= 0:
                self.failures += 1
                if fault.left <= 1 - fault.times:
                    self._fault = None
                return fault.code
        return OK

    # -------------------------------------------------------------------- the operations

    def _on_open(self, _vfs: int, name: int | None, file: int, flags: int, out: Any) -> int:
        watched = name is not None and flags & _WATCHED and not flags & _DELETE_ON_CLOSE
        path = Path(ctypes.string_at(name).decode()) if watched and name else Path()
        existed = path.is_file()
        code = int(self._base_open(ctypes.addressof(self._base.contents), name, file, flags, out))
        if code != OK or not watched:
            return code
        if existed:
            known = b"" if self.disk.knows(path) else path.read_bytes()
            content = self.disk.found(path, known)
        else:
            content = self.disk.made(path)
        slot = c_void_p.from_address(file)
        assert slot.value is not None
        base, ours = self._watching(slot.value)
        slot.value = ctypes.addressof(ours)
        write = _WRITE(base.write)
        self._open[file] = _Handle(base, path, content, bool(flags & _SYNCS_FOLDER), write)
        return OK

    def _watching(self, address: int) -> tuple[_Methods, _Methods]:
        """The real methods at an address, and the same with ours in some places."""
        if address not in self._methods:
            base = _Methods.from_address(address)
            ours = _Methods.from_buffer_copy(base)
            ours.close = self._pointer(_CLOSE, self._on_close)
            ours.write = self._pointer(_WRITE, self._on_write)
            ours.truncate = self._pointer(_TRUNCATE, self._on_truncate)
            ours.sync = self._pointer(_SYNC, self._on_sync)
            _KEPT.append(ours)
            self._methods[address] = (base, ours)
        return self._methods[address]

    def _on_close(self, file: int) -> int:
        handle = self._open.pop(file)
        return int(_CLOSE(handle.base.close)(file))

    def _on_write(self, file: int, data: int, size: int, offset: int) -> int:
        if code := self._refusal("write"):
            return code
        handle = self._open[file]
        handle.file.unsynced.append(Write(offset, ctypes.string_at(data, size)))
        return int(handle.write(file, data, size, offset))

    def _on_truncate(self, file: int, size: int) -> int:
        if code := self._refusal(None):
            return code
        handle = self._open[file]
        handle.file.unsynced.append(Truncate(size))
        return int(_TRUNCATE(handle.base.truncate)(file, size))

    def _on_sync(self, file: int, _flags: int) -> int:
        if code := self._refusal("sync"):
            return code
        handle = self._open[file]
        handle.file.sync()
        if handle.syncs_folder:
            self.disk.sync_folder(handle.path.parent)
            handle.syncs_folder = False
        return OK

    def _on_delete(self, _vfs: int, name: bytes, sync_folder: int) -> int:
        if code := self._refusal(None):
            return code
        code = int(self._base_delete(ctypes.addressof(self._base.contents), name, 0))
        if code == OK:
            path = Path(name.decode())
            self.disk.deleted(path)
            if sync_folder:
                self.disk.sync_folder(path.parent)
        return code
