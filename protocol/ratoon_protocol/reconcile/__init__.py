"""Negentropy V1: two nodes find out which records only one of them has.

    Index                the sorted set of (seconds since 2020-01-01, id) with its sums
    └── Window           the part of an index from a horizon on, sharing its memory
    Reconciler           one session over either, as client or as server
    ├── Turn             the work on one message, a slice at a time
    └── Step             what a client learned from it

The bytes are those of the published specification, so any other implementation of Negentropy
V1 can be the other side. `python -m ratoon_protocol.reconcile` speaks the line protocol of its
public test suite.
"""

from __future__ import annotations

from ratoon_protocol.reconcile.index import ID_BYTES, TIMESTAMP_MAX, Index, Window
from ratoon_protocol.reconcile.session import Reconciler, Step, Turn

__all__ = ["ID_BYTES", "TIMESTAMP_MAX", "Index", "Reconciler", "Step", "Turn", "Window"]
