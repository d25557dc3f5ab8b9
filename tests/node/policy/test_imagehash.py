"""Pictures that look alike have hashes that are near, and near hashes are found among many."""

from __future__ import annotations

import random
from math import sin

import pytest

from ratoon_node.policy.imagehash import (
    DISTANCE_MAX,
    HASH_BITS,
    PDQ_BITS,
    PDQ_DISTANCE_MAX,
    SIDE,
    NearIndex,
    distance,
    parse_hash,
    picture_hash,
)

Grey = list[list[float]]


def picture(seed: int) -> Grey:
    """A few waves of random direction: smooth, as photographs are."""
    rng = random.Random(seed)
    waves = [[rng.uniform(0.05, 0.6), rng.uniform(0.05, 0.6), rng.random() * 6] for _ in range(6)]
    return [
        [sum(sin(a * x + b * y + c) for a, b, c in waves) * 20 + 128 for x in range(SIDE)]
        for y in range(SIDE)
    ]


def changed(grey: Grey, change) -> Grey:
    return [[change(value, x, y) for x, value in enumerate(row)] for y, row in enumerate(grey)]


def test_light_contrast_and_noise_leave_a_picture_near_itself():
    rng = random.Random(1)
    for seed in range(20):
        own = picture(seed)
        hashed = picture_hash(own)
        assert picture_hash(changed(own, lambda value, x, y: value * 0.8 + 30)) == hashed
        noisy = changed(own, lambda value, x, y: round(value) + rng.choice((-3, 0, 3)))
        assert distance(picture_hash(noisy), hashed) <= DISTANCE_MAX


def test_other_pictures_are_far_from_each_other():
    hashes = [picture_hash(picture(seed)) for seed in range(40)]
    assert all(one < 1 << HASH_BITS for one in hashes)
    pairs = [(a, b) for n, a in enumerate(hashes) for b in hashes[:n]]
    assert sum(distance(a, b) <= DISTANCE_MAX for a, b in pairs) <= len(pairs) // 100
    mirrored = picture_hash([row[::-1] for row in picture(0)])
    assert distance(mirrored, hashes[0]) > DISTANCE_MAX


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match="32 rows"):
        picture_hash([[0.0] * SIDE] * (SIDE - 1))


def test_hashes_are_read_from_their_digits_alone():
    assert parse_hash("00000000000000fF") == 255
    assert parse_hash("f" * 64, PDQ_BITS) == (1 << 256) - 1
    for text in ("ff", "0x000000000000ff", "g" * 16, " " * 16, "f" * 64):
        with pytest.raises(ValueError, match="16 hexadecimal digits"):
            parse_hash(text)


@pytest.mark.parametrize(
    ("bits", "most", "count"),
    [(HASH_BITS, DISTANCE_MAX, 3000), (HASH_BITS, 3, 500), (PDQ_BITS, PDQ_DISTANCE_MAX, 500)],
)
def test_the_index_finds_what_a_loop_finds(bits, most, count):
    rng = random.Random(count)
    entries = [(rng.getrandbits(bits), rng.randint(0, most), n) for n in range(count)]
    few, many = NearIndex(entries[:50], bits), NearIndex(entries, bits)
    hits = 0
    for value, _, _ in rng.sample(entries, 100):
        asked = value
        for place in rng.sample(range(bits), rng.randint(0, most + 1)):
            asked ^= 1 << place
        slow = [n for other, near, n in entries if distance(other, asked) <= near]
        assert many.find(asked) == slow
        assert few.find(asked) == [n for n in slow if n < 50]
        hits += len(slow)
    assert hits > 20
    assert not NearIndex([], bits).find(0)
