"""The model of the disk alone: what may survive, and that for some seed all of it does."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.node.powercut.disk import SECTOR_BYTES, Disk, File, Truncate, Write, write_out

A, B = Path("/d/a"), Path("/d/b")
contents = st.builds(
    lambda size, seed: random.Random(seed).randbytes(size), st.integers(0, 3000), st.integers()
)
changes = st.lists(
    st.builds(Write, st.integers(0, 3000), contents) | st.builds(Truncate, st.integers(0, 4000)),
    max_size=8,
)


def after(file: File, seeds: int = 300) -> set[bytes]:
    return {file.after_cut(random.Random(seed)) for seed in range(seeds)}


@given(changes, changes, st.integers())
def test_what_was_synced_is_there_and_nothing_comes_from_nowhere(synced, unsynced, seed):
    file = File(unsynced=list(synced))
    file.sync()
    base = bytearray()
    for change in synced:
        change.apply(base)
    assert file.after_cut(random.Random(seed)) == base
    file.unsynced = list(unsynced)
    # Every byte left was there at some time: synced, written, or the zero of a gap.
    possible = [{b} for b in base]
    for change in unsynced:
        end = change.size if isinstance(change, Truncate) else change.offset + len(change.data)
        possible += [{0} for _ in range(end - len(possible))]
        if isinstance(change, Write):
            for n, byte in enumerate(change.data, change.offset):
                possible[n] |= {byte, 0}
        else:
            for spot in possible[end:]:
                spot.add(0)
    for n, byte in enumerate(file.after_cut(random.Random(seed))):
        assert byte in possible[n]


@given(st.integers(0, 2000), contents)
def test_sectors_are_the_write_cut_at_sector_borders(offset, data):
    parts = Write(offset, data).sectors()
    assert b"".join(part.data for part in parts) == data
    for part in parts:
        assert part.offset // SECTOR_BYTES == (part.offset + len(part.data) - 1) // SECTOR_BYTES
    for one, other in pairwise(parts):
        assert other.offset == one.offset + len(one.data)
        assert other.offset % SECTOR_BYTES == 0


def test_a_write_over_two_sectors_may_survive_whole_in_part_or_not():
    file = File(bytearray(1024), [Write(0, b"\x01" * 1024)])
    left = after(file)
    assert bytes(1024) in left
    assert b"\x01" * 1024 in left
    assert b"\x01" * 512 + bytes(512) in left
    assert bytes(512) + b"\x01" * 512 in left
    assert any(data.count(1) % SECTOR_BYTES for data in left)  # torn inside a sector


def test_a_later_write_may_survive_an_earlier_one():
    file = File(bytearray(1024), [Write(0, b"\x01"), Write(512, b"\x02")])
    assert any(data[0] == 0 and data[512] == 2 for data in after(file))


def test_a_truncation_may_survive_or_not():
    file = File(bytearray(b"abc"), [Truncate(1)])
    assert after(file) == {b"abc", b"a"}


def names(disk: Disk, seeds: int = 60) -> set[tuple[str, ...]]:
    return {tuple(path.name for path in disk.cut(random.Random(seed))) for seed in range(seeds)}


def test_a_name_is_certain_only_once_its_folder_is_synced():
    disk = Disk()
    disk.made(A).sync()
    disk.made(B).sync()
    assert names(disk) == {(), ("a",), ("a", "b")}
    disk.sync_folder(A.parent)
    assert names(disk) == {("a", "b")}
    disk.deleted(A)
    assert names(disk) == {("a", "b"), ("b",)}
    disk.sync_folder(A.parent)
    assert names(disk) == {("b",)}


def test_a_folder_is_synced_apart_from_others():
    disk = Disk()
    disk.made(A)
    disk.sync_folder(Path("/other"))
    assert names(disk) == {(), ("a",)}


def test_a_name_used_again_is_the_old_file_or_the_new_one():
    disk = Disk()
    disk.found(A, b"old")
    assert disk.knows(A)
    disk.deleted(A)
    assert not disk.knows(A)
    new = disk.made(A)
    new.unsynced.append(Write(0, b"new"))
    new.sync()
    left = {disk.cut(random.Random(seed)).get(A) for seed in range(60)}
    assert left == {b"old", None, b"new"}


def test_deleting_what_is_not_there_changes_nothing():
    disk = Disk()
    disk.deleted(A)
    assert names(disk) == {()}


def test_survivors_are_written_out_by_name(tmp_path):
    write_out({A: b"1", B: b""}, tmp_path / "after")
    assert (tmp_path / "after" / "a").read_bytes() == b"1"
    assert (tmp_path / "after" / "b").read_bytes() == b""


def test_rot_changes_what_a_cut_leaves():
    disk = Disk()
    disk.found(A, b"abc")
    disk.spoil(A, 1, 0x03)
    assert disk.cut(random.Random(1)) == {A: b"aac"}
