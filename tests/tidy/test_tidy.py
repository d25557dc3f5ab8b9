"""The whole project passes its own lints."""

from __future__ import annotations

from tests.tidy import lints
from tests.tidy.source import ROOT, Source, files, python

# The kinds of file people write by hand.
WRITTEN = (".py", ".md", ".toml", ".sql", ".ts", ".tsx", ".css", ".html", ".sh", ".service")


def written() -> list[Source]:
    """Every file written by hand, of any language."""
    return [
        Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in files(*WRITTEN)
    ]


def test_there_is_something_to_look_at():
    paths = {source.path for source in python()}
    assert "node/ratoon_node/__init__.py" in paths
    assert "tests/tidy/lints.py" in paths
    assert "README.md" in {source.path for source in written()}


def test_functions_are_short():
    assert [found for source in python() for found in lints.long_functions(source)] == []


def test_files_are_short():
    assert [found for source in python() for found in lints.long_file(source)] == []


def test_nothing_is_put_off():
    assert [found for source in written() for found in lints.put_off(source)] == []


def test_names_say_something():
    paths = [source.path for source in written()]
    assert [found for path in paths for found in lints.empty_path_names(path)] == []
    assert [found for source in python() for found in lints.empty_class_names(source)] == []


def test_the_core_is_given_time_chance_and_tasks():
    core = [source for source in python("node") if lints.in_core(source.path)]
    assert [found for source in core for found in lints.outside_reached(source)] == []


def test_no_test_sleeps():
    tests = [source for source in python("tests") if not lints.may_sleep(source.path)]
    assert [found for source in tests for found in lints.sleeping(source)] == []


def test_every_limit_has_a_reason():
    limits = [source for source in python() if source.path.endswith("/limits.py")]
    assert [found for source in limits for found in lints.limits_without_reason(source)] == []
