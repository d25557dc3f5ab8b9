"""Near-duplicates are found across accounts, whatever small thing changes, and nothing else is."""

from __future__ import annotations

import random

import pytest

from ratoon_node.policy import likeness
from ratoon_node.policy.likeness import Alike, Likeness, words
from tests.node.policy.records import HOUR_MS, NOW_MS, ident

OFFER = "Hello friend, win a free phone today, just open {} and enter your name"


def number(n: int) -> bytes:
    return n.to_bytes(32)


class Wall:
    """Texts one after the other, each of another account unless it is said whose."""

    def __init__(self, seed: int = 7) -> None:
        self.seen = Likeness(bytes([seed]))
        self.count = 0

    def put(self, text: str, account: bytes | None = None, now_ms: int = NOW_MS) -> Alike:
        self.count += 1
        id_ = number(self.count)
        return self.seen.look([text], account or id_, id_, now_ms, HOUR_MS)


@pytest.mark.parametrize(
    "change",
    [
        lambda n: f"https://a{n}.example/{n * 7919}",
        lambda n: f"www.{'x' * n}.example",
        lambda n: f"https://a.example @friend{n} @other{n}",
        lambda n: f"code {n * 31337}",
        lambda n: "https://a.example" + " https://b.example" * n,
        lambda n: "HTTPS://A.EXAMPLE" if n % 2 else "https://b.example",
    ],
)
def test_what_spam_changes_does_not_help(change):
    wall = Wall()
    answers = [wall.put(OFFER.format(change(n))) for n in range(6)]
    assert answers == [Alike(n, n) for n in range(6)]


def test_a_tail_of_other_words_and_lookalikes_do_not_help():
    wall = Wall()
    wall.put(OFFER.format("https://a.example"))
    tail = OFFER.format("https://b.example") + " quickly quietly"
    assert wall.put(tail) == Alike(1, 1)
    assert wall.put(OFFER.format("https://c.example").replace("e", "е")) == Alike(2, 2)  # Cyrillic


def test_texts_of_one_account_are_not_of_several():
    wall = Wall()
    for n in range(3):
        assert wall.put(OFFER.format(n), ident(1)) == Alike(n, 0)
    assert wall.put(OFFER.format(9), ident(2)) == Alike(3, 1)


@pytest.mark.parametrize(
    "text", ["good morning", "what a fight!", "https://a.example", "", "我买药"]
)
def test_few_words_are_never_alike(text):
    wall = Wall()
    for _ in range(5):
        assert wall.put(text) == Alike()


def test_other_texts_about_the_same_are_not_alike():
    wall = Wall()
    texts = (
        "I can not believe that the referee stopped the fight in the second round tonight",
        "the fight in the second round was the best that I have seen in ten years of boxing",
        "tonight my neighbours were louder than the whole arena, I could not hear the referee",
        "ten years of boxing and still nobody knows how the judges count in the second round",
    )
    assert [wall.put(text) for text in texts] == [Alike()] * 4


def test_random_texts_are_not_alike():
    rng, wall = random.Random(3), Wall()
    vocabulary = [f"{a}{b}" for a in "bdfklmnprstvwz" for b in ("ada", "ene", "ilo", "ora", "umi")]
    for _ in range(2000):
        assert wall.put(" ".join(rng.choices(vocabulary, k=14))).texts <= 1


def test_the_same_record_is_counted_once():
    seen = Likeness(b"s")
    text = [OFFER.format(1)]
    for _ in range(3):
        assert seen.look(text, ident(1), ident(9), NOW_MS, HOUR_MS) == Alike()
    assert seen.look(text, ident(2), ident(8), NOW_MS, HOUR_MS) == Alike(1, 1)
    assert seen.look(text, ident(1), ident(9), NOW_MS, HOUR_MS) == Alike()  # as when it came
    assert seen.look(text, ident(3), ident(7), NOW_MS, HOUR_MS) == Alike(2, 2)


def test_what_is_older_than_the_window_is_forgotten():
    wall = Wall()
    wall.put(OFFER.format(1))
    assert wall.put(OFFER.format(2), now_ms=NOW_MS + HOUR_MS) == Alike(1, 1)
    assert wall.put(OFFER.format(3), now_ms=NOW_MS + HOUR_MS + 1) == Alike(1, 1)
    assert wall.put(OFFER.format(4), now_ms=NOW_MS + 4 * HOUR_MS) == Alike()
    assert len(wall.seen) == 1


def test_memory_is_bounded_and_the_oldest_go_first(monkeypatch):
    monkeypatch.setattr(likeness, "TEXTS_MAX", 50)
    wall = Wall()
    wall.put(OFFER.format(1))
    rng = random.Random(5)
    for n in range(200):
        wall.put(" ".join(rng.choice("abcdefghij") * 3 + str(chr(107 + n % 9)) for _ in range(30)))
        assert len(wall.seen) <= 50
        assert len(wall.seen._last) <= 50 * likeness.MARKS_MAX
    assert wall.put(OFFER.format(2)) == Alike()


def test_the_same_order_gives_the_same_answers_under_any_key():
    texts = [OFFER.format(n) if n % 3 else f"number {n} " + "and so on " * 9 for n in range(90)]
    one, same, other = (Wall(seed) for seed in (1, 1, 2))
    assert [one.put(text) for text in texts] == [same.put(text) for text in texts]
    for text in texts:
        other.put(text)
    assert set(one.seen._last).isdisjoint(other.seen._last)


def test_words_are_masked_and_never_twice_in_a_row():
    assert words("See HTTPS://x.example/a?b=1 and www.y.example @ann @bob x7y 42 2024 day day") == [
        *("see", "_l", "and", "_l", "_m", "_n", "day"),
    ]
