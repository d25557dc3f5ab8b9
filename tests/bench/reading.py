"""What readers ask for, at 100,000 and at a million records: timelines, threads, search, trends."""

from __future__ import annotations

import heapq
import json
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import quote

from ratoon_node.operate.folder import STORE
from ratoon_node.operate.seed.speech import Tongue, tongues
from tests.bench.asking import Load, ask, get
from tests.bench.echo import echoing
from tests.bench.figures import Figure
from tests.bench.nodes import NodeChild
from tests.bench.stores import Seeded, serving, stores
from tests.bench.work import Work

# What is promised at a million records.
HOME_P99_MS, HOME_RATE, THREAD_MS, SEARCH_P99_MS, RSS_MIB = 5, 1500, 20, 50, 250
MIB = 1 << 20
CONNECTIONS = (1, 16)
PAGE = 20
# Other people whose home is read in turn, so that not always the same one is asked for.
OTHERS = 200
# Time for one figure, and requests of it.
SECONDS = 3.0
REQUESTS_MIN, REQUESTS_MAX = 20, 20_000

Measure = Callable[[Work, Seeded, NodeChild], Awaitable[list[Figure]]]


async def _load(work: Work, url: str, paths: Iterable[str], connections: int) -> Load:
    """Requests for about `SECONDS`, after some that warm the caches."""
    requests = [get(url, path) for path in paths]
    warm = await ask(url, requests, connections, max(connections, REQUESTS_MIN))
    seconds = SECONDS / 4 if work.quick else SECONDS
    count = min(max(int(warm.rate * seconds), REQUESTS_MIN, 2 * connections), REQUESTS_MAX)
    return await ask(url, requests, connections, count)


async def _limit(work: Work, size: int, connections: int) -> Load:
    """What the same client gets from a server that only sends as many bytes."""
    size = max(1024, 1 << (size - 1).bit_length())
    key = f"echo {size} {connections}"
    if key not in work.echoes:
        async with echoing() as url:
            work.echoes[key] = await _load(work, url, [f"/body/{size}"], connections)
    return work.echoes[key]


def _promised(store: Seeded, target: float | None) -> float | None:
    return target if store.size == "1M" else None


async def _latency(
    work: Work, store: Seeded, load: Load, bench: str, name: str, p99_ms: float | None
) -> list[Figure]:
    """Median and 99th percentile of one connection; of the limit: of an echo as large."""
    limit = await _limit(work, len(load.body), 1)
    target = _promised(store, p99_ms)
    return [
        Figure(
            bench, f"{name}: p50", load.percentile(0.5), "ms", limit.percentile(0.5), None, True
        ),
        Figure(
            bench, f"{name}: p99", load.percentile(0.99), "ms", limit.percentile(0.99), target, True
        ),
    ]


# --- home ----------------------------------------------------------------------------------


async def _home(work: Work, store: Seeded, node: NodeChild) -> list[Figure]:
    """The newest page of somebody's home timeline."""
    found = [_bare_home(store, store.state.usual, 50)]
    for follows, account in ((50, store.state.usual), (500, store.state.many)):
        path = f"/v1/timelines/home?account={account}&limit={PAGE}"
        for connections in CONNECTIONS:
            load = await _load(work, node.url, [path], connections)
            _full(load.body, PAGE)
            name = f"{store.size}, {follows} follows, {connections} at once"
            usual = follows == 50
            if connections == 1:
                found += await _latency(work, store, load, "home", name, HOME_P99_MS)
            target = _promised(store, HOME_RATE if usual and connections == 16 else None)
            limit = (await _limit(work, len(load.body), connections)).rate
            if usual:
                bare = f"{store.size}, a bare server sends as much, {connections} at once"
                found.append(Figure("home", bare, limit, "1/s"))
            found.append(Figure("home", name, load.rate, "1/s", limit, target))
    load = await _load(work, node.url, _others(store), 16)
    name = f"{store.size}, {OTHERS} homes in turn, 16 at once"
    found.append(Figure("home", f"{name}: p99", load.percentile(0.99), "ms"))
    found.append(Figure("home", name, load.rate, "1/s"))
    return found


def _others(store: Seeded) -> list[str]:
    """Pages of the homes of people spread over the store."""
    with sqlite3.connect(store.folder / STORE) as db:
        found = db.execute("SELECT id FROM account ORDER BY id LIMIT ?", (OTHERS,))
        ids = [id_.hex() for (id_,) in found]
    return [f"/v1/timelines/home?account={id_}&limit={PAGE}" for id_ in ids]


def _bare_home(store: Seeded, account: str, follows: int) -> Figure:
    """The newest places of so many authors by bare SQLite: one seek an author, merged."""
    with sqlite3.connect(store.folder / STORE) as db:
        authors = [
            n
            for (n,) in db.execute(
                "SELECT other.n FROM account JOIN pointer ON pointer.account = account.n"
                " JOIN account AS other ON other.id = pointer.target WHERE account.id = ?"
                " AND pointer.state = 1 LIMIT ?",
                (bytes.fromhex(account), follows),
            )
        ]
        newest = "SELECT shown, n FROM record WHERE account = ? AND shown < ? ORDER BY shown DESC"
        count, started = 0, time.perf_counter()
        while (took := time.perf_counter() - started) < 1:
            places = [db.execute(f"{newest} LIMIT 1", (n, 1 << 60)).fetchall() for n in authors]
            top = heapq.nlargest(PAGE, [place for part in places for place in part])
            db.execute(
                f"SELECT * FROM record WHERE n IN ({','.join('?' * len(top))})",
                [n for _, n in top],
            ).fetchall()
            count += 1
    name = f"{store.size}, bare SQLite: newest of {follows} authors and {PAGE} records"
    return Figure("home", name, count / took, "1/s")


def _full(body: bytes, count: int) -> None:
    """A page that comes back empty would be fast."""
    found = len(json.loads(body)["items"])
    if found < count:
        raise RuntimeError(f"a page of {found} items, not {count}")


# --- threads -------------------------------------------------------------------------------


async def _thread(work: Work, store: Seeded, node: NodeChild) -> list[Figure]:
    """A thread of a thousand replies, as many pages as it takes."""
    start = f"/v1/records/{store.state.thread}/thread?limit=1000"
    paths, seen, body = [start], 0, b""
    while True:
        part = (await ask(node.url, [get(node.url, paths[-1])], 1, 1)).body
        page = json.loads(part)
        seen, body = seen + len(page["replies"]), max(body, part, key=len)
        after = page.get("next")
        if after is None:
            break
        paths.append(f"{start}&after={quote(str(after), safe='')}")
    if seen < 1000:
        raise RuntimeError(f"a thread of {seen} replies")
    whole: list[float] = []
    for _ in range(5 if work.quick else 30):
        load = await ask(node.url, [get(node.url, path) for path in paths], 1, len(paths))
        whole.append(sum(load.each))
    took = Load(sorted(whole), sum(whole), body)
    name = f"{store.size}, 1,000 replies in {len(paths)} page{'s'[: len(paths) > 1]}"
    return await _latency(work, store, took, "thread", name, THREAD_MS)


# --- search and trends ---------------------------------------------------------------------


def _asked(spoken: dict[str, Tongue]) -> dict[str, str]:
    """What is searched for, by what is hard about it."""
    english, chinese, japanese = spoken["en"].words, spoken["zh"].words, spoken["ja"].words
    return {
        "a common word": english[0],
        "two common words": f"{english[1]} {english[2]}",
        "a word in the middle": english[200],
        "a rare word": english[-1],
        "a phrase": f'"{english[0]} {english[2]}"',
        "a prefix": f"{english[150][:4]}*",
        "a common Chinese word": chinese[13],
        "a Japanese word": japanese[20],
        "nothing": "qqzzyxqq",
    }


async def _search(work: Work, store: Seeded, node: NodeChild) -> list[Figure]:
    """Words in posts, the newest first and the best first; people and tags."""
    found: list[Figure] = []
    asked = [
        (f"{what}, {order} first", f"in=posts&order={order}&q={quote(words)}")
        for what, words in _asked({tongue.code: tongue for tongue in tongues()}).items()
        for order in ("new", "best")
    ]
    english = next(tongue for tongue in tongues() if tongue.code == "en")
    asked.append(("people", f"in=people&q={quote(english.words[400][:2] + '*')}"))
    asked.append(("tags", f"in=tags&q={quote(english.tags[0][:3])}"))
    for what, query in asked:
        load = await _load(work, node.url, [f"/v1/search?{query}&limit={PAGE}"], 1)
        page = json.loads(load.body)
        hits = sum(len(page[kind]) for kind in ("items", "people", "tags"))
        name = f"{store.size}, {what} ({hits} hits)"
        found += await _latency(work, store, load, "search", name, SEARCH_P99_MS)
    return found


async def _trends(work: Work, store: Seeded, node: NodeChild) -> list[Figure]:
    """What is talked about more than usual."""
    load = await _load(work, node.url, ["/v1/trends"], 1)
    return await _latency(work, store, load, "trends", store.size, None)


# --- all of them ---------------------------------------------------------------------------


async def _each(work: Work, measure: Measure, bench: str) -> list[Figure]:
    found: list[Figure] = []
    for store in await stores(work):
        print(f"{bench} at {store.size}", file=sys.stderr)
        async with serving(work, store) as node:
            found += await measure(work, store, node)
            usage: dict[str, Any] = await node.ask("usage")
        target = _promised(store, RSS_MIB)
        name = f"{store.size}, RSS afterwards"
        found.append(Figure(bench, name, usage["rss"] / MIB, "MiB", None, target, True))
    return found


async def home(work: Work) -> list[Figure]:
    """Home timelines."""
    return await _each(work, _home, "home")


async def thread(work: Work) -> list[Figure]:
    """Threads."""
    return await _each(work, _thread, "thread")


async def search(work: Work) -> list[Figure]:
    """Search."""
    return await _each(work, _search, "search")


async def trends(work: Work) -> list[Figure]:
    """Trends."""
    return await _each(work, _trends, "trends")
