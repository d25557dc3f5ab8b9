"""What hostile machines do on a link, one act a class; `KINDS` sorts them.

An act does its harm in `run`, once the link is open, and answers what it hears in `take`, which
is polite unless the act says otherwise. What it makes that must never count anywhere it notes:
ids in `Rogue.forged`, words in `Rogue.words`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import Author, Chain, Draft, device_row, new_account
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import (
    Ack,
    Admitted,
    Answer,
    Bye,
    Challenge,
    Frame,
    Get,
    Have,
    Intro,
    Outcome,
    Packed,
    Peers,
    Ping,
    Push,
    Receipt,
    Reconcile,
    Reconciled,
    Statement,
)
from ratoon_protocol.framing import encode_pushes, pack_item
from ratoon_protocol.identity import parse_operation
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.kinds import Lane, Scope
from ratoon_protocol.operation import Operation
from ratoon_protocol.reconcile import Reconciler
from ratoon_protocol.reconcile.wire import END, Writer
from ratoon_protocol.record import Record, decode_payload
from tests.node.world import EVERYTHING
from tests.sim.hostile_line import Hoard, Line, answer

if TYPE_CHECKING:
    from tests.sim.hostile import Rogue

# More wrong records than one link survives.
FORGED = 40
# Ids that nobody has: more than one link survives as broken promises.
INVENTED = 600


@dataclass
class Resident:
    """An account made up by a hostile machine, which holds all its keys."""

    account: bytes
    genesis: Record
    paper: SigningKey
    author: Author

    @property
    def operation(self) -> Operation:
        """What its genesis says."""
        assert self.genesis.payload is not None, "just signed"
        found = self.genesis
        return parse_operation(found.id, found.header, decode_payload(self.genesis.payload))

    def papers(self) -> Author:
        """Another hand with the account key, from the genesis on."""
        chain = Chain(1, self.genesis.id, self.genesis.header.created_ms)
        return Author(self.author.network, self.account, self.paper, None, {Lane.LOG: chain})


def settle(network: bytes, rng: random.Random, now_ms: int, homes: Sequence[bytes]) -> Resident:
    """A new account with one device."""
    entropy = rng.randbytes(32)
    paper, device = phrase.account_key(entropy), SigningKey.from_seed(rng.randbytes(32))
    agreement = AgreementKey(rng.randbytes(32)).public
    row = device_row(network, paper.public, device, agreement, EVERYTHING)
    draft = Draft(devices=[row], homes=[*homes])
    account, genesis = new_account(network, paper, draft, now_ms, rng.randbytes(16))
    author = Author(network, account, device, phrase.slot_key(entropy))
    return Resident(account, genesis, paper, author)


class Act:
    """Polite: reads everything, holds everything, answers everything."""

    def __init__(self, rogue: Rogue, line: Line) -> None:
        self.rogue = rogue
        self.line = line
        self.rng = rogue.rng

    @property
    def hoard(self) -> Hoard:
        """What the machine has."""
        return self.rogue.hoard

    async def run(self) -> None:
        """The link is open."""
        await self.line.learn(self.hoard)

    async def take(self, frame: Frame) -> None:
        """Something was heard."""
        await answer(self.line, self.hoard, frame, self.rogue.network)

    def introduction(self) -> Intro:
        """Who this is."""
        return self.line.proof()

    def pause_s(self) -> float:
        """How long the next message stays unread."""
        return 0

    async def show(self, who: Resident) -> None:
        """Make the other side carry an account: with its log nobody can say it is unknown."""
        ids = [*self.rogue.papers_of(who.account), who.genesis.id]
        await self.line.push(self.hoard.packed(ids))

    def posts(self, who: Resident, count: int, size: int = 0) -> list[Record]:
        """Posts as anybody writes them."""
        more = self.rng.randbytes(size // 2).hex()
        return [
            self.sign(who, f"{self.rogue.name} {self.rng.random()} {more}") for _ in range(count)
        ]

    def sign(self, who: Resident, words: str) -> Record:
        """One post."""
        now_ms, salt = self.rogue.now_ms(), self.rng.randbytes(16)
        return who.author.sign(kinds.POST, {"text": words}, now_ms, salt)

    async def victims(self) -> list[bytes]:
        """Posts of others, once some are here."""
        await self.line.learn(self.hoard)
        return await self.rogue.booty()

    def forge(self, signed: Record) -> Packed:
        """An item that must never be stored."""
        self.rogue.forged[signed.id] = type(self).__name__
        return pack_item(signed.header_bytes, signed.signature, signed.payload)


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
        who = self.rogue.resident()
        await self.show(who)
        posts = (await self.victims())[:64]
        if not posts:
            return
        salt, now_ms = self.rng.randbytes(16), self.rogue.now_ms()
        signed = [who.author.sign(kinds.DELETE, {"ids": posts}, now_ms, salt)]
        for post in posts[:8]:
            body = {"text": f"{self.rogue.name} knows better"}
            signed.append(who.author.sign(kinds.EDIT, body, now_ms, salt, post))
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
        for _ in range(self.rogue.rounds):
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
        about = (self.rng.randbytes(32), self.rng.randbytes(32), 2, 9, self.rng.randbytes(32))
        await self.line.say(Receipt(self.rogue.now_ms() + 1000, (Statement(*about, ()),)))
        await self.line.say(Peers((self.rng.randbytes(64),)))

    async def take(self, frame: Frame) -> None:
        if isinstance(frame, Challenge):
            await self.line.say(Answer(frame.nonce, frame.id, self.rng.randbytes(32)))
        else:
            await super().take(frame)


# --- slow ----------------------------------------------------------------------------------


class SlowReader(Act):
    """Reads a byte a second, and asks for everything."""

    async def run(self) -> None:
        ids = list(self.hoard.items)[:512]
        for _ in range(self.rogue.rounds):
            await self.line.get(ids)

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


#: What a hostile machine of a kind does, one act after the other.
KINDS: dict[str, tuple[type[Act], ...]] = {
    "forge": (
        *(WrongSignatures, WrongPayloads, StolenNames, ReachAcross, FalseHosting),
        *(BrokenOperations, Undecodable),
    ),
    "replay": (OldHandshakes, OldFrames, BorrowedName, OldRecords),
    "withhold": (Swallow, KeepBack),
    "flood": (FloodAccounts, FloodRecords, GarbageFrames, PushedTwice, DialStorm, Wants),
    "lie": (EndlessRounds, Claims, HugeRanges, MalformedSync, ManySessions, ChangingLists),
    "advertise": (EmptyOffers, UnsentBytes),
    "receipts": (FalseStatements, Swallow),
    "slow": (SlowReader,),
    "equivocate": (TwoFaces,),
}
ACTS = {act.__name__: kind for kind, acts in KINDS.items() for act in acts}
