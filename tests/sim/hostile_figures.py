"""What hostile bytes cost: `python -m tests.sim.hostile_figures [act …]` prints a table.

Processor time of all three honest nodes for each byte that a hostile machine sends, and bytes that
they send to it and to each other for it. Of long acts, what the nodes do anyway is taken off. The
disk is a simulated one, written in Python, and no signature is remembered: a real node is cheaper.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import structlog

from tests.sim.hostile_acts import Act
from tests.sim.hostile_kinds import ACTS, KINDS
from tests.sim.hostile_stage import Scene, Seen, perform

# Enough of an act to tell its cost from that of opening a link.
ROUNDS, CROWD = 60, 400
# Acts that only an answer to a dial lets happen, and such as take long to be found out.
DIALLED = {"EndlessRounds", "Claims"}
LONG_S = {"Swallow": 200.0, "FalseStatements": 200.0, "UnsentBytes": 200.0, "SlowReader": 260.0}
STAY_S = 10.0
# Spans in which nothing is taken off for what nodes do anyway, the opening of the link among it.
SHORT_S = 20.0
# How long nodes are watched that nobody bothers.
IDLE_S = 120.0


def measure(name: str, act: type[Act]) -> Seen:
    """One act, played large."""
    stay_s = LONG_S.get(name, STAY_S)
    scene = Scene(act, stay_s, dialled=name in DIALLED, rounds=ROUNDS, crowd=CROWD)
    with tempfile.TemporaryDirectory() as folder:
        return perform(scene, Path(folder))


def idle_cpu_s() -> float:
    """Processor time of three nodes in one simulated second in which nothing happens."""
    with tempfile.TemporaryDirectory() as folder:
        seen = perform(Scene(Act, IDLE_S), Path(folder))
    return seen.cpu_s / seen.span_s


def cost_s(seen: Seen, idle_s: float) -> float:
    """Seconds of an act alone. In a few seconds nodes do next to nothing else; that is left in."""
    return seen.cpu_s if seen.span_s < SHORT_S else max(0.0, seen.cpu_s - idle_s * seen.span_s)


def line(kind: str, name: str, seen: list[Seen], idle_s: float) -> str:
    """A row of the table: one act, or a kind."""
    cpu_s = sum(cost_s(one, idle_s) for one in seen)
    sent = sum(one.sent_bytes for one in seen)
    back = sum(one.heard_bytes for one in seen) / sent
    among = sum(one.among_nodes_bytes for one in seen) / sent
    return (
        f"{kind:10} {name:18} {sent:9,} {cpu_s * 1e3:8.1f} {cpu_s * 1e6 / sent:7.2f}"
        f" {back:6.2f} {among:6.2f}"
    )


def main() -> None:
    """Print the table, act by act and kind by kind."""
    parser = argparse.ArgumentParser("python -m tests.sim.hostile_figures", description=__doc__)
    parser.add_argument("acts", nargs="*", default=list(ACTS), help="all unless some are named")
    chosen = parser.parse_args().acts
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    idle_s = idle_cpu_s()
    print(f"three idle nodes: {idle_s * 1e3:.2f} ms of processor a simulated second")
    print(f"{'kind':10} {'act':18} {'bytes':>9} {'cpu ms':>8} {'µs/B':>7} {'back':>6} {'among':>6}")
    kinds: dict[str, list[Seen]] = defaultdict(list)
    for kind, acts in KINDS.items():
        for act in acts:
            if act.__name__ in chosen:
                seen = measure(act.__name__, act)
                kinds[kind].append(seen)
                print(line(kind, act.__name__, [seen], idle_s), flush=True)
    for kind, all_seen in kinds.items():
        print(line(kind, "all", all_seen, idle_s))


if __name__ == "__main__":
    main()
