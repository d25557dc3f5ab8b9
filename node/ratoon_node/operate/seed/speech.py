"""What made-up people say: words of a few languages, the frequent ones far more often (Zipf).

No text of anybody is in it: sentences are words drawn one by one, and most words are made up.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import accumulate

from ratoon_protocol.bodies import FACET_LINK, FACET_MENTION, FACET_TAG
from ratoon_protocol.codec import Value
from ratoon_protocol.record import Body

# Words of a language, its plain ones among them.
WORDS = 3000
# Tags that people of one language use.
TAGS = 300
SENTENCES_MAX = 3
SENTENCE_WORDS_MAX = 14
WARNINGS = ("spoiler", "politics", "food", "long", "spiders")
EMOJI = ("😀", "😂", "❤️", "🎉", "🌧️", "☕", "🚲", "📚", "👩‍🚀", "🏳️‍🌈", "🐈", "🌱")  # fmt: skip
REACTIONS = ("❤️", "👍", "😂", "🎉", "😮", "🔥", "👏", "😢", "🌱", "👀")


def zipf(count: int, steepness: float = 1.0, flat: float = 1.0) -> list[float]:
    """Cumulated weights of ranks 0 to count-1; `flat` ranks at the top are about equal."""
    return list(accumulate((rank + flat) ** -steepness for rank in range(count)))


@dataclass(frozen=True, slots=True)
class Tongue:
    """One language: its words and tags, the most frequent first, and how words are joined."""

    code: str
    share: int
    joint: str
    stop: str
    words: tuple[str, ...]
    tags: tuple[str, ...]


def _rarer(plain: Sequence[str], parts: Sequence[str], rng: random.Random) -> Iterator[str]:
    """Words put together from parts, each once; none of them is a plain one."""
    known = set(plain)
    while True:
        word = "".join(rng.choices(parts, k=rng.choice((2, 2, 3, 3, 4))))
        if word not in known:
            known.add(word)
            yield word


def _tongue(code: str, share: int, words: str, parts: str, space: bool = True) -> Tongue:
    plain, rng = tuple(words.split()), random.Random(f"tongue {code}")
    rare = _rarer(plain, parts.split(), rng)
    tags = tuple(next(rare) for _ in range(TAGS))
    made = tuple(next(rare) for _ in range(WORDS - len(plain)))
    return Tongue(
        code, share, " " if space else "", "." if space else "。", plain + made, plain[-40:] + tags
    )


def tongues() -> tuple[Tongue, ...]:
    """All languages, the same on every machine and for every seed."""
    told = resources.files(__package__).joinpath("tongues.toml").read_text(encoding="utf-8")
    return tuple(_tongue(code, **fields) for code, fields in tomllib.loads(told).items())


class Speech:
    """Says things in any language; all chance comes from `rng`."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._word_weights = zipf(WORDS)
        self._tag_weights = zipf(TAGS)

    def words(self, tongue: Tongue, count: int) -> str:
        """So many words, joined as the language does."""
        return tongue.joint.join(
            self._rng.choices(tongue.words, cum_weights=self._word_weights, k=count)
        )

    def name(self, tongue: Tongue) -> str:
        """A display name: two rare words, sometimes with a sign."""
        rng = self._rng
        first, last = rng.sample(tongue.words[len(tongue.words) // 10 :], 2)
        name = f"{first.capitalize()} {last.capitalize()}"
        return f"{name} {rng.choice(EMOJI)}" if rng.random() < 0.08 else name

    def text(self, tongue: Tongue) -> str:
        """A few sentences."""
        rng, said = self._rng, []
        for _ in range(rng.randint(1, SENTENCES_MAX)):
            sentence = self.words(tongue, rng.randint(3, SENTENCE_WORDS_MAX))
            said.append(sentence[0].upper() + sentence[1:] + rng.choice((tongue.stop, "!", "?")))
        return " ".join(said)

    def post(self, tongue: Tongue, mentioned: tuple[str, bytes] | None = None) -> Body:
        """The words of a post, with what is marked in them. `mentioned`: (name, account)."""
        rng = self._rng
        text, facets = self.text(tongue), []

        def mark(kind: int, word: str, value: Value) -> None:
            nonlocal text
            start = len(text.encode()) + 1
            text = f"{text} {word}"
            facets.append([start, start + len(word.encode()), kind, value])

        if rng.random() < 0.2:
            text = f"{text} {rng.choice(EMOJI)}"
        if mentioned is not None:
            mark(FACET_MENTION, f"@{mentioned[0]}", mentioned[1])
        if rng.random() < 0.3:
            for _ in range(rng.choice((1, 1, 2))):
                tag = rng.choices(tongue.tags[:TAGS], cum_weights=self._tag_weights)[0]
                mark(FACET_TAG, f"#{tag}", tag)
        if rng.random() < 0.04:
            url = f"https://example.org/{rng.randrange(10_000)}"
            mark(FACET_LINK, url, url)
        body: Body = {"text": text, "lang": tongue.code}
        if facets:
            body["facets"] = facets
        if rng.random() < 0.02:
            body["warning"] = rng.choice(WARNINGS)
        return body

    def options(self, tongue: Tongue) -> list[Value]:
        """What a poll lets people choose from."""
        count = self._rng.randint(2, 5)
        return list(self._rng.sample(tongue.words[:400], count))
