"""A stream that is cut goes on where it was: nothing lost, nothing twice, on whatever node."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ratoon_client import Client
from ratoon_client.client import Post
from tests.client.people import settle
from tests.node.api.site import Site, site
from tests.node.peering.meeting import until
from tests.tidy.source import ROOT

SECONDS_MAX = 30


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()


class Line:
    """A way to a node that the test cuts: a plain relay of bytes on a port of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: set[asyncio.StreamWriter] = set()
        self.connected = asyncio.Event()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, out = await asyncio.open_connection("127.0.0.1", self._port)
        self._open |= {writer, out}
        self.connected.set()
        await asyncio.gather(self._pump(reader, out), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def cut(self) -> None:
        """End every connection at once, in the middle of whatever it says."""
        self.connected.clear()
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()


@asynccontextmanager
async def line_to(port: int) -> AsyncIterator[tuple[Line, str]]:
    line = Line(port)
    server = await asyncio.start_server(line.relay, "127.0.0.1", 0)
    try:
        yield line, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        line.cut()
        server.close()
        await server.wait_closed()


async def take(posts: AsyncIterator[Post], count: int) -> list[str]:
    found = []
    async with asyncio.timeout(SECONDS_MAX):
        async for post in posts:
            found.append(post.text)
            if len(found) == count:
                return found
    raise AssertionError("the stream ended")


async def test_a_line_cut_again_and_again_loses_nothing(tmp_path: Path) -> None:
    async with site(tmp_path / "a") as there, line_to(there.port) as (line, url):
        await settle("ana", there.node, there.url, 1)
        async with (
            Client(account="ana") as ana,
            Client([url], read_only=True) as reader,
        ):
            await ana.post("before")
            posts = reader.stream("network")
            begun = asyncio.ensure_future(take(posts, 1))
            await line.connected.wait()
            await began(there)
            await ana.post("0")
            assert await begun == ["0"]
            for round_ in range(1, 6):
                line.cut()
                said = [f"{round_}.{n}" for n in range(4)]
                for text in said:
                    await ana.post(text)
                assert await take(posts, 4) == said


async def test_another_node_goes_on_without_a_gap(tmp_path: Path) -> None:
    async with (
        site(tmp_path / "a", seed=1) as first,
        site(tmp_path / "b", seed=2) as second,
        line_to(first.port) as (line, url),
    ):
        await settle("ana", first.node, first.url, 1, second.node)
        async with (
            Client([first.url], account="ana") as ana,
            Client([url, second.url], read_only=True) as reader,
        ):
            posts = reader.stream("network")
            begun = asyncio.ensure_future(take(posts, 1))
            await line.connected.wait()
            await began(first)
            sent = [await ana.post("0")]
            assert await begun == ["0"]
            sent += [await ana.post(f"{n}") for n in (1, 2)]
            line.cut()
            reader.nodes.failed(url)
            reader.nodes.urls.remove(url)  # the first node is gone for good
            await second.publish(*(post.record for post in sent))
            assert await take(posts, 2) == ["1", "2"]
            sent = [await ana.post("3")]
            await second.publish(*(post.record for post in sent))
            assert await take(posts, 1) == ["3"]


async def began(there: Site) -> None:
    """Wait until somebody streams from the node: what is posted now is above his cursor."""
    await until(lambda: there.node.metrics.streams._value.get() > 0, there.node, SECONDS_MAX)


async def test_the_bot_of_the_readme_runs_and_answers(tmp_path: Path) -> None:
    (code,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "protocol/README.md").read_text(), re.DOTALL
    )
    assert len([row for row in code.splitlines() if row.strip()]) <= 15
    (tmp_path / "bot.py").write_text(code)
    async with site(tmp_path / "a") as there:
        file, _ = await settle("echo", there.node, there.url, 1)
        await settle("ana", there.node, there.url, 2)
        bot = await asyncio.create_subprocess_exec(
            sys.executable,
            str(tmp_path / "bot.py"),
            env=os.environ | {"PYTHONPATH": os.pathsep.join([f"{ROOT}/protocol", f"{ROOT}/node"])},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            await began(there)
            async with Client(account="ana") as ana, asyncio.timeout(SECONDS_MAX):
                asked = await ana.post(f"hello @{file.account}")
                assert bot.stdout is not None
                said = (await bot.stdout.readline()).decode()
                assert said.startswith(f"answered {asked.id.hex()}")
                answer = await ana.record(bytes.fromhex(said.split()[-1]))
                assert answer.body["parent"] == asked.id
                assert answer.body["text"].startswith("You said: hello @")
        finally:
            bot.terminate()
            await bot.wait()
