"""People: each signs records on a device, keeps them until a home has taken them, and notes what
was promised. Nothing here checks anything.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from ratoon_node.app import Node
from ratoon_node.errors import NodeError
from ratoon_node.ingest.submission import Origin, Outcome, Way
from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import Author, Chain, Draft, device_row, new_account
from ratoon_protocol.errors import Code
from ratoon_protocol.identity import parse_operation
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.kinds import Lane
from ratoon_protocol.operation import Device, Operation
from ratoon_protocol.record import Record, decode_payload
from tests.node.world import EVERYTHING
from tests.sim.loop import SimClock
from tests.sim.machine import Machine, MachineDown
from tests.sim.notes import Notes, Promise
from tests.sim.policies import domain_of
from tests.sim.trace import Trace

API = Origin(Way.API)
# Longest wait for receipts that anybody asks for.
WAIT_MS = 8000
# Records in one request.
PUBLISHED_MAX = 64
# Posts that somebody brings along, and the length of each.
PAST_POSTS_MAX = 120
PAST_WORDS_MAX = 8000
# Time between two things that somebody does.
ACT_MS_MIN, ACT_MS_MAX = 200, 5000
# A kind of a later version: public, without a slot, for keys that may write.
LATER_KIND = 99 * 256 + 34
# What a home says when it does not know enough of the account yet.
_INTRODUCE = {Code.UNKNOWN_ACCOUNT, Code.UNKNOWN_KEY, Code.PENDING, Code.NOT_HOSTED, Code.NOT_HOME}
_AGAIN = _INTRODUCE | {Code.BUSY, Code.INTERNAL, Code.FUTURE, Code.RATE}


@dataclass
class Town:
    """What all people share."""

    network: bytes
    machines: Sequence[Machine]
    notes: Notes
    trace: Trace
    everybody: list[Person] = field(default_factory=list)
    #: Public posts that somebody has written: (id, account).
    posts: list[tuple[bytes, bytes]] = field(default_factory=list)
    #: What thieves have signed with keys of people, and have not sent yet.
    loot: list[tuple[Person, Record]] = field(default_factory=list)


async def thieves(town: Town, rng: random.Random, clock: SimClock) -> None:
    """Send what thieves have signed to homes of its victims, now and then, until cancelled."""
    while True:
        await clock.sleep_ms(rng.randrange(500, 4000))
        if town.loot:
            victim, signed = town.loot.pop(0)
            home = rng.choice(victim.homes)
            try:
                outcomes = await home.call(partial(publish, part=[signed]))
            except (MachineDown, NodeError):
                town.loot.append((victim, signed))
            else:
                code = outcomes[0].code.value
                town.trace.say(f"a thief of {victim.name} {kinds.name(signed.header.kind)} {code}")


async def publish(node: Node, part: Sequence[Record]) -> list[Outcome]:
    """One request with some records."""
    return await node.gate.submit([signed.encode() for signed in part], API)


class Person:
    """An account, its paper, its device, and the homes it lives at.

    What somebody says, and when, follows from the seed alone; how long it takes to be heard
    depends on what goes wrong. So there are two sources of chance, and two tasks.
    """

    def __init__(
        self, name: str, town: Town, rng: random.Random, clock: SimClock, homes: list[Machine]
    ) -> None:
        self.name = name
        self.homes = homes
        self.outbox: deque[Record] = deque()
        self.operations: list[Record] = []
        self.gone = False
        self._town = town
        self._rng = rng
        self._patience = random.Random(rng.random())
        self._clock = clock
        self._words = 0
        self._posts: list[bytes] = []
        self._follows: dict[bytes, bool] = {}
        self._stolen: list[bytes] = []
        self._robbed = 0
        self._moving = asyncio.Lock()
        self._profiles: list[bytes] = []
        entropy = rng.randbytes(32)
        self._slot_key = phrase.slot_key(entropy)
        self._paper_key = phrase.account_key(entropy)
        device, row = self._new_device(rng)
        draft = Draft(devices=[row], homes=[home.account for home in homes])
        self.account, genesis = new_account(
            town.network, self._paper_key, draft, clock.now_ms(), rng.randbytes(16)
        )
        self._head = self._take_operation(genesis)
        self._author = self._writer(device)
        chain = Chain(1, genesis.id, genesis.header.created_ms)
        self._paper = Author(town.network, self.account, self._paper_key, None, {Lane.LOG: chain})

    def _new_device(self, rng: random.Random) -> tuple[SigningKey, Device]:
        device = SigningKey.from_seed(rng.randbytes(32))
        agreement = AgreementKey(rng.randbytes(32)).public
        anchor = self._paper_key.public
        return device, device_row(self._town.network, anchor, device, agreement, EVERYTHING)

    def _writer(self, device: SigningKey) -> Author:
        return Author(self._town.network, self.account, device, self._slot_key)

    def _take_operation(self, signed: Record) -> Operation:
        assert signed.payload is not None, "just signed"
        self.operations.append(signed)
        self.outbox.append(signed)
        return parse_operation(signed.id, signed.header, decode_payload(signed.payload))

    # --- what a person does --------------------------------------------------------------

    async def live(self) -> None:
        """Do something now and then, until cancelled."""
        while not self.gone:
            await self._clock.sleep_ms(self._rng.randrange(ACT_MS_MIN, ACT_MS_MAX))
            if not self.gone:
                self._do_something()

    async def be_heard(self) -> None:
        """Send what waits, until cancelled."""
        while True:
            await self.send_waiting()
            await self._clock.sleep_ms(self._patience.randrange(100, 2000))

    def _do_something(self) -> None:
        weighted: list[tuple[Callable[[], None], int]] = [
            (self.post, 40),
            (self.bring_the_past, 1),
            (self.reply, 15),
            (self.follow, 12),
            (self.react, 8),
            (self.profile, 4),
            (self.setting, 4),
            (self.edit, 6),
            (self.delete, 8),
            (self.say_later_things, 2),
            (self.replace_device, 2),
            (self.vanish, 1),
        ]
        acts, weights = zip(*weighted, strict=True)
        self._rng.choices(acts, weights)[0]()

    def say_later_things(self) -> None:
        """What only a later version understands."""
        self._sign(LATER_KIND, {"later": self._rng.randbytes(40)})

    def _sign(self, kind: int, body: dict, target: bytes | None = None) -> Record:
        signed = self._author.sign(
            kind, body, self._clock.now_ms(), self._rng.randbytes(16), target
        )
        self.outbox.append(signed)
        return signed

    def _new_words(self) -> str:
        self._words += 1
        return f"{self.name} says {self._words} {self._rng.randbytes(8).hex()}"

    def _write(self, kind: int, body: dict, target: bytes | None = None, more: str = "") -> Record:
        words = self._new_words() + more
        if self._rng.random() < 0.2:
            words += f" https://{domain_of(self.name)}/{self._words}"
        signed = self._sign(kind, {"text": words, **body}, target)
        self._town.notes.words[signed.id] = words.encode()
        if kind == kinds.POST:
            self._town.posts.append((signed.id, self.account))
        return signed

    def post(self) -> None:
        """Say something."""
        self._posts.append(self._write(kinds.POST, {}).id)

    def bring_the_past(self) -> None:
        """Much at once: what somebody wrote elsewhere, more than links take in one go."""
        for _ in range(self._rng.randrange(40, PAST_POSTS_MAX)):
            more = self._rng.randbytes(self._rng.randrange(PAST_WORDS_MAX // 2)).hex()
            self._posts.append(self._write(kinds.POST, {}, more=more).id)

    def reply(self) -> None:
        """Say something about what somebody said."""
        if self._town.posts:
            parent, account = self._rng.choice(self._town.posts)
            more = {"parent": parent, "root": parent, "parent_account": account}
            self._posts.append(self._write(kinds.POST, more | {"root_account": account}).id)

    def edit(self) -> None:
        """Say an old thing better."""
        if self._posts:
            post = self._rng.choice(self._posts)
            self._town.notes.edits[self._write(kinds.EDIT, {}, post).id] = post

    def delete(self) -> None:
        """Take back something that was said, whether or not it has arrived anywhere."""
        if self._posts:
            targets = self._rng.sample(self._posts, min(len(self._posts), self._rng.choice((1, 2))))
            for target in targets:
                self._posts.remove(target)
            signed = self._sign(kinds.DELETE, {"ids": targets})
            self._town.notes.deletes[signed.id] = tuple(targets)

    def follow(self) -> None:
        """Follow somebody, or no more."""
        other = self._rng.choice(self._town.everybody).account
        self._follows[other] = not self._follows.get(other, False)
        self._sign(kinds.FOLLOW, {"state": int(self._follows[other])}, other)

    def react(self) -> None:
        """Like something."""
        if self._town.posts:
            post, account = self._rng.choice(self._town.posts)
            state = self._rng.randrange(2)
            body = {"emoji": "🌱", "state": state, "target_account": account}
            self._sign(kinds.REACTION, body, post)

    def profile(self) -> None:
        """Be somebody else."""
        signed = self._sign(kinds.PROFILE, {"name": self.name, "bio": self._new_words()}, b"")
        self._profiles.append(signed.id)

    def setting(self) -> None:
        """Something private, for the own homes only."""
        self._sign(kinds.SETTING, {"data": self._rng.randbytes(40)}, self._rng.randbytes(16))

    # --- the account itself --------------------------------------------------------------

    def _operate(self, change: Callable[[Draft], None], rng: random.Random) -> Record:
        draft = Draft.after(self._head)
        change(draft)
        now_ms = self._clock.now_ms()
        signed = self._paper.sign(kinds.IDENTITY, draft.body(), now_ms, rng.randbytes(16))
        self._head = self._take_operation(signed)
        return signed

    def replace_device(self) -> None:
        """A new device; the old one is retired with all that it said."""
        if self._robbed:
            return  # what is lost is lost; the theft is said first
        old, (device, row) = self._author, self._new_device(self._rng)

        def change(draft: Draft) -> None:
            last = max((c.created_ms for c in old.chains.values()), default=0)
            deletes = [old.chains[Lane.LOG]] if Lane.LOG in old.chains else []
            draft.retire(old.key.public, max(last, self._clock.now_ms()), deletes)
            draft.devices.append(row)

        self._operate(change, self._rng)
        self._author = self._writer(device)

    def suffer_theft(self, rng: random.Random) -> bool:
        """A thief gets at the device's key and signs beside its chain; nobody notices yet."""
        if not self._author.chains:
            return False
        self._robbed += 1
        self._stolen += self._thief(self._author, rng)
        return True

    def say_stolen(self, rng: random.Random) -> bool:
        """The owner notices: only what the owner's own chains hold is to count."""
        self._robbed = 0
        if self.gone or not self._stolen:
            return False
        old, (device, row) = self._author, self._new_device(rng)

        def change(draft: Draft) -> None:
            tips = {lane: [chain] for lane, chain in old.chains.items()}
            draft.stolen(old.key.public, self._clock.now_ms(), tips)
            draft.devices.append(row)

        revocation = self._operate(change, rng).id
        self._author = self._writer(device)
        late = self._thief(old, rng)
        self._town.notes.stolen.update(dict.fromkeys([*self._stolen, *late], revocation))
        self._stolen = []
        return True

    def _thief(self, owner: Author, rng: random.Random) -> list[bytes]:
        """What the thief signs, on the owner's chain or on nothing, now or backdated."""
        chains = {
            lane: rng.choice((chain, Chain(7, rng.randbytes(32), 0)))
            for lane, chain in owner.chains.items()
        }
        thief = Author(owner.network, self.account, owner.key, self._slot_key, chains)
        now_ms = self._clock.now_ms() - rng.choice((0, 60_000, 86_400_000))
        words = [f"{self.name} says nothing {rng.randbytes(8).hex()}" for _ in range(4)]
        signed = [
            thief.sign(kinds.POST, {"text": text}, now_ms, rng.randbytes(16))
            for text in words[: rng.randrange(1, 4)]
        ]
        if self._posts:
            ids = [rng.choice(self._posts)]
            self._town.notes.attacked.update(ids)
            signed.append(thief.sign(kinds.DELETE, {"ids": ids}, now_ms, rng.randbytes(16)))
        self._town.notes.attacked.update(self._profiles)
        fake = {"name": "thief", "bio": words[3]}
        signed.append(thief.sign(kinds.PROFILE, fake, now_ms, rng.randbytes(16), b""))
        self._town.loot += [(self, one) for one in signed]
        return [one.id for one in signed]

    def vanish(self) -> None:
        """Leave, and take everything along."""
        self.gone = True
        signed = self._operate(lambda draft: setattr(draft, "vanish", True), self._rng)
        self._town.notes.vanished[self.account] = signed.id

    async def move(self, homes: list[Machine]) -> None:
        """Live at other homes from now on; the old ones are told if they can be reached."""
        async with self._moving:  # who moves twice does so one after the other
            await self._move(homes)

    async def _move(self, homes: list[Machine]) -> None:
        old, self.homes = self.homes, homes
        left = self._town.notes.left.setdefault(self.account, set())
        left |= {home.name for home in old}
        left -= {home.name for home in homes}
        self._town.trace.say(f"{self.name} moves to {' '.join(home.name for home in homes)}")
        for home in homes:
            await self._settle(home, hosting=True)
        if self.gone:
            return

        def change(draft: Draft) -> None:
            draft.homes = [home.account for home in homes]

        self._operate(change, self._patience)
        for home in old:
            if home not in homes and not home.destroyed:
                await self._settle(home, hosting=False)

    async def _settle(self, home: Machine, hosting: bool) -> None:
        """Become, or be no longer, an account that a node hosts."""
        while not home.destroyed:
            try:
                await home.call(lambda node: node.own.host(self.account, hosting))
                return
            except (MachineDown, NodeError):
                await self._clock.sleep_ms(self._patience.randrange(500, 3000))

    async def settle(self) -> None:
        """The first thing a new person does."""
        for home in list(self.homes):
            await self._settle(home, hosting=True)
        await self.send_waiting()

    # --- sending -------------------------------------------------------------------------

    async def send_waiting(self) -> None:
        """Offer what waits, in order, to one home after the other, until it is answered for."""
        while self.outbox:
            homes = [home for home in self.homes if not home.destroyed]
            if not homes:
                return  # until they move
            home = self._patience.choice(homes) if self._patience.random() < 0.3 else homes[0]
            part = [self.outbox[at] for at in range(min(len(self.outbox), PUBLISHED_MAX))]
            began_ms = self._clock.monotonic_ms()
            try:
                outcomes = await home.call(partial(publish, part=part))
            except (MachineDown, NodeError, TimeoutError):
                await self._clock.sleep_ms(self._patience.randrange(300, 4000))
                continue
            self._town.notes.answered_ms.append(self._clock.monotonic_ms() - began_ms)
            if self._answered(home, part, outcomes):
                await self._wait(home, part, outcomes)
            else:
                await self._introduce(home, outcomes)

    async def _introduce(self, home: Machine, outcomes: Sequence[Outcome]) -> None:
        """The home does not know enough of the account: show it everything, or wait."""
        await self._clock.sleep_ms(self._patience.randrange(300, 4000))
        notes = self._town.notes
        forgets = home.name in notes.forgetful or home.name in notes.rotten
        if any(outcome.code in _INTRODUCE for outcome in outcomes):
            try:
                if forgets:  # with its disk went that it is a home: one signs up again
                    await home.call(lambda node: node.own.host(self.account, hosting=True))
                await home.call(partial(publish, part=self.operations))
            except (MachineDown, NodeError):
                return

    def _answered(self, home: Machine, part: Sequence[Record], outcomes: Sequence[Outcome]) -> bool:
        """Take what has a final answer from the outbox, note promises; False if nothing had."""
        progress = False
        left: list[Record] = []
        for signed, outcome in zip(part, outcomes, strict=True):
            code = outcome.code
            what = f"{self.name} {kinds.name(signed.header.kind)} {code.value}"
            self._town.trace.say(f"{what} {outcome.detail}".rstrip())
            if code in _AGAIN:
                left.append(signed)
                continue
            progress = True
            if code in (Code.STORED, Code.DUPLICATE):
                self._promised(home, signed)
        for _ in part:
            self.outbox.popleft()
        self.outbox.extendleft(reversed(left))
        return progress

    def _promised(self, home: Machine, signed: Record) -> None:
        notes, header = self._town.notes, signed.header
        private = header.kind_class.lane is Lane.SELF
        promise = Promise(signed.id, self.account, header.kind, private)
        kept = notes.promises.setdefault(signed.id, promise)
        kept.machines[home.name] = self._town.trace.now_s

    async def _wait(
        self, home: Machine, part: Sequence[Record], outcomes: Sequence[Outcome]
    ) -> None:
        """Now and then, wait until two providers hold what was just published."""
        ids = [
            signed.id
            for signed, outcome in zip(part, outcomes, strict=True)
            if outcome.code is Code.STORED and signed.header.kind_class.lane is not Lane.SELF
        ]
        if not ids or self._patience.random() < 0.5:
            return
        try:
            found = await home.call(lambda node: node.receipts.wait(ids, 2, WAIT_MS))
        except MachineDown:
            return
        for id_, count in found.items():
            if count.providers >= 2:
                self._town.notes.promises[id_].two_providers = True
        held = sum(count.providers >= 2 for count in found.values())
        self._town.trace.say(f"{self.name} waited: {held} of {len(ids)} at two providers")
