"""What must hold after a crash: in the files as they were left, and in what the next start says."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from ratoon_node.operate.folder import STORE
from ratoon_protocol.record import decode_payload
from tests.crash.people import Writer

IDS_MAX = 100


@contextmanager
def left_behind(folder: Path, at: Path) -> Iterator[sqlite3.Connection]:
    """A copy of the store as a crash left it, opened as any program would."""
    at.mkdir(exist_ok=True)
    for name in (STORE, f"{STORE}-wal"):
        (at / name).unlink(missing_ok=True)
        if (folder / name).exists():
            shutil.copy(folder / name, at)
    with closing(sqlite3.connect(at / STORE)) as db:
        yield db


def check_files(folder: Path, at: Path, writers: Sequence[Writer]) -> None:
    """Whole, nothing acknowledged missing or changed, nobody's chain forked."""
    with left_behind(folder, at) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT count(*) FROM chain WHERE forked").fetchone() == (0,)
        for writer in writers:
            _check_records(db, writer)


def _check_records(db: sqlite3.Connection, writer: Writer) -> None:
    if writer.who is None:
        return
    rows = db.execute(
        "SELECT id, header, signature, payload FROM record WHERE account ="
        " (SELECT n FROM account WHERE id = ?)",
        (writer.account.account,),
    )
    found = {row[0]: row[1:] for row in rows}
    erased, unsure = writer.erased(), writer.unsure()
    for id_, record in writer.records.items():
        assert id_ in found, f"{id_.hex()} was acknowledged and is not there"
        header, signature, payload = found[id_]
        assert (header, signature) == (record.header_bytes, record.signature)
        if id_ in erased:
            assert payload is None, f"{id_.hex()} was deleted and is there"
        elif id_ not in unsure and not unsure:
            assert payload == record.payload
    allowed = set(writer.records) | {record.id for record in writer.pending}
    assert set(found) <= allowed | {writer.account.genesis.id}


async def check_served(
    http: aiohttp.ClientSession, url: str, writer: Writer, some: Iterable[bytes]
) -> None:
    """The node gives back these posts with the words they have now, or says that they are gone."""
    ids = [id_ for id_ in some if id_ not in writer.unsure()]
    for begin in range(0, len(ids), IDS_MAX):
        part = ids[begin : begin + IDS_MAX]
        answer = await read(http, url, part)
        missing = {one["id"]: one["code"] for one in answer["missing"]}
        for id_, item in zip(part, answer["items"], strict=True):
            if id_ in writer.gone:
                assert (item, missing[id_.hex()]) == (None, "gone")
            else:
                assert item is not None, missing[id_.hex()]
                assert item["body"]["text"] == writer.posts[id_]


async def read(http: aiohttp.ClientSession, url: str, ids: Sequence[bytes]) -> dict[str, Any]:
    """Records by their ids."""
    form = {"ids": [id_.hex() for id_ in ids]}
    async with http.post(url + "/v1/records/read", json=form) as response:
        assert response.status == 200, await response.text()
        answer: dict[str, Any] = await response.json()
    return answer


def files_with(folder: Path, words: Iterable[str]) -> list[tuple[str, str]]:
    """Files of a folder that have one of these words in them, as it is or cut by an index."""
    looked = [(word, word[-10:].encode()) for word in words]
    return [
        (path.name, word)
        for path in sorted(folder.iterdir())
        if path.is_file()
        for data in [path.read_bytes()]
        for word, part in looked
        if part in data
    ]


def gone_words(writers: Iterable[Writer]) -> list[str]:
    """All that was deleted."""
    return [word for writer in writers for words in writer.gone.values() for word in words]


def expected_replies(writers: Iterable[Writer]) -> Counter[bytes]:
    """How many posts that stand answer each post."""
    parents = (
        decode_payload(writer.records[id_].payload or b"").get("parent")
        for writer in writers
        for id_ in writer.posts
    )
    return Counter(parent for parent in parents if isinstance(parent, bytes))


async def counts_stand(
    http: aiohttp.ClientSession, url: str, writers: Sequence[Writer], some: Sequence[bytes]
) -> bool:
    """Whether each of these posts has as many answers and likes as stand."""
    replies = expected_replies(writers)
    liked = {id_ for writer in writers for id_ in writer.liked}
    for begin in range(0, len(some), IDS_MAX):
        part = some[begin : begin + IDS_MAX]
        answer = await read(http, url, part)
        for id_, item in zip(part, answer["items"], strict=True):
            likes = {"♥": 1} if id_ in liked else {}
            counts = item["counts"]
            if (counts["replies"], counts["reactions"]) != (replies[id_], likes):
                return False
    return True
