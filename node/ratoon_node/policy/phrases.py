"""Words and phrases found in one pass over a text's tokens, however many there are of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")


class Hit(NamedTuple, Generic[V]):
    """A phrase found at tokens `start` to `end` (exclusive), and what was kept with it."""

    start: int
    end: int
    value: V


class PhraseIndex(Generic[V]):
    """Phrases (token tuples, as `fold.phrase` makes them), each with a value.

    A text without any of the first words costs one look-up a token. Words of one token are kept
    apart from longer phrases because most entries are such words.
    """

    def __init__(self, phrases: Mapping[tuple[str, ...], V]) -> None:
        self._words = {phrase[0]: value for phrase, value in phrases.items() if len(phrase) == 1}
        self._phrases = {phrase: value for phrase, value in phrases.items() if len(phrase) > 1}
        lengths: dict[str, set[int]] = {}
        for phrase in self._phrases:
            lengths.setdefault(phrase[0], set()).add(len(phrase))
        self._lengths = {first: tuple(sorted(found)) for first, found in lengths.items()}

    def __bool__(self) -> bool:
        return bool(self._words or self._phrases)

    def get(self, phrase: tuple[str, ...]) -> V | None:
        """What is kept with just this phrase."""
        return self._words.get(phrase[0]) if len(phrase) == 1 else self._phrases.get(phrase)

    def find(self, tokens: Sequence[str]) -> list[Hit[V]]:
        """Every place of `tokens` where a phrase stands."""
        hits: list[Hit[V]] = []
        if self._words and not self._words.keys().isdisjoint(tokens):
            words = self._words
            hits += [Hit(n, n + 1, words[t]) for n, t in enumerate(tokens) if t in words]
        if self._lengths and not self._lengths.keys().isdisjoint(tokens):
            hits += self._longer(tokens)
        return hits

    def _longer(self, tokens: Sequence[str]) -> list[Hit[V]]:
        hits = []
        for start, token in enumerate(tokens):
            for length in self._lengths.get(token, ()):
                found = self._phrases.get(tuple(tokens[start : start + length]))
                if found is not None:
                    hits.append(Hit(start, start + length, found))
        return hits
