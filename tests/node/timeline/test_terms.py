"""Queries mean what they say, bad ones are told so, and none reaches the index unescaped."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from datetime import date

import pytest

from ratoon_node.errors import NodeError
from ratoon_node.timeline import terms
from ratoon_node.timeline.terms import Query, Term
from ratoon_protocol.limits import DAY_MS


def word(*tokens: str, prefix: bool = False) -> Term:
    return Term(tokens, prefix)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Tree", Query((word("tree"),))),
        ("don't", Query((word("don", "t"),))),
        ('"a  Tree" x', Query((word("a", "tree"), word("x")))),
        ("tr* -b", Query((word("tr", prefix=True),), (word("b"),))),
        ('"a tr"*', Query((word("a", "tr", prefix=True),))),
        ("東京", Query((word("東", "京"),))),
        ("京*", Query((word("京"),))),
        ("ÉCOLE ﬁn", Query((word("ecole"), word("fin")))),
        ("Ǿ", Query((word("o"),))),
        ("a OR b NEAR(c)", Query((word("a"), word("or"), word("b"), word("near", "c")))),
        ("text:a", Query((word("text", "a"),))),
        ("x ^ + !", Query((word("x"),))),
        ("from:@a@b.c", Query((), authors=("a@b.c",))),
        ("x -from:aa", Query((word("x"),), others=("aa",))),
        ("x since:2026-01-02 until:2026-01-03",
         Query((word("x"),), since=date(2026, 1, 2), until=date(2026, 1, 3))),
    ],
)  # fmt: skip
def test_a_query_as_it_is_meant(text: str, query: Query) -> None:
    assert terms.parse(text) == query


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "!!!",
        "-tree",
        'a "b',
        "a*",
        "я*",
        "from:",
        "x since:yesterday",
        "x since:2026-02-30",
        "x -since:2026-02-01",
        "x until:",
        "lang:english!",
        "since:2026-02-01",
        "w " * 13,
        '"' + "a " * 49 + '"',
        "a" * 301,
    ],
)
def test_a_bad_query_is_told_so(text: str) -> None:
    with pytest.raises(NodeError) as error:
        terms.parse(text)
    assert error.value.code == "bad_request"
    assert error.value.safe.endswith(".")


@pytest.mark.parametrize("text", ["x #tag", "from:a x", "x lang:en"])
def test_people_have_no_tags(text: str) -> None:
    with pytest.raises(NodeError):
        terms.parse(text, fields=False)


def nasty() -> Iterator[str]:
    rng = random.Random(1)
    signs = "\"'*()-+^:{}[]#@,.;%_\\/\x00\x1f\u200b\ue000\ue003日ä\U0001f600 NEAR AND OR NOT a text"
    for _ in range(400):
        yield "".join(rng.choices(signs, k=rng.randint(1, 30)))


def test_whatever_is_typed_never_breaks_the_index() -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE t USING fts5(text, tokenize = \"ascii tokenchars '_'\")")
    asked = 0
    for text in nasty():
        try:
            query = terms.parse(text)
        except NodeError:
            continue
        groups = [[term] for term in query.wanted]
        if groups:
            sql = terms.expression(groups, query.unwanted)
            db.execute("SELECT rowid FROM t WHERE t MATCH ?", (sql,)).fetchall()
            asked += 1
    assert asked > 100


def test_every_day_between_two_is_covered_once() -> None:
    rng = random.Random(3)
    for _ in range(200):
        since = date(2024, rng.randint(1, 12), rng.randint(1, 28))
        until = date(2024 + rng.randint(0, 2), rng.randint(1, 12), rng.randint(1, 28))
        found = terms.days_between(since, until)
        for _ in range(30):
            day = date(2024 + rng.randint(0, 2), rng.randint(1, 12), rng.randint(1, 28))
            at_ms = (day - date(1970, 1, 1)).days * DAY_MS + rng.randrange(DAY_MS)
            mark = terms.day_mark(at_ms)
            fits = [
                mark.startswith(term.tokens[0]) if term.prefix else mark == term.tokens[0]
                for term in found
            ]
            assert sum(fits) == (since <= day <= until)
