"""The demonstration itself, small: real processes, a provider destroyed, people back."""

from __future__ import annotations

import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.node.cli.shell import COMMAND, SECONDS_MAX, Home, new_home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def processes_in(folder: Path) -> list[str]:
    """Command lines of processes that name a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in line:
            found.append(line)
    return found


def test_nothing_that_was_acknowledged_is_lost_with_a_provider(home: Home, scratch: Path):
    done = home.run("demo", "--nodes", "4", "--limit", "60", "--json", TMPDIR=str(scratch))
    assert done.code == 0, (done.out, done.err)
    found = done.json
    assert found["failures"] == []
    assert found["missing"] == 0
    assert found["posts"] == 60
    assert found["acknowledged"] == found["survived"] >= 60
    assert 0 < found["acknowledged_before"] < found["acknowledged"]
    assert found["recovered"] == found["to_recover"] > 0
    assert found["lost_authors"] >= found["recovered"]
    assert found["equal"]
    assert found["reading_interrupted_ms"] > 0
    assert found["writing_interrupted_ms"] > 0
    lost = [node for node in found["nodes"] if node["lost"]]
    assert [node["provider"] for node in lost] == [found["lost_provider"]] * 2
    assert all(node["peak_bytes"] > 0 for node in found["nodes"])
    records = {node["records"] for node in found["nodes"] if not node["lost"]}
    assert len(records) == 1
    assert list(scratch.iterdir()) == []
    assert list(home.path.iterdir()) == []
    assert processes_in(scratch) == []


def test_what_is_interrupted_leaves_nothing_behind(home: Home, scratch: Path):
    process = subprocess.Popen(
        [*COMMAND, "demo", "--nodes", "3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=home.environment(TMPDIR=str(scratch)),
        # Whoever runs the tests in the background runs them deaf to it, and children inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Signing up"):
            break
    assert len(processes_in(scratch)) == 3
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err
    assert processes_in(scratch) == []
    assert list(scratch.iterdir()) == []
