"""Words to search for: a post's or a profile's texts, and a query, cut in the same way.

Words are compared in lower case, without accents and in one width. Scripts written without spaces
(Chinese, Japanese, Thai and others) are cut into single signs, so that a word of several signs is
a phrase and is found inside a sentence. What is known of a post beside its texts (author, tags,
language, day) stands among its words as *marks*: words that begin with a sign which no text keeps.

A query is a list of terms, all of which must fit:

    word            "several words in this order"        pre*
    #tag            from:name@example.org                from:<account>
    lang:en         since:2026-01-31                     until:2026-02-28
    -term           must not fit
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from ratoon_node.errors import NodeError
from ratoon_node.policy import fold
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import EPOCH_MS

# A query longer than any sentence is no query.
QUERY_CHARS_MAX = 300
# Terms of one query: each costs a look into every shard.
TERMS_MAX = 12
# Words and single signs of one query, all terms together.
TOKENS_MAX = 48
# A prefix of one letter fits a tenth of all words.
PREFIX_SIGNS_MIN = 2
# Longer words are addresses and noise; they are compared by their beginning.
TOKEN_CHARS_MAX = 64

#: Stands between two texts of a document: no phrase is found across it.
BORDER = "\ue003"
# First signs of marks: private to this program, and no sign of a word.
_AUTHOR, _TAG, _LANGUAGE, _DAY = "\ue000", "\ue001", "\ue002", "\ue005"
# Of a month, in posts that were stored when they had one.
_MONTH = "\ue004"
_MARKS = (_AUTHOR, _TAG, _LANGUAGE, _MONTH, _DAY, BORDER)
# Signs in a mark at which the full-text index would cut it, as signs at which it does not.
_JOINED = {n: 0xE100 + n for n in range(0x80) if not (chr(n).isalnum() or chr(n) == "_")}

# Letters whose accent is part of their shape, and a letter that is written as another.
_ALIKE = {"ø": "o", "đ": "d", "ł": "l", "ħ": "h", "ı": "i", "ё": "е"}
# Code points of alphabets whose letters carry accents: Latin and Greek.
_ACCENTED = ((0xC0, 0x250), (0x370, 0x400), (0x1E00, 0x2000))
# Accents on their own, vowel signs that Hebrew and Arabic may leave out, signs nobody sees.
_UNWRITTEN = (
    (0x00AD, 0x00AD),
    (0x0300, 0x036F),
    (0x0591, 0x05BD),
    (0x05BF, 0x05C7),
    (0x0640, 0x0640),
    (0x064B, 0x0652),
    (0x0670, 0x0670),
    (0x200B, 0x200F),
    (0x2060, 0x2064),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
)
_EPOCH = date(1970, 1, 1)
_DAY_MS = 86_400_000
# Days whose marks are remembered.
_DAYS_KEPT = 64
# How days are counted ends here; so do the years that a date may name.
_LAST_DAY = date(2999, 12, 31)


class Term(NamedTuple):
    """Words in this order; with `prefix` the last one may go on."""

    tokens: tuple[str, ...]
    prefix: bool = False

    @property
    def is_mark(self) -> bool:
        """Whether it asks for what is known of a post and not for its words."""
        return self.tokens[0].startswith(_MARKS)


class Query(NamedTuple):
    """What was asked: every term of `wanted` fits, none of `unwanted` does.

    `authors` are one of which must have written it (None: anybody), as asked for; so are
    `others`, who must not have. `since` and `until` are days, both included.
    """

    wanted: tuple[Term, ...]
    unwanted: tuple[Term, ...] = ()
    authors: tuple[str, ...] | None = None
    others: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None


# --- texts ---------------------------------------------------------------------------------


def _table() -> dict[int, str | None]:
    table: dict[int, str | None] = {}
    for low, high in _ACCENTED:
        for point in range(low, high):
            parts = unicodedata.normalize("NFD", chr(point))
            if len(parts) > 1 and all(0x300 <= ord(accent) <= 0x36F for accent in parts[1:]):
                table[point] = _ALIKE.get(parts[0], parts[0])
    table.update({ord(sign): letter for sign, letter in _ALIKE.items()})
    for low, high in _UNWRITTEN:
        table.update(dict.fromkeys(range(low, high + 1)))
    return table


@lru_cache(maxsize=1)
def _folding() -> dict[int, str | None]:
    """Made at first use."""
    return _table()


def tokens(text: str) -> list[str]:
    """The words and single signs of a text, in order."""
    if text.isascii():
        found = fold.cut(text.lower())
    else:
        folded = unicodedata.normalize("NFKC", text).casefold().translate(_folding())
        found = fold.cut(folded)
    if len(text) > TOKEN_CHARS_MAX:
        return [token[:TOKEN_CHARS_MAX] for token in found]
    return found


def document(texts: Iterable[str], marks: Iterable[str] = ()) -> str:
    """What is kept of texts and marks to be searched: words with a space between them.

    "" if there is no word in them at all.
    """
    parts = [found for text in texts if (found := tokens(text))]
    words = f" {BORDER} ".join(" ".join(part) for part in parts)
    return " ".join((words, *marks)) if words else ""


def author_mark(account: int) -> str:
    """The mark of an author, by this store's number of the account."""
    return f"{_AUTHOR}{account}"


def tag_mark(tag: str) -> str:
    """The mark of a tag."""
    return _TAG + fold.tag(tag).translate(_JOINED)


def language_marks(language: str) -> list[str]:
    """The marks of a language tag: the language, and with its region if one is named."""
    whole = language.lower()
    first = whole.partition("-")[0]
    return [_language_mark(part) for part in dict.fromkeys((first, whole))]


def _language_mark(language: str) -> str:
    return _LANGUAGE + language.lower().translate(_JOINED)


def day_mark(created_ms: int) -> str:
    """The mark of the day (UTC); it begins with that of its month."""
    return _mark_of(created_ms // _DAY_MS)


@lru_cache(maxsize=_DAYS_KEPT)
def _mark_of(day_number: int) -> str:
    """Posts of one slice are of few days, and writing a date out takes as long as cutting words."""
    return f"{_DAY}{day_of(day_number * _DAY_MS):%Y%m%d}"


def day_of(at_ms: int) -> date:
    """The day (UTC) of a time."""
    return min(_LAST_DAY, _EPOCH + timedelta(days=min(at_ms // _DAY_MS, 400_000)))


def day_after(day: date) -> date:
    """The next day."""
    return min(_LAST_DAY, day + timedelta(days=1))


def days_between(since: date, until: date) -> list[Term]:
    """Marks of which one fits every day from `since` to `until`, both included.

    Whole months are one beginning each, so that years cost few.
    """
    found: list[Term] = []
    day = since
    while day <= until:
        after = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        if day.day == 1 and after <= until + timedelta(days=1):
            found.append(Term((f"{_DAY}{day:%Y%m}",), prefix=True))
            day = after
        else:
            found.append(Term((f"{_DAY}{day:%Y%m%d}",)))
            day += timedelta(days=1)
    return found


# --- queries -------------------------------------------------------------------------------

_PART = re.compile(
    r"""(?P<no>-)?(?:
        (?P<field>from|lang|since|until):(?P<value>[^\s"]*)
      | "(?P<phrase>[^"]*)"(?P<longer>\*)?
      | \#(?P<tag>[^\s"]+)
      | (?P<word>[^\s"]+)
    )""",
    re.VERBOSE,
)
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def _bad(words: str) -> NodeError:
    return NodeError(Code.BAD_REQUEST, safe=words)


def parse(text: str, fields: bool = True) -> Query:
    """A query as it was typed. Raises `NodeError(bad_request)` with words for whoever typed it.

    `fields`: whether `from:`, `lang:`, `since:`, `until:` and `#tag` mean anything here; where
    they do not, they are refused.
    """
    if len(text) > QUERY_CHARS_MAX:
        raise _bad(f"A query has at most {QUERY_CHARS_MAX} characters.")
    reading = _Reading(fields)
    for part in _parts(text):
        reading.take(part)
    return reading.query()


def _parts(text: str) -> Iterator[re.Match[str]]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found = _PART.match(text, at)
        if found is None:
            raise _bad("A quotation mark has no partner.")
        yield found
        at = found.end()


class _Reading:
    """What was read of a query so far."""

    def __init__(self, fields: bool) -> None:
        self._fields = fields
        self._wanted: list[Term] = []
        self._unwanted: list[Term] = []
        self._authors: list[str] = []
        self._others: list[str] = []
        self._since: date | None = None
        self._until: date | None = None

    def take(self, part: re.Match[str]) -> None:
        """One more part."""
        field, no = part["field"], bool(part["no"])
        if (field or part["tag"]) and not self._fields:
            raise _bad(f"{field or '#'}{':' if field else ''} is for posts.")
        if field == "from":
            name = part["value"].removeprefix("@")
            if not name:
                raise _bad("from: needs an account or a handle.")
            (self._others if no else self._authors).append(name)
        elif field in ("since", "until"):
            self._date(field, part["value"], no)
        else:
            term = self._term(part)
            if term.tokens:
                (self._unwanted if no else self._wanted).append(term)

    def _term(self, part: re.Match[str]) -> Term:
        if part["field"]:
            if not _LANGUAGE_TAG.fullmatch(part["value"]):
                raise _bad("lang: needs a language such as en or pt-BR.")
            return Term((_language_mark(part["value"]),))
        if part["tag"] is not None:
            return Term((tag_mark(part["tag"]),))
        longer = bool(part["longer"])
        text = part["phrase"]
        if text is None:
            longer = part["word"].endswith("*")
            text = part["word"].rstrip("*")
        found = tuple(tokens(text))
        if longer and found and len(found[-1]) < PREFIX_SIGNS_MIN:
            longer = False
            if len(tokens(found[-1] * 2)) == 1:  # a letter; a sign is a word, whatever follows
                raise _bad(f"Before a * there are at least {PREFIX_SIGNS_MIN} letters.")
        return Term(found, longer)

    def _date(self, field: str, value: str, no: bool) -> None:
        try:
            day = date.fromisoformat(value if _DATE.fullmatch(value) else "")
        except ValueError:
            raise _bad(f"{field}: needs a day such as 2026-01-31.") from None
        if no:
            raise _bad(f"{field}: cannot be turned round; use the other one.")
        if field == "since":
            self._since = max(day, self._since or day)
        else:
            self._until = min(day, self._until or day)

    def query(self) -> Query:
        """The whole, within its bounds."""
        terms = [*self._wanted, *self._unwanted]
        if not self._wanted and not self._authors:
            raise _bad("Say at least one word to look for.")
        if len(terms) + len(self._authors) + len(self._others) > TERMS_MAX:
            raise _bad(f"A query has at most {TERMS_MAX} terms.")
        if sum(len(term.tokens) for term in terms) > TOKENS_MAX:
            raise _bad(f"A query has at most {TOKENS_MAX} words or signs.")
        return Query(
            tuple(self._wanted),
            tuple(self._unwanted),
            tuple(self._authors) or None,
            tuple(self._others),
            self._since,
            self._until,
        )


def expression(all_of: Sequence[Sequence[Term]], none_of: Sequence[Term]) -> str:
    """The terms in the language of the full-text index: of each of `all_of` one must fit.

    Tokens hold letters, digits and marks alone, so nothing in them means anything else there.
    """
    wanted = " AND ".join(f"({_any(group)})" for group in all_of)
    return f"({wanted}) NOT ({_any(none_of)})" if none_of else wanted


def _any(terms: Sequence[Term]) -> str:
    return " OR ".join(f'"{" ".join(term.tokens)}"{" *" if term.prefix else ""}' for term in terms)


# --- how well a text fits ------------------------------------------------------------------

# BM25's usual constants, and the length of a usual post in words and signs. They stand still:
# what fits best does not change with what else is here, so pages in this order stay in order.
_K1, _B, _USUAL_LENGTH = 1.2, 0.75, 24
#: A score is a whole number of these parts.
SCORE_PARTS = 1_000_000


def score(wanted: Sequence[Term], text: str) -> int:
    """How well a document fits terms that it has: more often is better, in a shorter text too."""
    # Marks stand behind the words, the author's first.
    words = text.partition(_AUTHOR)[0].split()
    bend = _K1 * (1 - _B + _B * len(words) / _USUAL_LENGTH)
    counts = [_count(term, words) for term in wanted if not term.is_mark]
    return round(SCORE_PARTS * sum(count * (_K1 + 1) / (count + bend) for count in counts))


def _count(term: Term, words: list[str]) -> int:
    *first, last = term.tokens
    if not first:
        if not term.prefix:
            return words.count(last)
        return sum([word.startswith(last) for word in words])
    size = len(first)
    return sum(
        words[at : at + size] == first
        and (words[at + size] == last or (term.prefix and words[at + size].startswith(last)))
        for at, word in enumerate(words[:-size])
        if word == first[0]
    )


def first_day() -> date:
    """The day on which the network began: nothing is older."""
    return day_of(EPOCH_MS)
