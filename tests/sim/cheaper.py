"""What makes a world cost less and changes nothing that it can show.

All nodes of a world run in one process and check the same signatures; a good one is good for ever,
so it is computed once. Nothing else of the check is skipped: keys and signatures are looked at in
all other ways each time, and what does not fit is computed again each time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from nacl.bindings import crypto_sign_open

from ratoon_node.ingest import scrub
from ratoon_protocol import keys

# Good signatures remembered; a world has a few hundred.
SIGNATURES_MAX = 50_000
# Of the scrubber: a round is one slice in a world, and disks rot seldom.
SCRUB_PAUSE_MS, SCRUB_RECORDS = 8_000, 500
# Objects made before Python looks for cycles: a world makes few, and is small.
OBJECTS_BETWEEN_COLLECTIONS = 100_000


@contextmanager
def cheaper() -> Iterator[None]:
    """While a world runs."""
    compute = crypto_sign_open
    good: dict[tuple[bytes, bytes], Any] = {}

    def check(signed: bytes, key: bytes) -> Any:
        found = good.get((signed, key))
        if found is None:
            if len(good) >= SIGNATURES_MAX:
                good.clear()
            found = good[signed, key] = compute(signed, key)
        return found

    before = gc.get_threshold()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *before[1:])
    try:
        with (
            patch.object(keys, "crypto_sign_open", check),
            patch.object(scrub, "ROUND_PAUSE_MS", SCRUB_PAUSE_MS),
            patch.object(scrub, "SLICE_RECORDS", SCRUB_RECORDS),
        ):
            yield
    finally:
        gc.set_threshold(*before)
