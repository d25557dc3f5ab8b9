"""The operator's own programs that judge records: one line of JSON in, one out, one at a time.

They are asked beside the writing stage, after signatures, so nothing of theirs is inside a
transaction. Each runs in a process of its own: a command, or a Python entry point of the group
`ratoon.matchers` in `plugin_child`. It is started when something is to be judged first.

    asked    {"type": "new", "event": {"id", "account", "key", "kind", "created_ms", "body"},
              "receivedAt": seconds, "sourceType": "API" | "Link" | "Bundle" | "Self",
              "sourceInfo": node or "", "facts": {…}, "record": base64 of the signed record}
    answered {"id", "action", "msg"?}      see `policy.plugins.decision_of`

Whoever says nothing within the budget, nothing sensible, or ends, is killed, and what it was
asked about, and is asked until it may start again, is held as `policy_error`: not shown and not
lost. All plugins are asked side by side, so what the gate hands over at once (250 records) waits
for the largest budget at most, and `START_MS` where one has to be started first; after a failure
nobody waits for it until its pause is over.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import structlog

from ratoon_node.ingest.submission import Candidate, Outcome
from ratoon_node.policy.engine import Policy
from ratoon_node.policy.facts import Facts, files_of, links_of
from ratoon_node.policy.plugins import ANSWER_BYTES_MAX, PluginSpec, decision_of, failed
from ratoon_node.policy.verdict import Decision, stronger
from ratoon_node.runtime import Clock
from ratoon_node.store import judging, read
from ratoon_node.store.db import Db
from ratoon_protocol import bodies, kinds

CHILD_MODULE = "ratoon_node.ingest.plugin_child"
# Until a plugin that failed is started again: doubled at each failure, back after a good slice.
PAUSE_MS = 1000
PAUSE_MS_MAX = 60_000
# One that was told of the end of its input has so long before it is killed.
END_SECONDS_MAX = 2

# A Python matcher imports half a second's worth; one that was just started gets so much more.
START_MS = 3000

log = structlog.get_logger()

_Seen = dict[bytes, int]
_Hosts = dict[bytes, tuple[bytes, ...]]


class Plugins:
    """Asks the plugins of whatever policy is in force. `node`: this node's own account."""

    def __init__(self, db: Db, clock: Clock, node: bytes) -> None:
        self._db = db
        self._clock = clock
        self._node = node
        self._running: dict[PluginSpec, _Plugin] = {}
        #: Told the name of a plugin that failed and what happened, once for each pause.
        self.failed: Callable[[str, str], None] = lambda name, what: None

    async def ask(
        self, policy: Policy, items: list[Candidate | Outcome]
    ) -> list[Candidate | Outcome]:
        """The same items, those that plugins object to with what they say."""
        if not policy.plugins and not self._running:
            return items
        await self._keep(policy.plugins)
        return await self._ask(policy, items)

    async def close(self) -> None:
        """End what was started."""
        await self._keep(())

    async def _keep(self, specs: Sequence[PluginSpec]) -> None:
        """End what no policy asks for any more, and know what it does ask for."""
        for spec in self._running.keys() - set(specs):
            await self._running.pop(spec).end()
        for spec in specs:
            if spec not in self._running:
                self._running[spec] = _Plugin(spec, self._clock)

    async def _ask(
        self, policy: Policy, items: list[Candidate | Outcome]
    ) -> list[Candidate | Outcome]:
        asked = {spec: _about(spec, items) for spec in policy.plugins}
        every = {one.record.id: one for found in asked.values() for one in found}
        if not every:
            return items
        facts = await self._facts(list(every.values()))
        lines = {id_: line_of(one, facts[id_]) for id_, one in every.items()}
        answers = await asyncio.gather(
            *(
                self._running[spec].judge([(one.record.id, lines[one.record.id]) for one in found])
                for spec, found in asked.items()
            )
        )
        said: dict[bytes, Decision | None] = {}
        for spec, found in zip(policy.plugins, answers, strict=True):
            for id_, answer in found.decisions(policy.version).items():
                said[id_] = stronger(said.get(id_), answer)
            if found.fault:
                self.failed(spec.name, found.fault)
        return [
            one._replace(said=said.get(one.record.id)) if isinstance(one, Candidate) else one
            for one in items
        ]

    async def _facts(self, items: Sequence[Candidate]) -> dict[bytes, Facts]:
        """What is known of each record before it is stored, by its id."""
        accounts = sorted({one.record.header.account for one in items})

        def look(db: sqlite3.Connection) -> tuple[_Seen, _Hosts]:
            return judging.first_seen(db, accounts), read.hosts_of_each(db, accounts)

        seen: _Seen = {}
        hosts: _Hosts = {}
        # Of a store that fails the gate tells; the program judges by the words.
        with suppress(sqlite3.Error):
            seen, hosts = await self._db.read(look)
        now_ms = self._clock.now_ms()
        return {one.record.id: self._facts_of(one, now_ms, seen, hosts) for one in items}

    def _facts_of(self, item: Candidate, now_ms: int, seen: _Seen, hosts: _Hosts) -> Facts:
        account, kind, body = item.record.header.account, item.record.header.kind, item.body or {}
        nodes = hosts.get(account, ())
        return Facts(
            now_ms=now_ms,
            nodes=nodes,
            peer=item.origin.peer,
            local=self._node in nodes,
            account_first_seen_ms=seen.get(account),
            texts=bodies.texts(kind, body),
            links=links_of(kind, body),
            tags=bodies.tags(kind, body),
            mentions=len(bodies.references(kind, body).accounts),
            attachments=len(bodies.media(kind, body)),
            media=files_of(bodies.media(kind, body)),
        )


def _about(spec: PluginSpec, items: Iterable[Candidate | Outcome]) -> list[Candidate]:
    """Those that a plugin is asked about."""
    return [
        one
        for one in items
        if isinstance(one, Candidate)
        and one.body is not None
        and one.record.header.kind in spec.kinds
    ]


#: Of `Facts`, what a plugin is told.
TOLD = (
    *("nodes", "local", "account_first_seen_ms", "texts", "links", "tags", "mentions"),
    *("attachments", "media"),
)


def line_of(item: Candidate, facts: Facts) -> bytes:
    """What a plugin is asked about a record, in one line."""
    found = item.record
    header = found.header
    asked = {
        "type": "new",
        "event": {
            "id": found.id,
            "account": header.account,
            "key": header.key,
            "kind": kinds.name(header.kind),
            "created_ms": header.created_ms,
            "body": item.body,
        },
        "receivedAt": facts.now_ms // 1000,
        "sourceType": _SOURCES.get(item.origin.way, item.origin.way.capitalize()),
        "sourceInfo": item.origin.peer or b"",
        "facts": {name: getattr(facts, name) for name in TOLD},
        "record": b64encode(found.encode()).decode(),
    }
    return json.dumps(asked, default=bytes.hex).encode() + b"\n"


_SOURCES = {"api": "API"}


class _Found:
    """What one plugin said of a slice; no answer is a failure. `fault`: what went wrong."""

    def __init__(self, name: str, asked: Iterable[bytes]) -> None:
        self._name = name
        self._asked = list(asked)
        self.lines: dict[bytes, bytes] = {}
        self.fault = ""

    def decisions(self, version: str) -> dict[bytes, Decision | None]:
        """By the record's id; None where it has nothing against it."""
        lines, name = self.lines, self._name
        return {
            id_: decision_of(lines[id_], id_, name, version)
            if id_ in lines
            else failed(name, version)
            for id_ in self._asked
        }


class _Plugin:
    """One program, and when it may be started again if it failed."""

    def __init__(self, spec: PluginSpec, clock: Clock) -> None:
        self._spec = spec
        self._clock = clock
        self._process: Process | None = None
        self._pause_ms = PAUSE_MS
        self._not_before_ms = 0

    async def judge(self, asked: Sequence[tuple[bytes, bytes]]) -> _Found:
        """Ask about (id, line) one after the other, all within the budget."""
        found = _Found(self._spec.name, (id_ for id_, _ in asked))
        if not asked or self._clock.monotonic_ms() < self._not_before_ms:
            return found
        try:
            async with asyncio.timeout(self._budget_ms / 1000):
                process = await self._started()
                for id_, line in asked:
                    answer = await _ask(process, line)
                    decision_of(answer, id_, self._spec.name, "")
                    found.lines[id_] = answer
        except TimeoutError:
            found.fault = f"no answer within {self._spec.budget_ms} ms"
        except (OSError, EOFError) as error:
            found.fault = f"it ended: {error}"
        except ValueError as error:
            found.fault = f"rubbish: {error}"
        except asyncio.CancelledError:
            await self._kill()
            raise
        else:
            self._pause_ms = PAUSE_MS
        if found.fault:
            log.warning("plugin_failed", plugin=self._spec.name, fault=found.fault)
            await self._kill()
            self._not_before_ms = self._clock.monotonic_ms() + self._pause_ms
            self._pause_ms = min(2 * self._pause_ms, PAUSE_MS_MAX)
        return found

    @property
    def _budget_ms(self) -> int:
        return self._spec.budget_ms + (START_MS if self._process is None else 0)

    async def _started(self) -> Process:
        if self._process is None:
            spec = self._spec
            own = (sys.executable, "-m", CHILD_MODULE, spec.entry_point)
            self._process = await asyncio.create_subprocess_exec(
                *(spec.command or own),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                limit=ANSWER_BYTES_MAX,
                start_new_session=True,  # what it starts ends with it
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}
                if spec.entry_point
                else None,
            )
        return self._process

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

    async def end(self) -> None:
        """End it, politely first."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None, "a plugin has pipes"
        process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS_MAX):
                await process.wait()
        await self._kill()


async def _ask(process: Process, line: bytes) -> bytes:
    """One answer. Raises OSError or EOFError if it is gone, ValueError for too long a line."""
    assert process.stdin is not None, "a plugin has pipes"
    assert process.stdout is not None, "a plugin has pipes"
    process.stdin.write(line)
    await process.stdin.drain()
    answer = await process.stdout.readline()
    if not answer.endswith(b"\n"):
        raise EOFError("its output is closed")
    return answer


def facts_of(told: dict[str, Any], now_ms: int, peer: str) -> Facts:
    """What a plugin was told, as `Facts` again."""
    return Facts(
        now_ms=now_ms,
        nodes=tuple(map(bytes.fromhex, told["nodes"])),
        peer=bytes.fromhex(peer) or None,
        local=told["local"],
        account_first_seen_ms=told["account_first_seen_ms"],
        texts=tuple(told["texts"]),
        links=tuple(told["links"]),
        tags=tuple(told["tags"]),
        mentions=told["mentions"],
        attachments=told["attachments"],
        media=tuple(map(bytes.fromhex, told["media"])),
    )
