"""Clients that publish records over connections of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import aiohttp

from ratoon_node.api.answers import RECORDS_TYPE
from ratoon_node.api.batch import join

# Records in one request.
BATCH_RECORDS = 500


async def publish(url: str, records: Sequence[bytes], connections: int) -> float:
    """Publish everything; the seconds until the last record was acknowledged as stored."""
    parts = [records[at::connections] for at in range(connections)]
    started = time.perf_counter()
    await asyncio.gather(*(_publish(url, part) for part in parts))
    return time.perf_counter() - started


async def _publish(url: str, records: Sequence[bytes]) -> None:
    headers = {"Content-Type": RECORDS_TYPE}
    async with aiohttp.ClientSession(url, headers=headers) as http:
        for at in range(0, len(records), BATCH_RECORDS):
            part = records[at : at + BATCH_RECORDS]
            async with http.post("/v1/records", data=join(part)) as response:
                answer = await response.json()
            codes = {one["code"] for one in answer.get("records", [])}
            if codes != {"stored"}:
                raise RuntimeError(f"not everything was stored: {codes or answer}")
