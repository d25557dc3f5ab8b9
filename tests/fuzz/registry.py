"""The targets by name. Each is loaded when it is asked for: only then is its code instrumented."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from random import Random

from tests.fuzz.target import Target

CORPUS = Path(__file__).parent / "corpus"

#: Names, and how many shares of the time each gets: what has most states gets more.
SHARES = {
    "codec": 1,
    "record": 1,
    "body": 1,
    "identity": 3,
    "frames": 1,
    "session": 3,
    "dialogue": 2,
    "noise": 1,
    "reconcile": 3,
    "sync": 3,
    "policy": 1,
    "bundle": 1,
    "sealed": 1,
    "statement": 1,
    "text": 1,
    "query": 1,
    "config": 1,
    "request": 1,
}


def target(name: str) -> Target:
    """The target of that name. Raises KeyError for another."""
    if name not in SHARES:
        raise KeyError(name)
    found: Target = import_module(f"tests.fuzz.targets.{name}").TARGET
    return found


def every() -> Target:
    """All targets as one: the first byte of an input chooses."""
    found = [target(name) for name in SHARES]

    def chosen(data: bytes) -> tuple[Target, bytes]:
        return (found[data[0] % len(found)], data[1:]) if data else (found[0], b"")

    def run(data: bytes) -> None:
        one, rest = chosen(data)
        one.run(rest[: one.bytes_max])

    def mutate(data: bytes, random: Random) -> bytes:
        number = random.randrange(len(found))
        one = found[number]
        kept = [path.read_bytes() for path in corpus(one.name)]
        source = random.choice(kept) if kept and random.random() < 0.5 else data[1:]
        return bytes([number]) + one.mutate(source, random)

    return Target(
        "all", run, lambda: (), bytes_max=max(one.bytes_max for one in found), mutate=mutate
    )


def corpus(name: str) -> list[Path]:
    """The inputs that are kept for a target, in order."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())
