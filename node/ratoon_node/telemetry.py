"""What the node tells its operator: a log of one line a thing, and numbers for Prometheus.

Neither has a person's words or address in it. The log keeps of an exception its type, its code
and where it was raised, not its message; values under private names are masked; of what other
libraries log only the template is kept. Labels of metrics come from small closed sets (codes,
routes, directions): never an account, a peer or an address.

The heavy modules behind this are imported when first used, so that `ratoon --version` is quick.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, MutableMapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ratoon_protocol.errors import RatoonError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

Event = MutableMapping[str, Any]

# What may not be in a log, whoever passes it.
PRIVATE = frozenset(
    {"address", "bio", "body", "host", "ip", "payload", "peername", "phrase", "remote", "secret"}
    | {"text", "token", "url"}
)
MASK = "[private]"
# Longer than any word, path or id that belongs in a line of log.
VALUE_CHARS_MAX = 256
# The innermost frames of a traceback: enough to find the place.
FRAMES_MAX = 16
# Bytes in a log are ids, keys and hashes; this many of them tell two apart.
ID_BYTES_SHOWN = 8

#: The content type of `Metrics.text`.
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# ----------------------------------------------------------------------------------- the log


def configure_log(level: str, form: str, stream: TextIO, now_ms: Callable[[], int]) -> None:
    """Send this process's log to `stream`; for the program's entry, once.

    `level` and `form` are the settings `log_level` and `log_format`; `now_ms` is the clock's.
    Other libraries' warnings come into the same log.
    """
    import structlog

    if form == "auto":
        form = "console" if stream.isatty() else "json"
    renderer: Any = structlog.processors.JSONRenderer()
    if form == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            lambda _logger, _method, event: {"at": _stamp(now_ms()), **event},
            explain_exception,
            mask_private,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    libraries = logging.getLogger()
    libraries.handlers = [_Libraries(logging.WARNING)]
    libraries.setLevel(logging.WARNING)


def _stamp(ms: int) -> str:
    """Time as text, with milliseconds, in UTC."""
    text = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def explain_exception(_logger: Any, _method: str, event: Event) -> Event:
    """An exception as type, code and place; its message may hold somebody's words."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    if not isinstance(error, BaseException):
        return event
    event["error"] = type(error).__name__
    if isinstance(error, RatoonError):  # written by us for the log
        event.update(
            {name: vars(error)[name] for name in ("code", "detail") if vars(error).get(name)}
        )
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    event["trace"] = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]
    return event


def mask_private(_logger: Any, _method: str, event: Event) -> Event:
    """Mask what has a private name, show bytes as short hexadecimal, cut what is long."""
    return {key: MASK if key in PRIVATE else _shown(value) for key, value in event.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return value[:ID_BYTES_SHOWN].hex()
    if isinstance(value, str) and len(value) > VALUE_CHARS_MAX:
        return value[: VALUE_CHARS_MAX - 1] + "…"
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    return value if isinstance(value, bool | int | float | None) else str(value)


class _Libraries(logging.Handler):
    """What libraries log, without the values they put into it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one line on."""
        import structlog

        log = structlog.get_logger().bind(library=record.name, template=str(record.msg))
        if record.exc_info:
            log = log.bind(exc_info=record.exc_info)
        log.log(record.levelno, "library")


# ------------------------------------------------------------------------------- the metrics

# From one record to the largest batch.
_SIZES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
# From a cached read to a client that gives up.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class _Rows:
    """Makes one metric a call, in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, doc: str, *labels: str) -> Counter:
        """A number that only grows; shown with `_total`."""
        from prometheus_client import Counter

        return Counter(f"ratoon_{name}", doc, labels, registry=self._registry)

    def gauge(self, name: str, doc: str, *labels: str) -> Gauge:
        """A number that goes up and down."""
        from prometheus_client import Gauge

        return Gauge(f"ratoon_{name}", doc, labels, registry=self._registry)

    def histogram(self, name: str, doc: str, buckets: Sequence[float], *labels: str) -> Histogram:
        """How often a measure fell below each of `buckets`."""
        from prometheus_client import Histogram

        return Histogram(f"ratoon_{name}", doc, labels, buckets=buckets, registry=self._registry)


class Metrics:
    """Every number this node counts, one row each, in a registry of its own.

    Count with `.labels(...).inc()`, `.observe(x)`, `.set(x)`; a gauge that is cheap to ask takes
    `.set_function(f)`. A second node in the same process has a second `Metrics`.
    """

    def __init__(self, version: str) -> None:
        from prometheus_client import CollectorRegistry, Info, ProcessCollector

        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Info("ratoon_node", "What runs here.", registry=self.registry).info({"version": version})
        row = _Rows(self.registry)
        self._gate(row)
        self._links(row)
        self._api(row)

    def _gate(self, row: _Rows) -> None:
        """The way in, the store, and what keeps it whole."""
        self.ingest_records = row.counter(
            "ingest_records", "Records by outcome and way in.", "code", "origin"
        )
        self.ingest_waiting_records = row.gauge(
            "ingest_waiting_records", "Records not yet checked."
        )
        self.ingest_waiting_bytes = row.gauge("ingest_waiting_bytes", "Bytes of those records.")
        self.ingest_batch_records = row.histogram(
            "ingest_batch_records", "Records a commit.", _SIZES
        )
        self.ingest_check_seconds = row.histogram(
            "ingest_check_seconds", "Time to decode a batch and check its signatures.", _SECONDS
        )
        self.ingest_commit_seconds = row.histogram(
            "ingest_commit_seconds", "Time to make a batch durable.", _SECONDS
        )
        self.policy_reloads = row.counter("policy_reloads", "Reloads of the rules.", "result")
        self.journal_entries = row.gauge("journal_entries", "Number of the newest journal entry.")
        self.journal_lag_entries = row.gauge(
            "journal_lag_entries", "Entries a consumer of the journal is behind.", "consumer"
        )
        self.store_bytes = row.gauge("store_bytes", "Size on disk.", "part")
        self.scrub_records = row.counter("scrub_records", "Records read again from disk.", "result")
        self.task_crashes = row.counter("task_crashes", "Tasks that ended in an error.", "task")

    def _links(self, row: _Rows) -> None:
        """Other nodes, and what is exchanged with them."""
        self.links = row.gauge("links", "Open links.", "direction")
        self.links_closed = row.counter("links_closed", "Links that ended, by reason.", "code")
        self.clock_skew_seconds = row.gauge(
            "clock_skew_seconds", "How far the median of the peers' clocks is ahead of this one."
        )

    def _api(self, row: _Rows) -> None:
        """People and their programs."""
        self.requests = row.counter("requests", "Requests by route and status.", "route", "status")
        self.request_seconds = row.histogram(
            "request_seconds", "Time to answer.", _SECONDS, "route"
        )
        self.requests_active = row.gauge("requests_active", "Requests being answered.")
        self.wait_seconds = row.histogram(
            "wait_seconds", "Time publishers waited for receipts.", _SECONDS, "result"
        )
        self.streams = row.gauge("streams", "Clients following the stream.")
        self.stream_records = row.counter("stream_records", "Records sent to them.")
        self.streams_cut = row.counter("streams_cut", "Streams ended because the client was slow.")

    def text(self) -> bytes:
        """All numbers as Prometheus reads them (`METRICS_TYPE`)."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
