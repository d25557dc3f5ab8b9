"""Texts: what they may be, what is marked in them; names, hosts, phrases (R-91 to R-95)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from ratoon_node.policy import domain, fold, naming
from ratoon_node.policy.facts import links_of
from ratoon_protocol import bodies, compose, kinds, phrase, text
from ratoon_protocol.errors import DecodeError, ProtocolError
from ratoon_protocol.limits import FACETS_MAX, TEXT_BYTES_MAX
from tests.fuzz.target import Target, ask
from tests.protocol import second_bodies, second_decoder
from tests.protocol.published import BIP39

CHECKS: tuple[tuple[Callable[[str], None], Callable[[str], object]], ...] = (
    (text.paragraphs(TEXT_BYTES_MAX), lambda value: second_bodies.text(value, TEXT_BYTES_MAX)),
    (text.line(), second_bodies.line),
    (text.line(64, empty=False), lambda value: second_bodies.line(value, 64, empty=False)),
    (text.word(), second_bodies.word),
    (text.link, second_bodies.link),
    (text.tag, second_bodies.tag),
    (text.language, lambda v: second_bodies.shaped(v, "[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")),
    (text.country, lambda value: second_bodies.shaped(value, "([A-Z]{2})?")),
)
SEEDS = (
    "Look: https://example.org/a_(b)?c=d#e, and #herons #1 ＃二 @ann@example.org!",
    "@" + "ab" * 32 + " (https://example.org/(x)). \u202e" + "e" + "\u0301" * 9,
    "Ann_1.b@xn--bcher-kva.example", "https:\\\\user@BÜCHER.example:80\\x", "http://%65x.a。b/..",
    "en-GB", "DE", "pt-BR-x", "", "a\tb\nc\u2028d", "👍🏽 ff\u200dx ｗｗｗ．a", "ı İ ß ﬁ Σς ǅ",
    "vv rn 0 1 l",
    "http://xn--a.xn--" + "9" * 60, "xn--" * 60, "%25" * 80, "*.example.org.",
    "e\u0345\u0301\u0345",
)  # fmt: skip
WORDS = tuple(
    word.encode()
    for word in (
        "http://",
        "https://",
        "#",
        "@",
        "xn--",
        "%2e",
        "。",
        "．",
        "\u0301",
        "\u200b",
        "🙂",
    )
)


def run(data: bytes) -> None:
    """Text that is not UTF-8 never gets that far."""
    try:
        value = data.decode()
    except UnicodeDecodeError:
        return
    for first, second in CHECKS:
        ask(passes(first, value) == passes(second, value), f"one accepts it: {second}")
    marked(value)
    spelt(value)
    recovered(value)


def passes(check: Callable[[str], object], value: str) -> bool:
    """Whether it raises nothing it declares."""
    try:
        check(value)
    except (DecodeError, second_decoder.Fault):
        return False
    return True


def marked(value: str) -> None:
    """What is found in a text can be published with it, and stands where it says."""
    names = compose.mentioned(value)
    accounts = {name: name.encode().ljust(32)[:32] for name in names}
    facets = compose.facets(value, accounts)
    ask(len(facets) <= FACETS_MAX, "too many facets")
    if value and passes(text.paragraphs(TEXT_BYTES_MAX), value):
        body = {"text": value, "facets": facets}
        bodies._check_fields(bodies._FIELDS[kinds.POST], body)
        bodies._check_facets(value.encode(), facets)
        ask(len(links_of(kinds.POST, body)) <= 2 * FACETS_MAX, "links without bound")
    raw = value.encode()
    for start, end, kind, what in facets:
        words = raw[start:end].decode()
        ask(words[0] in "#＃@hH", "marks something else")
        ask(kind != bodies.FACET_TAG or words[1:] == what, "another tag")


def spelt(value: str) -> None:
    """One spelling of a host, a word, a handle: spelt again it is the same."""
    host = domain.host_of(value)
    ask(len(host) <= domain.DOMAIN_CHARS_MAX, "a host without bound")
    ask(list(domain.suffixes(host))[-1].count(".") == 0, "suffixes")
    with suppress(ValueError):
        one = domain.parse_domain(value)
        ask(domain.parse_domain(one) == one, f"a domain with two spellings: {one!r}")
        ask(domain.host_of(f"http://{one}/") == one, f"a listed domain no link has: {one!r}")
    with suppress(ValueError):
        words = fold.phrase(value)
        ask(fold.phrase(" ".join(words)) == words, f"a phrase with two spellings: {words!r}")
    ask(fold.tag(fold.tag(value)) == fold.tag(value), "a tag with two spellings")
    handle = naming.parse_handle(value)
    if handle is not None:
        ask(naming.parse_handle(str(handle)) == handle, "a handle with two spellings")
    fault = naming.name_fault(value)
    ask(fault or naming.likeness(value), "a name that looks like nothing")


def recovered(value: str) -> None:
    """A phrase that is one is the only one for its bytes; what was typed is never told."""
    try:
        entropy = phrase.entropy_from_words(value)
    except ProtocolError as error:
        ask(len(value) < 12 or value not in error.detail, "the phrase is in the error")
        return
    ask(phrase.words_from_entropy(entropy) == " ".join(value.lower().split()), "another phrase")


def seeds() -> Iterator[bytes]:
    """Texts with marks, addresses, names and phrases."""
    yield from (value.encode() for value in SEEDS)
    yield from (words.encode() for _, words in BIP39)


TARGET = Target("text", run, seeds, WORDS, bytes_max=600)
