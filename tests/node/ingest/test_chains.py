"""Which places of a chain are known to be free."""

from __future__ import annotations

import random

import pytest

from ratoon_node.ingest.accounts import GAPS_MAX, ChainView


@pytest.mark.parametrize("seed", range(20))
def test_what_is_known_to_be_new_in_a_chain_is_new(seed: int) -> None:
    rng = random.Random(seed)
    view, held, sure = ChainView(1, 0, 0), set[int](), 0
    top = rng.choice([30, 100, 10_000])
    for _ in range(300):
        last = view.seq_max
        seq = rng.randint(1, top) if rng.random() < 0.2 else max(1, last + rng.randint(-5, 3))
        if view.is_new(seq):
            assert seq not in held
            sure += seq < last
        held.add(seq)
        assert view.seq_max == max(held)
        assert len(view.gaps) < 2 * GAPS_MAX
    assert sure or top == 10_000
