"""Looks for inputs that break a promise: `python -m tests.fuzz --seconds 300 [--target codec]`.

A find is written to `fuzz-results/finds`, and the one command that shows it again is printed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz import minimise, plain, registry
from tests.fuzz.target import ROOT, Target

RESULTS = ROOT / "fuzz-results"
FINDS = RESULTS / "finds"
#: Bounds of one run, far above what any needs: seconds of one input, MiB of the process.
INPUT_SECONDS_MAX = 20
RSS_MIB_MAX = 1024
NO_ATHERIS = (
    "atheris is not here (it has wheels for CPython on Linux x86-64 alone, and is installed with"
    " the tools for developers): inputs are changed at random instead, without looking at coverage."
)


def main() -> int:
    """0 if nothing was found, 1 with a find."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=300, help="for all targets together")
    parser.add_argument("--target", choices=[*registry.SHARES, "api"], help="one alone")
    parser.add_argument("--input", type=Path, help="run this one input through the target")
    parser.add_argument("--minimise", action="store_true", help="keep what was found out")
    parser.add_argument("--plain", action="store_true", help="without atheris")
    asked = parser.parse_args()
    if asked.input is not None:
        return show(asked.target or "", asked.input)
    if asked.target == "api":
        return api(asked.seconds)
    names = [asked.target] if asked.target else list(registry.SHARES)
    if asked.minimise:
        for name in names:
            minimised(name)
        return 0
    guided = find_spec("atheris") is not None and not asked.plain
    if not guided and not asked.plain:
        print(NO_ATHERIS)
    shares = sum(registry.SHARES[name] for name in names)
    found = 0
    for name in names:
        seconds = max(1, asked.seconds * registry.SHARES[name] // shares)
        found += (under_atheris if guided else at_random)(registry.target(name), seconds)
    return 1 if found else 0


def show(name: str, file: Path) -> int:
    """One input through its target: a traceback shows what is wrong."""
    if name not in registry.SHARES:
        print("say which target: --target NAME")
        return 2
    registry.target(name).run(file.read_bytes())
    print(f"{name}: nothing is wrong with {file}")
    return 0


def how_to_see(name: str, file: Path) -> str:
    """The command that shows a find."""
    return f"{name}: see it with   make fuzz TARGET={name} INPUT={os.path.relpath(file, ROOT)}"


def at_random(target: Target, seconds: int) -> int:
    """Plain changes until the time is over."""
    ends, seed, done = time.monotonic() + seconds, 0, 0
    while time.monotonic() < ends:
        seed += 1
        try:
            done += plain.run(target.name, 200, seed)
        except plain.Broken as error:
            FINDS.mkdir(parents=True, exist_ok=True)
            file = FINDS / f"{target.name}-{sha256(error.data).hexdigest()[:16]}"
            file.write_bytes(error.data)
            print(error)
            print(how_to_see(target.name, file))
            return 1
    print(f"{target.name}: {done} inputs in {seconds} s, nothing found")
    return 0


def under_atheris(target: Target, seconds: int) -> int:
    """libFuzzer until the time is over; what it finds out stays in `fuzz-results/corpus`."""
    FINDS.mkdir(parents=True, exist_ok=True)
    before = set(FINDS.iterdir())
    with program(target) as (command, folders):
        ended = subprocess.run(
            [*command, f"-max_total_time={seconds}", f"-artifact_prefix={FINDS}/{target.name}-",
             f"-timeout={INPUT_SECONDS_MAX}", f"-rss_limit_mb={RSS_MIB_MAX}", *folders],
            cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            check=False,
        )  # fmt: skip
    said = ended.stdout.decode("utf-8", "replace")
    if ended.returncode == 0:
        *_, last = [line for line in said.splitlines() if "cov:" in line] or [""]
        print(f"{target.name}: {last.replace(chr(9), ' ')}")
        return 0
    print(said[-4000:])
    for file in sorted(set(FINDS.iterdir()) - before):
        print(how_to_see(target.name, file))
    return 1


def environment() -> dict[str, str]:
    """The program finds the code whatever is installed."""
    path = os.pathsep.join(str(ROOT / part) for part in (".", "protocol", "node"))
    return {**os.environ, "PYTHONPATH": path}


@contextmanager
def program(target: Target) -> Iterator[tuple[list[str], list[str]]]:
    """How libFuzzer is called for a target, and the folders of inputs: the first is written to."""
    work = RESULTS / "corpus" / target.name
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        seeds, words = Path(folder) / "seeds", Path(folder) / "words"
        seeds.mkdir()
        for number, data in enumerate(target.seeds()):
            (seeds / str(number)).write_bytes(data[: target.bytes_max])
        quoted = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.words)
        words.write_text("".join(f'"{word}"\n' for word in quoted), encoding="ascii")
        command = [sys.executable, "-m", "tests.fuzz.engine", target.name]
        command += [f"-dict={words}"] if target.words else []
        kept = registry.CORPUS / target.name
        yield command, [str(work), str(seeds), *([str(kept)] if kept.is_dir() else [])]


def minimised(name: str) -> None:
    """What is checked in for a target, made anew from all inputs known of it."""
    target = registry.target(name)
    folders = [registry.CORPUS / name, RESULTS / "corpus" / name]
    known = [path.read_bytes() for one in folders if one.is_dir() for path in one.iterdir()]
    kept = minimise.smallest(target, [*known, *target.seeds()])
    minimise.write(registry.CORPUS / name, kept)
    print(f"{name}: {len(kept)} inputs, {sum(map(len, kept))} bytes")


def api(seconds: int) -> int:
    """The HTTP API by its own description: see the test that it runs for longer."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-s"]
    ended = subprocess.run(
        [*command, "tests/node/api/test_schemathesis.py"],
        cwd=ROOT, env={**environment(), "RATOON_FUZZ_API_SECONDS": str(seconds)}, check=False,
    )  # fmt: skip
    return 1 if ended.returncode else 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main())
