"""Writes every file of protocol/vectors: `python -m tests.protocol.generate_vectors`.

Everything is a function of constants: a second run writes the same bytes, and a test asks that the
files checked in are those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.protocol import vectors_keys
from tests.protocol.vectors_bad_input import bad_input
from tests.protocol.vectors_bodies import bodies
from tests.protocol.vectors_bundle import bundle
from tests.protocol.vectors_codec import codec
from tests.protocol.vectors_frames import frames
from tests.protocol.vectors_identity import identity, status
from tests.protocol.vectors_keys import VECTORS, spelled
from tests.protocol.vectors_reconcile import reconcile
from tests.protocol.vectors_records import records
from tests.protocol.vectors_statements import statements

FILES: dict[str, Callable[[], dict[str, Any]]] = {
    "codec.json": codec,
    "records.json": records,
    "bodies.json": bodies,
    "identity.json": identity,
    "status.json": status,
    "bundle.json": bundle,
    "frames.json": frames,
    "reconcile.json": reconcile,
    "statements.json": statements,
    "bad_input.json": bad_input,
    **vectors_keys.FILES,
}


def main() -> None:
    """Write the files anew."""
    for name, make in FILES.items():
        (VECTORS / name).write_text(spelled(make()), encoding="utf-8")


if __name__ == "__main__":
    main()
