"""A node that is killed again and again, the people on it, and everything they know to be so."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import aiohttp
import msgspec

from tests.crash import checks
from tests.crash.disk import Disk
from tests.crash.nursery import Nursery
from tests.crash.people import Cut, Writer, pause
from tests.crash.process import AS_IT_IS, Program
from tests.crash.shims import Shims

# People at a time, each on a connection of their own.
WRITERS = 3
# The moment of a kill is anywhere up to here after the first answer.
LOAD_SECONDS_MAX = 0.25
# Of what was checked at an earlier start, so many are looked at again.
AGAIN = 100
WAIT_SECONDS_MAX = 60
PAGES = (
    "/v1/timelines/network",
    "/v1/timelines/local",
    "/v1/search?q=post",
    "/v1/node",
    "/",
)


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until it is so."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not await true():
            await pause()


@dataclass
class Follower:
    """Somebody who reads the stream, goes on where they were, and must miss nothing."""

    cursor: int = 0
    seen: set[bytes] = field(default_factory=set)
    gone: set[bytes] = field(default_factory=set)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, http: aiohttp.ClientSession, url: str) -> None:
        """Read until the process is gone."""
        with contextlib.suppress(*Cut):
            async with http.ws_connect(url + "/v1/stream") as socket:
                wanted = {"subscribe": "network", "json": True, "since": self.cursor}
                await socket.send_json(wanted)
                async for message in socket:
                    self._take(msgspec.json.decode(message.data))

    def _take(self, told: dict) -> None:
        if "cursor" in told:
            self.cursor = told["cursor"]
        if "record" in told:
            self.seen.add(bytes.fromhex(told["record"]["id"]))
        self.gone |= {bytes.fromhex(id_) for id_ in told.get("gone", ())}
        self.moved.set()


class Town:
    """A program, its people, and one who reads all they write."""

    def __init__(
        self, nursery: Nursery, folder: Path, seed: int, *args: str, disk: Disk | None = None
    ) -> None:
        self.rng = random.Random(seed)
        self.program = Program(nursery, folder / "data", args, disk)
        self.folder = folder
        self.writers: list[Writer] = []
        self.follower = Follower()
        self.http: aiohttp.ClientSession
        self._checked: set[bytes] = set()
        self._tasks: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Have connections to ask on; at the end nothing of it runs."""
        connector = aiohttp.TCPConnector(limit=0)
        try:
            async with aiohttp.ClientSession(connector=connector) as self.http:
                yield
        finally:
            if self.program.running:
                await self.kill()

    @property
    def busy(self) -> list[Writer]:
        """Who writes now."""
        return [writer for writer in self.writers if not writer.weary][-WRITERS:]

    # --- a life --------------------------------------------------------------------------------

    async def start(self, shims: Shims = AS_IT_IS) -> None:
        """Start the program; whoever has something that was not answered sends it again."""
        await self.program.start(shims)
        await self.settle()

    async def settle(self) -> None:
        """New people for those that are weary, and everything pending sent."""
        url = self.program.url
        while len([one for one in self.writers if not one.weary]) < WRITERS:
            writer = Writer(random.Random(self.rng.random()))
            await writer.register(self.http, url)
            self.writers.append(writer)
        for writer in self.writers:
            await writer.send(self.http, url)

    async def load(self) -> None:
        """Have everybody busy; return when somebody's words were taken, or somebody has ended."""
        for writer in self.busy:
            writer.taken.clear()
        url = self.program.url
        waits = [asyncio.create_task(writer.taken.wait()) for writer in self.busy]
        works = [writer.write(self.http, url) for writer in self.busy]
        works += [self._read(), self.follower.follow(self.http, url)]
        self._tasks = [asyncio.create_task(work) for work in works]
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await asyncio.wait([*waits, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def write(self, times: int) -> None:
        """Everybody does so many things, and all of it is acknowledged."""
        for writer in self.writers:
            for _ in range(times):
                writer.sign()
                await writer.send(self.http, self.program.url)
                assert not writer.pending

    async def until_refused(self, later: frozenset[str]) -> None:
        """Everybody writes until the first of their words are refused with such a code."""
        for writer in self.writers:
            writer.later = later
            while not writer.pending:
                writer.sign()
                await writer.send(self.http, self.program.url)

    async def until_all(self, event: Callable[[Writer], asyncio.Event]) -> None:
        """Under load: return when it has happened, from now on, to everybody who writes."""
        for writer in self.busy:
            event(writer).clear()
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            for writer in self.busy:
                await event(writer).wait()

    async def sent(self) -> bool:
        """Whether nothing is pending any more, after one more attempt."""
        for writer in self.writers:
            await writer.send(self.http, self.program.url)
        return not any(writer.pending for writer in self.writers)

    async def kill_soon(self) -> None:
        """SIGKILL at any moment from now, and wait for the end."""
        asyncio.get_running_loop().call_later(
            self.rng.uniform(0, LOAD_SECONDS_MAX), self.program.tell, signal.SIGKILL
        )
        await self.over()

    async def kill(self) -> None:
        """SIGKILL now, and wait for the end."""
        self.program.tell(signal.SIGKILL)
        await self.over()

    async def over(self) -> int:
        """The process ended, and everybody has noticed; its exit code."""
        code = await self.program.ended()
        tasks, self._tasks = self._tasks, []
        await asyncio.gather(*tasks)
        return code

    async def _read(self) -> None:
        """Somebody who only looks: every answer is one until the process is gone."""
        with contextlib.suppress(*Cut):
            for path in cycle(PAGES):
                async with self.http.get(self.program.url + path) as response:
                    assert response.status == 200, await response.text()
                    await response.read()

    # --- what must hold ------------------------------------------------------------------------

    def check_left(self) -> None:
        """The files of the dead process are whole and have everything acknowledged."""
        checks.check_files(self.program.folder, self.folder / "left", self.writers)

    async def check_new(self) -> None:
        """What was acknowledged since the last look is served, and some of the older."""
        for writer in self.writers:
            known = [*writer.posts, *writer.gone]
            some = {id_ for id_ in known if id_ not in self._checked}
            old = self._checked & set(known)
            some |= set(self.rng.sample(sorted(old), min(AGAIN, len(old))))
            await checks.check_served(self.http, self.program.url, writer, sorted(some))
            self._checked |= some - writer.unsure()

    async def check_all(self) -> None:
        """Everything that can be asked: words, counts, search, the stream, and no deleted word."""
        url = self.program.url
        for writer in self.writers:
            await checks.check_served(self.http, url, writer, [*writer.posts, *writer.gone])
        await self.all_derived()
        posts = [id_ for writer in self.writers for id_ in writer.posts]

        async def counted() -> bool:
            return await checks.counts_stand(self.http, url, self.writers, posts)

        await until(counted)  # what was said of the newest post is derived after it
        await self._check_search()
        await self._check_stream(set(posts))
        gone = checks.gone_words(self.writers)

        async def erased() -> bool:
            return not checks.files_with(self.program.folder, gone)

        await until(erased)

    async def all_derived(self) -> None:
        """Return once search finds the newest post of everybody."""
        for writer in self.writers:
            if writer.posts:
                text = writer.posts[next(reversed(writer.posts))]

                async def found(text: str = text) -> bool:
                    return len(await self.hits(text.split()[3])) == 1

                await until(found)

    async def hits(self, word: str) -> list[dict]:
        """Posts with a word."""
        async with self.http.get(self.program.url + "/v1/search", params={"q": word}) as response:
            assert response.status == 200, await response.text()
            return list((await response.json())["items"])

    async def _check_search(self) -> None:
        for writer in self.writers:
            for id_, text in self.rng.sample(
                list(writer.posts.items()), min(10, len(writer.posts))
            ):
                assert [hit["id"] for hit in await self.hits(text.split()[3])] == [id_.hex()]
            for words in self.rng.sample(list(writer.gone.values()), min(10, len(writer.gone))):
                for word in words:
                    assert await self.hits(word) == []

    async def _check_stream(self, posts: set[bytes]) -> None:
        """Whoever went on from their cursor after every crash has seen every post that stands."""
        follower = self.follower
        following = asyncio.create_task(follower.follow(self.http, self.program.url))
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not posts <= follower.seen:
                follower.moved.clear()
                await follower.moved.wait()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert not posts & follower.gone
        deleted = {id_ for writer in self.writers for id_ in writer.gone}
        assert follower.seen - posts - deleted == set()
