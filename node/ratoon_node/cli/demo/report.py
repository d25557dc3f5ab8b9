"""The end of the demonstration in words."""

from __future__ import annotations

from ratoon_node.cli import say
from ratoon_node.operate.demo.figures import MIB, NODE_BYTES_MAX, Figures

WIDTH = 34


def print_report(found: Figures) -> None:
    """Everything measured, then whether the promise was kept."""
    say.line()
    for name, value in rows(found):
        say.line(f"{name:<{WIDTH}} {value}")
    say.line()
    say.table(["node", "provider", "records", "missing", "altered", "memory, peak"], nodes(found))
    for words in found.recovery_errors[:5]:
        say.line(f"could not come back: {words}")
    failures = found.failures()
    for words in failures:
        say.line(f"FAILED: {words}")
    if not failures:
        say.line(
            f"{found.lost_provider} is gone, and nothing that two providers had acknowledged is."
        )


def rows(found: Figures) -> list[tuple[str, str]]:
    """Name and value of each figure."""
    refused = ", ".join(f"{count} {code}" for code, count in sorted(found.refused.items()))
    return [
        ("posts, authors", f"{found.posts:,}, {found.authors:,}"),
        ("sign-up", f"{found.sign_up_s:.1f} s, {per_s(found.authors, found.sign_up_s)}"),
        ("posting before the loss", f"{found.posts_per_s:,.0f} posts/s, each at two providers"),
        ("acknowledged before the loss", f"{found.acknowledged_before:,}"),
        ("acknowledged in all", f"{found.acknowledged:,}"),
        ("survived, of these", f"{found.survived:,}"),
        ("missing, of these", f"{found.missing:,}"),
        ("refused", refused or "none"),
        ("stored, but not at two providers", f"{found.unconfirmed:,}"),
        ("under way when the nodes died", f"{found.unanswered:,}, {found.unanswered_kept:,} kept"),
        ("authors who lost their node", f"{found.lost_authors:,}"),
        (
            "came back with 24 words",
            f"{found.recovered:,} of {found.to_recover:,} in {found.recovery_s:.1f} s",
        ),
        ("reading was interrupted for", in_ms(found.reading_interrupted_ms)),
        ("writing was interrupted for", in_ms(found.writing_interrupted_ms)),
        ("equal after the last post in", f"{found.equal_s:.1f} s" if found.equal else "never"),
        ("checking every post on every node", f"{found.check_s:.1f} s"),
        ("all of it", f"{found.total_s:.1f} s"),
    ]


def nodes(found: Figures) -> list[list[str]]:
    """A row for each node."""
    return [
        [
            node.name,
            node.provider,
            "destroyed" if node.lost else f"{node.records:,}",
            "" if node.lost else str(node.missing),
            "" if node.lost else str(node.altered),
            f"{node.peak_bytes / MIB:.0f} of {NODE_BYTES_MAX // MIB} MiB",
        ]
        for node in found.nodes
    ]


def per_s(count: int, seconds: float) -> str:
    """A rate."""
    return f"{count / seconds:,.0f}/s" if seconds else "many"


def in_ms(value: float | None) -> str:
    """Milliseconds, or that it never went on."""
    return "ever: no node answered" if value is None else f"{value:,.0f} ms"
