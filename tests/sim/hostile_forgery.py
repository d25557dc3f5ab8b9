"""Acts that forge records, play old ones again, or keep them from others."""

from __future__ import annotations

from ratoon_protocol import kinds
from ratoon_protocol.author import Author, Draft
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import (
    Ack,
    Answer,
    Challenge,
    Frame,
    Get,
    Have,
    Intro,
    Outcome,
    Push,
    Reconcile,
)
from ratoon_protocol.framing import encode_pushes, pack_item
from ratoon_protocol.kinds import Scope
from ratoon_protocol.reconcile import Reconciler
from tests.sim.hostile_acts import Act
from tests.sim.hostile_line import Hoard

# More wrong records than one link survives.
FORGED = 40

# --- forge ---------------------------------------------------------------------------------


class WrongSignatures(Act):
    """Posts that their author did not sign."""

    async def run(self) -> None:
        who = self.rogue.resident()
        await self.show(who)
        items = []
        for signed in self.posts(who, FORGED):
            spoilt = bytes([signed.signature[0] ^ 1]) + signed.signature[1:]
            items.append(self.forge(signed._replace(signature=spoilt)))
        await self.line.push(items)


class WrongPayloads(Act):
    """Headers that are signed, with other people's words under them."""

    async def run(self) -> None:
        if self.rogue.quiet:
            return
        who = self.rogue.resident()
        await self.show(who)
        items = []
        for signed in self.posts(who, FORGED):
            words = f"forged {self.rng.random()}".encode()
            self.rogue.words.append(words)
            wrong = words.ljust(len(signed.payload or b""), b"\0")
            items.append(pack_item(signed.header_bytes, signed.signature, wrong))
        await self.line.push(items)


class StolenNames(Act):
    """Records in the name of others, signed with a key of one's own; also of nobody known."""

    async def run(self) -> None:
        key = self.rogue.resident().author.key
        victims = {self.hoard.headers[id_].account for id_ in await self.victims()}
        names = [*sorted(victims), self.rng.randbytes(32)]
        items = []
        for account in names:
            author = Author(self.rogue.network, account, key, bytes(32))
            for kind, body, target in (
                (kinds.POST, {"text": f"I am {account.hex()}"}, None),
                (kinds.PROFILE, {"name": "somebody else", "bio": ""}, b""),
                (kinds.DELETE, {"ids": self.hoard.posts()[:8] or [bytes(32)]}, None),
            ):
                signed = author.sign(
                    kind, dict(body), self.rogue.now_ms(), self.rng.randbytes(16), target
                )
                items.append(self.forge(signed))
        await self.line.push(items)


class ReachAcross(Act):
    """Deletes and edits of what others wrote, signed as one's own."""

    async def run(self) -> None:
        if self.rogue.quiet:
            return
        one, other = self.rogue.resident(), self.rogue.resident()
        await self.show(one)
        await self.show(other)
        posts = (await self.victims())[:64]
        if not posts:
            return
        salt, now_ms = self.rng.randbytes(16), self.rogue.now_ms()
        signed = [one.author.sign(kinds.DELETE, {"ids": posts}, now_ms, salt)]
        for post in posts[:8]:
            body = {"text": f"{self.rogue.name} knows better"}
            signed.append(other.author.sign(kinds.EDIT, body, now_ms, salt, post))
        await self.line.push(self.hoard.packed([self.hoard.put(one) for one in signed]))


class FalseHosting(Act):
    """To host whom one does not host, to end it, and to say so for another node."""

    async def run(self) -> None:
        if self.rogue.quiet:
            return
        accounts = sorted({self.hoard.headers[id_].account for id_ in await self.victims()})
        signed = []
        for account in [*accounts[:8], self.rng.randbytes(32)]:
            for state in (1, 0, 1):
                signed.append(self.rogue.say(kinds.HOSTING, {"state": state}, account))
        items = self.hoard.packed([self.hoard.put(one) for one in signed])
        key = self.rogue.resident().author.key
        for account in accounts[:8]:
            author = Author(self.rogue.network, self.line.account, key, bytes(32))
            now_ms, salt = self.rogue.now_ms(), self.rng.randbytes(16)
            lie = author.sign(kinds.HOSTING, {"state": 0}, now_ms, salt, account)
            items.append(self.forge(lie))
        await self.line.push(items)


class BrokenOperations(Act):
    """Identity operations that break a rule, of one's own account and of others'."""

    async def run(self) -> None:
        who = self.rogue.resident()
        await self.show(who)
        await self.victims()
        items = []
        draft = Draft.after(who.operation)
        draft.devices = []  # dropped without a word of revocation
        now_ms = self.rogue.now_ms()
        for author in (who.papers(), who.papers()):
            salt = self.rng.randbytes(16)
            items.append(self.forge(author.sign(kinds.IDENTITY, draft.body(), now_ms, salt)))
        for id_, header in list(self.hoard.headers.items()):
            if header.kind == kinds.IDENTITY and header.account != who.account:
                author = Author(self.rogue.network, header.account, who.paper)
                mine = Draft.after(who.operation)
                mine.prev_op = id_
                salt = self.rng.randbytes(16)
                items.append(self.forge(author.sign(kinds.IDENTITY, mine.body(), now_ms, salt)))
        await self.line.push(items)


class Undecodable(Act):
    """Items that are no records at all."""

    async def run(self) -> None:
        items = [
            pack_item(self.rng.randbytes(165), self.rng.randbytes(64), self.rng.randbytes(64))
            for _ in range(FORGED)
        ]
        await self.line.push(items)


# --- replay --------------------------------------------------------------------------------


class OldHandshakes(Act):
    """Everything that was said on this link, once more on others."""

    async def run(self) -> None:
        said = list(self.line.sent)
        for _ in range(5):
            await self.rogue.repeat(self.line.peer, said)


class OldFrames(Act):
    """A message of this link, once more."""

    async def run(self) -> None:
        await self.line.throw(self.line.sent[-1])


class BorrowedName(Act):
    """The introduction that another node showed this one."""

    def introduction(self) -> Intro:
        heard = [one for name, one in self.rogue.intros.items() if name != self.line.peer]
        return heard[0] if heard else self.line.proof()


class OldRecords(Act):
    """Everything that was ever heard, with its bytes, again and again."""

    async def run(self) -> None:
        await self.victims()
        for _ in range(self.rogue.rounds):
            left = self.hoard.packed(list(self.hoard.items))
            while left:
                left = await self.line.push(left)
                await self.rogue.moment()


# --- withhold ------------------------------------------------------------------------------


class Swallow(Act):
    """Says `stored` of everything, keeps nothing, and makes proofs up."""

    async def take(self, frame: Frame) -> None:
        match frame:
            case Push(request=0, items=items) if items:
                await self.line.say(Ack(tuple(Outcome(one.id, Code.STORED) for one in items)))
            case Have(ids):
                await self.line.say(Ack(tuple(Outcome(id_, Code.STORED) for id_ in ids)))
            case Challenge(nonce, id_):
                await self.line.say(Answer(nonce, id_, self.rng.randbytes(32)))
            case Push() | Ack():
                pass
            case _:
                await super().take(frame)

    async def run(self) -> None:
        pass


class KeepBack(Act):
    """Holds everything and can prove it, and gives it to nobody."""

    async def take(self, frame: Frame) -> None:
        match frame:
            case Reconcile() if frame.scope < Scope.PRIVATE and not self.line.owns(frame.number):
                nothing = Reconciler(Hoard().indexes[Scope(frame.scope)])
                message = nothing.respond(frame.message)
                await self.line.say(frame._replace(message=message))
            case Get(request, ids):
                absent = [Outcome(id_, Code.NOT_FOUND) for id_ in ids]
                await self.line.say(*encode_pushes([], request, absent, last=True))
            case Have(ids):
                await self.line.get(ids)
            case _:
                await super().take(frame)
