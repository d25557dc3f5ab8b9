"""New posts of a timeline, each once, over cuts of the line and the end of a node.

A place in a timeline means something at one node only. So a line that was cut is taken up again
where it ended; a node that is asked for the first time is read back, newest first, until what it
says was given already.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

import aiohttp
import msgpack

from ratoon_client.errors import ClientError, Refused, Unreachable, Untrue

if TYPE_CHECKING:
    from ratoon_client.client import Client, Post

# Ids of posts that were given: a post comes once from several nodes.
GIVEN_MAX = 20_000
# How far a new node is read back: pages, and how much older than the last post that was given.
PAGES_BACK_MAX = 10
PAGE_ITEMS = 100
OVERLAP_MS = 3_600_000
# A line on which nothing was heard for this long, not even an answer to a ping, is cut.
HEARTBEAT_S = 10.0
# Between two rounds in which no node could be read.
RETRY_S = 1.0
MESSAGE_BYTES_MAX = 4 * 1024 * 1024


class Follower:
    """Follows one topic for one reader."""

    def __init__(self, client: Client, topic: str, query: Mapping[str, str]) -> None:
        self._client = client
        self._topic = topic
        self._query = dict(query)
        self._cursors: dict[str, int] = {}
        self._given: OrderedDict[bytes, None] = OrderedDict()
        self._newest_ms: int | None = None

    async def posts(self) -> AsyncIterator[Post]:
        """New posts for ever, oldest first. Raises `Refused` once every node refused for good."""
        nodes, refused = self._client.nodes, set[str]()
        while True:
            node = nodes.in_order()[0]  # a node that failed comes last
            try:
                async for post in self._of(node):
                    refused.clear()
                    yield post
            except Refused as error:
                if error.retry_ms is None:
                    refused.add(node)
                if refused.issuperset(nodes.urls):
                    raise
            except (Unreachable, Untrue, aiohttp.ClientError, OSError, TimeoutError):
                pass  # another one, or this one again in a while
            nodes.failed(node)
            await self._pause()

    async def _pause(self) -> None:
        """Wait only if every node failed lately."""
        nodes = self._client.nodes
        if nodes.all_shunned():
            await asyncio.sleep(RETRY_S)

    async def _of(self, node: str) -> AsyncIterator[Post]:
        """What one node says, from where it ended there, until the line is cut."""
        if node not in self._cursors:
            for post in await self._read_back(node):
                if self._is_new(post):
                    yield post
        asked = {"subscribe": self._topic, "since": self._cursors[node], **self._query}
        async with self._client.nodes.http.ws_connect(
            f"{node}/v1/stream", heartbeat=HEARTBEAT_S, max_msg_size=MESSAGE_BYTES_MAX
        ) as socket:
            await socket.send_str(json.dumps(asked))
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._noted(node, message.data)
                    continue
                if message.type is not aiohttp.WSMsgType.BINARY:
                    break
                told = await self._told(node, message.data)
                if told is not None and self._is_new(told):
                    yield told

    async def _told(self, node: str, data: bytes) -> Post | None:
        """The post in a message; None for one that does not verify, or that tells what went."""
        try:
            item = msgpack.unpackb(data)
            cursor = item["cursor"] if isinstance(item, dict) else item[0]
            post = None
            if not isinstance(item, dict):
                author = author_of(self._topic, self._query)
                post = await self._client.checked_post(item, author)
        except (Untrue, ValueError, LookupError, TypeError, msgpack.UnpackException):
            return None  # a lie is not given, and does not stop what is true
        if isinstance(cursor, int):
            self._cursors[node] = max(self._cursors[node], cursor)
        return post

    def _noted(self, node: str, text: str) -> None:
        """Words of the node: an error ends the line, the rest moves the cursor at most."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        match found:
            case {"error": {"code": code, "message": words, "retry_ms": int() as retry_ms}}:
                raise Refused(str(code), str(words), 400, retry_ms)
            case {"error": {"code": code, "message": words}}:
                raise Refused(str(code), str(words), 400, None)
            case {"cursor": int() as cursor}:
                self._cursors[node] = max(self._cursors[node], cursor)
            case dict() if "error" not in found:
                pass
            case _:
                raise Untrue(f"{node} says what no node says")

    async def _read_back(self, node: str) -> list[Post]:
        """What a node that was not asked before has and was not given yet, oldest first.

        The first node of all is only asked where its timeline ends.
        """
        found: list[Post] = []
        before: int | None = None
        for _ in range(PAGES_BACK_MAX):
            limit = 1 if self._newest_ms is None and not self._given else PAGE_ITEMS
            page = await self._client.page_of(
                node, self._topic, {**self._query, "before": before, "limit": limit}
            )
            self._cursors.setdefault(node, page.end)
            if limit == 1:
                self._newest_ms = page.posts[0].created_ms if page.posts else 0
                for post in page.posts:
                    self._given[post.id] = None
                return []
            found += [post for post in page.posts if post.id not in self._given]
            past = min((post.created_ms for post in page.posts), default=0)
            before = page.next
            if before is None or past < (self._newest_ms or 0) - OVERLAP_MS:
                break
        oldest_ms = (self._newest_ms or 0) - OVERLAP_MS
        return [post for post in reversed(found) if post.created_ms >= oldest_ms]

    def _is_new(self, post: Post) -> bool:
        if post.id in self._given:
            return False
        self._given[post.id] = None
        if len(self._given) > GIVEN_MAX:
            self._given.popitem(last=False)
        self._newest_ms = max(self._newest_ms or 0, post.created_ms)
        return True


def author_of(topic: str, query: Mapping[str, str | int | None]) -> bytes | None:
    """Whose posts alone are in a topic of streams; None where it says nothing of that."""
    if topic != "account":
        return None
    try:
        return bytes.fromhex(str(query["account"]))
    except (KeyError, ValueError):
        raise ClientError("the topic account needs account, in hexadecimal") from None
