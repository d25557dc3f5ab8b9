"""Who lives in a made-up network: people with keys, their homes, and whom they follow.

Everything is drawn from one seed. Anybody can work out these keys: such a network is for trying
things and measuring them, never a place for real people.
"""

from __future__ import annotations

import random
from array import array
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ratoon_node.operate.keys import Keys, make_keys
from ratoon_node.operate.seed.speech import Speech, Tongue, tongues, zipf
from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import Author, Draft, capability_set, device_row, new_account
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.kinds import Capability
from ratoon_protocol.limits import (
    DAY_MS,
    EPOCH_MS,
    RECORDS_PER_KEY_LANE_DAY_MAX,
    SALT_BYTES,
)
from ratoon_protocol.record import Body, Record, decode_record

# How many accounts follow whom decides what a home timeline costs: the usual, and a lot.
FOLLOWS_USUAL = 50
FOLLOWS_MANY = 500
# Accounts below which nobody can follow that many.
PEOPLE_FOR_READERS = FOLLOWS_MANY + 2
# Of all records, the most that follows may take.
FOLLOWS_SHARE = 0.25
# Records there are for each person, unless somebody says how many people.
RECORDS_A_PERSON = 200
# Where people are at home, of ten: here, and at two nodes that the operator added.
HOMES = (0, 0, 0, 0, 0, 0, 1, 1, 2, 2)
NODES = (("Harbour", "a harbour's cellar", "NO"), ("Orchard", "an orchard's shed", "NZ"))
_MAY = capability_set(
    [
        Capability.WRITE,
        Capability.PROFILE,
        Capability.ERASE,
        Capability.PRIVATE,
        Capability.MODERATE,
    ]
)


class Plan(NamedTuple):
    """What decides every byte of a made-up network, but for the keys of the node it is on.

    `records`: all of it, what the node says of people included. Posts are written in the `days`
    before `until_ms`; people come in as many days before that.
    """

    network: bytes
    seed: str
    records: int
    people: int
    days: int
    until_ms: int

    @property
    def start_ms(self) -> int:
        """When people begin to write."""
        return self.until_ms - self.days * DAY_MS

    @property
    def joins_ms(self) -> int:
        """When the first of them comes in."""
        return self.start_ms - self.days * DAY_MS

    def problem(self) -> str | None:
        """Why no such network can be made; None if it can."""
        if self.records < 10 * self.people:
            return f"{self.people} accounts need at least {10 * self.people} records"
        if self.joins_ms < EPOCH_MS:
            return "records may not be older than 2020: choose fewer days"
        if self.people > self.days * RECORDS_PER_KEY_LANE_DAY_MAX // 2:
            return "a node may take in 5,000 accounts a day: choose more days or fewer accounts"
        if self.records > self.people * self.days * RECORDS_PER_KEY_LANE_DAY_MAX // 4:
            return "a key may sign 5,000 records a day: choose more days or more accounts"
        return None

    def chance(self, what: str) -> random.Random:
        """A source of chance of its own for one thing."""
        return random.Random(f"{self.seed} {what}")


def people_for(records: int) -> int:
    """How many people write so many records, if nobody says."""
    return max(records // RECORDS_A_PERSON, min(PEOPLE_FOR_READERS + 98, records // 10))


@dataclass(slots=True)
class Person:
    """Somebody; `home` is 0 for the node whose store this is, else a place in `NODES`, from 1."""

    number: int
    author: Author
    genesis: Record
    home: int
    tongue: Tongue
    name: str
    joined_ms: int
    follows: array[int] = field(default_factory=lambda: array("I"))

    @property
    def account(self) -> bytes:
        """The account's id."""
        return self.author.account


def node_keys(plan: Plan, name: str) -> Keys:
    """The keys of a made-up node."""
    rng = plan.chance(f"node {name}")
    return make_keys(plan.network, rng.randbytes(phrase.ENTROPY_BYTES), rng, plan.joins_ms)


def make_people(plan: Plan, nodes: list[bytes]) -> list[Person]:
    """All of them, the most popular first. `nodes`: the account of this node, then of others."""
    rng, speech = plan.chance("people"), Speech(plan.chance("names"))
    spoken = tongues()
    found = []
    for number in range(plan.people):
        home = rng.choice(HOMES)
        joined_ms = plan.joins_ms + (plan.start_ms - plan.joins_ms) * number // plan.people
        paper, seeds = phrase.account_key(entropy := rng.randbytes(32)), rng.randbytes(64)
        device, agreement = SigningKey.from_seed(seeds[:32]), AgreementKey(seeds[32:]).public
        row = device_row(plan.network, paper.public, device, agreement, _MAY)
        draft = Draft(devices=[row], homes=[nodes[home]])
        account, genesis = new_account(
            plan.network, paper, draft, joined_ms, rng.randbytes(SALT_BYTES)
        )
        author = Author(plan.network, account, device, phrase.slot_key(entropy))
        tongue = rng.choices(spoken, [one.share for one in spoken])[0]
        found.append(Person(number, author, genesis, home, tongue, speech.name(tongue), joined_ms))
    rng.shuffle(found)  # who came first is not the most popular
    for number, person in enumerate(found):
        person.number = number
    return found


class Readers(NamedTuple):
    """Two people who follow exactly as many as their name says, from the first day to the last."""

    usual: Person
    many: Person


def readers(people: list[Person]) -> Readers | None:
    """Who they are; None where too few live."""
    if len(people) < PEOPLE_FOR_READERS:
        return None
    middle = len(people) // 2
    return Readers(people[middle], people[middle + 1])


def choose_follows(plan: Plan, people: list[Person]) -> None:
    """Whom everybody follows: most a few dozen, some hundreds; some are followed by most."""
    rng, weights = plan.chance("follows"), zipf(len(people), 0.8, flat=5)
    most = min(FOLLOWS_USUAL, len(people) // 4, FOLLOWS_SHARE * plan.records / len(people))
    wanted = [rng.lognormvariate(0, 0.9) for _ in people]
    scale = most * len(people) / sum(wanted)
    exact = {}
    if (two := readers(people)) is not None:
        exact = {two.usual.number: FOLLOWS_USUAL, two.many.number: FOLLOWS_MANY}
    for person, wish in zip(people, wanted, strict=True):
        count = exact.get(person.number, min(int(wish * scale), FOLLOWS_MANY, len(people) // 3))
        chosen: dict[int, None] = {}
        while len(chosen) < count:
            other = bisect(weights, rng.random() * weights[-1])
            if other != person.number:
                chosen[other] = None
        person.follows = array("I", chosen)


class Made(NamedTuple):
    """One record, and whether its author is at home at the node whose store this is."""

    here: bool
    record: Record


class Settling:
    """The first records of a network: nodes, accounts, profiles, follows and lists."""

    def __init__(self, plan: Plan, people: list[Person], nodes: list[Keys]) -> None:
        self._plan = plan
        self._people = people
        self._nodes = nodes
        self._rng = plan.chance("settling")
        self._speech = Speech(plan.chance("settling words"))

    def _signed(
        self, person: Person, kind: int, body: Body, now_ms: int, target: bytes | None = None
    ) -> Made:
        salt = self._rng.randbytes(SALT_BYTES)
        return Made(person.home == 0, person.author.sign(kind, body, now_ms, salt, target))

    def records(self) -> Iterator[Made]:
        """All of them, in an order in which the gate takes them."""
        yield from self._others()
        people = sorted(self._people, key=lambda person: person.joined_ms)
        for person in people:
            yield Made(person.home == 0, person.genesis)
            yield self._profile(person)
        for person in people:
            yield from self._follows(person)

    def _others(self) -> Iterator[Made]:
        """What the nodes say that people of this network are at home at but this one."""
        for place, keys in enumerate(self._nodes, 1):
            name, provider, country = NODES[place - 1]
            device = SigningKey.from_seed(keys.device_seed)
            author = Author(keys.network, keys.account, device, keys.slot_key)
            yield Made(False, decode_record(keys.genesis))
            body: Body = {
                "addresses": [],
                "admits": [],
                "country": country,
                "home_open": 0,
                "name": name,
                "network": "",
                "provider": provider,
                "software": "ratoon seed",
            }
            salt, at_ms = self._rng.randbytes(SALT_BYTES), self._plan.joins_ms
            yield Made(False, author.sign(kinds.NODE, body, at_ms, salt, b""))
            for person in self._people:
                if person.home == place:
                    yield Made(False, host(author, person, salt))

    def _profile(self, person: Person) -> Made:
        bio = self._speech.text(person.tongue) if self._rng.random() < 0.8 else ""
        body: Body = {"name": person.name, "bio": bio}
        if self._rng.random() < 0.2:
            body["fields"] = [["web", f"https://example.org/~{person.number}"]]
        return self._signed(person, kinds.PROFILE, body, person.joined_ms, b"")

    def _follows(self, person: Person) -> Iterator[Made]:
        """Whom somebody follows, and now and then a list of some of them."""
        at_ms = person.joined_ms
        for other in person.follows:
            at_ms += self._rng.randrange(60_000)
            body: Body = {"state": 1}
            yield self._signed(
                person, kinds.FOLLOW, body, at_ms, target=self._people[other].account
            )
        if len(person.follows) > 5 and self._rng.random() < 0.1:
            members = [self._people[other].account for other in person.follows[:20]]
            title = self._speech.words(person.tongue, 2)
            body = {"members": list(members), "state": 1, "title": title}
            yield self._signed(person, kinds.LIST, body, at_ms, target=self._rng.randbytes(16))


def host(node: Author, person: Person, salt: bytes) -> Record:
    """A node's record that somebody is at home there, from the day on which they came."""
    return node.sign(kinds.HOSTING, {"state": 1}, person.joined_ms, salt, person.account)
