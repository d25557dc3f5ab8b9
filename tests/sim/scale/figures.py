"""From what was noted to figures: spread, copies, bytes, repair."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tests.sim.scale.meter import Use
from tests.sim.scale.world import Found, Phase, Said

HOUR_S = 3600


@dataclass(frozen=True)
class Figures:
    """One network in numbers. Times are seconds of the world from the home's acknowledgement."""

    nodes: int
    providers: int
    posts: int
    posts_per_hour: float
    past_records: int
    links_max: int
    push_links: int
    links_median: float
    links_most: int
    #: Share of nodes that admit a node, on average.
    admitted: float
    spread_p50_s: float
    spread_p99_s: float
    #: Of a record, until the last node had it.
    last_median_s: float
    last_max_s: float
    #: Until the last home of a follower had it.
    followers_p99_s: float
    #: Lowest share of all nodes that a record reached.
    reached: float
    #: Copies of a record's bytes sent for one that was needed; those nobody asked for apart.
    copies: float
    copies_unasked: float
    #: kB one node sends in an hour.
    kb_per_hour: dict[str, float]
    #: The least there could be: each record once.
    kb_per_hour_least: float
    dials_per_hour: float
    #: Nodes of the lost provider, and what it took from the loss until all was well again.
    lost_nodes: int
    under_way: int
    repair_s: float
    lost_records: int
    two_provider_records_lost: int
    spread_after_p99_s: float
    relinked_s: float
    cpu_s: float
    rss_mib: float


def figures(found: Found) -> Figures:
    """All of them."""
    scale, early = found.scale, said(found, Phase.TALK)
    before = [*early, *said(found, Phase.BURST)]
    times = sorted(arrival for one in early for arrival in spread(found, one))
    last = [max(spread(found, one), default=0.0) for one in early]
    homes = sorted(time for one in early for time in _to_followers(found, one))
    needed = sum(max(1, len(found.arrivals[one.id]) - 1) for one in early)
    per_node = HOUR_S / scale.talk_s / scale.nodes / 1000
    repairs = [repaired_s(found, one) for one in before]
    late = sorted(s for one in said(found, Phase.AFTER) for s in spread(found, one))
    return Figures(
        nodes=scale.nodes,
        providers=len({site.provider for site in found.plan.sites}),
        posts=len(found.said),
        posts_per_hour=scale.posts_per_s * HOUR_S,
        past_records=found.past_records,
        links_max=scale.links_max,
        push_links=scale.push_links,
        links_median=statistics.median(found.links),
        links_most=max(found.links),
        admitted=statistics.mean(found.admitted) / scale.nodes,
        spread_p50_s=quantile(times, 0.5),
        spread_p99_s=quantile(times, 0.99),
        last_median_s=quantile(sorted(last), 0.5),
        last_max_s=max(last),
        followers_p99_s=quantile(homes, 0.99),
        reached=min(len(found.arrivals[one.id]) for one in early) / scale.nodes,
        copies=sum(found.talk.copies[one.signature] for one in early) / needed,
        copies_unasked=sum(found.talk.pushed[one.signature] for one in early) / needed,
        kb_per_hour=_kb_per_hour(found, per_node),
        kb_per_hour_least=sum(found.talk.sizes.get(one.signature, 0) for one in early)
        * per_node
        * (scale.nodes - 1),
        dials_per_hour=found.dials * HOUR_S / scale.talk_s / scale.nodes,
        lost_nodes=len(found.lost),
        under_way=sum(one is None or one > 0 for one in repairs),
        repair_s=max((one for one in repairs if one is not None), default=0.0),
        lost_records=sum(one is None for one in repairs),
        two_provider_records_lost=sum(
            two_providers(found, one) and repaired_s(found, one) is None for one in before
        ),
        spread_after_p99_s=quantile(late, 0.99),
        relinked_s=_relinked_s(found),
        cpu_s=found.cpu_s,
        rss_mib=found.rss_mib,
    )


def said(found: Found, phase: Phase) -> list[Said]:
    """What was said in a phase."""
    return [one for one in found.said if one.phase is phase]


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that so large a share of an ascending list does not exceed; 0 of nothing."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def spread(found: Found, one: Said) -> list[float]:
    """When a record came to each node but its home, from its acknowledgement."""
    return [at_s - one.acked_s for node, at_s in found.arrivals[one.id].items() if node != one.home]


def _to_followers(found: Found, one: Said) -> list[float]:
    """When a record came to the homes of those who follow its author."""
    residents = found.plan.residents
    homes = {resident.homes[0] for resident in residents if one.author in resident.follows}
    when = found.arrivals[one.id]
    return [when[home] - one.acked_s for home in homes if home != one.home and home in when]


def _kb_per_hour(found: Found, per_node: float) -> dict[str, float]:
    by_use = {use.value: found.talk.bytes_by_use[use] * per_node for use in Use}
    by_use["sealing"] = found.wire_bytes * per_node - sum(by_use.values())
    return by_use


# --- after the loss ------------------------------------------------------------------------


def left(found: Found) -> set[int]:
    """The nodes that remain."""
    return set(range(found.scale.nodes)) - set(found.lost)


def repaired_s(found: Found, one: Said) -> float | None:
    """From the loss until every node that remains had the record; None: never."""
    when, remaining = found.arrivals[one.id], left(found)
    if not remaining <= when.keys():
        return None
    return max(when[node] for node in remaining) - found.lost_at_s


def two_providers(found: Found, one: Said) -> bool:
    """Whether nodes of two providers had the record when one of them was lost."""
    sites, when = found.plan.sites, found.arrivals[one.id]
    return len({sites[n].provider for n, at_s in when.items() if at_s <= found.lost_at_s}) >= 2


def _relinked_s(found: Found) -> float:
    """Until the nodes that remain had nine tenths of the links they came to have among them."""
    final = found.relinked[-1][1]
    return next(at_s for at_s, links in found.relinked if links >= 0.9 * final)
