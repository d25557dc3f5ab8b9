"""What a disk still has after a power cut: a model of files, names and what was synced of them.

Of every file it keeps the content as of the last sync, and in order what was written since. At a
cut a file is its synced content and, of the rest, whatever the chance of a seed lets through:
nothing, all, a beginning, or any sectors in between, the last of them torn. A sector is 512
bytes; bytes outside a write are never touched, which is what SQLite asks of a disk.

Names are kept apart from files: a file that was made, or deleted, is so for certain only once its
folder was synced; until then a beginning of the folder's changes survives, as file systems with a
journal have it. A file whose name did not survive is gone however well it was synced.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECTOR_BYTES = 512
# One sector in so many is torn in itself.
TORN_ONE_IN = 8

Survivors = dict[Path, bytes]


@dataclass(frozen=True)
class Write:
    """Bytes put at an offset; a gap before them reads as zeros."""

    offset: int
    data: bytes

    def apply(self, image: bytearray) -> None:
        """Change the image in place."""
        if len(image) < self.offset:
            image.extend(bytes(self.offset - len(image)))
        image[self.offset : self.offset + len(self.data)] = self.data

    def sectors(self) -> list[Write]:
        """The same bytes, cut where sectors end."""
        parts, done = [], 0
        while done < len(self.data):
            size = SECTOR_BYTES - (self.offset + done) % SECTOR_BYTES
            parts.append(Write(self.offset + done, self.data[done : done + size]))
            done += size
        return parts


@dataclass(frozen=True)
class Truncate:
    """The file cut (or filled with zeros) to a size."""

    size: int

    def apply(self, image: bytearray) -> None:
        """Change the image in place."""
        del image[self.size :]
        image.extend(bytes(self.size - len(image)))


Change = Write | Truncate


@dataclass(eq=False)
class File:
    """A file, whatever its names: content as synced, and the changes since, in order."""

    synced: bytearray = field(default_factory=bytearray)
    unsynced: list[Change] = field(default_factory=list)

    def sync(self) -> None:
        """All changes so far are certain."""
        for change in self.unsynced:
            change.apply(self.synced)
        self.unsynced.clear()

    def after_cut(self, rng: random.Random) -> bytes:
        """One of the contents that a power cut now may leave."""
        image = bytearray(self.synced)
        for change in _let_through(self.unsynced, rng):
            change.apply(image)
        return bytes(image)


def _let_through(changes: Sequence[Change], rng: random.Random) -> list[Change]:
    style = rng.choice(("nothing", "all", "beginning", "sectors", "sectors"))
    if style == "nothing" or not changes:
        return []
    if style == "all":
        return list(changes)
    if style == "beginning":
        whole = rng.randrange(len(changes))
        return [*changes[:whole], *_some_sectors(changes[whole], rng, 0.5)]
    share = rng.random()
    return [part for change in changes for part in _some_sectors(change, rng, share)]


def _some_sectors(change: Change, rng: random.Random, share: float) -> list[Change]:
    if isinstance(change, Truncate):
        return [change] if rng.random() < share else []
    kept: list[Change] = []
    for part in change.sectors():
        if rng.random() < share:
            torn = rng.randrange(TORN_ONE_IN) == 0
            size = rng.randrange(len(part.data)) if torn else len(part.data)
            kept.append(Write(part.offset, part.data[:size]))
    return kept


class Disk:
    """Files by name, as the running system sees them and as they are certain.

    A file that was there before the disk was told of it counts as synced, name and all.
    """

    def __init__(self) -> None:
        self._names: dict[Path, File] = {}
        self._certain: dict[Path, File] = {}
        # What each folder's next sync makes certain: a file under a name, or None for no file.
        self._changes: dict[Path, list[tuple[Path, File | None]]] = {}

    def found(self, path: Path, content: bytes) -> File:
        """The file at `path`; if it is new here, it was there all along with that content."""
        if path not in self._names:
            self._names[path] = self._certain[path] = File(bytearray(content))
        return self._names[path]

    def knows(self, path: Path) -> bool:
        """Whether `found` would already know the file."""
        return path in self._names

    def made(self, path: Path) -> File:
        """A new, empty file."""
        self._names[path] = file = File()
        self._changes.setdefault(path.parent, []).append((path, file))
        return file

    def deleted(self, path: Path) -> None:
        """The name is gone, as far as the running system sees."""
        if self._names.pop(path, None) is not None:
            self._changes.setdefault(path.parent, []).append((path, None))

    def sync_folder(self, folder: Path) -> None:
        """All changes of names in the folder so far are certain."""
        _rename(self._certain, self._changes.pop(folder, []))

    def spoil(self, path: Path, offset: int, mask: int) -> None:
        """Bits of the synced content change by themselves."""
        self._names[path].synced[offset] ^= mask

    def cut(self, rng: random.Random) -> Survivors:
        """The files that a power cut now may leave; the disk itself goes on unharmed."""
        names = dict(self._certain)
        for changes in self._changes.values():
            _rename(names, changes[: rng.randint(0, len(changes))])
        return {path: names[path].after_cut(rng) for path in sorted(names)}


def _rename(names: dict[Path, File], changes: Sequence[tuple[Path, File | None]]) -> None:
    for path, file in changes:
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file


def write_out(survivors: Survivors, folder: Path) -> None:
    """Put the surviving files into `folder` (made if missing), under their own last names."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in survivors.items():
        (folder / path.name).write_bytes(content)
