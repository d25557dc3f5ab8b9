"""Nothing but posts of 120 characters by 1,000 authors: what they take, and ingest on top of them.

The stores are made once by publishing over HTTP and kept. What an account takes is measured apart.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from ratoon_node.operate.folder import STORE
from tests.bench import corpus
from tests.bench.client import publish
from tests.bench.figures import Figure
from tests.bench.ingest import figures, ingest
from tests.bench.nodes import node_child
from tests.bench.stores import KEPT, LARGE, SMALL, TINY, size_name, tables
from tests.bench.work import Work

CHARACTERS = 120
# Of one post, all indexes counted; of one account; of the process.
POST_BYTES, ACCOUNT_BYTES, RSS_MIB = 900, 4000, 250
# Of the rate onto the smallest store, onto the largest.
LARGE_SHARE = 0.8
# Of the limit of signature checks, by connections.
INGEST_SHARES = {16: 0.3, 1: 0.25}
MIB = 1 << 20
# The same posts each time.
SEED = 120
# Published at once while a store is made, and over so many connections.
CHUNK, CONNECTIONS = 20_000, 16
NOTE = "posts.json"


@dataclass(frozen=True)
class Made:
    """A kept store: bytes of disk of a new node, of it with all accounts, and with the posts."""

    posts: int
    empty: int
    accounts: int
    disk: int


def _folder(posts: int) -> Path:
    return KEPT / f"posts-{posts}-{tables()}"


async def _stores(work: Work) -> list[tuple[Path, Made]]:
    """The kept stores that a run measures, made now if they are not there."""
    sizes = [TINY] + [SMALL] * (not work.quick or work.growth) + [LARGE] * work.large
    missing = [size for size in sizes if not (_folder(size) / NOTE).exists()]
    if missing:
        KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="making-", dir=KEPT) as folder:
            await _make(Path(folder), missing)
    found = [_folder(size) for size in sizes]
    return [(folder, Made(**json.loads((folder / NOTE).read_text()))) for folder in found]


async def _make(folder: Path, sizes: list[int]) -> None:
    """Publish as many posts as the largest has, and keep a copy on the way there."""
    posts, now_ms = max(sizes), time.time_ns() // 1_000_000
    print(f"signing {posts} posts of {CHARACTERS} characters", file=sys.stderr)
    start_ms = corpus.start_ms(posts, now_ms)
    order = corpus.Order(SEED, corpus.AUTHORS, posts, start_ms, CHARACTERS)
    await asyncio.to_thread(corpus.make_files, folder, order)
    records, node = corpus.read_files(folder), folder / "node"
    async with node_child(node):
        pass
    empty = _disk(node)
    async with node_child(node) as child:
        await child.ask("host", path=str(folder / "authors"))
        await child.ask("digest")
    accounts, done = _disk(node), 0
    for size in sorted(sizes):
        async with node_child(node) as child:
            while chunk := list(islice(records, min(CHUNK, size - done))):
                await publish(child.url, chunk, CONNECTIONS)
                done += len(chunk)
                print(f"{done} posts stored", file=sys.stderr)
            await child.ask("digest")
        kept = _folder(size)
        shutil.copytree(node, kept)
        made = Made(size, empty, accounts, _disk(node))
        (kept / NOTE).write_text(json.dumps(asdict(made)))


def _disk(folder: Path) -> int:
    """Bytes of the files of a node that has ended: its log is folded back."""
    return sum(path.stat().st_size for path in folder.glob(STORE + "*"))


async def posts(work: Work) -> list[Figure]:
    """Disk of posts and accounts, and how fast others are taken in beside them."""
    made = await _stores(work)
    count, now_ms = 8000 if work.quick else 60_000, time.time_ns() // 1_000_000
    print(f"signing {count} records", file=sys.stderr)
    path = work.folder / "newcomers"
    newcomers = corpus.make(path, int.from_bytes(os.urandom(6)), count, now_ms)
    found, first = _account(made[0][1]), dict[int, float]()
    for folder, store in made:
        found += _space(folder, store)
        found += await _onto(work, folder, store, newcomers.records, first)
    return found


def _account(store: Made) -> list[Figure]:
    size = (store.accounts - store.empty) / corpus.AUTHORS
    name = "overhead of an account (its genesis, its hosting record, all indexes)"
    return [Figure("disk", name, size, "B", None, ACCOUNT_BYTES, True)]


def _space(folder: Path, store: Made) -> list[Figure]:
    """What one post takes, as the file grows, and which tables it goes to."""
    size = (store.disk - store.accounts) / store.posts
    promised = store.posts == LARGE
    name = f"{size_name(store.posts)}, a post of {CHARACTERS} characters"
    target = POST_BYTES if promised else None
    parts = _parts(folder / STORE).items()
    return [
        Figure("disk", f"{name}, all indexes", size, "B", None, target, True),
        *(Figure("disk", f"{name}: {part}", taken / store.posts, "B") for part, taken in parts),
    ]


def _parts(path: Path) -> dict[str, int]:
    """Bytes of the pages of each part of a store; of none if this SQLite does not count them."""
    found: Counter[str] = Counter()
    with sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True) as db:
        try:
            rows = db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetchall()
        except sqlite3.OperationalError:
            return {}
    for table, size in rows:
        found[_part(table)] += size
    return dict(found.most_common())


def _part(table: str) -> str:
    if table == "record":
        return "whole file, records"
    if table.startswith("record_"):
        return "whole file, their indexes"
    if table.startswith("words_"):
        return "whole file, words to search"
    return "whole file, the journal" if table == "journal" else "whole file, everything else"


async def _onto(
    work: Work, kept: Path, store: Made, records: list[bytes], first: dict[int, float]
) -> list[Figure]:
    """Ingest of other people's records on top; `first`: what it was onto the smallest store."""
    folder, size, at = work.folder / f"onto-{store.posts}", size_name(store.posts), 0
    await asyncio.to_thread(shutil.copytree, kept, folder)
    found: list[Figure] = []
    async with node_child(folder) as node:
        await node.ask("settled")
        await node.ask("host", path=str(work.folder / "newcomers"))
        for connections in INGEST_SHARES:
            part = records[at : at + len(records) // len(INGEST_SHARES)]
            at += len(part)
            took = await ingest(node, part, connections)
            before = first.setdefault(connections, took.rate)
            target = LARGE_SHARE * before if store.posts == LARGE else None
            limit = work.limits.get("signatures")
            found += figures("ingest", f"onto {size} posts: ", took, limit, target)
        usage = await node.ask("usage")
    shutil.rmtree(folder)
    target = RSS_MIB if store.posts == LARGE else None
    name = f"onto {size} posts: RSS afterwards, verifier included"
    return [*found, Figure("ingest", name, usage["rss"] / MIB, "MiB", None, target, True)]
