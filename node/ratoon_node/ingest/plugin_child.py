"""The child of `plugins` that runs a Python matcher: `python -m … <name of an entry point>`.

The entry point (group `ratoon.matchers`) is a callable: `(header, body, facts)` to a verdict's
word with, behind a colon, a reason if it likes (`"hold: looks like spam"`), several of them, or
None to accept. `facts` has what is known before a record is stored (see `plugins.TOLD`).
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from typing import Any, BinaryIO

from ratoon_node.ingest.plugins import facts_of
from ratoon_node.policy.facts import Facts
from ratoon_node.policy.plugins import ACTIONS
from ratoon_protocol import record
from ratoon_protocol.record import Body, Header

GROUP = "ratoon.matchers"
Matcher = Callable[[Header, Body, Facts], str | Iterable[str] | None]


def answer(matcher: Matcher, line: bytes) -> bytes:
    """What a matcher says to one line, in one line. Raises whatever it raises."""
    asked = json.loads(line)
    found = record.decode_record(b64decode(asked["record"]))
    assert found.payload is not None, "nobody is asked about a header alone"
    facts = facts_of(asked["facts"], asked["receivedAt"] * 1000, asked["sourceInfo"])
    said = matcher(found.header, record.decode_payload(found.payload), facts)
    words = [said] if isinstance(said, str) else list(said or ())
    action, reason = max((_parts(word) for word in words), key=_strength, default=("accept", ""))
    return json.dumps({"id": found.id.hex(), "action": action, "msg": reason}).encode() + b"\n"


def _parts(word: str) -> tuple[str, str]:
    action, _, reason = word.partition(":")
    return action.strip(), reason.strip()


def _strength(said: tuple[str, str]) -> int:
    return ACTIONS[said[0]]


def load(name: str) -> Any:
    """The entry point of that name. Raises `LookupError` if nobody installed one."""
    for found in entry_points(group=GROUP, name=name):
        return found.load()
    raise LookupError(f"no entry point {name} in {GROUP}")


def serve(matcher: Matcher, source: BinaryIO, sink: BinaryIO) -> None:
    """Answer every line of `source` on `sink`."""
    for line in source:
        sink.write(answer(matcher, line))
        sink.flush()


if __name__ == "__main__":
    answers, sys.stdout = sys.stdout.buffer, sys.stderr  # what a matcher prints is no answer
    serve(load(sys.argv[1]), sys.stdin.buffer, answers)
