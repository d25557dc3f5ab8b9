"""Two honest ends of a link, whatever their callers do: neither ever blames the other.

A message may wait on the wire for as long as it likes, and time may pass meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from random import Random

from ratoon_protocol.errors import Code, UsageError
from ratoon_protocol.events import Answered, Closed, Event, Pushed
from ratoon_protocol.frames import (
    Chain,
    Challenge,
    Find,
    Get,
    Outcome,
    Reconcile,
    challenge_hash,
)
from ratoon_protocol.session import PeerSession
from tests.fuzz.links import NOW, bounded, friends
from tests.fuzz.target import Steered, Target, ask
from tests.protocol.linked import NETWORK, items, seed

ITEMS = items(24, size=300)
BY_ID = {item.id: item for item in ITEMS}
IDS = list(BY_ID)


class End:
    """One end: its session, what is under way to it, and what it has to answer."""

    def __init__(self, session: PeerSession) -> None:
        self.session = session
        self.wire: list[bytes] = []
        self.asked: list[Get | Chain | Find] = []
        self.unacked: list[bytes] = []
        self.turns: list[Reconcile] = []
        self.challenged: list[Challenge] = []
        self.open: dict[int, set[bytes]] = {}
        self.nonces = 0

    def told(self, event: Event) -> None:
        """Note what wants an answer."""
        match event:
            case Closed():
                ask(not event.peers_fault, f"blames an honest peer: {event.code} {event.detail}")
            case Pushed():
                self.unacked += [item.id for item in event.items]
            case Get() | Chain() | Find():
                self.asked.append(event)
            case Reconcile():
                self.turns.append(event)
            case Challenge():
                self.challenged.append(event)
            case Answered():
                self.answered(event)

    def answered(self, event: Answered) -> None:
        """Every id asked for comes once, here, there or among the missing."""
        waiting = self.open.get(event.request)
        if waiting is None:
            return
        got = [item.id for item in event.items] + [one.id for one in event.absent]
        got += event.missing
        ask(len(set(got)) == len(got) and waiting.issuperset(got), "an answer nobody asked for")
        waiting.difference_update(got)
        if event.last:
            ask(not waiting, "an id without answer")
            del self.open[event.request]


def run(data: bytes) -> None:
    """Acts of both, messages carried, time: in the order that the input says."""
    steered = Steered(data)
    one, other = map(End, friends())
    now_ms = NOW
    while steered.more:
        choice = steered.getrandbits(8)
        here, there = (one, other) if choice & 1 else (other, one)
        match choice >> 1 & 7:
            case 0 | 1 | 2:
                act(here, steered)
            case 3 | 4:
                answer(here, steered)
            case 5 | 6:
                there.wire += here.session.data_to_send()
                carry(there, 1 + steered.getrandbits(2), now_ms)
            case _:
                now_ms += steered.getrandbits(8) * 16
                here.session.expire(now_ms)
        for end in (one, other):
            bounded(end.session)
    settle(one, other, now_ms)


def carry(end: End, count: int, now_ms: int) -> None:
    """Some messages arrive."""
    for _ in range(min(count, len(end.wire))):
        end.session.receive(end.wire.pop(0), now_ms)
        for event in end.session.events():
            end.told(event)


def settle(one: End, other: End, now_ms: int) -> None:
    """Everything arrives and is answered: then nothing is owed, if the link still stands."""
    for _ in range(200):
        moved = False
        for here, there in ((one, other), (other, one)):
            while here.asked or here.unacked or here.turns or here.challenged:
                answer(here, Steered(b""))
            there.wire += here.session.data_to_send()
            moved = moved or bool(there.wire)
            carry(there, len(there.wire), now_ms)
        if not moved:
            break
    for end in (one, other):
        if end.session.next_deadline_ms() is not None:
            credit, whole = end.session.credit, friends()[0].credit
            ask(credit[:4] == whole[:4] and credit[5] == whole[5], f"credit is lost: {credit}")


def act(end: End, steered: Steered) -> None:
    """One act of a caller; beyond its credit it is told so."""
    few = [IDS[steered.getrandbits(8) % len(IDS)] for _ in range(1 + steered.getrandbits(2))]
    session, choice = end.session, steered.getrandbits(8) % 10
    with suppress(UsageError):
        match choice:
            case 0 | 1:
                session.push([BY_ID[id_] for id_ in few])
            case 2:
                session.have(few)
            case 3 | 4:
                if number := session.get(few):
                    end.open[number] = set(few)
            case 5:
                session.chain(IDS[0], IDS[1], 2, 1, few, len(few))
            case 6:
                session.find(0, IDS[0])
            case 7:
                session.reconcile(2, None, 0, b"\x61")
            case 8:
                end.nonces += 1
                session.challenge(seed(f"{end.nonces}")[:16], few[0])
            case _:
                session.admit(few)


def answer(end: End, steered: Steered) -> None:
    """One thing that is owed."""
    owed = [kind for kind in (end.unacked, end.asked, end.turns, end.challenged) if kind]
    chosen = owed[steered.getrandbits(8) % len(owed)] if owed else None
    if chosen is None:
        return
    if chosen is end.unacked:
        end.session.ack([Outcome(id_, Code.STORED) for id_ in end.unacked])
        end.unacked.clear()
    elif chosen is end.asked:
        reply(end, end.asked.pop(0), steered)
    elif chosen is end.turns:
        take_turn(end, end.turns.pop(0), steered)
    else:
        nonce, id_ = end.challenged.pop(0)
        hash_ = challenge_hash(NETWORK, nonce, b"x") if steered.random() < 0.5 else None
        end.session.answer(nonce, id_, hash_)


def take_turn(end: End, frame: Reconcile, steered: Steered) -> None:
    """The next message of a reconciliation, or its end."""
    if steered.random() < 0.5:
        end.session.end_reconciliation(frame.number)
    else:
        end.session.proceed(frame)


def reply(end: End, frame: Get | Chain | Find, steered: Steered) -> None:
    """All of it, in one part or in two; some of a get is not found."""
    if not isinstance(frame, Get):
        end.session.reply(frame.request, ITEMS[:1])
        return
    cut = steered.getrandbits(8) % (len(frame.ids) + 1)
    found = [BY_ID[id_] for id_ in frame.ids[:cut]]
    absent = [Outcome(id_, Code.NOT_FOUND) for id_ in frame.ids[cut:]]
    if found and steered.random() < 0.5:
        end.session.reply(frame.request, found, last=False)
        found = []
    end.session.reply(frame.request, found, absent)


def seeds() -> Iterator[bytes]:
    """Long talks."""
    random = Random(2)
    for size in (8, 60, 200, 600, 1200):
        yield from (random.randbytes(size) for _ in range(3))


TARGET = Target("dialogue", run, seeds, bytes_max=1500)
