"""The policy file on disk, with the files it includes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ratoon_node.policy.document import POLICY_BYTES_MAX, PolicyFileError, Problem
from ratoon_node.policy.engine import Policy
from ratoon_node.policy.lists import ListEntry


def read_policy(path: Path, entries: Iterable[ListEntry] = ()) -> Policy:
    """The rules in `path`; no file means none.

    Raises `PolicyFileError`, also for a file that cannot be read: rules that nobody saw hold back
    nothing.
    """
    try:
        data = _bytes(path)
    except FileNotFoundError:
        data = b""
    except OSError as error:
        raise PolicyFileError([Problem(1, 1, f"cannot be read: {error.strerror}")]) from error
    return Policy.parse(data, entries, included(path.parent))


def included(folder: Path) -> Callable[[str], bytes]:
    """Reads files by their path from `folder`, and none that is outside of it."""
    root = folder.resolve()

    def read(name: str) -> bytes:
        found = (root / name).resolve()
        if not found.is_relative_to(root):  # a link that leads out
            raise PermissionError(f"{name} is outside of the folder")
        return _bytes(found)

    return read


def _bytes(path: Path) -> bytes:
    """One byte more than a policy may have tells that it has too many."""
    with path.open("rb") as file:
        return file.read(POLICY_BYTES_MAX + 1)
