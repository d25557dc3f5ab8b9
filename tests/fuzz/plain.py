"""Targets without atheris: every input that is kept, and changes of them from a fixed seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tests.fuzz import registry
from tests.fuzz.target import Target


def inputs(target: Target, count: int, seed: int) -> Iterator[bytes]:
    """The corpus, then `count` changed inputs; always the same."""
    kept = [path.read_bytes() for path in registry.corpus(target.name)]
    yield from kept
    sources, random = kept or list(target.seeds()) or [b""], Random(f"{target.name} {seed}")
    for _ in range(count):
        data = random.choice(sources)
        for _ in range(random.choice((1, 1, 2, 4))):
            data = target.mutate(data, random)
        yield data[: target.bytes_max]


class Broken(Exception):
    """A target did what it must not; `data` is the input."""

    def __init__(self, name: str, data: bytes, error: BaseException) -> None:
        super().__init__(f"{name}: {type(error).__name__}: {error}\ninput: {data.hex()}")
        self.data = data


def run(name: str, count: int, seed: int = 1) -> int:
    """How many inputs went through. Raises `Broken` for the first that did not."""
    target, done = registry.target(name), 0
    for data in inputs(target, count, seed):
        try:
            target.run(data)
        except Exception as error:
            raise Broken(name, data, error) from error
        done += 1
    return done
