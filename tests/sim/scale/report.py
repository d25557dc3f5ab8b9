"""What simulated networks came to, as one page with tables and drawings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.bench.plot import Bars, Series, bar_chart, line_chart, number
from tests.sim.scale.figures import Figures, left, quantile, said, spread
from tests.sim.scale.lines import BYTES_PER_S, FAR_S, JITTER, NEAR_S
from tests.sim.scale.world import BURST, Found, Phase

# Points of a curve.
STEPS = 60

Row = tuple[str, str]


def write(folder: Path, runs: Sequence[tuple[Found, Figures]]) -> Path:
    """Write `report.md` and its drawings; where the page is."""
    folder.mkdir(parents=True, exist_ok=True)
    drawings = {
        "spread.svg": _spread_curve([found for found, _ in runs]),
        "bytes.svg": _bytes_bars([one for _, one in runs]),
        "repair.svg": _repair_curve([found for found, _ in runs]),
        "links.svg": _links_curve([found for found, _ in runs]),
    }
    for name, drawing in drawings.items():
        (folder / name).write_text(drawing, encoding="utf-8")
    page = folder / "report.md"
    page.write_text(_page([one for _, one in runs], runs[0][0]), encoding="utf-8")
    return page


def table(runs: Sequence[Figures]) -> str:
    """One column a network."""
    head = ["", *(f"{one.nodes:,} nodes" for one in runs)]
    lines = [head, ["---", *("---:" for _ in runs)]]
    rows = [_rows(one) for one in runs]
    lines += [[name, *(row[at][1] for row in rows)] for at, (name, _) in enumerate(rows[0])]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _rows(one: Figures) -> list[Row]:
    ms = [
        ("spread to a node, p50 / p99", one.spread_p50_s, one.spread_p99_s),
        ("until the last node, median / worst", one.last_median_s, one.last_max_s),
    ]
    kb = [(f"kB a node an hour: {use}", number(value)) for use, value in one.kb_per_hour.items()]
    return [
        ("providers", str(one.providers)),
        ("links_max / push_links", f"{one.links_max} / {one.push_links}"),
        ("links a node, median / most", f"{one.links_median:g} / {one.links_most}"),
        ("nodes that a node admits", f"{one.admitted:.0%}"),
        ("records before", f"{one.past_records:,}"),
        ("posts, and a rate an hour", f"{one.posts} at {one.posts_per_hour:,.0f}"),
        *((name, f"{p50 * 1000:,.0f} / {p99 * 1000:,.0f} ms") for name, p50, p99 in ms),
        ("to followers' homes, p99", f"{one.followers_p99_s * 1000:,.0f} ms"),
        ("least share of nodes reached", f"{one.reached:.1%}"),
        (
            "copies sent for one needed (unasked)",
            f"{one.copies:.2f} ({one.copies_unasked:.2f})",
        ),
        *kb,
        ("kB a node an hour: together", number(sum(one.kb_per_hour.values()))),
        ("kB a node an hour: each record once", number(one.kb_per_hour_least)),
        ("dials a node an hour", number(one.dials_per_hour)),
        ("nodes lost with the largest provider", str(one.lost_nodes)),
        (f"records under way at the loss, of {BURST} made just then", str(one.under_way)),
        ("until all of them were at all nodes left", f"{max(0.0, one.repair_s):.2f} s"),
        ("records lost / of those that two providers held", _lost(one)),
        ("spread after the loss, p99", f"{one.spread_after_p99_s * 1000:,.0f} ms"),
        ("until 90 % of links were made anew", f"{one.relinked_s:.0f} s"),
        ("CPU of the simulation", f"{one.cpu_s:.0f} s"),
        ("memory of the simulation", f"{one.rss_mib:,.0f} MiB"),
    ]


def _lost(one: Figures) -> str:
    return f"{one.lost_records} / {one.two_provider_records_lost}"


def _page(runs: Sequence[Figures], found: Found) -> str:
    scale = found.scale
    return f"""# Networks of simulated nodes

Every node is the production node: its gate, its store (SQLite, in memory), links, frames, timers.
Simulated are time, wires and disks: {NEAR_S * 1000:.0f} ms one way inside a provider, \
{FAR_S[0] * 1000:.0f} to {FAR_S[1] * 1000:.0f} ms between two,
{JITTER:.0%} jitter, {BYTES_PER_S * 8 / 1e6:.0f} Mbit/s a link, no loss; 2 ms a commit. Computing \
takes no simulated time.
Nodes begin with one store, in which all have met. Drawn from seed {scale.seed}: providers, homes,
followers and talk follow Zipf's law, operators know each other by preferential attachment.

{table(runs)}

"sealing" is Noise and the lengths before frames; WebSocket, TCP and IP headers are not counted.
The loss is silent: peers learn of it from 120 s without a sign of life (R-79). {BURST} posts are
made in the last moment before it.

![spread](spread.svg)
![bytes](bytes.svg)
![repair](repair.svg)
![links](links.svg)
"""


# --- drawings ------------------------------------------------------------------------------


def _named(found: Found) -> str:
    return f"{found.scale.nodes:,} nodes"


def _spread_curve(runs: Sequence[Found]) -> str:
    series = []
    for found in runs:
        times = sorted(s for one in said(found, Phase.TALK) for s in spread(found, one))
        points = [(quantile(times, n / STEPS), 100 * n / STEPS) for n in range(STEPS)]
        series.append(Series(_named(found), [*points, (times[-1] if times else 0.0, 100.0)]))
    title = "How long a record takes to a node"
    return line_chart(
        series, title, "seconds after the acknowledgement", "% of (record, node)", True
    )


def _bytes_bars(runs: Sequence[Figures]) -> str:
    uses = list(runs[0].kb_per_hour)
    layers = [Bars(use, [max(0.0, one.kb_per_hour[use] / 1000) for one in runs]) for use in uses]
    title = f"What a node sends, at {runs[0].posts_per_hour:,.0f} posts an hour in the network"
    return bar_chart([f"{one.nodes:,}" for one in runs], layers, title, "nodes", "MB an hour")


def _repair_curve(runs: Sequence[Found]) -> str:
    """Pairs of a record that somebody had and a node left, by when it had it; after the loss."""
    series = []
    for found in runs:
        early = [*said(found, Phase.TALK), *said(found, Phase.BURST)]
        total = len(early) * len(left(found))
        when = sorted(
            found.arrivals[one.id][node] - found.lost_at_s
            for one in early
            for node in left(found)
            if node in found.arrivals[one.id]
        )
        missing = [(at_s, total - n - 1) for n, at_s in enumerate(when) if at_s > -0.2]
        series.append(Series(_named(found), missing))
    title = "Copies still missing at the nodes left, when the largest provider goes"
    return line_chart(series, title, "seconds after the loss", "copies missing")


def _links_curve(runs: Sequence[Found]) -> str:
    series = [Series(_named(found), found.relinked) for found in runs]
    title = "Links that work, after the loss of the largest provider"
    return line_chart(series, title, "seconds after the loss", "links a node")
