"""The posts that the demonstration replays: the ones shipped with it, or a file of the user's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import IO

from ratoon_protocol.errors import RatoonError
from ratoon_protocol.limits import INT_MAX

SHIPPED = "posts.jsonl"
# One line of a file of posts: a post of the greatest length, escaped, with room.
LINE_CHARS_MAX = 64 * 1024
# Posts of one file: they are kept in memory while they are replayed.
POSTS_MAX = 1_000_000


class PostsError(RatoonError):
    """A file of posts cannot be used; the message names file and line."""


@dataclass(frozen=True, slots=True)
class Post:
    """One post as it was written elsewhere. `created_ms`: UTC, as its source says."""

    author: str
    created_ms: int
    text: str
    source: str


def read_posts(path: Path | None, limit: int | None = None) -> list[Post]:
    """The first `limit` posts of a file, or of the shipped ones. Raises `PostsError`."""
    most = min(limit or POSTS_MAX, POSTS_MAX)
    if path is None:
        with resources.files(__package__).joinpath(SHIPPED).open(encoding="utf-8") as file:
            return list(islice(_posts(SHIPPED, file, ""), most))
    try:
        with path.open(encoding="utf-8") as file:
            found = list(islice(_posts(str(path), file, path.stem), most))
    except (OSError, UnicodeDecodeError) as error:
        raise PostsError(f"{path} cannot be read: {error}") from None
    if not found:
        raise PostsError(f"{path} has no posts")
    return found


def _posts(name: str, file: IO[str], source: str) -> Iterator[Post]:
    number = 0
    while line := file.readline(LINE_CHARS_MAX):
        number += 1
        if line.strip():
            yield _post(f"{name}, line {number}", line, source)


def _post(where: str, line: str, source: str) -> Post:
    try:
        found = json.loads(line)
        author, created_ms, text = found["author"], found["created_ms"], found["text"]
        source = found.get("source", source)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PostsError(f'{where}: not {{"author": …, "created_ms": …, "text": …}}') from None
    words = all(type(value) is str for value in (author, text, source))
    if not words or type(created_ms) is not int or not 0 <= created_ms <= INT_MAX:
        raise PostsError(f"{where}: author and text are texts, created_ms is a number")
    return Post(author, created_ms, text, source)
