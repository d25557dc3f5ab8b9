"""Ten nodes and thirty, the production code: a record reaches all, few copies of it go round, and
the loss of the largest provider loses nothing. Larger networks: `make scale`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sim.scale.figures import Figures, figures, said
from tests.sim.scale.report import write
from tests.sim.scale.world import Found, Phase, Scale, measure

# With every link pushed to, six copies of a record come to a node.
COPIES_MAX = 3.0
# The longest way here is 88 ms, and an offer waits up to half a second where nobody pushed.
SPREAD_P99_S_MAX = 0.5
LAST_S_MAX = 1.5
# Who has its links knocks at nobody but those its operator added. Were it everybody: 2,000.
DIALS_PER_HOUR_MAX = 400


@pytest.fixture(scope="module")
def ten() -> tuple[Found, Figures]:
    found = measure(
        Scale(10, people=20, posts_per_s=1, warm_s=10, talk_s=40, after_s=10, quiet_s=130)
    )
    return found, figures(found)


@pytest.fixture(scope="module")
def thirty() -> tuple[Found, Figures]:
    # No room for a link to everybody: records have to be passed on.
    scale = Scale(
        30, people=20, posts_per_s=1, warm_s=10, talk_s=30, after_s=5, quiet_s=5, links_max=16
    )
    found = measure(scale)
    return found, figures(found)


@pytest.mark.parametrize("size", ["ten", "thirty"])
def test_records_reach_every_node_soon_and_in_few_copies(
    size: str, request: pytest.FixtureRequest
) -> None:
    _, one = request.getfixturevalue(size)
    assert one.posts > 20
    assert one.reached == 1.0
    assert 0 < one.spread_p50_s < one.spread_p99_s <= SPREAD_P99_S_MAX
    assert one.last_max_s <= LAST_S_MAX
    assert 1.0 <= one.copies <= COPIES_MAX
    assert one.dials_per_hour <= DIALS_PER_HOUR_MAX


@pytest.mark.parametrize("size", ["ten", "thirty"])
def test_losing_the_largest_provider_loses_nothing(
    size: str, request: pytest.FixtureRequest
) -> None:
    found, one = request.getfixturevalue(size)
    assert 0.2 <= one.lost_nodes / one.nodes <= 0.35
    assert one.two_provider_records_lost == 0
    assert one.under_way > 0
    assert one.repair_s <= LAST_S_MAX
    late = said(found, Phase.AFTER)
    left = set(range(one.nodes)) - set(found.lost)
    assert late
    assert all(left <= found.arrivals[one.id].keys() for one in late)


def test_who_has_links_with_all_tells_all_at_once(ten: tuple[Found, Figures]) -> None:
    _, one = ten
    assert one.last_max_s < 0.1  # the longest way, and a commit


def test_links_are_fewer_than_pairs(thirty: tuple[Found, Figures]) -> None:
    found, one = thirty
    assert max(found.links) <= 16
    assert one.links_median < 16


def test_nodes_come_to_know_each_other_though_they_link_with_few() -> None:
    few = Scale(24, met=False, added=1, people=10, links_max=8, talk_s=1, quiet_s=1, after_s=1)
    early, late = (measure(replace(few, warm_s=warm_s)) for warm_s in (5, 600))
    # Without visits nobody is added; and each makes known whom it vouches for.
    assert sum(late.admitted) > 1.2 * sum(early.admitted)
    assert max(late.links) <= 8


def test_what_goes_over_links_is_accounted_for(ten: tuple[Found, Figures]) -> None:
    _, one = ten
    together = sum(one.kb_per_hour.values())
    assert all(value >= 0 for value in one.kb_per_hour.values())
    assert one.kb_per_hour["records"] >= one.copies * one.kb_per_hour_least * 0.9
    assert together < 6 * one.kb_per_hour_least


def test_the_report_holds_tables_and_drawings(tmp_path, ten, thirty) -> None:
    page = write(tmp_path, [ten, thirty])
    text = page.read_text(encoding="utf-8")
    assert "| 10 nodes | 30 nodes |" in text
    for name in ("spread", "bytes", "repair", "links"):
        assert (tmp_path / f"{name}.svg").read_text(encoding="utf-8").startswith("<svg ")
        assert f"({name}.svg)" in text
