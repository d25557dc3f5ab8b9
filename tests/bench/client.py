"""Clients that publish records over streams of their own (`GET /v1/stream`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import aiohttp
import msgpack

# Records in one message, and their bytes, roughly.
MESSAGE_RECORDS = 250
MESSAGE_BYTES = 256 * 1024
# Messages of one connection that are not yet answered.
MESSAGES_UNDER_WAY = 4


async def publish(url: str, records: Sequence[bytes], connections: int) -> float:
    """Publish everything; the seconds until the last record was acknowledged as stored."""
    parts = [records[at::connections] for at in range(connections)]
    async with aiohttp.ClientSession() as http:
        started = time.perf_counter()
        await asyncio.gather(*(_publish(http, url + "/v1/stream", part) for part in parts))
        return time.perf_counter() - started


async def _publish(http: aiohttp.ClientSession, url: str, records: Sequence[bytes]) -> None:
    size = max(map(len, records[:1]), default=1)
    step = min(MESSAGE_RECORDS, max(1, MESSAGE_BYTES // size))
    messages = [msgpack.packb([at, records[at : at + step]]) for at in range(0, len(records), step)]
    room = asyncio.Semaphore(MESSAGES_UNDER_WAY)
    async with http.ws_connect(url, compress=0) as socket:

        async def send() -> None:
            for message in messages:
                await room.acquire()
                await socket.send_bytes(message)

        sending = asyncio.create_task(send())
        left = len(messages)
        while left:
            number, outcomes, *retry_ms = msgpack.unpackb(await socket.receive_bytes())
            if outcomes == "busy":  # it is asked to come again
                await asyncio.sleep(retry_ms[0] / 1000)
                await socket.send_bytes(messages[number // step])
                continue
            _check(outcomes)
            left -= 1
            room.release()
        await sending


def _check(outcomes: list[tuple[bytes, str]] | str) -> None:
    """Each record must have been new and be on disk now; anything else spoils the measure."""
    codes = {code for _, code in outcomes} if isinstance(outcomes, list) else {outcomes}
    if codes != {"stored"}:
        raise RuntimeError(f"not everything was stored: {codes}")
