"""Rules and the policy file: what may be written, and how it is read.

    [[rule]]
    id     = "links-from-strangers"
    when   = { kind = "post", links_min = 1, account_age_max = "2d", followed_locally = false }
    then   = "hold"
    reason = "spam"

All conditions of a rule must hold; of a condition with several values one is enough.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ratoon_node.policy import document, domain, fold
from ratoon_node.policy.admission import Budgets, parse_admission
from ratoon_node.policy.document import Report, Section
from ratoon_node.policy.lists import ListEntry, account_id, parse_lists, reason, verdict_of
from ratoon_node.policy.patterns import PatternSet, check_pattern
from ratoon_node.policy.verdict import Verdict
from ratoon_protocol import kinds

# Rules are meant to be read by people; long lists belong under [lists].
RULES_MAX = 1000
# All patterns are matched at once by one automaton; above this it outgrows its memory.
PATTERNS_MAX = 1000
# A pattern longer than this is a list in disguise.
PATTERN_CHARS_MAX = 1000

_RULE_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
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
    followed_locally: bool | None = None
    first_post: bool | None = None
    local: bool | None = None


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
)


class Rule(NamedTuple):
    """One rule as the file states it."""

    id: str
    when: When
    then: Verdict
    reason: str


class PolicyFile(NamedTuple):
    """A policy file without errors. `version` is the SHA-256 of its bytes, hexadecimal."""

    version: str
    rules: tuple[Rule, ...]
    entries: tuple[ListEntry, ...]
    budgets: Budgets


def parse_policy(data: bytes) -> PolicyFile:
    """Read the bytes of a `policy.toml`. Raises `PolicyFileError` with every problem in it."""
    text, top = document.load(data)
    report = Report()
    section = Section(top, (), report)
    rules = _rules(section.sections("rule"), report)
    entries = parse_lists(section.section("lists"))
    budgets = parse_admission(section.section("admission"))
    section.finish()
    report.raise_if_any(text)
    return PolicyFile(hashlib.sha256(data).hexdigest(), rules, entries, budgets)


def _rules(sections: list[Section], report: Report) -> tuple[Rule, ...]:
    if len(sections) > RULES_MAX:
        report.add(("rule", RULES_MAX), f"more than {RULES_MAX} rules")
    rules: list[Rule] = []
    seen: set[str] = set()
    for section in sections[:RULES_MAX]:
        rule = _rule(section)
        if rule.id in seen:
            report.add((*section.path, "id"), f"another rule is called {rule.id}")
        elif rule.id:
            seen.add(rule.id)
        rules.append(rule)
    _check_patterns([pattern for rule in rules for pattern in rule.when.pattern], report)
    return tuple(rules)


def _rule(section: Section) -> Rule:
    rule = Rule(
        section.need("id", _rule_id, ""),
        _when(section),
        section.need("then", verdict_of, Verdict.ACCEPT),
        section.need("reason", reason, ""),
    )
    section.finish()
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
    "followed_locally": document.flag,
    "first_post": document.flag,
    "local": document.flag,
}
