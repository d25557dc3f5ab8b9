"""The line protocol of the public test suite, in process and as a program."""

import io
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from ratoon_protocol.errors import UsageError
from ratoon_protocol.reconcile.harness import converse
from tests.protocol.vectors_reconcile import records, segment

PROTOCOL = Path(__file__).parents[2] / "protocol"
ONE = f"item,12345,{'ee' * 32}"
LISTED = f"msg,6100000201{'ee' * 32}"


@contextmanager
def program(limit: str, items: list[tuple[int, bytes]]) -> Iterator[tuple[IO[str], IO[str]]]:
    environment = {**os.environ, "PYTHONPATH": str(PROTOCOL), "FRAMESIZELIMIT": limit}
    command = [sys.executable, "-m", "ratoon_protocol.reconcile"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for timestamp_s, record_id in items:
            process.stdin.write(f"item,{timestamp_s},{record_id.hex()}\n")
        process.stdin.write("seal\n")
        yield process.stdin, process.stdout


def ask(pipes: tuple[IO[str], IO[str]], line: str) -> str:
    pipes[0].write(line + "\n")
    pipes[0].flush()
    return pipes[1].readline().strip()


@pytest.mark.parametrize("limit", ["", "4096"])
def test_two_programs_find_the_difference(limit: str):
    mine = records([segment("common", 500), segment("mine", 90)])
    theirs = records([segment("common", 500), segment("theirs", 140)])
    found: dict[str, set[str]] = {"have": set(), "need": set()}
    with program(limit, mine) as client, program(limit, theirs) as server:
        line = ask(client, "initiate")
        while line != "done":
            word, _, rest = line.partition(",")
            if word == "msg":
                line = ask(client, ask(server, line))
            else:
                found[word].add(rest)
                line = client[1].readline().strip()
    assert found["have"] == {record_id.hex() for _, record_id in set(mine) - set(theirs)}
    assert found["need"] == {record_id.hex() for _, record_id in set(theirs) - set(mine)}


def test_version_downgrade_as_the_public_suite_asks_it():
    lines = [ONE, "seal", "", "msg,62aabbccddeeff", "msg,6100000200"]
    assert list(converse(lines)) == ["msg,61", LISTED]


def test_client_lines():
    assert list(converse([ONE, "seal", "initiate", "msg,6100000201" + "aa" * 32])) == [
        LISTED,
        f"have,{'ee' * 32}",
        f"need,{'aa' * 32}",
        "done",
    ]
    assert list(converse(["seal", "initiate", "msg,61"])) == ["msg,6100000200", "done"]


@pytest.mark.parametrize(
    "lines",
    [
        ["initiate"],
        ["item,1"],
        ["seal", ONE],
        ["seal", "msg"],
        ["seal", "nonsense"],
        [ONE, ONE, "seal"],
        ["item,18446744073709551615," + "ee" * 32, "seal"],
    ],
)
def test_commands_out_of_place(lines: list[str]):
    with pytest.raises(UsageError):
        list(converse(lines))


def exit_code(monkeypatch, lines: str) -> object:
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("ratoon_protocol.reconcile", run_name="__main__")
    return caught.value.code


def test_exit_codes(monkeypatch, capsys):
    monkeypatch.delenv("FRAMESIZELIMIT", raising=False)
    assert exit_code(monkeypatch, f"{ONE}\nseal\ninitiate\n") == 0
    assert capsys.readouterr().out == LISTED + "\n"
    assert exit_code(monkeypatch, "item,x,y\n") == 1
    monkeypatch.setenv("FRAMESIZELIMIT", "100")
    assert exit_code(monkeypatch, "seal\n") == 1
    assert "frame limit" in capsys.readouterr().err


def test_importing_the_program_does_not_run_it(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert "main" in runpy.run_module("ratoon_protocol.reconcile.__main__", run_name="imported")
