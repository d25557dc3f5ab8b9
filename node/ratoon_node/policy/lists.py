"""Block and allow lists of accounts, nodes, domains, words and media: spelling, parsing, look-up.

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
from ratoon_node.policy.imagehash import (
    DISTANCE_MAX,
    HASH_BITS,
    PDQ_BITS,
    PDQ_DISTANCE_MAX,
    NearIndex,
    parse_hash,
)
from ratoon_node.policy.phrases import Hit, PhraseIndex
from ratoon_node.policy.verdict import RULE_VERDICTS, Verdict

# A word in a decisions table and on a person's screen, not a sentence.
REASON_CHARS_MAX = 32
#: What is wrong with a quarantine that nobody could ever open.
NO_EVIDENCE_KEY = "quarantine needs [evidence] with the key to seal to"
_REASON = re.compile(rf"[a-z0-9_-]{{1,{REASON_CHARS_MAX}}}")


class Subject(StrEnum):
    """What an entry is about. The lists of a file are named by the plural."""

    ACCOUNT = "account"
    NODE = "node"
    DOMAIN = "domain"
    WORD = "word"
    MEDIA = "media"

    @property
    def plural(self) -> str:
        """The name of its list."""
        return self if self is Subject.MEDIA else f"{self}s"


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
    if subject is Subject.MEDIA and len(text.strip()) != 2 * 32:
        return str(near_of(text))
    return account_id(text).hex()


class NearHash(NamedTuple):
    """A perceptual hash and how many bits of a picture's may differ."""

    bits: int
    value: int
    distance: int

    def __str__(self) -> str:
        prefix = _PDQ if self.bits == PDQ_BITS else ""
        return f"{prefix}{self.value:0{self.bits // 4}x}/{self.distance}"


_PDQ = "pdq:"


def near_of(text: str) -> NearHash:
    """`16 digits` or `pdq:64 digits`, with `/distance` or the widest. Raises `ValueError`."""
    digits, slash, number = text.strip().removeprefix(_PDQ).partition("/")
    bits, most = (PDQ_BITS, PDQ_DISTANCE_MAX) if text.strip().startswith(_PDQ) else _OWN
    if slash and not (number.isascii() and number.isdigit() and int(number[:4]) <= most):
        raise ValueError(f"a distance must be a number up to {most}")
    try:
        return NearHash(bits, parse_hash(digits, bits), int(number[:4]) if slash else most)
    except ValueError as error:
        raise ValueError(_MEDIA_FORMS) from error


_OWN = (HASH_BITS, DISTANCE_MAX)
_MEDIA_FORMS = (
    "must be 64 hexadecimal digits (SHA-256), 16 (perceptual), or pdq: and 64; the latter two"
    " with /distance if it is less than usual"
)


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
        self.media: dict[bytes, Effects] = {}
        words: dict[tuple[str, ...], Effects] = {}
        near: dict[NearHash, Effects] = {}
        self._near = near
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
            elif subject is Subject.WORD:
                _put(words, tuple(entity.split(" ")), effects)
            elif "/" in entity:
                _put(near, near_of(entity), effects)
            else:
                _put(self.media, bytes.fromhex(entity), effects)
        self.words = PhraseIndex(words)
        #: By the bits of the hashes.
        self.near = {
            bits: NearIndex(
                [
                    (one.value, one.distance, (one, said))
                    for one, said in near.items()
                    if one.bits == bits
                ],
                bits,
            )
            for bits in sorted({one.bits for one in near})
        }

    def effects(self, subject: Subject, entity: str) -> Effects:
        """All entries about just this entity."""
        if subject is Subject.DOMAIN:
            return self.domains.get(entity, ())
        if subject is Subject.WORD:
            return self.words.get(tuple(entity.split(" "))) or ()
        if subject is Subject.MEDIA and "/" in entity:
            return self._near.get(near_of(entity), ())
        tables = {Subject.ACCOUNT: self.accounts, Subject.NODE: self.nodes}
        return tables.get(subject, self.media).get(bytes.fromhex(entity), ())


def _put(table: dict[Any, Effects], key: Any, effects: Effects) -> None:
    known = table.get(key)
    table[key] = effects if known is None else known + effects


class Lists:
    """Several tables read as one."""

    def __init__(self, *tables: ListTable) -> None:
        self._tables = tables
        self._accounts = [table.accounts for table in tables if table.accounts]
        self._nodes = [table.nodes for table in tables if table.nodes]
        self._domains = [table.domains for table in tables if table.domains]
        self._words = [table.words for table in tables if table.words]
        self._media = [table.media for table in tables if table.media]
        self._near = [table.near for table in tables if table.near]
        self.has_accounts = bool(self._accounts or self._nodes)
        self.has_domains = bool(self._domains)
        self.has_words = bool(self._words)
        self.has_media = bool(self._media or self._near)

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

    def media(
        self, hashes: Iterable[bytes], pictures: Iterable[tuple[int, int]], now_ms: int
    ) -> Finding | None:
        """The strongest block of files (SHA-256) or of what `pictures` (bits, hash) look like; a
        file that is allowed counts for nothing, and a look that is allowed excuses itself.
        """
        best: Finding | None = None
        for hash_ in hashes:
            best = _stronger(best, _look_up(self._media, hash_, now_ms), hash_.hex())
        for bits, picture in pictures:
            effects: dict[NearHash, Effects] = {}
            for table in self._near:
                for one, said in table[bits].find(picture) if bits in table else ():
                    effects[one] = effects.get(one, ()) + said
            for one, said in effects.items():
                best = _stronger(best, resolve(said, now_ms), str(one))
        return best

    def blocks(self, subject: Subject, entity: str, now_ms: int) -> bool:
        """Whether some entry blocks just this entity now."""
        effects = [one for table in self._tables for one in table.effects(subject, entity)]
        blocks = tuple(one for one in effects if one.verdict is not Verdict.ACCEPT)
        return resolve(blocks, now_ms) is not None

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


def _stronger(best: Finding | None, effect: Effect | None, entity: str) -> Finding | None:
    """The stronger of two blocks of media."""
    if effect is None or effect.verdict is Verdict.ACCEPT:
        return best
    if best is not None and best.verdict >= effect.verdict:
        return best
    return Finding(effect.verdict, effect.reason, Subject.MEDIA, entity)


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


def parse_lists(section: Section, evidence: bool = False) -> tuple[ListEntry, ...]:
    """The entries of `[lists.block]` and `[lists.allow]`; `evidence`: there is a key for it."""
    entries: list[ListEntry] = []
    for name in ("block", "allow"):
        side = section.section(name)
        for subject in Subject:
            for path, value in side.items(subject.plural):
                entry = _entry(subject, name == "allow", Section.of(path, value, side.report))
                entries += [entry] if entry else []
                if entry and entry.verdict is Verdict.QUARANTINE and not evidence:
                    side.report.add((*path, "then"), NO_EVIDENCE_KEY)
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
    if verdict is Verdict.LABEL:
        raise ValueError("only rules give labels")
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
