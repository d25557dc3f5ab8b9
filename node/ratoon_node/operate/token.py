"""The operator's token: whoever can read the node's folder may command the node."""

from __future__ import annotations

import os
import random
from pathlib import Path

FILE_NAME = "operator.token"
# 256 bits, as hexadecimal.
TOKEN_BYTES = 32
# A token that somebody shortened by hand is made anew.
TOKEN_CHARS = 2 * TOKEN_BYTES


def read_token(data_dir: Path) -> str | None:
    """The token of the node in `data_dir`; None if it has none yet."""
    try:
        found = (data_dir / FILE_NAME).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return found if len(found) == TOKEN_CHARS else None


def make_token(data_dir: Path, rng: random.Random) -> str:
    """The token of the node in `data_dir`, made if there is none; the file is its owner's alone."""
    found = read_token(data_dir)
    if found is not None:
        return found
    token = rng.randbytes(TOKEN_BYTES).hex()
    fresh = data_dir / f".{FILE_NAME}.new"
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(token + "\n")
    fresh.replace(data_dir / FILE_NAME)
    return token
