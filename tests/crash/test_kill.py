"""SIGKILL under load: what was acknowledged is there after the next start, every time."""

from __future__ import annotations

import asyncio
import base64
import random
import signal
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from ratoon_node.api.answers import RECORD_TYPE, RECORDS_TYPE
from ratoon_node.api.batch import join
from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import Author, Draft, device_row, new_account
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.record import Record
from tests.crash.process import Program
from tests.node.world import EVERYTHING, Clock

KILLS = 50
BATCH = 20
NETWORK = b"ratoon\x00\x01"


@dataclass
class Writer:
    """Somebody who publishes without a pause and notes what was acknowledged."""

    rng: random.Random
    acknowledged: list[bytes] = field(default_factory=list)
    author: Author | None = None

    async def register(self, http: aiohttp.ClientSession, url: str) -> None:
        async with http.get(url + "/v1/node") as response:
            home = bytes.fromhex((await response.json())["account"])
        entropy = self.rng.randbytes(32)
        paper = phrase.account_key(entropy)
        device = SigningKey.from_seed(self.rng.randbytes(32))
        agreement = AgreementKey(self.rng.randbytes(32))
        row = device_row(NETWORK, paper.public, device, agreement.public, EVERYTHING)
        draft = Draft(devices=[row], homes=[home])
        account, genesis = new_account(
            NETWORK, paper, draft, Clock().now_ms(), self.rng.randbytes(16)
        )
        form = {"records": [base64.b64encode(genesis.encode()).decode()]}
        async with http.post(url + "/v1/accounts", json=form) as response:
            assert response.status == 201, await response.text()
        self.author = Author(NETWORK, account, device, phrase.slot_key(entropy))

    async def write(self, http: aiohttp.ClientSession, url: str, until: asyncio.Event) -> None:
        """Publish batches until the program is gone; the event says that enough were answered."""
        assert self.author is not None
        left = self.rng.randrange(1, 6)
        while True:
            made = [self._post() for _ in range(BATCH)]
            data = join([record.encode() for record in made])
            headers = {"Content-Type": RECORDS_TYPE}
            try:
                async with http.post(url + "/v1/records", data=data, headers=headers) as response:
                    answer = await response.json()
            except aiohttp.ClientError:
                return
            for item in answer["records"]:
                assert item["code"] == "stored", item
                self.acknowledged.append(bytes.fromhex(item["id"]))
            left -= 1
            if left == 0:
                until.set()

    def _post(self) -> Record:
        assert self.author is not None
        text = f"a post, {self.rng.random()}"
        return self.author.sign(
            kinds.POST, {"text": text}, Clock().now_ms(), self.rng.randbytes(16)
        )


async def missing(http: aiohttp.ClientSession, url: str, ids: list[bytes]) -> list[str]:
    """Acknowledged records that the node does not give back whole."""
    found = []
    for id_ in ids:
        headers = {"Accept": RECORD_TYPE}
        async with http.get(f"{url}/v1/records/{id_.hex()}", headers=headers) as response:
            if response.status != 200 or not await response.read():
                found.append(id_.hex())
    return found


async def test_nothing_acknowledged_is_lost_by_fifty_kills(tmp_path: Path) -> None:
    program = Program(tmp_path / "data")
    rng = random.Random(50)
    writer = Writer(rng)
    checked = 0
    async with aiohttp.ClientSession() as http:
        for kill in range(KILLS):
            await program.start()
            if kill == 0:
                await writer.register(http, program.url)
            assert await missing(http, program.url, writer.acknowledged[checked:]) == []
            checked = len(writer.acknowledged)
            enough = asyncio.Event()
            writing = asyncio.create_task(writer.write(http, program.url, enough))
            await asyncio.wait_for(enough.wait(), 60)
            await program.end(signal.SIGKILL)
            await writing
        await program.start()
        assert await missing(http, program.url, writer.acknowledged) == []
        assert len(writer.acknowledged) >= KILLS * BATCH
        assert await program.end(signal.SIGTERM) == 0
    assert b"Traceback" not in program.output
