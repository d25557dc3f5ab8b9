"""Rules: what may be written, and how it is read.

    [[rule]]
    id     = "links-from-strangers"
    when   = { kind = "post", links_min = 1, account_age_max = "2d", followed_locally = false }
    then   = "hold"
    reason = "spam"

All conditions of a rule must hold; of a condition with several values one is enough.
`label = "word"` and `drop_media = true` add to what the strongest rule says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ratoon_node.policy import document, domain, fold
from ratoon_node.policy.document import Report, Section
from ratoon_node.policy.imagehash import DISTANCE_MAX, parse_hash
from ratoon_node.policy.lists import NO_EVIDENCE_KEY, account_id, reason, verdict_of
from ratoon_node.policy.patterns import PatternSet, check_pattern
from ratoon_node.policy.verdict import Verdict
from ratoon_protocol import kinds

# Rules are meant to be read by people; long lists belong under [lists].
RULES_MAX = 1000
# All patterns are matched at once by one automaton; above this it outgrows its memory.
PATTERNS_MAX = 1000
# A pattern longer than this is a list in disguise.
PATTERN_CHARS_MAX = 1000
# Labels are shown beside a post: words, not sentences.
_LABEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")

_RULE_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LANGUAGE = re.compile(r"[a-z]{2,8}(-[a-z0-9]{1,8}){0,4}")
_DURATION = re.compile(r"([0-9]{1,6})(s|m|h|d|w)")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_KIND_NUMBERS = {name: kind for kind, name in kinds.NAMES.items()}


class When(NamedTuple):
    """The conditions of a rule. An empty tuple or None asks for nothing.

    A header alone never fulfils a condition about the content (`CONTENT_CONDITIONS`).
    """

    kind: tuple[int, ...] = ()
    account: tuple[bytes, ...] = ()
    key: tuple[bytes, ...] = ()
    #: Any node that hosts the account.
    node: tuple[bytes, ...] = ()
    #: The node that delivered the record.
    peer: tuple[bytes, ...] = ()
    #: A link to the domain or to one below it.
    domain: tuple[str, ...] = ()
    hashtag: tuple[str, ...] = ()
    #: Tokens of a word or phrase, as `fold.phrase` makes them.
    word: tuple[tuple[str, ...], ...] = ()
    #: RE2, searched in each text as it was written.
    pattern: tuple[str, ...] = ()
    #: As in R-95, in small letters; `en` fits `en-gb` too.
    language: tuple[str, ...] = ()
    #: The domain of a handle of the account, or one above it.
    handle_domain: tuple[str, ...] = ()
    #: SHA-256 of a file or its preview.
    media: tuple[bytes, ...] = ()
    #: Perceptual hashes, each with the bits that may differ.
    media_near: tuple[tuple[int, int], ...] = ()
    #: A label of a trusted labeler on the record or its account.
    label: tuple[str, ...] = ()
    links_min: int | None = None
    mentions_min: int | None = None
    tags_min: int | None = None
    #: UTF-8 bytes of all texts together.
    text_bytes_min: int | None = None
    text_bytes_max: int | None = None
    payload_bytes_min: int | None = None
    payload_bytes_max: int | None = None
    #: Milliseconds since this node first saw the account.
    account_age_min: int | None = None
    account_age_max: int | None = None
    posts_per_hour_min: int | None = None
    media_min: int | None = None
    #: Earlier texts that are like this one, and accounts beside its own that wrote them.
    near_duplicates_min: int | None = None
    near_duplicate_accounts_min: int | None = None
    #: All people of the node that hosts the account; of several nodes the quietest counts.
    node_posts_per_hour_min: int | None = None
    node_new_accounts_per_day_min: int | None = None
    followed_locally: bool | None = None
    first_post: bool | None = None
    local: bool | None = None
    reply_to_stranger: bool | None = None


#: Conditions that need the payload to be here.
CONTENT_CONDITIONS = (
    "domain",
    "hashtag",
    "word",
    "pattern",
    "links_min",
    "mentions_min",
    "tags_min",
    "text_bytes_min",
    "text_bytes_max",
    "language",
    "media",
    "media_near",
    "media_min",
    "near_duplicates_min",
    "near_duplicate_accounts_min",
    "reply_to_stranger",
)

#: Conditions about the moment a record came: asked again later they would answer something else.
MOMENTARY_CONDITIONS = (
    "peer",
    "account_age_max",
    "posts_per_hour_min",
    "first_post",
    "near_duplicates_min",
    "near_duplicate_accounts_min",
    "node_posts_per_hour_min",
    "node_new_accounts_per_day_min",
)


class Rule(NamedTuple):
    """One rule as the file states it; one that gives something is `LABEL` at least."""

    id: str
    when: When
    then: Verdict
    reason: str
    label: str = ""
    drop_media: bool = False

    @property
    def momentary(self) -> bool:
        """Whether what it said of a record cannot be found out again."""
        return any(getattr(self.when, name) not in ((), None) for name in MOMENTARY_CONDITIONS)


class Rules:
    """Reads the rules of files that make up one policy; `evidence`: there is a key for it."""

    def __init__(self, evidence: bool) -> None:
        self.evidence = evidence
        self._seen: set[str] = set()
        self.found: list[Rule] = []

    def read(self, sections: list[Section], report: Report) -> None:
        """The rules of one file."""
        room = RULES_MAX - len(self.found)
        if len(sections) > room:
            report.add(("rule", room), f"more than {RULES_MAX} rules")
        for section in sections[:room]:
            rule = _rule(section)
            if rule.id in self._seen:
                report.add((*section.path, "id"), f"another rule is called {rule.id}")
            elif rule.id:
                self._seen.add(rule.id)
            if rule.then is Verdict.QUARANTINE and not self.evidence:
                report.add((*section.path, "then"), NO_EVIDENCE_KEY)
            self.found.append(rule)

    def check(self, report: Report) -> None:
        """What rules that are good by themselves may still be too much of together."""
        _check_patterns([pattern for rule in self.found for pattern in rule.when.pattern], report)


def _rule(section: Section) -> Rule:
    rule = Rule(
        section.need("id", _rule_id, ""),
        _when(section),
        section.need("then", verdict_of, Verdict.ACCEPT),
        section.need("reason", reason, ""),
        section.take("label", label, ""),
        section.take("drop_media", document.flag, False),
    )
    section.finish()
    if rule.then is Verdict.LABEL and not rule.label and not section.says("label"):
        section.report.add(section.path, "label is missing")
    if rule.label or rule.drop_media:
        rule = rule._replace(then=max(rule.then, Verdict.LABEL))
    return rule


def _when(rule: Section) -> When:
    section = rule.section("when")
    values: dict[str, Any] = {
        name: tuple(section.take_each(name, parse)) for name, parse in _SETS.items()
    }
    values.update({name: section.take(name, parse, None) for name, parse in _SINGLES.items()})
    section.finish()
    section.report_if_empty("when needs a condition: a rule without one would judge everything")
    return When(**values)


def _rule_id(value: Any) -> str:
    if not isinstance(value, str) or not _RULE_ID.fullmatch(value):
        raise ValueError("must be small letters, digits, - and _, 64 at most")
    return value


def _kind(value: Any) -> int:
    if not isinstance(value, str) or value not in _KIND_NUMBERS:
        raise ValueError(f"must be one of {', '.join(_KIND_NUMBERS)}")
    return _KIND_NUMBERS[value]


def _pattern(value: Any) -> str:
    pattern = document.text_of(value)
    if len(pattern) > PATTERN_CHARS_MAX:
        raise ValueError(f"longer than {PATTERN_CHARS_MAX} characters")
    check_pattern(pattern)
    return pattern


def _check_patterns(patterns: list[str], report: Report) -> None:
    """What patterns that are good by themselves may still be too much of."""
    if len(patterns) > PATTERNS_MAX:
        report.add(("rule",), f"more than {PATTERNS_MAX} patterns")
        return
    try:
        PatternSet(patterns)
    except ValueError as error:
        report.add(("rule",), str(error))


def _hashtag(value: Any) -> str:
    found = fold.tag(document.text_of(value))
    if not found:
        raise ValueError("must be a tag")
    return found


def label(value: Any) -> str:
    """A label's word. Raises `ValueError`."""
    if not isinstance(value, str) or not _LABEL.fullmatch(value):
        raise ValueError("must be one word of small letters, digits, - and _, 32 at most")
    return value


def _language(value: Any) -> str:
    found = document.text_of(value).lower()
    if not _LANGUAGE.fullmatch(found):
        raise ValueError('must be a language such as "en" or "pt-br"')
    return found


def _near(value: Any) -> tuple[int, int]:
    """`{ hash = "16 hexadecimal digits", distance = 8 }`, or the digits alone."""
    parts = value if isinstance(value, dict) else {"hash": value}
    if not parts.keys() <= {"hash", "distance"} or "hash" not in parts:
        raise ValueError("must be { hash = …, distance = … }")
    distance = document.count(parts.get("distance", DISTANCE_MAX))
    if distance > DISTANCE_MAX:
        raise ValueError(f"a distance must be {DISTANCE_MAX} at most")
    return parse_hash(document.text_of(parts["hash"])), distance


def duration_ms(value: Any) -> int:
    """`"90s"`, `"15m"`, `"2h"`, `"2d"` or `"1w"` in milliseconds. Raises `ValueError`."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError('must be a duration such as "90s", "15m", "2h", "2d" or "1w"')
    return int(found[1]) * _UNIT_MS[found[2]]


_SETS: dict[str, Callable[[Any], Any]] = {
    "kind": _kind,
    "account": account_id,
    "key": account_id,
    "node": account_id,
    "peer": account_id,
    "domain": lambda value: domain.parse_domain(document.text_of(value)),
    "hashtag": _hashtag,
    "word": lambda value: fold.phrase(document.text_of(value)),
    "pattern": _pattern,
    "language": _language,
    "handle_domain": lambda value: domain.parse_domain(document.text_of(value)),
    "media": account_id,
    "media_near": _near,
    "label": document.text_of,
}
_SINGLES: dict[str, Callable[[Any], Any]] = {
    "links_min": document.count,
    "mentions_min": document.count,
    "tags_min": document.count,
    "text_bytes_min": document.count,
    "text_bytes_max": document.count,
    "payload_bytes_min": document.count,
    "payload_bytes_max": document.count,
    "account_age_min": duration_ms,
    "account_age_max": duration_ms,
    "posts_per_hour_min": document.count,
    "media_min": document.count,
    "near_duplicates_min": document.count,
    "near_duplicate_accounts_min": document.count,
    "node_posts_per_hour_min": document.count,
    "node_new_accounts_per_day_min": document.count,
    "followed_locally": document.flag,
    "first_post": document.flag,
    "local": document.flag,
    "reply_to_stranger": document.flag,
}
