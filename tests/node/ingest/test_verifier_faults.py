"""A child that checks signatures and goes wrong costs a moment, never a record or its answer."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from ratoon_node.ingest import submission, verifier
from ratoon_node.ingest.submission import (
    Finding,
    Origin,
    Outcome,
    Question,
    Way,
    accept,
    examine,
    examine_all,
)
from ratoon_node.ingest.verifier import ProcessVerifier, ThreadVerifier
from ratoon_node.runtime import ThreadExecutor
from ratoon_protocol.errors import Code
from tests.node.world import Clock, person

NETWORK = b"ratoon\x00\x01"
NOW_MS = Clock().now_ms()


def questions(count: int = 3) -> list[Question]:
    ann = person(NETWORK, random.Random(5), Clock())
    return [Question(ann.post(f"post {at}").encode(), True, False) for at in range(count)]


class Examining:
    """One child, and a thread for what it cannot do."""

    def __init__(self) -> None:
        self._executor = ThreadExecutor(1, "spare")
        self.by = ProcessVerifier(1, ThreadVerifier(self._executor, 1), Clock())

    async def __aenter__(self) -> ProcessVerifier:
        return self.by

    async def __aexit__(self, *_: object) -> None:
        await self.by.close()
        self._executor.close()


def pid_of(by: ProcessVerifier) -> int:
    (child,) = by._children
    assert child._process is not None
    return child._process.pid


async def test_a_child_that_hangs_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verifier, "ANSWER_SECONDS_MAX", 0.1)
    monkeypatch.setattr(verifier, "END_SECONDS_MAX", 0.1)
    asked = questions()
    async with Examining() as by:
        await by.start()
        pid = pid_of(by)
        os.kill(pid, signal.SIGSTOP)
        async with asyncio.timeout(20):
            assert await by.examine(asked, NETWORK, NOW_MS) == examine_all(asked, NETWORK, NOW_MS)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def says(data: bytes) -> str:
    """A program that reads a request and says these bytes."""
    framed = len(data).to_bytes(verifier.LENGTH_BYTES) + data
    return f"import sys; sys.stdin.buffer.read(4); sys.stdout.buffer.write({framed!r})"


# What a child of another version, or one whose interpreter prints something, may say.
WRONG = {
    "nothing": says(b""),
    "no list": says(b"\x01"),
    "no message pack": says(b"\xc1"),
    "too few": says(b"\x91\xc0"),
    "too many": says(b"\x94\xc0\xc0\xc0\xc0"),
    "rows of another shape": says(b"\x93\x91\xc0\xc0\xc0"),
    "an unknown code": says(b"\x93\x95\xa3odd\xa0\xc0\xc0\xc2\xc0\xc0"),
    "half": "import sys; sys.stdout.buffer.write(bytes(3))",
}


@pytest.mark.parametrize("program", WRONG.values(), ids=list(WRONG))
async def test_an_answer_that_is_none_is_found_here(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = asyncio.create_subprocess_exec

    async def other(*_: str, **how: Any) -> asyncio.subprocess.Process:
        return await create(sys.executable, "-c", program, **how)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", other)
    asked = questions()
    async with Examining() as by:
        assert await by.examine(asked, NETWORK, NOW_MS) == examine_all(asked, NETWORK, NOW_MS)


async def test_a_machine_that_starts_no_process_is_no_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refused(*_: str, **how: Any) -> asyncio.subprocess.Process:
        raise OSError(24, "Too many open files")

    asked = questions()
    async with Examining() as by:
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "create_subprocess_exec", refused)
            await by.start()
            assert await by.examine(asked, NETWORK, NOW_MS) == examine_all(asked, NETWORK, NOW_MS)


def absolute(entries: list[str]) -> list[str]:
    """Places of modules, wherever this process goes."""
    return [str(Path(entry).absolute()) for entry in entries]


async def test_a_child_imports_what_the_node_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever lies in the folder where the node was started."""
    (tmp_path / "msgpack.py").write_text(
        f"open({str(tmp_path / 'imported')!r}, 'w').close()\nraise SystemExit"
    )
    monkeypatch.setattr(sys, "path", absolute(sys.path))
    monkeypatch.chdir(tmp_path)
    asked = questions()
    async with Examining() as by:
        await by.start()
        pid = pid_of(by)
        assert await by.examine(asked, NETWORK, NOW_MS) == examine_all(asked, NETWORK, NOW_MS)
        assert not (tmp_path / "imported").exists()
        assert pid_of(by) == pid


async def test_a_terminal_that_goes_leaves_the_child() -> None:
    asked = questions()
    async with Examining() as by:
        await by.examine(asked, NETWORK, NOW_MS)
        pid = pid_of(by)
        os.kill(pid, signal.SIGHUP)
        await by.examine(asked, NETWORK, NOW_MS)
        assert pid_of(by) == pid


async def test_a_bug_costs_the_record_that_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = questions()

    def sick(one: Question, network: bytes, now_ms: int) -> Finding:
        if one is asked[1]:
            raise ZeroDivisionError
        return examine(one, network, now_ms)

    monkeypatch.setattr(submission, "examine", sick)
    found = examine_all(asked, NETWORK, NOW_MS)
    assert [one.code for one in found] == [None, Code.INTERNAL, None]
    assert found[1].detail.startswith("ZeroDivisionError in sick")
    assert accept(asked[1].item, Origin(Way.API), found[1]) == Outcome(None, Code.INTERNAL)
