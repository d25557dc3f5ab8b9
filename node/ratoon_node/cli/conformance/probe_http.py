"""The HTTP interface of the node under test: whatever it says, as it said it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from ratoon_node.cli.client import RECORD_TYPE, RECORDS_TYPE, join_records
from ratoon_node.cli.conformance.suite import Unmet
from ratoon_protocol.record import Record

# An answer longer than this is none that was asked for.
ANSWER_BYTES_MAX = 4 * 1024 * 1024
# How often a node may say `rate` or `busy` before a run gives up.
TRIES_MAX = 20
# How long such a word is waited for when it does not say.
RETRY_MS = 1000


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    type: str
    data: bytes

    @property
    def json(self) -> Any:
        """The answer as JSON, None if it is none."""
        try:
            return msgspec.json.decode(self.data)
        except msgspec.DecodeError:
            return None

    @property
    def code(self) -> str | None:
        """The code of an error, None if there is none."""
        match self.json:
            case {"error": {"code": str(code)}}:
                return code
        return None


class HttpProbe:
    """Asks one node; waits where it says `rate`, for no longer than `wait_s` in all."""

    def __init__(self, url: str, timeout_s: float, wait_s: float) -> None:
        self.url = url
        self.codes: set[str] = set()
        self._wait_s = wait_s
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._client = aiohttp.ClientSession(timeout=timeout, auto_decompress=False)

    async def close(self) -> None:
        """End the connections."""
        await self._client.close()

    async def ask(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        query: dict[str, str] | None = None,
        **headers: str,
    ) -> Answer:
        """One request, again while the node asks to come back later."""
        spelt = {name.replace("_", "-"): value for name, value in headers.items()}
        for _ in range(TRIES_MAX):
            async with self._client.request(
                method,
                self.url + path,
                data=data,
                params=query,
                headers=spelt,
                allow_redirects=False,
            ) as response:
                body = await response.content.read(ANSWER_BYTES_MAX)
                found = Answer(response.status, response.content_type, body)
            if found.status != 429 or not await self._later(found):
                break
        self._note(found)
        return found

    async def _later(self, found: Answer) -> bool:
        """Wait as long as the node says, if there is time left for it."""
        said = found.json["error"].get("retry_ms") if found.code else None
        if found.code != "rate" or not isinstance(said, int) or said / 1000 > self._wait_s:
            return False  # a refusal of the record itself, or longer than anybody waits
        self._wait_s -= said / 1000
        await asyncio.sleep((said or RETRY_MS) / 1000)
        return True

    def _note(self, found: Answer) -> None:
        if found.status >= 400 and found.code is not None:
            self.codes.add(found.code)

    async def one(self, data: bytes, **query: str) -> Answer:
        """Publish one record."""
        return await self.ask("POST", "/v1/records", data, query or None, Content_Type=RECORD_TYPE)

    async def batch(self, items: Sequence[bytes]) -> list[str]:
        """Publish many; the code of each, in order. Raises `Unmet` if nobody takes records here."""
        found = await self.ask(
            "POST", "/v1/records", join_records(items), Content_Type=RECORDS_TYPE
        )
        rows = (found.json or {}).get("records") if isinstance(found.json, dict) else None
        if found.status == 404 and rows is None:
            raise Unmet("the node takes no records at POST /v1/records")
        if not isinstance(rows, list):
            return [found.code or f"HTTP {found.status}"] * len(items)
        codes = [str(row.get("code")) if isinstance(row, dict) else "" for row in rows]
        self.codes.update(codes)
        return codes

    async def publish(self, *records: Record) -> list[str]:
        """`batch` of records as they are."""
        return await self.batch([one.encode() for one in records])

    async def read(self, id_: bytes) -> bytes | None:
        """The signed bytes of a record, None if they are not given."""
        found = await self.ask("GET", f"/v1/records/{id_.hex()}", Accept=RECORD_TYPE)
        return found.data if found.status == 200 and found.type == RECORD_TYPE else None

    async def code(self, id_: bytes) -> str:
        """What is true of a record there: `stored`, or why it is not given."""
        found = await self.ask("GET", f"/v1/records/{id_.hex()}", Accept=RECORD_TYPE)
        return "stored" if found.status == 200 else found.code or f"HTTP {found.status}"

    async def register(self, path: Sequence[Record], invite: str) -> Answer:
        """Make the node a home of an account."""
        form: dict[str, Any] = {
            "records": [base64.b64encode(one.encode()).decode() for one in path]
        }
        if invite:
            form["invite"] = invite
        return await self.ask(
            "POST", "/v1/accounts", msgspec.json.encode(form), Content_Type="application/json"
        )
