"""Matchers that are programs of the operator: what a policy file says of them, and what their
answers mean. They run elsewhere (`ingest.plugins`); this is the pure part.

    [[plugin]]
    name = "bayes"
    command = ["/opt/bayes/judge", "--fast"]   # or entry_point = "bayes"
    budget_ms = 500
    kinds = ["post", "edit"]
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from ratoon_node.policy import document
from ratoon_node.policy.document import Report, Section
from ratoon_node.policy.verdict import Decision, Verdict
from ratoon_protocol import kinds
from ratoon_protocol.kinds import Lane

# Each is a process, and each may take its budget.
PLUGINS_MAX = 8
BUDGET_MS = 500
# A batch waits for it: people who publish do too.
BUDGET_MS_MAX = 5000
#: The longest line a plugin may answer with.
ANSWER_BYTES_MAX = 8192
#: The reason of what is held because something that should have judged it failed.
POLICY_ERROR = "policy_error"
_ARGUMENTS_MAX = 64
_REASON_CHARS_MAX = 32
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
# What an owner must be able to do is judged by nobody, and what is sealed has no words.
_KINDS = {
    name: kind
    for kind, name in kinds.NAMES.items()
    if kinds.kind_class(kind).lane in (Lane.STATE, Lane.PUBLIC)
}
#: What a plugin may say, and what programs written for strfry's write policy say: what they refuse
#: is not stored here, and what they refuse without telling waits for a moderator.
ACTIONS = {
    **{one.word: one for one in (Verdict.ACCEPT, Verdict.LIMIT, Verdict.HOLD, Verdict.WITHHOLD)},
    "reject": Verdict.WITHHOLD,
    "shadowReject": Verdict.HOLD,
}


class PluginSpec(NamedTuple):
    """One `[[plugin]]`: either `entry_point` or `command` is there. No `kinds`: posts and edits."""

    name: str
    entry_point: str
    command: tuple[str, ...]
    budget_ms: int
    kinds: tuple[int, ...]


def parse_plugins(sections: list[Section], report: Report) -> tuple[PluginSpec, ...]:
    """The plugins of a file, in its order."""
    if len(sections) > PLUGINS_MAX:
        report.add(("plugin", PLUGINS_MAX), f"more than {PLUGINS_MAX} plugins")
    found: list[PluginSpec] = []
    for section in sections[:PLUGINS_MAX]:
        spec = _plugin(section)
        if spec.name in {one.name for one in found}:
            report.add((*section.path, "name"), f"another plugin is called {spec.name}")
        found.append(spec)
    return tuple(found)


def _plugin(section: Section) -> PluginSpec:
    spec = PluginSpec(
        section.need("name", _name, ""),
        section.take("entry_point", document.text_of, ""),
        section.take("command", _command, ()),
        section.take("budget_ms", _budget, BUDGET_MS),
        tuple(section.take_each("kinds", _kind)) or (kinds.POST, kinds.EDIT),
    )
    if section.says("entry_point") == section.says("command"):
        section.report.add(section.path, "either entry_point or command says what runs")
    section.finish()
    return spec


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("must be small letters, digits, - and _, 32 at most")
    return value


def _command(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= _ARGUMENTS_MAX:
        raise ValueError('must be a program and its arguments: ["/path/to/it", "argument"]')
    return tuple(map(document.text_of, value))


def _budget(value: Any) -> int:
    budget = document.count(value)
    if not 0 < budget <= BUDGET_MS_MAX:
        raise ValueError(f"must be milliseconds up to {BUDGET_MS_MAX}")
    return budget


def _kind(value: Any) -> int:
    if not isinstance(value, str) or value not in _KINDS:
        raise ValueError(f"must be one of {', '.join(_KINDS)}")
    return _KINDS[value]


def failed(name: str, version: str) -> Decision:
    """What a plugin that said nothing, or nothing sensible, brings about."""
    return Decision(Verdict.HOLD, POLICY_ERROR, f"plugin.{name}", version)


def decision_of(line: bytes, id_: bytes, name: str, version: str) -> Decision | None:
    """What one line says of record `id_`; None for `accept`. Raises `ValueError` for rubbish.

    `{"id": hex, "action": word of ACTIONS, "msg"?: text}`; of `msg` what stands before a colon is
    the reason.
    """
    if len(line) > ANSWER_BYTES_MAX:
        raise ValueError("too long")
    try:
        said = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(said, dict) or said.get("id") != id_.hex():
        raise ValueError("no answer to what was asked")
    action, message = said.get("action"), said.get("msg", "")
    if not isinstance(action, str) or action not in ACTIONS or not isinstance(message, str):
        raise ValueError("no action that is known")
    if ACTIONS[action] is Verdict.ACCEPT:
        return None
    return Decision(ACTIONS[action], _reason(message), f"plugin.{name}", version)


def _reason(message: str) -> str:
    word = re.sub(r"[^a-z0-9_-]+", "-", message.partition(":")[0].strip().lower()).strip("-")
    return word[:_REASON_CHARS_MAX] or "plugin"
