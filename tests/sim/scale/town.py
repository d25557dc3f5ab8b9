"""Who is there: providers, nodes and whom their operators know, people, whom they follow.

Everything is drawn from a seed, and everything is as uneven as networks are: a few providers have
most nodes, a few nodes most people, a few people most followers and most of the talk.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

# With so many the largest has 27 % of the nodes.
PROVIDERS = 22
# Nodes that the operator of a new node adds; each of their operators adds it too.
ADDED = 5
# A node is known by hand to no more than its record can vouch for.
ADDED_MAX = 64
# Exponents of Zipf's law: providers by nodes, nodes by people, people by followers and by posts.
PROVIDER_ZIPF = 1.0
HOME_ZIPF = 0.8
FOLLOWED_ZIPF = 0.9
TALK_ZIPF = 1.0
# Accounts that a person follows, on average.
FOLLOWS = 6
# Chance that a person has a second home, at another provider.
SECOND_HOME = 0.3


def zipf(count: int, exponent: float) -> list[float]:
    """Weights of ranks 1 to `count`; they add up to 1."""
    weights = [rank**-exponent for rank in range(1, count + 1)]
    total = sum(weights)
    return [weight / total for weight in weights]


@dataclass
class Site:
    """One node: where it stands and the numbers of the nodes that its operator added."""

    number: int
    name: str
    provider: str
    added: set[int] = field(default_factory=set)

    @property
    def address(self) -> str:
        """Where other nodes dial."""
        return f"http://{self.name}.example"


@dataclass
class Resident:
    """One person: the numbers of the homes, of those followed, and a share of all talk."""

    number: int
    homes: list[int]
    follows: list[int]
    talk: float


@dataclass
class Plan:
    """A network of `nodes` nodes with `people` people."""

    seed: int
    sites: list[Site]
    residents: list[Resident]

    def largest_provider(self) -> str:
        """The provider with the most nodes."""
        names = [site.provider for site in self.sites]
        return max(sorted(set(names)), key=names.count)


def draw(seed: int, nodes: int, people: int, added: int = ADDED) -> Plan:
    """A network as `seed` has it."""
    rng = random.Random(f"{seed} town {nodes}")
    sites = _sites(rng, nodes)
    _acquaint(rng, sites, added)
    return Plan(seed, sites, _residents(rng, sites, people))


def _sites(rng: random.Random, nodes: int) -> list[Site]:
    """Providers of Zipf sizes, rounded so that they add up."""
    shares = [share * nodes for share in zipf(PROVIDERS, PROVIDER_ZIPF)]
    sizes = [int(share) for share in shares]
    by_rest = sorted(range(PROVIDERS), key=lambda at: sizes[at] - shares[at])
    for at in by_rest[: nodes - sum(sizes)]:
        sizes[at] += 1
    names = [f"P{at + 1}" for at, size in enumerate(sizes) for _ in range(size)]
    rng.shuffle(names)
    return [Site(number, f"n{number}", name) for number, name in enumerate(names)]


def _acquaint(rng: random.Random, sites: Sequence[Site], added: int) -> None:
    """Preferential attachment: who comes later meets who is known to many."""
    ends: list[int] = []
    for site in sites:
        wanted = min(added, site.number)
        while len(site.added) < wanted:
            # Known by somebody, or, now and then, met by chance.
            known = ends if ends and rng.random() < 0.9 else range(site.number)
            other = rng.choice(known)
            if other not in site.added and len(sites[other].added) < ADDED_MAX:
                site.added.add(other)
                sites[other].added.add(site.number)
                ends += (other, site.number)


def _residents(rng: random.Random, sites: Sequence[Site], people: int) -> list[Resident]:
    order = list(range(len(sites)))
    rng.shuffle(order)
    homes = rng.choices(order, zipf(len(sites), HOME_ZIPF), k=people)
    talk = zipf(people, TALK_ZIPF)
    rng.shuffle(talk)
    followed = list(range(people))
    rng.shuffle(followed)
    popularity = zipf(people, FOLLOWED_ZIPF)
    residents = []
    for number, home in enumerate(homes):
        others = [one.number for one in sites if one.provider != sites[home].provider]
        second = [rng.choice(others)] if others and rng.random() < SECOND_HOME else []
        count = min(people - 1, 1 + int(rng.expovariate(1 / FOLLOWS)))
        found = set(rng.choices(followed, popularity, k=count)) - {number}
        residents.append(Resident(number, [home, *second], sorted(found), talk[number]))
    return residents
