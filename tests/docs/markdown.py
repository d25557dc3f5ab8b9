"""What a markdown file links to, and which anchors it offers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

_FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_ANCHOR = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")
_ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:")


def links(text: str) -> list[str]:
    """Targets of all links and pictures, outside code."""
    return _LINK.findall(_CODE.sub("``", _FENCE.sub("", text)))


def anchors(text: str) -> set[str]:
    """The fragments a reader can jump to: headings as viewers spell them, and `<a id>`."""
    text = _FENCE.sub("", text)
    found = set(_ANCHOR.findall(text))
    for heading in _HEADING.findall(text):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        count = 1
        unique = slug
        while unique in found:
            unique, count = f"{slug}-{count}", count + 1
        found.add(unique)
    return found


def broken(file: Path, root: Path) -> Iterator[str]:
    """Links of a file that lead to no file below root, or to no anchor in it."""
    for link in links(file.read_text(encoding="utf-8")):
        if _ELSEWHERE.match(link):
            continue
        path, _, fragment = unquote(link).partition("#")
        start = root if path.startswith("/") else file.parent
        target = (start / path.lstrip("/")).resolve() if path else file
        if not target.is_relative_to(root) or not target.exists():
            yield f"{file.relative_to(root)}: {link}: no such file"
        elif fragment and fragment not in anchors(target.read_text(encoding="utf-8")):
            yield f"{file.relative_to(root)}: {link}: no such heading"
