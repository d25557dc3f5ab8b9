"""What one check found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it stands: fine, worth a look, or to be put right."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One check: its name, how it stands, what that means, and what to do ("" for nothing)."""

    check: str
    state: State
    says: str
    do: str = ""


def ok(check: str, says: str) -> Finding:
    """Nothing to do."""
    return Finding(check, State.OK, says)


def warn(check: str, says: str, do: str) -> Finding:
    """It works, and may not for long or for everybody."""
    return Finding(check, State.WARN, says, do)


def fail(check: str, says: str, do: str) -> Finding:
    """It does not work, or endangers people."""
    return Finding(check, State.FAIL, says, do)


def failed(findings: Iterable[Finding]) -> bool:
    """Whether anything has to be put right."""
    return any(finding.state is State.FAIL for finding in findings)


def sized(count: float) -> str:
    """Bytes for people: 1.5 GiB."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TiB"
