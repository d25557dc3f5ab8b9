"""A made-up life on one node: people post, answer, quote, react, vote, edit, delete, move."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from ratoon_node.app import Node
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import read
from ratoon_protocol import kinds
from ratoon_protocol.record import Record
from tests.node.world import Person, join, person

TAGS = ("News", "news", "ＮＥＷＳ", "cats", "βeta")
EMOJI = ("👍", "❤", "😀")


def tagged(tags: list[str]) -> dict[str, Any]:
    """A text that is nothing but tags, and the facets that mark them."""
    text, facets = "", []
    for tag in tags:
        start = len(text.encode())
        text += f"#{tag}"
        facets.append([start, len(text.encode()), 2, tag])
        text += " "
    return {"text": text, "facets": facets} if facets else {}


def picture(rng: random.Random) -> dict[str, Any]:
    return {
        "alt": "",
        "blur": "",
        "hash": rng.randbytes(32),
        "height": 1,
        "size": 10,
        "type": "image/png",
        "width": 1,
    }


@dataclass
class Life:
    """What happened so far; `posts` are whatever can be referred to, here or not yet."""

    node: Node
    rng: random.Random
    people: list[Person] = field(default_factory=list)
    posts: list[tuple[Person, Record, dict[str, Any]]] = field(default_factory=list)
    late: list[Record] = field(default_factory=list)
    blocked: set[bytes] = field(default_factory=set)

    async def settle(self, people: int) -> None:
        network, clock = self.node.settings.network_bytes, self.node.runtime.clock
        for seed in range(people):
            who = person(network, random.Random(1000 + seed), clock)
            await join(self.node, who)
            self.people.append(who)

    async def publish(self, *records: Record) -> None:
        parts = [one.encode() for one in records]
        await self.node.gate.submit(parts, Origin(Way.BUNDLE))

    async def digested(self) -> None:
        await self.node.digest.reached(await self.node.db.read(read.journal_end))
        while await self.node.digest._sweep():
            pass

    def body(self) -> dict[str, Any]:
        rng = self.rng
        body: dict[str, Any] = {"text": f"t{rng.random()}"}
        if rng.random() < 0.4:
            body |= tagged(rng.sample(TAGS, rng.randint(1, 3)))
        if rng.random() < 0.2:
            body["media"] = [picture(rng)]
        return body

    def post(self) -> Record:
        rng = self.rng
        who, body = rng.choice(self.people), self.body()
        if self.posts and rng.random() < 0.6:
            author, parent, above = rng.choice(self.posts[-30:])
            body |= {
                "parent": parent.id,
                "parent_account": author.account,
                "root": above.get("root", parent.id),
                "root_account": above.get("root_account", author.account),
            }
        if self.posts and rng.random() < 0.2:
            author, quoted, _ = rng.choice(self.posts)
            body |= {"quote": quoted.id, "quote_account": author.account}
        if rng.random() < 0.2:
            now_ms = self.node.runtime.clock.now_ms()
            many = rng.randint(0, 1)
            body["poll"] = {"ends_ms": now_ms + rng.choice((-(9**7), 9**7)), "many": many}
            body["poll"]["options"] = ["a", "b", "c"]
        if rng.random() < 0.1:
            body["replies"] = rng.randint(0, 3)
        made = who.sign(kinds.POST, body)
        self.posts.append((who, made, body))
        return made

    def about(self) -> Record:
        """A reaction, a vote or a repost."""
        rng = self.rng
        who = rng.choice(self.people)
        author, target, body = rng.choice(self.posts[-12:])
        if "poll" in body and rng.random() < 0.8:
            choices = sorted(rng.sample(range(4), rng.randint(0, 3)))
            return who.sign(kinds.VOTE, {"choices": choices}, target.id)
        if rng.random() < 0.4:
            names = {"target": target.id, "target_account": author.account}
            return who.sign(kinds.REPOST, names)
        state = int(rng.random() < 0.8)
        return who.sign(kinds.REACTION, {"emoji": rng.choice(EMOJI), "state": state}, target.id)

    def edit(self) -> Record:
        who, target, _ = self.rng.choice(self.posts)
        return who.sign(kinds.EDIT, self.body(), target.id)

    def delete(self) -> Record:
        who, target, _ = self.rng.choice(self.posts)
        return who.sign(kinds.DELETE, {"ids": [target.id]})

    async def block(self) -> None:
        """Somebody is blocked, or not any more."""
        who = self.rng.choice(self.people).account
        self.blocked ^= {who}
        self.rule()

    def rule(self) -> None:
        entries = [ListEntry(Subject.ACCOUNT, one.hex(), Verdict.HOLD) for one in self.blocked]
        self.node.gate.policy = self.node.gate.policy.with_entries(entries)

    async def step(self) -> None:
        """One thing happens; now and then something arrives late or not at all."""
        rng, chance = self.rng, self.rng.random()
        if chance < 0.02:
            await self.block()
            return
        if chance < 0.04:
            who = rng.choice(self.people)
            hosted = self.node.own.account in await self.node.db.read(
                lambda db: read.hosts(db, who.account)
            )
            await self.node.own.host(who.account, not hosted)
            return
        if chance < 0.4 or not self.posts:
            made = self.post()
        elif chance < 0.85:
            made = self.about()
        elif chance < 0.94:
            made = self.edit()
        else:
            made = self.delete()
        if rng.random() < 0.15:
            self.late.append(made)
        else:
            await self.publish(made)
        if self.late and rng.random() < 0.1:
            await self.publish(self.late.pop(rng.randrange(len(self.late))))
