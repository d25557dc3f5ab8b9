"""Block and allow lists of accounts, nodes, domains and words: spelling, parsing, look-up.

The narrower entry wins: one for an account over one for its node. For the same entity allow
beats every block, whoever made it; of several blocks the strongest wins. An account counts as
on a node's list when every node that hosts it is: one good home is enough to be carried, so it
is enough to be seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Any, NamedTuple

from ratoon_node.policy import document, domain, fold
from ratoon_node.policy.document import Section
from ratoon_node.policy.phrases import Hit, PhraseIndex
from ratoon_node.policy.verdict import RULE_VERDICTS, Verdict

# A word in a decisions table and on a person's screen, not a sentence.
REASON_CHARS_MAX = 32
_REASON = re.compile(rf"[a-z0-9_-]{{1,{REASON_CHARS_MAX}}}")


class Subject(StrEnum):
    """What an entry is about. The lists of a file are named by the plural."""

    ACCOUNT = "account"
    NODE = "node"
    DOMAIN = "domain"
    WORD = "word"


class ListEntry(NamedTuple):
    """One entry. `entity` is spelt by `spell_entity`; `ACCEPT` makes it an allow.

    `by` (account or name of the operator who made it) and `at_ms` are kept for people.
    """

    subject: Subject
    entity: str
    verdict: Verdict = Verdict.WITHHOLD
    reason: str = "blocked"
    expires_ms: int | None = None
    by: str = ""
    at_ms: int = 0


class Effect(NamedTuple):
    """What an entry does, without the entity: most entries of a list share one."""

    verdict: Verdict
    reason: str
    expires_ms: int | None


class Finding(NamedTuple):
    """What lists say: the effect that won and the entity it stood at."""

    verdict: Verdict
    reason: str
    subject: Subject
    entity: str


Effects = tuple[Effect, ...]


def account_id(value: Any) -> bytes:
    """The 32 bytes of an account or node written as 64 hexadecimal digits. Raises `ValueError`."""
    try:
        found = bytes.fromhex(document.text_of(value).strip())
    except ValueError:
        found = b""
    if len(found) != 32:
        raise ValueError("must be 64 hexadecimal digits")
    return found


def spell_entity(subject: Subject, text: str) -> str:
    """The one spelling of an entity, for keeping and comparing. Raises `ValueError`."""
    if subject is Subject.DOMAIN:
        return domain.parse_domain(text)
    if subject is Subject.WORD:
        return " ".join(fold.phrase(text))
    return account_id(text).hex()


def resolve(effects: Effects, now_ms: int) -> Effect | None:
    """The effect that wins among those not expired: allow, else the strongest, else the first."""
    best: Effect | None = None
    for effect in effects:
        if effect.expires_ms is not None and effect.expires_ms <= now_ms:
            continue
        if effect.verdict is Verdict.ACCEPT:
            return effect
        if best is None or effect.verdict > best.verdict:
            best = effect
    return best


class ListTable:
    """Entries of one source (the file, or the operator's commands), ready for look-up."""

    def __init__(self, entries: Iterable[ListEntry] = ()) -> None:
        self.accounts: dict[bytes, Effects] = {}
        self.nodes: dict[bytes, Effects] = {}
        self.domains: dict[str, Effects] = {}
        words: dict[tuple[str, ...], Effects] = {}
        shared: dict[Effect, Effects] = {}
        for subject, entity, verdict, reason, expires_ms, _, _ in entries:
            effect = Effect(verdict, reason, expires_ms)
            effects = shared.setdefault(effect, (effect,))
            if subject is Subject.ACCOUNT:
                _put(self.accounts, bytes.fromhex(entity), effects)
            elif subject is Subject.NODE:
                _put(self.nodes, bytes.fromhex(entity), effects)
            elif subject is Subject.DOMAIN:
                _put(self.domains, entity, effects)
            else:
                _put(words, tuple(entity.split(" ")), effects)
        self.words = PhraseIndex(words)


def _put(table: dict[Any, Effects], key: Any, effects: Effects) -> None:
    known = table.get(key)
    table[key] = effects if known is None else known + effects


class Lists:
    """Several tables read as one."""

    def __init__(self, *tables: ListTable) -> None:
        self._accounts = [table.accounts for table in tables if table.accounts]
        self._nodes = [table.nodes for table in tables if table.nodes]
        self._domains = [table.domains for table in tables if table.domains]
        self._words = [table.words for table in tables if table.words]
        self.has_accounts = bool(self._accounts or self._nodes)
        self.has_domains = bool(self._domains)
        self.has_words = bool(self._words)

    def account(self, account: bytes, nodes: Sequence[bytes], now_ms: int) -> Finding | None:
        """What is said of an account hosted by `nodes`; `ACCEPT` if it is allowed."""
        own = _look_up(self._accounts, account, now_ms)
        if own is not None and own.verdict is Verdict.ACCEPT:
            return _finding(own, Subject.ACCOUNT, account)
        by_node = self._of_nodes(account, nodes, now_ms) if self._nodes else None
        if own is None or (by_node is not None and by_node.verdict > own.verdict):
            return by_node
        return _finding(own, Subject.ACCOUNT, account)

    def _of_nodes(self, account: bytes, nodes: Sequence[bytes], now_ms: int) -> Finding | None:
        """Allowed if one node is; else as its least blocked node. A node's own account is it."""
        least: Finding | None = None
        unlisted = False
        own = _look_up(self._nodes, account, now_ms)
        if own is not None:
            return _finding(own, Subject.NODE, account)
        for node in nodes:
            effect = _look_up(self._nodes, node, now_ms)
            if effect is None:
                unlisted = True
            elif effect.verdict is Verdict.ACCEPT:
                return _finding(effect, Subject.NODE, node)
            elif least is None or effect.verdict < least.verdict:
                least = _finding(effect, Subject.NODE, node)
        return None if unlisted else least

    def domain(self, hosts: Iterable[str], now_ms: int) -> Finding | None:
        """The strongest block of a host or a domain above it, up to the first that is allowed."""
        best: Finding | None = None
        for host in hosts:
            for name in domain.suffixes(host):
                effect = _look_up(self._domains, name, now_ms)
                if effect is None:
                    continue
                if effect.verdict is Verdict.ACCEPT:
                    break
                if best is None or effect.verdict > best.verdict:
                    best = Finding(effect.verdict, effect.reason, Subject.DOMAIN, name)
        return best

    def word(self, tokens: Sequence[str], now_ms: int) -> Finding | None:
        """The strongest blocked word or phrase that does not stand inside an allowed one."""
        spans: dict[tuple[int, int], Effects] = {}
        for index in self._words:
            for hit in index.find(tokens):
                span = (hit.start, hit.end)
                spans[span] = spans.get(span, ()) + hit.value
        if not spans:
            return None
        found = _resolved(spans, now_ms)
        allowed = [hit for hit in found if hit.value.verdict is Verdict.ACCEPT]
        best: Finding | None = None
        for start, end, effect in found:
            if any(hit.start <= start and end <= hit.end for hit in allowed):
                continue
            if best is None or effect.verdict > best.verdict:
                entity = " ".join(tokens[start:end])
                best = Finding(effect.verdict, effect.reason, Subject.WORD, entity)
        return best

    def accounts(self, now_ms: int) -> dict[bytes, Verdict]:
        """Every account with an entry of its own that blocks it now, and how strongly."""
        return dict(_blocked(self._accounts, now_ms))

    def nodes(self, now_ms: int) -> dict[bytes, Verdict]:
        """Every node with an entry that blocks it now, and how strongly."""
        return dict(_blocked(self._nodes, now_ms))


def _look_up(tables: Sequence[Mapping[Any, Effects]], key: Any, now_ms: int) -> Effect | None:
    effects: Effects = ()
    for table in tables:
        effects += table.get(key, ())
    return resolve(effects, now_ms) if effects else None


def _finding(effect: Effect, subject: Subject, entity: bytes) -> Finding:
    return Finding(effect.verdict, effect.reason, subject, entity.hex())


def _resolved(spans: Mapping[tuple[int, int], Effects], now_ms: int) -> list[Hit[Effect]]:
    found = ((span, resolve(effects, now_ms)) for span, effects in spans.items())
    return [Hit(start, end, effect) for (start, end), effect in found if effect is not None]


def _blocked(
    tables: Sequence[Mapping[bytes, Effects]], now_ms: int
) -> Iterator[tuple[bytes, Verdict]]:
    for table in tables:
        for key in table:
            effect = _look_up(tables, key, now_ms)
            if effect is not None and effect.verdict is not Verdict.ACCEPT:
                yield key, effect.verdict


# ----------------------------------------------------------------------------- the file's lists


def parse_lists(section: Section) -> tuple[ListEntry, ...]:
    """The entries of `[lists.block]` and `[lists.allow]`."""
    entries: list[ListEntry] = []
    for name in ("block", "allow"):
        side = section.section(name)
        for subject in Subject:
            for path, value in side.items(f"{subject}s"):
                entry = _entry(subject, name == "allow", Section.of(path, value, side.report))
                entries += [entry] if entry else []
        side.finish()
    section.finish()
    return tuple(entries)


def _entry(subject: Subject, allow: bool, section: Section) -> ListEntry | None:
    """`"entity"`, or `{ entity = …, then = …, reason = …, expires = … }` (no `then` to allow)."""
    entity = section.need(
        "entity", lambda value: spell_entity(subject, document.text_of(value)), ""
    )
    verdict = Verdict.ACCEPT if allow else section.take("then", block_verdict, Verdict.WITHHOLD)
    reason_word = section.take("reason", reason, "allowed" if allow else "blocked")
    expires_ms = section.take("expires", moment_ms, None)
    section.finish()
    return ListEntry(subject, entity, verdict, reason_word, expires_ms) if entity else None


def verdict_of(value: Any) -> Verdict:
    """A verdict that a rule may give, by its word."""
    for verdict in RULE_VERDICTS:
        if value == verdict.word:
            return verdict
    words = ", ".join(verdict.word for verdict in RULE_VERDICTS)
    raise ValueError(f"must be one of {words}")


def block_verdict(value: Any) -> Verdict:
    """As `verdict_of`; a block that accepts would be an allow in disguise."""
    verdict = verdict_of(value)
    if verdict is Verdict.ACCEPT:
        raise ValueError("accept belongs under [lists.allow]")
    return verdict


def reason(value: Any) -> str:
    """A reason's code."""
    word = document.text_of(value)
    if not _REASON.fullmatch(word):
        raise ValueError(
            f"must be one word of small letters, digits, - and _, {REASON_CHARS_MAX} at most"
        )
    return word


def moment_ms(value: Any) -> int:
    """A TOML date or date and time as milliseconds; without an offset it is UTC."""
    if type(value) is date:
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise ValueError("must be a date, as in 2030-12-31")
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return int(value.timestamp() * 1000)
