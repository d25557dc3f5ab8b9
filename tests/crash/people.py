"""People who write without a pause, and what they know: what was acknowledged and what was not.

A person signs, keeps what was signed, sends it, and forgets it when it is acknowledged; after a
crash the rest is sent again first, as the client of this project does. So of every record it is
known whether it must be there, must be gone, or may be either.
"""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from ratoon_node.api.answers import RECORDS_TYPE
from ratoon_node.api.batch import join
from ratoon_protocol import compose, kinds
from ratoon_protocol.record import Record, decode_payload
from tests.node.world import Clock, Person, person

BATCH = 20
PAUSE_SECONDS = 0.05
NETWORK = b"ratoon\x00\x01"
# Far below what one key may sign in a day: who comes near makes room for somebody new.
RECORDS_MAX = 2000
# What a node says of what it has.
TAKEN = frozenset({"stored", "duplicate", "superseded"})
#: Whoever asked while the process ended.
Cut = (aiohttp.ClientError, ConnectionError)


@dataclass
class Writer:
    """Somebody, and what the node has acknowledged of what they did."""

    rng: random.Random
    who: Person | None = None
    #: The node's account.
    home: bytes = b""
    #: The words of each post that must be there, by its id.
    posts: dict[bytes, str] = field(default_factory=dict)
    #: Posts by others or themselves that they like.
    liked: set[bytes] = field(default_factory=set)
    #: Words that must be nowhere, by the id of the post.
    gone: dict[bytes, list[str]] = field(default_factory=dict)
    #: Everything acknowledged, as it was signed.
    records: dict[bytes, Record] = field(default_factory=dict)
    #: Signed, perhaps sent, not answered.
    pending: list[Record] = field(default_factory=list)
    #: What a node may say of a record that is to come again.
    later: frozenset[str] = frozenset()
    #: Something was acknowledged; something was refused for the moment.
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    refused: asyncio.Event = field(default_factory=asyncio.Event)
    _words: dict[bytes, list[str]] = field(default_factory=dict)
    _edited: set[bytes] = field(default_factory=set)

    @property
    def account(self) -> Person:
        """Who it is, once registered."""
        assert self.who is not None
        return self.who

    async def register(self, http: aiohttp.ClientSession, url: str) -> None:
        """Make an account at the node."""
        async with http.get(url + "/v1/node") as response:
            self.home = bytes.fromhex((await response.json())["account"])
        who = person(NETWORK, self.rng, Clock(), [self.home])
        form = {"records": [base64.b64encode(who.genesis.encode()).decode()]}
        async with http.post(url + "/v1/accounts", json=form) as response:
            assert response.status == 201, await response.text()
        self.who = who

    @property
    def weary(self) -> bool:
        """Whether it is time for somebody new."""
        return len(self.records) >= RECORDS_MAX

    # --- what is done ------------------------------------------------------------------------

    async def write(self, http: aiohttp.ClientSession, url: str) -> None:
        """Publish until the process is gone, and try again what was refused for the moment."""
        try:
            while True:
                if not self.pending:
                    self.sign()
                await self.send(http, url)
                if self.pending:
                    await pause()
        except Cut:
            return

    def sign(self) -> None:
        """Something at random: a batch of posts, or one thing of some sort."""
        choice = self.rng.random()
        old = self._some_post()
        if choice < 0.35 or old is None:
            self._keep(self._post() for _ in range(BATCH))
        elif choice < 0.5:
            self._keep([self._post()])
        elif choice < 0.65:
            self._keep([self._post(answers=self.records[old])])
        elif choice < 0.75 and old not in self.liked:
            self._keep([self._like(old)])
        elif choice < 0.88 and old not in self._edited:
            self._keep([self._edit(old)])
        else:
            self._keep([self.account.sign(kinds.DELETE, {"ids": [old]})])

    def _keep(self, made: Iterable[Record]) -> None:
        self.pending += made

    def _some_post(self) -> bytes | None:
        """One of the newest own posts that stand."""
        return self.rng.choice(list(self.posts)[-50:]) if self.posts else None

    def _text(self) -> tuple[str, str]:
        word = self.rng.randbytes(9).hex()
        return f"a post with {word} in it", word

    def _post(self, answers: Record | None = None) -> Record:
        text, word = self._text()
        place = {}
        if answers is not None:
            body = decode_payload(answers.payload or b"")
            place = compose.answer_to(answers.id, self.account.account, body)
        made = self.account.post(text, **place)
        self._words[made.id] = [word]
        return made

    def _edit(self, post: bytes) -> Record:
        text, word = self._text()
        self._edited.add(post)
        self._words[post].append(word)
        return self.account.sign(kinds.EDIT, {"text": text}, post)

    def _like(self, post: bytes) -> Record:
        body = {"emoji": "♥", "state": 1, "target_account": self.account.account}
        return self.account.sign(kinds.REACTION, body, post)

    # --- what is known -----------------------------------------------------------------------

    async def send(self, http: aiohttp.ClientSession, url: str) -> None:
        """Send what is pending, and note what is acknowledged; whatever is not stays pending."""
        if not self.pending:
            return
        sent = list(self.pending)
        for record, said in zip(sent, await publish(http, url, sent), strict=True):
            assert said["id"] in (record.id.hex(), None)
            if said["code"] in TAKEN:
                self._acknowledged(record)
                self.taken.set()
            else:
                assert said["code"] in self.later, said
                self.refused.set()

    def _acknowledged(self, record: Record) -> None:
        self.pending.remove(record)
        self.records[record.id] = record
        body: dict[str, Any] = decode_payload(record.payload or b"")
        kind = record.header.kind
        if kind == kinds.POST:
            self.posts[record.id] = str(body["text"])
        elif kind == kinds.EDIT:
            self.posts[body["target"]] = str(body["text"])
        elif kind == kinds.REACTION:
            self.liked.add(body["target"])
        elif kind == kinds.DELETE:
            for id_ in body["ids"]:
                del self.posts[id_]
                self.gone[id_] = self._words[id_]

    def unsure(self) -> set[bytes]:
        """Posts that something pending may have taken away or changed."""
        found = set()
        for record in self.pending:
            body: dict[str, Any] = decode_payload(record.payload or b"")
            found |= {*body.get("ids", ()), body.get("target", b"")}
        return found

    def erased(self) -> set[bytes]:
        """Records whose bytes are gone with what was deleted: posts, and edits of them."""
        found = set(self.gone)
        for id_, record in self.records.items():
            if record.header.kind == kinds.EDIT:
                body: dict[str, Any] = decode_payload(record.payload or b"")
                if body["target"] in self.gone:
                    found.add(id_)
        return found


async def pause() -> None:
    """Between two looks at something that nobody tells of, and two tries of what was refused."""
    again = asyncio.Event()
    asyncio.get_running_loop().call_later(PAUSE_SECONDS, again.set)
    await again.wait()


async def publish(
    http: aiohttp.ClientSession, url: str, records: Sequence[Record]
) -> list[dict[str, Any]]:
    """Send a batch; the outcome of each."""
    data = join([record.encode() for record in records])
    headers = {"Content-Type": RECORDS_TYPE}
    async with http.post(url + "/v1/records", data=data, headers=headers) as response:
        answer: dict[str, Any] = await response.json()
    found: list[dict[str, Any]] = answer.get("records", [])
    return found or [{"id": None, "code": answer["error"]["code"]} for _ in records]
