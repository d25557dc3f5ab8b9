"""What every test runs under, and where their time goes."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import PurePosixPath

import pytest
from hypothesis import settings

# The same examples every time, so that a red run is red again; and no deadline, because a busy
# machine says nothing about the code.
settings.register_profile("ratoon", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("ratoon")

# A run of a few tests needs no table.
TABLE_FROM_TESTS = 500


class Minutes:
    """Adds up what tests of a folder take, set-up and end included, wherever they run."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._tests = Counter[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One part of one test ended."""
        group = group_of(report.nodeid)
        self._seconds[group] += report.duration
        self._tests[group] += report.when == "call"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table, what takes longest first."""
        if self._tests.total() < TABLE_FROM_TESTS:
            return
        terminalreporter.section("minutes by group of tests, all processes together")
        for group, seconds in sorted(self._seconds.items(), key=lambda one: -one[1]):
            terminalreporter.line(f"{seconds / 60:6.2f}  {self._tests[group]:5}  {group}")


def group_of(nodeid: str) -> str:
    """The folder of a test, below `tests/` and at most two deep."""
    folders = PurePosixPath(nodeid.partition("::")[0]).parts[1:-1]
    return "/".join(folders[:2]) or "."


def pytest_configure(config: pytest.Config) -> None:
    """Count where the report is written: not in the processes of a parallel run."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Minutes(), "minutes")
