"""Reading settings and rules again while the node runs: all of what is read takes effect, or
nothing does and the errors are told with their lines.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import structlog
from aiohttp import web

from ratoon_node.api.answers import answer, failure
from ratoon_node.api.ports import NodeParts, Services
from ratoon_node.api.route import Access, Route
from ratoon_node.config import TABLE, ConfigError, Settings
from ratoon_node.errors import NodeError
from ratoon_node.operate.policyfolder import read_policy
from ratoon_node.operate.supervisor import READY, reloading, tell_supervisor
from ratoon_node.policy.document import PolicyFileError, Problem
from ratoon_node.policy.engine import Policy
from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import listed
from ratoon_protocol.errors import Code

log = structlog.get_logger()

# A file that was moved or not mounted must not open the doors: no rules are said by an empty file.
GONE = "the file is gone while its rules are in force; an empty file means no rules"


class PolicyInForce(msgspec.Struct):
    """The version of the rules that are in force now."""

    policy: str


class Reloaded(msgspec.Struct):
    """Settings that changed, those that wait for a new start, and the version of the rules."""

    changed: list[str]
    restart: list[str]
    policy: str


class Reloader:
    """Reloads, one at a time. `fresh` reads the settings anew; None leaves them as they are."""

    def __init__(self, node: NodeParts, fresh: Callable[[], Settings] | None) -> None:
        self._node = node
        self._fresh = fresh
        self._turn = asyncio.Lock()
        #: Told the settings that are in force now.
        self.took: Callable[[Settings], None] = lambda settings: None

    async def reload_policy(self) -> str:
        """Take the rules as they are in the file now. Raises `PolicyFileError`."""
        async with self._turn:
            return await self._take_policy(await self._read_policy(self._node.settings))

    async def reload(self) -> Reloaded:
        """Take settings and rules as they are now.

        Raises `ConfigError`, `PolicyFileError`, or `NodeError` if the node cannot say now what it
        is; then everything is as it was.
        """
        async with self._turn:
            tell_supervisor(*reloading())
            try:
                before = self._node.settings
                live, restart = changes(before, self._fresh() if self._fresh else before)
                settings = replace(before, **live)
                policy = await self._read_policy(settings)
                await self._node.take_settings(settings)
                version = await self._take_policy(policy)
                self.took(settings)
            finally:
                tell_supervisor(READY)
        return Reloaded(list(live), restart, version)

    async def reload_told(self) -> None:
        """Reload because of a signal: nobody waits for an answer, so the log has it."""
        try:
            done = await self.reload()
        except ConfigError as error:
            log.error("reload_refused", problems=error.problems)
        except PolicyFileError as error:
            log.error("reload_refused", problems=[str(problem) for problem in error.problems])
        except NodeError as error:
            log.error("reload_refused", code=error.code.value)
        else:
            log.info("reloaded", changed=done.changed, restart=done.restart, policy=done.policy)

    async def _read_policy(self, settings: Settings) -> Policy:
        node = self._node
        entries = await node.db.read(_entries)
        try:
            if node.gate.policy.rules and not settings.policy_path.exists():
                raise PolicyFileError([Problem(1, 1, GONE)])
            return await node.runtime.threads.run(read_policy, settings.policy_path, entries)
        except PolicyFileError:
            node.metrics.policy_reloads.labels("refused").inc()
            raise

    async def _take_policy(self, policy: Policy) -> str:
        node = self._node
        node.gate.policy = policy
        node.metrics.policy_reloads.labels("done").inc()
        await node.roster.load()
        # Behind the answer: undoing what stands no longer takes a while in a large store.
        node.runtime.spawn(node.gate.review(), "policy.review")
        return policy.version


def changes(before: Settings, after: Settings) -> tuple[dict[str, Any], list[str]]:
    """What differs: the settings that a running node takes, and the names of the others."""
    differ = [name for name in TABLE if getattr(before, name) != getattr(after, name)]
    live = {name: getattr(after, name) for name in differ if TABLE[name].live}
    return live, [name for name in differ if name not in live]


def _entries(db: sqlite3.Connection) -> list[ListEntry]:
    return [
        ListEntry(
            Subject(row.subject),
            row.entity,
            Verdict(row.verdict),
            row.reason,
            row.expires_ms,
            row.made_by,
            row.at_ms,
        )
        for row in listed.blocks(db)
    ]


class Reloads:
    """Routes for whoever changed a file."""

    def __init__(self, services: Services, reloader: Reloader) -> None:
        self._services = services
        self._reloader = reloader

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            Route(
                "POST",
                "/v1/operator/policy",
                self.policy,
                "Read the rules again: all of them take effect, or none.",
                "operator",
                answer=PolicyInForce,
                access=Access.OPERATOR,
            ),
            Route(
                "POST",
                "/v1/operator/reload",
                self.reload,
                "Read settings and rules again: all of it takes effect, or none.",
                "operator",
                answer=Reloaded,
                access=Access.OPERATOR,
            ),
        ]

    async def policy(self, request: web.Request) -> web.Response:
        """Take the rules."""
        try:
            return answer(PolicyInForce(await self._reloader.reload_policy()))
        except PolicyFileError as error:
            return self._refused(error)

    async def reload(self, request: web.Request) -> web.Response:
        """Take settings and rules."""
        try:
            return answer(await self._reloader.reload())
        except PolicyFileError as error:
            return self._refused(error)
        except ConfigError as error:
            words = f"The settings have errors, nothing was changed. {error.problems[0]}"
            failed = NodeError(Code.BAD_REQUEST, safe=words)
            return failure(failed, problems=[{"error": one} for one in error.problems])

    def _refused(self, error: PolicyFileError) -> web.Response:
        name = self._services.node.settings.policy_path.name
        words = f"{name} has errors, nothing was changed. {error.problems[0]}"
        problems = [problem._asdict() for problem in error.problems]
        return failure(NodeError(Code.BAD_REQUEST, safe=words), problems=problems)
