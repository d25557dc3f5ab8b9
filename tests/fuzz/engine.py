"""One target under atheris, in a process of its own: `python -m tests.fuzz.engine NAME OPTION …`.

Options and folders are libFuzzer's. The code under test is loaded after instrumentation begins,
so nothing of it may be imported above.
"""

from __future__ import annotations

import os
import sys
from random import Random

import atheris

#: Names a file that libFuzzer runs as this program where it needs another process of it.
PROGRAM = "RATOON_FUZZ_PROGRAM"
#: What the coverage is of; the tests' second implementations lead nowhere new.
INSTRUMENTED = (
    "ratoon_protocol",
    "ratoon_node.policy",
    "ratoon_node.timeline.terms",
    "ratoon_node.config",
    "ratoon_node.api.asked",
    "ratoon_node.api.batch",
    "ratoon_node.api.rate",
    "ratoon_node.cli.bundles",
    "tomllib",
)


def main() -> None:
    """Until libFuzzer ends the process: 0 after its time or runs, another number with a find."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        from tests.fuzz import registry

        target = registry.every() if name == "all" else registry.target(name)

    def mutate(data: bytes, size_max: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.5:
            return bytes(atheris.Mutate(data, size_max))
        return target.mutate(data, random)[:size_max]

    sys.argv[0] = os.environ.get(PROGRAM, sys.argv[0])
    sys.argv.append(f"-max_len={target.bytes_max}")
    atheris.Setup(sys.argv, target.run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
