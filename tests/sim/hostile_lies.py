"""Acts that are too much, untrue or slow: floods, lies about sets and holdings, two faces."""

from __future__ import annotations

import asyncio

from ratoon_protocol import kinds
from ratoon_protocol.author import Draft
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import (
    Ack,
    Admitted,
    Answer,
    Bye,
    Challenge,
    Frame,
    Have,
    Outcome,
    Peers,
    Ping,
    Receipt,
    Reconcile,
    Reconciled,
)
from ratoon_protocol.framing import encode_pushes, pack_item
from ratoon_protocol.kinds import Scope
from ratoon_protocol.reconcile.wire import END, Writer
from tests.sim.hostile_acts import Act

# Ids that nobody has: more than one link survives as broken promises.
INVENTED = 600

# --- flood ---------------------------------------------------------------------------------


class FloodAccounts(Act):
    """More new accounts than a stranger may bring in a day."""

    async def run(self) -> None:
        if self.rogue.quiet:
            return
        for _ in range(self.rogue.crowd // 20):
            ids: list[bytes] = []
            for _ in range(20):
                who = self.rogue.resident()
                ids += [*self.rogue.papers_of(who.account), who.genesis.id]
            await self.line.push(self.hoard.packed(ids))


class FloodRecords(Act):
    """Valid records of an account of one's own, as fast as the link takes them."""

    async def run(self) -> None:
        if self.rogue.quiet:
            return
        who = self.rogue.resident()
        await self.show(who)
        for _ in range(0 if self.rogue.quiet else self.rogue.rounds):
            posts = self.posts(who, 50, size=200)
            left = self.hoard.packed([self.hoard.put(one) for one in posts])
            while left:
                left = await self.line.push(left)
                await self.rogue.moment()


class GarbageFrames(Act):
    """Bytes that are no frame."""

    async def run(self) -> None:
        await self.line.say(self.rng.randbytes(60_000))


class PushedTwice(Act):
    """One record twice, before the first has its answer."""

    async def run(self) -> None:
        (signed,) = self.posts(self.rogue.resident(), 1)
        item = pack_item(signed.header_bytes, signed.signature, signed.payload)
        await self.line.say(*encode_pushes([item, item]))


class DialStorm(Act):
    """Connections by the dozen that say nothing."""

    async def run(self) -> None:
        await self.rogue.storm(self.line.peer, 4 * self.rogue.crowd // 10)


class Wants(Act):
    """Asks for everything, as often as it is answered."""

    async def run(self) -> None:
        ids = await self.victims() or [bytes(32)]
        for _ in range(self.rogue.rounds):
            while sum(self.line.asked.values()) > 2048 or len(self.line.asked) > 32:
                await self.rogue.moment()
            await self.line.get(ids[:512])


# --- lie in reconciliation -----------------------------------------------------------------


class EndlessRounds(Act):
    """Another fingerprint in every round, whatever was said."""

    async def run(self) -> None:
        pass

    async def take(self, frame: Frame) -> None:
        if isinstance(frame, Reconcile) and not self.line.owns(frame.number):
            out = Writer()
            out.fingerprint(END, self.rng.randbytes(16))
            await self.line.say(frame._replace(message=bytes(out)))
        else:
            await super().take(frame)


class Claims(Act):
    """Ids that nobody has, in every answer; whoever asks for them gets nothing."""

    async def run(self) -> None:
        pass

    async def take(self, frame: Frame) -> None:
        if isinstance(frame, Reconcile) and not self.line.owns(frame.number):
            out = Writer()
            out.id_list(END, sorted(self.rng.randbytes(32) for _ in range(INVENTED)))
            await self.line.say(frame._replace(message=bytes(out)))
        else:
            await super().take(frame)


class HugeRanges(Act):
    """Five bytes that ask for a list of everything, over and over."""

    answered = 0

    async def run(self) -> None:
        for at in range(self.rogue.rounds):
            while self.answered < at:
                await self.rogue.moment()
            await self.line.compare(Scope.WINDOW, b"\x61\x00\x00\x02\x00")

    async def take(self, frame: Frame) -> None:
        if isinstance(frame, Reconcile) and self.line.owns(frame.number):
            await self.line.say(Reconciled(frame.number, None))
            self.answered += 1
        else:
            await super().take(frame)


class MalformedSync(Act):
    """A message of reconciliation that says nothing readable."""

    async def run(self) -> None:
        await self.line.compare(Scope.LOG, b"\x61" + bytes([0xFF] * 40))


class ManySessions(Act):
    """More sessions at once than anybody needs."""

    async def run(self) -> None:
        for _ in range(9):
            await self.line.compare(Scope.LOG, b"\x61\x00\x00\x01" + self.rng.randbytes(16))


class ChangingLists(Act):
    """Says again and again that other nodes are admitted now, and compares anew."""

    async def run(self) -> None:
        everybody = self.rogue.admitted()
        for _ in range(self.rogue.rounds):
            some = [one for one in everybody if self.rng.random() < 0.7]
            await self.line.say(Admitted(tuple(sorted({*some, self.rogue.account}))))
            await self.line.learn(self.hoard)
            while self.line.sessions:
                await self.rogue.moment()


# --- advertise what cannot be delivered ----------------------------------------------------


class EmptyOffers(Act):
    """Offers ids that it invents."""

    async def run(self) -> None:
        await self.line.say(Have(tuple(self.rng.randbytes(32) for _ in range(INVENTED))))


class UnsentBytes(Act):
    """Offers ids and answers nothing but whether it is there."""

    async def run(self) -> None:
        await self.line.say(Have(tuple(self.rng.randbytes(32) for _ in range(8))))

    async def take(self, frame: Frame) -> None:
        if isinstance(frame, Ping | Bye):
            await super().take(frame)


# --- lying receipts and heads --------------------------------------------------------------


class FalseStatements(Act):
    """Says what it holds, and does not: acks of everything, chains of everybody."""

    async def run(self) -> None:
        await self.victims()
        ids = list(self.hoard.items)[:1000] + [self.rng.randbytes(32) for _ in range(20)]
        await self.line.say(Ack(tuple(Outcome(id_, Code.STORED) for id_ in ids)))
        await self.line.say(Receipt(self.rogue.now_ms() + 1000, (self.statement(),)))
        await self.line.say(Peers((self.rng.randbytes(64),)))

    async def take(self, frame: Frame) -> None:
        if isinstance(frame, Challenge):
            await self.line.say(Answer(frame.nonce, frame.id, self.rng.randbytes(32)))
        else:
            await super().take(frame)


# --- slow ----------------------------------------------------------------------------------


class SlowReader(Act):
    """Reads a byte a second, asks for everything, and lets itself be heard."""

    async def run(self) -> None:
        ids = list(self.hoard.items)[:512]
        for _ in range(self.rogue.rounds):
            await self.line.get(ids)
        while True:
            await asyncio.sleep(20)
            await self.line.say(Receipt(self.rogue.now_ms() + 1000, (self.statement(),)))

    def pause_s(self) -> float:
        return self.line.heard_bytes - self.line.opening_bytes if self.line.opening_bytes else 0


# --- equivocate ----------------------------------------------------------------------------


class TwoFaces(Act):
    """One node record here, another there; one account with as many heads as there are nodes."""

    async def run(self) -> None:
        if self.rogue.quiet:
            return
        who = self.rogue.two_faced()
        await self.show(who)
        signed = [self.rogue.face(self.line.peer)]
        for _ in range(3):
            draft = Draft.after(who.operation)
            draft.homes = [self.rng.randbytes(32)]
            now_ms, salt = self.rogue.now_ms(), self.rng.randbytes(16)
            signed.append(who.papers().sign(kinds.IDENTITY, draft.body(), now_ms, salt))
        signed += self.posts(who, 2)
        await self.line.push(self.hoard.packed([self.hoard.put(one) for one in signed]))
