"""A policy file of any bytes, and what its rules make of records (its places, its rules)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from ratoon_node.config.positions import Path, locate
from ratoon_node.policy.document import POLICY_BYTES_MAX, PolicyFileError
from ratoon_node.policy.engine import Policy
from ratoon_node.policy.facts import Facts, Given
from ratoon_node.policy.lists import ListEntry, Subject, spell_entity
from ratoon_node.policy.plugins import POLICY_ERROR
from ratoon_node.policy.policyfile import parse_policy
from ratoon_node.policy.verdict import Verdict
from ratoon_protocol import kinds
from tests.fuzz.target import Target, ask
from tests.node.policy import twin
from tests.node.policy.records import BODY, HOUR_MS, NOW_MS, header, ident

FILE = b"""# what this node shows
[[rule]]
id = "links-from-strangers"
when = { kind = ["post", "edit"], links_min = 1, account_age_max = "2d", local = false }
then = "hold"
reason = "spam"

[[rule]]
id = 'words'
when.word = ["buy now", 'b\xc3\xbcy']
when.domain = "*.example.org"
then = "withhold"
reason = "ads"

[[rule]]
id = "patterns"
when = { pattern = "(?i)che+p", text_bytes_min = 3, hashtag = "#sale" }
then = "limit"
reason = "ads"

[lists.block]
accounts = ["0101010101010101010101010101010101010101010101010101010101010101"]
domains = [
  { entity = "bad.example", then = "hold", reason = "malware", expires = 2030-12-31 },
  "xn--bcher-kva.example",
]
words = ["spam"]
nodes = []

[lists.allow]
words = ["no spam"]
domains = ["good.bad.example"]
"""
ADMISSION = b"""[admission]
vouched = true
"""
TRICKY = (
    b"a = " + b"9" * 5000,
    b"a = " + b"[" * 3000,
    b"a = " + b"{a=" * 3000,
    b"a." * 1500 + b"a = 1",
    b'"a b"."c\\u0041".d = 1\n[a."x"]\n[[b]]\n[[b.c]]\n[b.c.d]\n',
    b"a = \"\"\"\n\\\n  x\"\"\"\nb = '''\n''''\nc = [ # no\n 1, [2, {d = 3}], ]\n",
    b"a = 0x10\nb = 0b1\nc = 1e3\nd = inf\ne = 07:32:00\nf = 1979-05-27T00:32:00.999999-07:00\n",
    b"[lists.block]\ndomains = { entity = 'a', expires = 0001-01-01T00:00:00+14:00 }",
    b"[lists.block]\ndomains = { entity = 'a', expires = 9999-12-31T23:59:59-14:00 }",
)
WORDS = (
    b"[[rule]]\n", b"when = {", b"then = ", b'"withhold"', b'"hold"', b"reason = ", b"id = ",
    b"[lists.block]\n", b"[lists.allow]\n", b"[admission]\n", b"words", b"domains", b"pattern",
    b"expires = ", b"2030-12-31", b'"""', b"'''", b"\\u0041", b"xn--", b"{8,9}", b"(?i)", b"# ",
    b"links_min = 1", b"local = true", b"account_age_min", b'"1w"', b"hashtag", b"kind", b"\r\n",
    b"media", b"media_near", b"distance = 3", b"pdq:", b"0123456789abcdef", b"drop_media = true",
    b"label", b"language", b"[[plugin]]\n", b"command = ", b"include = ", b"[evidence]\n",
    b"quarantine", b"[labelers]\n", b"trust = ", b"ceiling", b"near_duplicates_min = 1",
    b"reply_to_stranger", b'"rude"', b'"pt"', b"handle_domain",
)  # fmt: skip
TEXTS = ("Buy now: spam, no spam", "Bücher cheeep", "#SALE a b")
LINKS = ("https://good.bad.example/x", "http://BAD.example", "https://x.example.org:1/", "a")


def run(data: bytes) -> None:
    """Problems have places in the file; a file without any judges as its slow twin."""
    try:
        policy = Policy.parse(data)
    except PolicyFileError as error:
        placed(data, error)
        return
    ask(len(data) <= POLICY_BYTES_MAX, "a file without bound")
    located(data)
    judged(data, policy)


def placed(data: bytes, error: PolicyFileError) -> None:
    """Every problem stands on a line and a column that the file has."""
    ask(error.problems, "refused without a word")
    lines = data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    for line, column, message, _ in error.problems:
        ask(1 <= line <= len(lines) + 1 and column >= 1 and message, "a problem nowhere")
        if line <= len(lines):
            ask(column <= 3 * len(lines[line - 1]) + 2, "a column far behind the line")
    located(data)


def located(data: bytes) -> None:
    """In a file that is TOML, everything has its place, and nothing else has one."""
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
        table = tomllib.loads(text)
    except (ValueError, RecursionError):
        return
    places = locate(text).keys()
    every = dict(paths(table))
    ask(places <= every.keys(), "a place of nothing")
    values = {path for path, value in every.items() if not isinstance(value, dict)}
    ask(values <= places, "a value without a place")


def paths(document: Any) -> Iterator[tuple[Path, Any]]:
    """Every path of a document but the top, and what is there."""
    below: list[tuple[Path, Any]] = [((), document)]
    while below:
        path, value = below.pop()
        if path:
            yield path, value
        if isinstance(value, dict):
            below += [((*path, key), one) for key, one in value.items()]
        elif isinstance(value, list):
            below += [((*path, at), one) for at, one in enumerate(value)]


def judged(data: bytes, policy: Policy) -> None:
    """Two records, with and without a body; entries have one spelling."""
    file = parse_policy(data)
    for entry in file.entries:
        ask(
            spell_entity(entry.subject, entry.entity) == entry.entity,
            "an entity with two spellings",
        )
    own = (ListEntry(Subject.WORD, "now"), ListEntry(Subject.DOMAIN, "example"))
    plain = not any(rule.when.pattern for rule in file.rules)
    for account, body in ((1, BODY), (2, BODY), (1, None)):
        facts = Facts(
            NOW_MS, (ident(9),), ident(8), texts=TEXTS, links=LINKS, tags=("Sale",),
            account_first_seen_ms=NOW_MS - HOUR_MS, language="pt-BR", attachments=1,
            media=(ident(7),), pictures=(0x0123456789ABCDEE,), near_duplicates=1,
            handle_domains=("good.bad.example",), labels=(Given("rude", Verdict.LIMIT),),
        )  # fmt: skip
        head = header(ident(account), kinds.POST)
        for entries in ((), own):
            found = policy.with_entries(entries).judge(head, body, facts)
            ask(found.reason != POLICY_ERROR, "a crash while judging")
            if plain:  # patterns mean the same in both languages for the tame ones alone
                expected = twin.judge(file, entries, head, body, facts)
                ask(found.verdict is expected[0], f"{found} is not {expected}")


def seeds() -> Iterator[bytes]:
    """A whole file, its parts, and files that are hard to read."""
    yield b""
    yield FILE
    yield ADMISSION
    yield FILE.replace(b"\n", b"\r\n")
    yield from re.split(rb"\n(?=\[\[rule|\[lists)", FILE)
    yield from TRICKY


TARGET = Target("policy", run, seeds, WORDS, bytes_max=3000)
