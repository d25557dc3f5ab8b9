"""The project's source files, read once, and how a finding about them is written."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Everything else at the top is generated, or a person's own data.
TREES = ("protocol", "node", "tests", "web", "deploy")
# Made by tools inside those trees.
MADE = frozenset({"__pycache__", "node_modules", "dist"})


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the project's root, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree of the text."""
        return ast.parse(self.text, self.path)

    def at(self, line: int, finding: str) -> str:
        """A finding as `path:line: words`, which editors can jump to."""
        return f"{self.path}:{line}: {finding}"


def files(*suffixes: str) -> Iterator[Path]:
    """All files of the trees and of the root that end in one of the suffixes, sorted."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for tree in TREES:
        found += [path for path in (ROOT / tree).rglob("*") if path.is_file()]
    for path in sorted(found):
        if path.suffix in suffixes and MADE.isdisjoint(path.relative_to(ROOT).parts):
            yield path


def python(*below: str) -> list[Source]:
    """The Python files under the given folders (all trees if none is given)."""
    sources = []
    for path in files(".py"):
        name = path.relative_to(ROOT).as_posix()
        if not below or name.startswith(tuple(folder + "/" for folder in below)):
            sources.append(Source(name, path.read_text(encoding="utf-8")))
    return sources
