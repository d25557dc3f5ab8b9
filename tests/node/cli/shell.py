"""The real command in real processes: nodes on loopback, and homes that begin empty."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tidy.source import ROOT

# Longer than anything here takes on a busy machine; a command that hangs must fail, not wait.
SECONDS_MAX = 60
_SERVING = re.compile(r"^Serving at (\S+) ")
COMMAND = [sys.executable, "-m", "ratoon_node"]


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Home:
    """Somebody's home folder on somebody's machine."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / ".local" / "share" / "ratoon"

    @property
    def accounts(self) -> Path:
        return self.data / "accounts"

    def environment(self, **more: str) -> dict[str, str]:
        paths = [str(ROOT / "protocol"), str(ROOT / "node")]
        return {
            "HOME": str(self.path),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(paths),
            "LANG": "C.UTF-8",
        } | more

    def run(self, *arguments: str, given: str = "", **environ: str) -> Done:
        """Run `ratoon` to its end; whatever it says, never a traceback."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=given,
            capture_output=True,
            text=True,
            env=self.environment(**environ),
            timeout=SECONDS_MAX,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def good(self, *arguments: str, given: str = "") -> Done:
        """Run `ratoon` and have it succeed."""
        done = self.run(*arguments, given=given)
        assert done.code == 0, (arguments, done)
        return done

    def account(self, *arguments: str) -> str:
        """Make an account; gives its 24 words."""
        words = self.path / f"words-{len(list(self.path.iterdir()))}"
        self.good("account", "new", "--words-file", str(words), *arguments)
        return words.read_text()


@dataclass
class Process:
    """A node that runs."""

    url: str
    process: subprocess.Popen[str]
    log: Path
    #: What it said once it served.
    line: str

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end; gives its exit code."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS_MAX)


@contextlib.contextmanager
def serving(home: Home, *arguments: str) -> Iterator[Process]:
    """A node in a home folder, from the line that says where it serves until the block ends."""
    log = home.path / "node.log"
    with log.open("a") as errors:
        process = subprocess.Popen(
            [*COMMAND, "run", "--port", "0", "--accept-private-addresses", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=home.environment(),
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = _SERVING.match(line)
        assert found, (line, log.read_text()[-500:])
        yield Process(found[1], process, log, line)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()


def new_home(folder: Path, name: str = "home") -> Home:
    path = folder / name
    path.mkdir()
    return Home(path)
