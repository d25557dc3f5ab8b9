"""What this machine can do at most, without any of our code: the ratios are taken against these."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair

from tests.bench.echo import echoing
from tests.bench.figures import Figure
from tests.bench.work import Work

# A header with its context.
SIGNED_BYTES = 190
# What a post takes in the store.
ROW_BYTES = 420
# A record on its way.
FRAME_BYTES = 500
# Frames of the echo under way at once.
FRAMES_AT_ONCE = 256


def signatures(work: Work) -> list[Figure]:
    """Signature checks on one thread and on two, by each library that the node could use.

    The limit of the others is what the fastest does on two.
    """
    public, secret = crypto_sign_seed_keypair(os.urandom(32))
    count = 4000 if work.quick else 20_000
    signed = [crypto_sign(os.urandom(SIGNED_BYTES), secret) for _ in range(count // 10)] * 10
    openssl = Ed25519PublicKey.from_public_bytes(public)

    def by_libsodium(message: bytes) -> None:
        crypto_sign_open(message, public)

    def by_openssl(message: bytes) -> None:
        openssl.verify(message[:64], message[64:])

    found, best = [], 0.0
    for library, check in (("libsodium", by_libsodium), ("OpenSSL", by_openssl)):
        rates = [_checked(check, signed, threads) for threads in (1, 2)]
        found += [
            Figure("bare", f"signature checks, {library}, 1 thread", rates[0], "1/s"),
            Figure("bare", f"signature checks, {library}, 2 threads", rates[1], "1/s"),
        ]
        best = max(best, rates[1])
    work.limits["signatures"] = best
    return found


def _checked(check: Callable[[bytes], None], signed: list[bytes], threads: int) -> float:
    """Checks a second."""

    def check_all(messages: list[bytes]) -> None:
        for message in messages:
            check(message)

    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        list(pool.map(check_all, [signed[at::threads] for at in range(threads)]))
        return len(signed) / (time.perf_counter() - started)


def inserts(work: Work) -> list[Figure]:
    """Rows into a table with four indexes, each batch synchronised to the disk."""
    found = []
    for batch in (1, 100, 1000):
        path = work.folder / f"bare-{batch}.sqlite"
        rate = _insert(path, batch, 1.0 if work.quick else 3.0)
        work.limits[f"inserts-{batch}"] = rate
        found.append(Figure("bare", f"SQLite rows, {batch} a commit", rate, "1/s"))
    return found


def _insert(path: Path, batch: int, seconds: float) -> float:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(
        "CREATE TABLE record (n INTEGER PRIMARY KEY, id BLOB UNIQUE, account INTEGER,"
        " chain INTEGER, seq INTEGER, shown INTEGER, bytes BLOB)"
    )
    db.execute("CREATE INDEX by_chain ON record (chain, seq)")
    db.execute("CREATE INDEX by_shown ON record (shown)")
    db.execute("CREATE INDEX by_account ON record (account, shown)")
    count, payload, started = 0, bytes(ROW_BYTES), time.perf_counter()
    while time.perf_counter() - started < seconds:
        rows = [
            (os.urandom(32), at % 1000, at % 2000, at, at, payload)
            for at in range(count, count + batch)
        ]
        db.execute("BEGIN IMMEDIATE")
        db.executemany(
            "INSERT INTO record (id, account, chain, seq, shown, bytes) VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )
        db.execute("COMMIT")
        count += batch
    rate = count / (time.perf_counter() - started)
    db.close()
    return rate


async def frames(work: Work) -> list[Figure]:
    """WebSocket messages to another process and back."""
    count = 5000 if work.quick else 30_000
    async with (
        echoing() as url,
        aiohttp.ClientSession() as http,
        http.ws_connect(url, compress=0) as socket,
    ):
        started = time.perf_counter()
        await asyncio.gather(_send(socket, count), _receive(socket, count))
        rate = count / (time.perf_counter() - started)
    work.limits["frames"] = rate
    return [Figure("bare", f"WebSocket frames there and back, {FRAME_BYTES} bytes", rate, "1/s")]


async def _send(socket: aiohttp.ClientWebSocketResponse, count: int) -> None:
    for at in range(count):
        await socket.send_bytes(bytes(FRAME_BYTES))
        if at % FRAMES_AT_ONCE == 0:
            await asyncio.sleep(0)


async def _receive(socket: aiohttp.ClientWebSocketResponse, count: int) -> None:
    for _ in range(count):
        await socket.receive_bytes()


async def bare(work: Work) -> list[Figure]:
    """All bare limits."""
    print("bare limits", file=sys.stderr)
    return [*signatures(work), *inserts(work), *(await frames(work))]
