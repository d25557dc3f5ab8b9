"""Following one timeline for one client, whatever carries it: from the store up to now, then from
the feed; and how what is told is spelt.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, Literal, Protocol

import msgpack
import msgspec
from msgspec import Meta

from ratoon_node.api.answers import to_json
from ratoon_node.api.ports import Services
from ratoon_node.api.types import Id, Position
from ratoon_node.api.view import edit_bytes, item_json
from ratoon_node.errors import NodeError
from ratoon_node.store import read
from ratoon_node.timeline import topics
from ratoon_node.timeline.feed import Follower, Message
from ratoon_node.timeline.topics import Authors, Listed, Network, Thread, Topic
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import TAG_BYTES_MAX

# What waited longer for its client is read anew: a block made meanwhile hides it.
SEEN_MS_MAX = 1000

Slot = Annotated[
    str,
    Meta(pattern="^[0-9a-fA-F]{32}$", description="16 bytes as hexadecimal: the target of a list"),
]
Tag = Annotated[str, Meta(min_length=1, max_length=TAG_BYTES_MAX + 1, description="a tag")]


class Wanted(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a client wants to hear of: a topic, and which one; from `since` on."""

    account: Id | None = None
    list: Slot | None = None
    tag: Tag | None = None
    id: Id | None = None
    since: Position | None = None


def _bytes(wanted: Wanted, name: str) -> bytes:
    value = getattr(wanted, name)
    if value is None:
        raise NodeError(Code.BAD_REQUEST, safe=f"This topic needs {name}.")
    return bytes.fromhex(value)


def _tag(wanted: Wanted) -> Topic:
    if wanted.tag is None:
        raise NodeError(Code.BAD_REQUEST, safe="This topic needs tag.")
    return Listed.tag(wanted.tag)


#: Every topic of streams, by its word: how it is made of what a client says.
TOPICS: dict[str, Callable[[Wanted], Topic]] = {
    "network": lambda wanted: Network(),
    "local": lambda wanted: Listed.local(),
    "home": lambda wanted: Authors.home(_bytes(wanted, "account")),
    "account": lambda wanted: Authors.one(_bytes(wanted, "account")),
    "list": lambda wanted: Authors.members(_bytes(wanted, "account"), _bytes(wanted, "list")),
    "tag": _tag,
    "thread": lambda wanted: Thread(_bytes(wanted, "id")),
}
Word = Literal["network", "local", "home", "account", "list", "tag", "thread"]


# --- how it is spelt ---------------------------------------------------------------------------


def as_json(message: Message) -> bytes:
    """{"cursor", "record"} or {"cursor", "gone": [ids]}; made once for all who get it."""
    if not message.json:
        if message.item is not None:
            message.json = b'{"cursor":%d,"record":%b}' % (message.cursor, item_json(message.item))
        else:
            gone = [id_.hex() for id_ in message.gone]
            message.json = to_json({"cursor": message.cursor, "gone": gone})
    return message.json


def as_packed(message: Message) -> bytes:
    """[cursor, record, edit or nil], or {"cursor", "gone": [ids]}."""
    if not message.packed:
        item = message.item
        told = (
            [message.cursor, item.card.raw, edit_bytes(item)]
            if item is not None
            else {"cursor": message.cursor, "gone": list(message.gone)}
        )
        message.packed = bytes(msgpack.packb(told))
    return message.packed


# --- following ---------------------------------------------------------------------------------


class Notice(msgspec.Struct, omit_defaults=True):
    """Some were missed (the client was too slow): what follows comes from the store. With `since`:
    what went away after that is not told (too much did, or it is no cursor of this node), so what
    is shown should be read anew.
    """

    missed: bool
    since: Position | None = msgspec.field(default=None, name="from")


class Note(Protocol):
    """Sends words about the stream itself."""

    async def __call__(self, words: bytes, cursor: int | None = None) -> None:
        """With `cursor`, whoever comes back by themselves goes on from there."""
        ...


class Reader:
    """Follows one topic. `tell` sends a message, `note` sends words about the stream itself.

    `sent` is told how many records were sent, and says how many ms the past must wait for its
    next step: nobody reads a whole network faster over a stream than by pages. `tell_now` sends a
    message if that takes no waiting; False: it did not, and `tell` will.
    """

    def __init__(
        self,
        services: Services,
        topic: Topic,
        since: int | None,
        tell: Callable[[Message], Awaitable[None]],
        note: Note,
        sent: Callable[[int], int],
        tell_now: Callable[[Message], bool] | None = None,
    ) -> None:
        self._services = services
        self._sent_now = sent
        self._topic = topic
        self._since = since
        self._tell_client = tell
        self._tell_client_now = tell_now
        self._note = note

    async def run(self) -> None:
        """Send for ever; ends when cancelled."""
        feed, metrics = self._services.feed, self._services.node.metrics
        follower = Follower(self._services.node.settings.stream_queue_max, feed)
        try:
            self._sent = await self._begin(follower)
            if self._tell_client_now is not None:
                follower.at_once = partial(self._tell_now, self._tell_client_now)
            await self._join(follower)
            while True:
                await self._catch_up(follower)
                while (message := await follower.next()) is not None:
                    if self._is_old(message):
                        follower.clear()  # all of it is in the store, as it is now
                        break
                    await self._tell(message)
                    self._sent_now(1)
                if follower.stale:
                    await self._join(follower)
                elif message is None:
                    metrics.streams_cut.inc()
                    await self._note(to_json(Notice(True)))
        finally:
            feed.leave(follower)
            follower.clear()

    async def _begin(self, follower: Follower) -> int:
        """The cursor to go on from. One past the journal's end is of another node, or of this one
        before it was restored: above it nothing would ever come.
        """
        if self._since is None:
            return follower.since
        end = await self._services.node.db.read(read.journal_end)
        if self._since <= end:
            return self._since
        await self._note(to_json(Notice(True, self._since)), end)
        return end

    async def _join(self, follower: Follower) -> None:
        """Have the feed offer what is wanted."""
        feed, topic = self._services.feed, self._topic
        follower.stale = False
        if topic.owner is not None:
            # Before it is read whom the owner follows, so that no follow falls in between.
            feed.watch(follower, topic.owner)
        keys = await self._services.sight.read(topic.keys)
        feed.follow(follower, keys, topic.owner)

    async def _catch_up(self, follower: Follower) -> None:
        """Everything above the last cursor that is in the store."""
        node = self._services.node
        if self._topic.derived and self._sent < self._services.feed.position:
            await node.digest.reached(self._services.feed.position)
        more = True
        while more:
            look = partial(
                topics.catch_up,
                topic=self._topic,
                keys=list(follower.keys),
                since=self._sent,
                node=node.own.account,
            )
            async with self._services.feed.past:
                step = await self._services.sight.read(look)
            if step.lost:
                await self._note(to_json(Notice(True, self._sent)))
            if await self._tell_all(step.messages):
                self._sent = max(self._sent, step.upto)
                more = step.more
            wait_ms = self._sent_now(len(step.messages))
            if more and wait_ms:
                await node.runtime.clock.sleep_ms(wait_ms)

    async def _tell_all(self, messages: Sequence[Message]) -> bool:
        """Send what was read; False if the client takes so long over it that it is old by now:
        then the rest is to be read anew.
        """
        before = self._sent
        for message in messages:
            if self._sent > before and self._is_old(message):
                return False
            await self._tell(message, caught_up=True)
        return True

    def _is_old(self, message: Message) -> bool:
        """Whether a block or a delete may have come since it was seen that it may be read."""
        now_ms = self._services.node.runtime.clock.now_ms()
        return now_ms - message.seen_ms > SEEN_MS_MAX

    async def _tell(self, message: Message, caught_up: bool = False) -> None:
        """Send one message, unless that was done while catching up."""
        if message.cursor <= self._sent and not caught_up:
            return
        self._note_told(message)
        await self._tell_client(message)

    def _tell_now(self, tell: Callable[[Message], bool], message: Message) -> bool:
        """As `_tell`, while the reader waits; False if the message has to wait for it."""
        if message.cursor <= self._sent:
            return True
        try:
            if self._is_old(message) or not tell(message):
                return False
        except Exception:  # one client's fault is no other's: its own reader meets it
            return False
        self._note_told(message)
        self._sent_now(1)
        return True

    def _note_told(self, message: Message) -> None:
        self._sent = max(self._sent, message.cursor)
        self._services.node.metrics.stream_records.inc()
