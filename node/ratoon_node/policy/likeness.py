"""Near-duplicate texts of several accounts: what a wave of spam cannot avoid being.

A text becomes its pairs of neighbouring words, after `fold`, with links, mentions and numbers (all
words with digits) each made one sign, so that a tail that changes does not help. Of the hashes of
these pairs the lowest few stand for the text (a bottom-k sketch): two texts that share most of
their pairs share most of these. Each of them is a bucket that remembers the last text in it, so a
look-up costs the number of hashes and not of texts; a text joins the group that most of its buckets
point to.

Everything is bounded and in memory; the oldest go first. The same texts in the same order give
the same answers. The hashes are keyed, so that nobody can choose words that always come out lowest.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import sha256
from itertools import pairwise
from typing import NamedTuple
from zlib import crc32

from ratoon_node.policy import fold

# About 1 KiB each: 20 MiB when full. A flood of other texts pushes a wave out of memory no sooner
# than after so many.
TEXTS_MAX = 20_000
# Hashes that stand for a text.
MARKS_MAX = 8
# Texts with fewer pairs are never alike: short ones repeat all day without being spam.
PAIRS_MIN = 5
# Words of a text that are looked at.
WORDS_MAX = 256

_LINK, _MENTION, _NUMBER = "_l", "_m", "_n"
_LINKS = re.compile(r"(?:https?://|www\.)\S+")
_MENTIONS = re.compile(r"@\S+")
_DIGIT = re.compile(r"\d")


class Alike(NamedTuple):
    """How many earlier texts are like one, and how many accounts beside its own wrote them."""

    texts: int = 0
    accounts: int = 0


class _Group:
    """Texts that are alike: how many each account wrote."""

    __slots__ = ("accounts", "texts")

    def __init__(self) -> None:
        self.texts = 0
        self.accounts: dict[bytes, int] = {}

    def add(self, account: bytes) -> None:
        self.texts += 1
        self.accounts[account] = self.accounts.get(account, 0) + 1

    def drop(self, account: bytes) -> None:
        self.texts -= 1
        self.accounts[account] -= 1
        if not self.accounts[account]:
            del self.accounts[account]


class _Text(NamedTuple):
    account: bytes
    at_ms: int
    marks: tuple[int, ...]
    group: _Group
    #: What was like it when it came.
    alike: Alike


class Likeness:
    """Texts of a while and who wrote them. `secret` keys the hashes: bytes that nobody knows."""

    def __init__(self, secret: bytes) -> None:
        self._key = int.from_bytes(sha256(b"ratoon likeness" + secret).digest()[:4])
        #: By the record's id, oldest first.
        self._texts: OrderedDict[bytes, _Text] = OrderedDict()
        #: The last text in each bucket.
        self._last: dict[int, _Text] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def look(
        self, texts: Iterable[str], account: bytes, id_: bytes, now_ms: int, window_ms: int
    ) -> Alike:
        """What is like the words of record `id_`, which is remembered; a second time the answer is
        that of the first.
        """
        self._forget(now_ms - window_ms)
        known = self._texts.get(id_)
        if known is not None:
            return known.alike
        marks = self._marks(texts)
        if not marks:
            return Alike()
        group = self._group_of(marks) or _Group()
        group.add(account)
        alike = Alike(group.texts - 1, len(group.accounts) - 1)
        self._texts[id_] = known = _Text(account, now_ms, marks, group, alike)
        for mark in marks:
            self._last[mark] = known
        return alike

    def _forget(self, before_ms: int) -> None:
        while self._texts:
            oldest = next(iter(self._texts.values()))
            if oldest.at_ms >= before_ms and len(self._texts) < TEXTS_MAX:
                return
            self._texts.popitem(last=False)
            oldest.group.drop(oldest.account)
            for mark in oldest.marks:
                if self._last.get(mark) is oldest:
                    del self._last[mark]

    def _group_of(self, marks: tuple[int, ...]) -> _Group | None:
        """The group that more than half of the buckets point to, the first of equals."""
        votes: dict[_Group, int] = {}
        for mark in marks:
            last = self._last.get(mark)
            if last is not None:
                votes[last.group] = votes.get(last.group, 0) + 1
        best = max(votes, key=votes.__getitem__, default=None)
        return best if best is not None and votes[best] * 2 > len(marks) else None

    def _marks(self, texts: Iterable[str]) -> tuple[int, ...]:
        """The lowest hashes of all pairs of words; none if there are too few to tell."""
        key = self._key
        hashes = [crc32(word.encode(), key) for text in texts for word in words(text)]
        # Of two numbers Python's hash is the same in every process, and mixes all their bits.
        pairs = set(map(hash, pairwise(hashes)))
        return tuple(sorted(pairs)[:MARKS_MAX]) if len(pairs) >= PAIRS_MIN else ()


def words(text: str) -> list[str]:
    """The words that are compared: folded, masked, none twice in a row."""
    folded = fold.fold(text)
    if "://" in folded or "www." in folded:
        folded = _LINKS.sub(f" {_LINK} ", folded)
    if "@" in folded:
        folded = _MENTIONS.sub(f" {_MENTION} ", folded)
    found: list[str] = []
    last = ""
    for word in fold.cut(folded)[:WORDS_MAX]:
        if not word.isalpha() and _DIGIT.search(word):
            word = _NUMBER
        if word != last:
            found.append(word)
            last = word
    return found
