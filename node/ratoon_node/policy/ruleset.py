"""Rules compiled: every rule is answered at once by one pass over what is known of a record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ratoon_node.policy import fold
from ratoon_node.policy.domain import host_of, spell, suffixes
from ratoon_node.policy.facts import Facts
from ratoon_node.policy.masks import Bounds, Flags, Near, Patterns, Values, Words, bits
from ratoon_node.policy.rules import CONTENT_CONDITIONS, Rule, When
from ratoon_node.policy.verdict import Verdict
from ratoon_protocol.record import Header


class Seen:
    """One record as the engine sees it; what costs time is worked out once, if anything asks."""

    __slots__ = ("_hosts", "_tokens", "facts", "header")

    def __init__(self, header: Header, facts: Facts) -> None:
        self.header = header
        self.facts = facts
        self._tokens: list[str] | None = None
        self._hosts: tuple[str, ...] | None = None

    def tokens(self) -> list[str]:
        """Tokens of all texts, with a border behind each."""
        if self._tokens is None:
            self._tokens = fold.tokens_of(self.facts.texts)
        return self._tokens

    def hosts(self) -> tuple[str, ...]:
        """The host of each link, each once."""
        if self._hosts is None:
            self._hosts = tuple(dict.fromkeys(map(host_of, self.facts.links)))
        return self._hosts

    def domains(self) -> list[str]:
        """The hosts and every domain above them."""
        return [name for host in self.hosts() for name in suffixes(host)]

    def tags(self) -> list[str]:
        """The hashtags, made comparable."""
        return [fold.tag(tag) for tag in self.facts.tags]

    def text_bytes(self) -> int:
        """UTF-8 bytes of all texts."""
        return sum(len(text.encode()) for text in self.facts.texts)

    def age_ms(self) -> int:
        """How long this node has known the account; 0 at first sight."""
        first_ms = self.facts.account_first_seen_ms
        return 0 if first_ms is None else self.facts.now_ms - first_ms

    def languages(self) -> tuple[str, ...]:
        """The language of the text and those it is a kind of."""
        return _languages(self.facts.language) if self.facts.language else ()

    def handle_domains(self) -> list[str]:
        """The domains of the account's handles and every domain above them."""
        return [name for host in self.facts.handle_domains for name in suffixes(spell(host))]

    def labels(self) -> list[tuple[str, Verdict]]:
        """Each label with every verdict that its labeler may bring about."""
        given = self.facts.labels
        return [(one.value, then) for one in given for then in Verdict if then <= one.ceiling]


@lru_cache(maxsize=512)
def _languages(tag: str) -> tuple[str, ...]:
    """`pt-br`, `pt`."""
    parts = tag.lower().split("-")
    return tuple("-".join(parts[:count]) for count in range(len(parts), 0, -1))


class _Dimension(NamedTuple):
    """One condition: how all rules' wishes are compiled, and the fact they are held against."""

    compile: Callable[[Sequence[Any]], Callable[[Any], int]]
    fact: Callable[[Seen], Any]


def _one(wanted: Sequence[Any]) -> Callable[[Any], int]:
    return Values(wanted).one


def _any(wanted: Sequence[Any]) -> Callable[[Any], int]:
    return Values(wanted).any


def _least(wanted: Sequence[Any]) -> Callable[[Any], int]:
    return Bounds(wanted, lowest=True).at


def _most(wanted: Sequence[Any]) -> Callable[[Any], int]:
    return Bounds(wanted, lowest=False).at


def _flag(wanted: Sequence[Any]) -> Callable[[Any], int]:
    return Flags(wanted).at


def _words(wanted: Sequence[Any]) -> Callable[[Any], int]:
    return Words(wanted).at


def _near(wanted: Sequence[Any]) -> Callable[[Any], int]:
    return Near(wanted).at


def _patterns(wanted: Sequence[Any]) -> Callable[[Any], int]:
    return Patterns(wanted).at


_NUMBERS = frozenset({_least, _most, _flag, _one})
_Step = tuple[int, int, Callable[[Any], int], Callable[[Seen], Any]]

# By the names of `When`, cheap ones first: most records are through before a text is looked at.
_DIMENSIONS: dict[str, _Dimension] = {
    "kind": _Dimension(_one, lambda seen: seen.header.kind),
    "local": _Dimension(_flag, lambda seen: seen.facts.local),
    "followed_locally": _Dimension(_flag, lambda seen: seen.facts.followed_locally),
    "first_post": _Dimension(_flag, lambda seen: seen.facts.first_post),
    "account_age_min": _Dimension(_least, Seen.age_ms),
    "account_age_max": _Dimension(_most, Seen.age_ms),
    "posts_per_hour_min": _Dimension(_least, lambda seen: seen.facts.posts_last_hour),
    "payload_bytes_min": _Dimension(_least, lambda seen: seen.header.payload_len),
    "payload_bytes_max": _Dimension(_most, lambda seen: seen.header.payload_len),
    "node_posts_per_hour_min": _Dimension(_least, lambda seen: seen.facts.node_posts_last_hour),
    "node_new_accounts_per_day_min": _Dimension(
        _least, lambda seen: seen.facts.node_new_accounts_today
    ),
    "reply_to_stranger": _Dimension(_flag, lambda seen: seen.facts.reply_to_stranger),
    "near_duplicates_min": _Dimension(_least, lambda seen: seen.facts.near_duplicates),
    "near_duplicate_accounts_min": _Dimension(
        _least, lambda seen: seen.facts.near_duplicate_accounts
    ),
    "account": _Dimension(_one, lambda seen: seen.header.account),
    "key": _Dimension(_one, lambda seen: seen.header.key),
    "peer": _Dimension(_one, lambda seen: seen.facts.peer),
    "node": _Dimension(_any, lambda seen: seen.facts.nodes),
    "label": _Dimension(_any, Seen.labels),
    "handle_domain": _Dimension(_any, Seen.handle_domains),
    "language": _Dimension(_any, Seen.languages),
    "media_min": _Dimension(_least, lambda seen: seen.facts.attachments),
    "media": _Dimension(_any, lambda seen: seen.facts.media),
    "media_near": _Dimension(_near, lambda seen: seen.facts.pictures),
    "links_min": _Dimension(_least, lambda seen: len(seen.facts.links)),
    "mentions_min": _Dimension(_least, lambda seen: seen.facts.mentions),
    "tags_min": _Dimension(_least, lambda seen: len(seen.facts.tags)),
    "text_bytes_min": _Dimension(_least, Seen.text_bytes),
    "text_bytes_max": _Dimension(_most, Seen.text_bytes),
    "hashtag": _Dimension(_any, Seen.tags),
    "domain": _Dimension(_any, Seen.domains),
    "word": _Dimension(_words, Seen.tokens),
    "pattern": _Dimension(_patterns, lambda seen: seen.facts.texts),
}


class Fired(NamedTuple):
    """What the rules say of one record: the one that decides, and what all that fire add."""

    rule: Rule
    labels: tuple[str, ...]
    drop_media: bool


class RuleSet:
    """Rules as bits, strongest verdict first, then in the order of the file."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        capped = (one for rule in rules for one in _capped(rule))
        self._rules = sorted(capped, key=lambda rule: -rule.then)  # stable
        self._all = bits(range(len(self._rules)))
        self._labelling = bits(n for n, rule in enumerate(self._rules) if rule.label)
        self._dropping = bits(n for n, rule in enumerate(self._rules) if rule.drop_media)
        self._momentary = bits(n for n, rule in enumerate(self._rules) if rule.momentary)
        self._about_content = 0
        self._steps: list[_Step] = []
        for name, dimension in _DIMENSIONS.items():
            wanted = [getattr(rule.when, name) for rule in self._rules]
            asking = bits(n for n, want in enumerate(wanted) if want not in ((), None))
            if asking:
                answer = dimension.compile(wanted)
                # Of most records most facts are nothing: 0, false, none.
                nothing = answer(0 if dimension.compile in _NUMBERS else ())
                self._steps.append((asking, nothing, answer, dimension.fact))
            if name in CONTENT_CONDITIONS:
                self._about_content |= asking

    def fired(self, seen: Seen, has_content: bool) -> Fired | None:
        """The strongest rule that fires, the first of equals, and what the others add to it."""
        mask = self._all if has_content else self._all & ~self._about_content
        if not seen.facts.arriving:
            mask &= ~self._momentary
        for asking, nothing, answer, fact in self._steps:
            if mask & asking:
                found = fact(seen)
                mask &= answer(found) if found else nothing
        if not mask:
            return None
        giving = mask & self._labelling
        labels = dict.fromkeys(self._rules[n].label for n in _places(giving)) if giving else ()
        return Fired(
            self._rules[(mask & -mask).bit_length() - 1],
            tuple(labels),
            bool(mask & self._dropping),
        )


def _places(mask: int) -> Iterator[int]:
    """The places of the bits that are set, lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _capped(rule: Rule) -> Iterator[Rule]:
    """A rule that asks for a label once for each verdict that a labeler may bring about: with the
    label of one who may only limit, a rule that withholds limits.
    """
    if not rule.when.label:
        yield rule
        return
    gives = bool(rule.label or rule.drop_media)
    for then in Verdict:
        if then is rule.then or Verdict.LABEL + (not gives) <= then < rule.then:
            wanted = tuple((label, then) for label in rule.when.label)
            when = When(**{**rule.when._asdict(), "label": wanted})
            yield rule._replace(then=then, when=when)
