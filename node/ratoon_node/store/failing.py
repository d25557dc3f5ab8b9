"""What fails again and again, a store above all: whether it will pass, and saying so once."""

from __future__ import annotations

import sqlite3

import structlog

from ratoon_protocol.errors import RatoonError

log = structlog.get_logger()


def passes(error: BaseException) -> bool:
    """Whether it is the disk or a lock, and not a statement that fails as often as it is tried."""
    if not isinstance(error, sqlite3.OperationalError):
        return False
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)  # none: the driver's own
    return code & 0xFF != sqlite3.SQLITE_ERROR


def is_bug(error: BaseException) -> bool:
    """Whether it is the statement, or what it was given: the store does everything else."""
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_ERROR
    return type(error) is not sqlite3.DatabaseError  # which is a damaged file


class Outage:
    """Says in the log that something fails when it begins to, and when it works again.

    A disk may be full for a night while thousands try, and nearly full, so that small things pass
    between large ones: one line each would fill the log's disk too. It works again once it did
    `calm` times on end.
    """

    def __init__(self, event: str, calm: int = 1) -> None:
        self._event = event
        self._calm = calm
        self._failed = 0
        self._worked = 0

    def failed(self, error: BaseException) -> None:
        """It failed, for the first time or again."""
        if not self._failed:
            if isinstance(error, (RatoonError, sqlite3.Error)):
                log.error(self._event, error=str(error))
            else:  # a bug: whoever mends it needs to know where
                log.error(self._event, error=repr(error), exc_info=error)
        self._failed += 1
        self._worked = 0

    def over(self) -> None:
        """It works; told as often as it does."""
        if self._failed:
            self._worked += 1
            if self._worked >= self._calm:
                log.info(f"{self._event}_no_more", failed=self._failed)
                self._failed = 0
