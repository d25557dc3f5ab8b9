"""What hostile machines do on a link, one act a class; `hostile_kinds` sorts them.

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
from ratoon_protocol.frames import (
    Frame,
    Intro,
    Packed,
    Statement,
)
from ratoon_protocol.framing import pack_item
from ratoon_protocol.identity import parse_operation
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.kinds import Lane
from ratoon_protocol.operation import Operation
from ratoon_protocol.record import Record, decode_payload
from tests.node.world import EVERYTHING
from tests.sim.hostile_line import Hoard, Line, answer

if TYPE_CHECKING:
    from tests.sim.hostile import Rogue


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

    def statement(self) -> Statement:
        """That a chain is held which nobody knows."""
        about = (self.rng.randbytes(32), self.rng.randbytes(32), 2, 9, self.rng.randbytes(32))
        return Statement(*about, ())

    def forge(self, signed: Record) -> Packed:
        """An item that must never be stored."""
        self.rogue.forged[signed.id] = type(self).__name__
        return pack_item(signed.header_bytes, signed.signature, signed.payload)
