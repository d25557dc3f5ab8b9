"""What is typed into a search: refused with words, or run by the full-text index without error."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import date
from functools import lru_cache

from ratoon_node.errors import NodeError
from ratoon_node.timeline import search, terms
from ratoon_node.timeline.search import Order
from ratoon_protocol.errors import Code
from tests.fuzz.target import Target, ask

TEXTS = ("Herons at the river", "der Reiher im Fluß", "一只苍鹭在河边", "café naïve_word 42")
SEEDS = (
    'heron "two words" -three pre* #tag from:ann@example.org lang:en since:2026-01-31',
    '"a b"* -"c" #一二 lang:pt-BR until:2026-02-28 -from:@ann', '"', '""', "-", "*", "a*", "一*",
    "from:", "lang:", "since:2026-02-30", "-since:2026-01-01", "NEAR AND OR NOT (a)", "'); --",
    "x " * 60, "一" * 60, "#" + "a.b-c" * 10, "\ue000\ue003 \ue004202601",
    "ａＢ ﬁ ǅ ß", "e\u0301\u200bx",
)  # fmt: skip
WORDS = tuple(
    word.encode()
    for word in (
        "from:",
        "lang:",
        "since:",
        "until:",
        "2026-01-31",
        '"',
        "*",
        "-",
        "#",
        "\ue001",
        "一",
    )
)
_DAYS = (date(2026, 1, 1), date(2026, 3, 2))


@lru_cache(maxsize=1)
def index() -> sqlite3.Connection:
    """A table such as the store has, with a few documents."""
    db = sqlite3.connect(":memory:", isolation_level=None)  # each act a transaction of its own
    db.execute("CREATE VIRTUAL TABLE t USING fts5(words, tokenize = \"ascii tokenchars '_'\")")
    marks = (terms.author_mark(1), terms.tag_mark("#sale"), *terms.language_marks("pt-BR"))
    for text in TEXTS:
        db.execute("INSERT INTO t VALUES (?)", (terms.document([text], marks),))
    return db


def run(data: bytes) -> None:
    """The same text as a query of posts, of people, and as a document."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    for fields in (True, False):
        try:
            query = terms.parse(text, fields)
        except NodeError as error:
            ask(error.code is Code.BAD_REQUEST and error.safe, "another refusal")
            continue
        asked(query)
    document(text)
    for order in Order:
        try:
            search.after(text, order)
        except NodeError as error:
            ask(error.code is Code.BAD_REQUEST, "another refusal of a cursor")


def asked(query: terms.Query) -> None:
    """Its bounds; its expression runs; what it wants is what it finds."""
    every = [*query.wanted, *query.unwanted]
    ask(len(every) <= terms.TERMS_MAX, "too many terms")
    ask(sum(len(term.tokens) for term in every) <= terms.TOKENS_MAX, "too many tokens")
    if not query.wanted:
        return
    groups = [[term] for term in query.wanted] + [terms.days_between(*_DAYS)]
    for all_of in (groups[:-1], groups):
        found = terms.expression(all_of, query.unwanted)
        index().execute("SELECT rowid FROM t WHERE t MATCH ?", (found,)).fetchall()
    for (words,) in index().execute("SELECT words FROM t"):
        fits = all(terms._count(term, words.split()) for term in query.wanted)
        expression = terms.expression(groups[:-1], ())
        rows = index().execute(
            "SELECT words FROM t WHERE t MATCH ? AND words = ?", (expression, words)
        )
        ask(bool(rows.fetchall()) == fits, f"found otherwise than counted: {expression}")
    ask(terms.score(query.wanted, "a b") >= 0, "a score below nothing")


def document(text: str) -> None:
    """Every word of a text is found in it; so is the whole as a phrase."""
    words = terms.document([text])
    ask(not any(mark in words for mark in terms._MARKS[:-1]), "a mark from a text")
    found = terms.tokens(text)
    ask(words == " ".join(found), "another document")
    if not found:
        return
    table = index()
    with_text = table.execute("INSERT INTO t VALUES (?)", (words,)).lastrowid
    try:
        for some in (found[:1], found[-1:], found[:40]):
            ask(all(len(one) <= terms.TOKEN_CHARS_MAX for one in some), "a token without bound")
            phrase = terms.expression([[terms.Term(tuple(some))]], ())
            rows = table.execute("SELECT rowid FROM t WHERE t MATCH ?", (phrase,)).fetchall()
            ask((with_text,) in rows, f"a word of the text is not found: {some}")
    finally:
        table.execute("DELETE FROM t WHERE rowid = ?", (with_text,))


def seeds() -> Iterator[bytes]:
    """Queries of every form."""
    yield from (text.encode() for text in (*SEEDS, *TEXTS, "1-2-3", "1.5.3"))


TARGET = Target("query", run, seeds, WORDS, bytes_max=400)
