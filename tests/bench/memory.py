"""The memory of a node that has read out of its store whatever there is to read."""

from __future__ import annotations

import json
import random
import sqlite3
import sys
from urllib.parse import quote

from ratoon_node.operate.folder import STORE
from ratoon_node.operate.seed.speech import tongues
from ratoon_protocol import kinds
from tests.bench.asking import ask, get
from tests.bench.figures import Figure
from tests.bench.stores import Seeded, serving, stores
from tests.bench.work import Work

RSS_MIB = 250
MIB = 1 << 20
# Accounts, posts and words that are asked for, of each kind of request.
SAMPLES = 300
CONNECTIONS = 16


def _shown(store: Seeded) -> tuple[list[str], list[str]]:
    """Posts spread over a store that can be read, and who wrote them."""
    rng = random.Random(1)
    authors: list[str] = []
    posts: list[str] = []
    with sqlite3.connect(store.folder / STORE) as db:
        (last,) = db.execute("SELECT max(shown) FROM record").fetchone()
        while len(posts) < SAMPLES:
            row = db.execute(
                "SELECT account.id, record.id FROM record JOIN account ON account.n = account"
                " WHERE shown >= ? AND kind = ? ORDER BY shown LIMIT 1",
                (rng.randrange(last), kinds.POST),
            ).fetchone()
            if row is not None:
                authors.append(row[0].hex())
                posts.append(row[1].hex())
    return list(dict.fromkeys(authors)), posts


def _paths(store: Seeded) -> list[str]:
    """Reads of all kinds, in turn."""
    accounts, posts = _shown(store)
    words = [word for tongue in tongues() for word in tongue.words[:: SAMPLES // 3]]
    tags = [tag for tongue in tongues() for tag in tongue.tags[:3]]
    paths = ["/v1/timelines/network", "/v1/timelines/local", "/v1/trends", "/v1/node", "/v1/peers"]
    for account in [store.state.usual, store.state.many, *accounts]:
        paths.append(f"/v1/timelines/home?account={account}")
        paths += [f"/v1/accounts/{account}{part}" for part in ("", "/posts", "/posts?only=replies")]
        paths += [f"/v1/accounts/{account}/{part}" for part in ("follows", "followers")]
    for post in [store.state.thread, *posts]:
        paths.append(f"/v1/records/{post}/thread?limit=1000")
        paths += [f"/v1/records/{post}{part}" for part in ("", "/reactions", "/receipts")]
    paths += [f"/v1/search?in=posts&order=best&q={quote(word)}" for word in words]
    paths += [f"/v1/search?in=posts&order=new&q={quote(word)}" for word in words]
    return paths + [f"/v1/timelines/tag?tag={quote(tag)}" for tag in tags]


async def memory(work: Work) -> list[Figure]:
    """Every path over many connections, twice."""
    found: list[Figure] = []
    for store in await stores(work):
        print(f"reads of all kinds at {store.size}", file=sys.stderr)
        paths = _paths(store)
        async with serving(work, store) as node:
            before = await node.ask("usage")
            requests = [get(node.url, path) for path in paths]
            took = await ask(node.url, requests, CONNECTIONS, 2 * len(paths))
            json.loads(took.body)
            after = await node.ask("usage")
        target = RSS_MIB if store.size == "1M" else None

        def size(
            name: str, value: int, target: float | None = None, where: str = store.size
        ) -> Figure:
            return Figure("memory", f"{where}, {name}", value / MIB, "MiB", None, target, True)

        found += [
            size("RSS once everything is loaded, verifier included", before["rss"]),
            size(f"RSS after {len(paths)} reads of all kinds, twice", after["rss"], target),
            size("of it the verifier", after["rss_verifier"]),
            size("the most it ever was", after["peak"]),
        ]
    return found
