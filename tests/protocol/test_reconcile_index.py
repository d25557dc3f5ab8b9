"""The index against a naive twin: a sorted list that adds up everything anew."""

import random
import tracemalloc
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_protocol.errors import UsageError
from ratoon_protocol.reconcile import TIMESTAMP_MAX, Index, Window
from ratoon_protocol.reconcile.varint import encode_varint

Item = tuple[int, bytes]

ITEM = st.tuples(
    st.integers(0, 5) | st.sampled_from([2**32, TIMESTAMP_MAX]),
    st.sampled_from([b"\0" * 32, b"\xff" * 32]) | st.binary(min_size=32, max_size=32),
)


def naive_fingerprint(items: Iterable[Item]) -> bytes:
    ids = [record_id for _, record_id in items]
    total = sum(int.from_bytes(record_id, "little") for record_id in ids) % 2**256
    return sha256(total.to_bytes(32, "little") + encode_varint(len(ids))).digest()[:16]


def check(index: Index, items: list[Item], rng: random.Random) -> None:
    """The index holds exactly the sorted `items` and answers as the list does."""
    size = len(items)
    assert len(index) == size
    assert index.items(0, size) == items
    assert index.digest() == naive_fingerprint(items)
    for _ in range(8):
        lower, upper = sorted((rng.randint(0, size), rng.randint(0, size)))
        assert index.ids(lower, upper) == [record_id for _, record_id in items[lower:upper]]
        assert index.fingerprint(lower, upper) == naive_fingerprint(items[lower:upper])
        bound = (rng.choice(items)[0], rng.randbytes(rng.randint(0, 3))) if items else (7, b"")
        assert index.lower_bound(*bound) == bisect_left(items, bound)


@given(
    st.lists(ITEM, max_size=60),
    st.lists(st.tuples(st.booleans(), ITEM), max_size=60),
    st.integers(0, 2**32),
)
def test_any_history_equals_the_sorted_list(loaded: list[Item], changes, seed: int):
    index, naive = Index(loaded), set(loaded)
    for inserting, item in changes:
        assert (index.insert if inserting else index.erase)(*item) is (
            (item not in naive) if inserting else (item in naive)
        )
        (naive.add if inserting else naive.discard)(item)
    check(index, sorted(naive), random.Random(seed))


def made(rng: random.Random, count: int, seconds: int) -> Iterator[Item]:
    return ((rng.randrange(seconds), rng.randbytes(32)) for _ in range(count))


@pytest.mark.parametrize("seed", range(4))
def test_many_blocks_split_join_and_go(seed: int):
    rng = random.Random(seed)
    items = list(made(rng, 3000, 500))
    index = Index(items[:1500])
    assert index.bulk(items[1000:]) == 1500
    check(index, sorted(items), rng)
    rng.shuffle(items)
    while items:
        for _ in range(min(370, len(items))):
            assert index.erase(*items.pop())
        check(index, sorted(items), rng)
        added = list(made(rng, 20, 500)) if len(items) > 1000 else []
        assert all(index.insert(*item) for item in added)
        items += added
    assert index.bulk(made(rng, 600, 9)) == 600


def test_appending_in_order_and_eviction_from_the_front():
    items = [(second, bytes([second % 256]) * 32) for second in range(1000)]
    index = Index()
    for count, item in enumerate(items, 1):
        assert index.insert(*item)
        if count % 100 == 0:
            assert index.digest() == naive_fingerprint(items[:count])
    for gone in range(0, 1000, 50):
        assert index.items(0, 1000) == items[gone:]
        assert all(index.erase(*item) for item in items[gone : gone + 50])
    assert index.digest() == naive_fingerprint([])


def test_bulk_takes_more_than_one_chunk_in_any_order():
    rng = random.Random(5)
    items = list(made(rng, 40_000, 10**6))
    index = Index()
    assert index.bulk(items) == 40_000
    assert index.bulk(items[:5]) == 0
    check(index, sorted(items), rng)


def test_fingerprint_of_known_records():
    # Two ids of ones add up to 2^256 - 2: the sum wraps.
    ids = [b"\xff" * 32, b"\xff" * 31 + b"\xfe"]
    wrapped = (sum(int.from_bytes(i, "little") for i in ids) - 2**256).to_bytes(32, "little")
    index = Index((5, record_id) for record_id in ids)
    assert index.digest() == sha256(wrapped + b"\x02").digest()[:16]
    assert Index().digest() == sha256(b"\0" * 33).digest()[:16]


def test_wrong_shapes_are_the_callers_fault():
    index = Index([(1, b"a" * 32)])
    for item in [(-1, b"a" * 32), (TIMESTAMP_MAX + 1, b"a" * 32), (1, b"a" * 31), (1, b"a" * 33)]:
        for refusing in (index.insert, index.erase, lambda *bad: index.bulk([bad])):
            with pytest.raises(UsageError):
                refusing(*item)
    for lower, upper in [(-1, 0), (1, 0), (0, 2)]:
        with pytest.raises(UsageError):
            index.fingerprint(lower, upper)
    assert index.items(0, 9) == [(1, b"a" * 32)]


def test_window_follows_its_index():
    index = Index([(second, bytes([second]) * 32) for second in range(10)])
    window = Window(index, horizon_s=6)
    assert (len(window), window.start()) == (4, 6)
    assert window.digest() == naive_fingerprint(index.items(6, 10))
    index.insert(5, b"x" * 32)
    index.insert(6, b"y" * 32)
    assert (len(window), window.start()) == (5, 7)
    assert window.digest() == naive_fingerprint(index.items(7, 12))
    assert Window(index).digest() == index.digest()


@pytest.mark.parametrize(
    ("loading", "count"),
    [("bulk", 100_000), ("insert in order", 20_000), ("insert at random", 20_000)],
)
def test_memory_of_a_record(loading: str, count: int):
    seconds = list(range(count))
    if loading == "insert at random":
        random.Random(3).shuffle(seconds)
    items = ((second, sha256(b"%d" % second).digest()) for second in seconds)
    tracemalloc.start()
    try:
        index = Index()
        before, _ = tracemalloc.get_traced_memory()
        if loading == "bulk":
            index.bulk(items)
        else:
            for item in items:
                index.insert(*item)
        index.digest()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(index) == count
    assert (after - before) / count <= 64
