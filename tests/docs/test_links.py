"""Every link between the project's documents leads somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.markdown import anchors, broken, links
from tests.tidy.source import ROOT, files


def test_links_resolve():
    assert [found for file in files(".md") for found in broken(file, ROOT)] == []


@pytest.mark.parametrize(
    ("link", "ends"),
    [
        ("b.md", ""),
        ("b.md#two-words", ""),
        ("#here", ""),
        ("sub/", ""),
        ("/b.md", ""),
        ("https://example.org/x", ""),
        ("c.md", "no such file"),
        ("../out.md", "no such file"),
        ("b.md#three", "no such heading"),
        ("#there", "no such heading"),
    ],
)
def test_a_broken_link_is_found(tmp_path: Path, link: str, ends: str):
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "out.md").write_text("outside")
    (root / "b.md").write_text("# Two words\n")
    (root / "a.md").write_text(f"# Here\n\nSee [a link]({link}).\n")
    found = list(broken(root / "a.md", root))
    assert [line.rpartition(": ")[2] for line in found] == ([ends] if ends else [])


def test_links_in_code_are_not_links():
    assert links("`[a](b.md)`\n\n```\n[c](d.md)\n```\n\n[e](f.md) ![g](h.png)") == [
        "f.md",
        "h.png",
    ]


def test_anchors_as_viewers_spell_them():
    text = "# What it *is*, really\n\n## `make run`\n\n## Again\n\n## Again\n"
    assert anchors(text) == {"what-it-is-really", "make-run", "again", "again-1"}
