"""The posts that are replayed: the shipped ones, and files of the user's."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import pytest

from ratoon_node.operate.demo.posts import PostsError, read_posts
from ratoon_protocol import kinds
from ratoon_protocol.author import Author
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.limits import NETWORK_PUBLIC


def test_the_shipped_posts_are_many_and_say_where_they_come_from():
    posts = read_posts(None)
    assert len(posts) >= 300
    assert len({post.author for post in posts}) >= 60
    assert all(post.source for post in posts)
    assert len({post.text for post in posts}) == len(posts)
    times = [post.created_ms for post in posts]
    assert times == sorted(times)


def test_the_shipped_posts_are_read_from_either_side():
    directions = {
        unicodedata.bidirectional(sign) for post in read_posts(None) for sign in post.text
    }
    assert {"L", "R", "AL"} <= directions


def test_every_shipped_post_can_be_signed():
    rng = random.Random(3)
    author = Author(NETWORK_PUBLIC, bytes(32), SigningKey.from_seed(rng.randbytes(32)))
    for post in read_posts(None):
        origin = {"created_ms": post.created_ms, "source": post.source}
        body = {"text": post.text, "origin": origin}
        author.sign(kinds.POST, body, post.created_ms, rng.randbytes(16))


def test_a_limit_takes_the_first():
    assert read_posts(None, 7) == read_posts(None)[:7]


def test_a_file_of_posts_is_its_own_source(tmp_path: Path):
    file = tmp_path / "evening.jsonl"
    file.write_text('{"author": "a", "created_ms": 5, "text": "so 💪"}\n\n', encoding="utf-8")
    (post,) = read_posts(file)
    assert (post.author, post.created_ms, post.text, post.source) == ("a", 5, "so 💪", "evening")


@pytest.mark.parametrize(
    "line",
    [
        "nothing",
        "[1]",
        '"text"',
        '{"author": "a", "text": "no time"}',
        '{"author": "a", "created_ms": "5", "text": "b"}',
        '{"author": "a", "created_ms": true, "text": "b"}',
        '{"author": "a", "created_ms": -1, "text": "b"}',
        '{"author": 1, "created_ms": 5, "text": "b"}',
        '{"author": "a", "created_ms": 5, "text": null}',
    ],
)
def test_what_is_wrong_is_named_by_its_line(tmp_path: Path, line: str):
    file = tmp_path / "posts.jsonl"
    file.write_text(f'{{"author": "a", "created_ms": 5, "text": "b"}}\n{line}\n')
    with pytest.raises(PostsError, match="line 2"):
        read_posts(file)


def test_a_file_that_is_empty_or_not_there_is_said(tmp_path: Path):
    with pytest.raises(PostsError, match="cannot be read"):
        read_posts(tmp_path / "none")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(PostsError, match="no posts"):
        read_posts(tmp_path / "empty")
