"""The log holds nobody's words; the metrics are one table in a registry of their own."""

from __future__ import annotations

import io
import json
import logging
import re

import pytest
import structlog

from ratoon_node.errors import NodeError
from ratoon_node.telemetry import MASK, Metrics, configure_log
from ratoon_protocol.errors import Code

NOW_MS = 1_767_225_600_123


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def log():
    """Configures the log, and answers what was written; all is put back afterwards."""
    root = logging.getLogger()
    before = root.handlers, root.level
    stream = io.StringIO()

    def configure(level="info", form="json", to=stream):
        configure_log(level, form, to, lambda: NOW_MS)
        return to

    yield configure
    structlog.reset_defaults()
    root.handlers, level = before
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


# ----------------------------------------------------------------------------------- the log


def test_a_line_is_json_with_time_level_and_event(log):
    stream = log()
    structlog.get_logger().info("link_opened", direction="out", peers=3, ok=True, rate=0.5)
    assert lines(stream) == [
        {
            "at": "2026-01-01T00:00:00.123Z",
            "level": "info",
            "event": "link_opened",
            "direction": "out",
            "peers": 3,
            "ok": True,
            "rate": 0.5,
        }
    ]


def test_auto_is_for_people_on_a_terminal_and_json_elsewhere(log):
    terminal = log(form="auto", to=Terminal())
    structlog.get_logger().info("started", port=7420)
    assert "started" in terminal.getvalue()
    assert "\x1b[" in terminal.getvalue()
    pipe = log(form="auto", to=io.StringIO())
    structlog.get_logger().info("started", port=7420)
    assert lines(pipe)[0]["port"] == 7420


def test_the_console_form_has_no_colours_in_a_file(log):
    stream = log(form="console")
    structlog.get_logger().info("started", port=7420)
    assert re.search(r"started .*port=7420", stream.getvalue())
    assert "\x1b[" not in stream.getvalue()


def test_what_is_below_the_level_is_not_logged(log):
    stream = log(level="warning")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_private_values_are_masked_and_long_ones_cut(log):
    stream = log()
    structlog.get_logger().info(
        "odd",
        text="hello you",
        remote="192.0.2.7",
        id=bytes(range(32)),
        codes=(Code.GONE,),
        w="x" * 999,
    )
    (line,) = lines(stream)
    assert line["text"] == line["remote"] == MASK
    assert line["id"] == "0001020304050607"
    assert line["codes"] == ["gone"]
    assert len(line["w"]) == 256
    assert line["w"].endswith("x…")


def fail(words: str) -> None:
    raise ValueError(words)


def test_an_exception_is_told_without_its_message(log):
    stream = log()
    try:
        fail("dear diary")
    except ValueError as error:
        structlog.get_logger().error("crashed", exc_info=error)
        structlog.get_logger().exception("crashed")
    for line in lines(stream):
        assert line["error"] == "ValueError"
        assert re.fullmatch(r"test_telemetry\.py:\d+ fail", line["trace"][-1])
    assert "dear diary" not in stream.getvalue()


def test_our_own_errors_are_told_with_code_and_detail(log):
    stream = log()
    log_ = structlog.get_logger()
    log_.error("refused", exc_info=NodeError(Code.BUSY, detail="intake is full"))
    log_.error("refused", exc_info=NodeError(Code.BUSY))
    log_.error("refused", exc_info=None)
    first, second, third = lines(stream)
    assert (first["code"], first["detail"], first["trace"]) == ("busy", "intake is full", [])
    assert second["code"] == "busy"
    assert "detail" not in second
    assert "error" not in third


def test_what_libraries_warn_of_comes_without_their_values(log):
    stream = log()
    other = logging.getLogger("some.library")
    other.info("not shown")
    other.warning("peer %s said %r", "192.0.2.7", "hello")
    try:
        fail("dear diary")
    except ValueError:
        other.exception("handling %s", "192.0.2.7")
    first, second = lines(stream)
    assert first["library"] == "some.library"
    assert (first["level"], first["template"]) == ("warning", "peer %s said %r")
    assert (second["level"], second["error"]) == ("error", "ValueError")
    assert not re.search("192|hello|diary", stream.getvalue())


# ------------------------------------------------------------------------------- the metrics


def test_two_nodes_in_one_process_count_apart():
    one, two = Metrics("1.2.3"), Metrics("1.2.3")
    one.ingest_records.labels(Code.STORED, "publish").inc(3)
    assert b'ratoon_ingest_records_total{code="stored",origin="publish"} 3.0' in one.text()
    assert b"ratoon_ingest_records_total{" not in two.text()
    assert b'ratoon_node_info{version="1.2.3"} 1.0' in two.text()


def test_every_row_is_named_and_explained_alike():
    metrics = Metrics("0")
    families = [f for f in metrics.registry.collect() if f.name.startswith("ratoon_")]
    rows = [value for name, value in vars(metrics).items() if name != "registry"]
    assert len(families) == len(rows) + 1
    for family in families:
        assert re.fullmatch(r"ratoon_[a-z_]+", family.name)
        assert family.documentation.endswith(".")


def test_each_attribute_is_its_metric():
    metrics = Metrics("0")
    for name, row in vars(metrics).items():
        if name != "registry":
            assert [f.name for f in row.describe()] == [f"ratoon_{name}"]


def test_all_three_kinds_show_what_was_counted():
    metrics = Metrics("0")
    metrics.links.labels("in").set(4)
    metrics.journal_entries.set_function(lambda: 17)
    metrics.ingest_commit_seconds.observe(0.003)
    text = metrics.text().decode()
    assert 'ratoon_links{direction="in"} 4.0' in text
    assert "ratoon_journal_entries 17.0" in text
    assert 'ratoon_ingest_commit_seconds_bucket{le="0.0025"} 0.0' in text
    assert 'ratoon_ingest_commit_seconds_bucket{le="0.005"} 1.0' in text
    assert "process_resident_memory_bytes" in text
