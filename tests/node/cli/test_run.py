"""`ratoon run`, `init` and `config`: from an empty home to a clean end."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import urllib.request
from pathlib import Path

import pytest

from ratoon_node import __version__
from ratoon_node.config import TABLE, example_toml
from ratoon_protocol import phrase
from tests.node.cli.shell import COMMAND, SECONDS_MAX, Home, new_home, serving
from tests.tidy.source import ROOT


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def words_in(text: str) -> str:
    return " ".join(re.findall(r"\d+\. ([a-z]+)", text))


def test_a_node_serves_from_an_empty_home_and_ends_cleanly(home: Home):
    with serving(home) as node:
        with urllib.request.urlopen(node.url + "v1/node") as answer:
            before = json.load(answer)
        assert node.stop() == 0
    with serving(home) as node:
        with urllib.request.urlopen(node.url + "v1/node") as answer:
            assert json.load(answer)["account"] == before["account"]
        assert node.stop(signal.SIGINT) == 0
    assert not (home.data / "serving.json").exists()


def test_without_a_terminal_the_words_wait_in_a_private_file(home: Home):
    with serving(home) as node:
        words = (home.data / "recovery-words.txt").read_text()
        assert len(phrase.entropy_from_words(words)) == 32
        told = node.log.read_text()
    assert str(home.data / "recovery-words.txt") in told
    assert not set(words.split()[:6]) <= set(re.findall("[a-z]+", told))
    assert mode(home.data) == 0o700
    assert {path.name: mode(path) for path in home.data.iterdir()} == {
        path.name: 0o600 for path in home.data.iterdir()
    }
    shown = home.run("init")
    assert shown.code == 1
    assert words.split()[0] not in (shown.out + shown.err).split()
    assert home.good("init", "--forget-words").code == 0
    assert not (home.data / "recovery-words.txt").exists()


def on_a_terminal(home: Home, *arguments: str) -> str:
    """What a command shows on a terminal of its own."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=home.environment(TERM="dumb"),
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # the other end is closed
            chunk = b""
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    assert process.wait(SECONDS_MAX) == 0, shown
    return shown.decode()


def test_on_a_terminal_the_words_are_shown_once_and_kept_nowhere(home: Home):
    words = words_in(on_a_terminal(home, "init"))
    entropy = phrase.entropy_from_words(words)
    assert words_in(on_a_terminal(home, "init")) == ""
    kept = b"".join(path.read_bytes() for path in home.data.iterdir() if path.is_file())
    assert entropy.hex().encode() not in kept
    assert " ".join(words.split()[:3]).encode() not in kept


def test_init_writes_a_settings_file_that_changes_nothing(home: Home):
    made = home.good("init", "--json").json
    assert made["new"] is True
    assert (home.data / "ratoon.toml").read_text() == example_toml()
    assert home.good("init", "--json", "--forget-words").json["account"] == made["account"]
    shown = home.good("config", "--json").json
    assert {row["source"] for row in shown.values()} == {"default"}


def test_what_a_node_in_another_folder_says_to_type_is_about_that_folder(home: Home):
    folder = home.path / "another folder"
    with serving(home, "--data-dir", str(folder)) as node:
        assert f"Run `ratoon init --data-dir '{folder}'` on a terminal" in node.log.read_text()
        words = ("--words-file", str(home.path / "words"))
        assert node.line.rstrip().endswith(f": RATOON_DATA_DIR='{folder}' ratoon account new")
        typed = home.run("account", "new", *words, RATOON_DATA_DIR=str(folder))
        assert (typed.code, f"at home at {node.url.rstrip('/')}: " in typed.out) == (0, True), typed
        home.good("post", "here")
    assert not (home.data / "keys.json").exists()
    gone = home.run("peer", "list", "--data-dir", str(folder))
    assert f"`ratoon run --data-dir '{folder}'`" in gone.err


def test_a_node_in_the_usual_folder_names_no_folder(home: Home):
    with serving(home) as node:
        assert node.line.endswith(" in a second terminal: ratoon account new\n")
        assert "Run `ratoon init` on a terminal" in node.log.read_text()


def test_two_processes_never_use_one_folder(home: Home):
    with serving(home) as node:
        second = home.run("run", "--port", "0")
        assert second.code == 1
        assert f"({node.process.pid})" in second.err
        assert "--data-dir" in second.err


def test_a_taken_port_is_told_and_makes_no_keys(home: Home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = home.run("run", "--port", str(port))
    assert done.code == 1
    assert f"port {port}" in done.err
    assert "--port" in done.err
    assert not (home.data / "keys.json").exists()


def test_keys_of_another_network_are_not_used(home: Home):
    home.good("init")
    done = home.run("run", "--port", "0", "--network-id", "00" * 8)
    assert done.code == 1
    assert "network_id" in done.err


def test_a_policy_with_an_error_keeps_the_node_from_starting(home: Home):
    home.good("init")
    (home.data / "policy.toml").write_text("[rules\n")
    done = home.run("run", "--port", "0")
    assert done.code == 1
    assert "policy.toml" in done.err


def test_a_database_that_is_none_is_told_in_a_line(home: Home):
    home.good("init")
    (home.data / "ratoon.sqlite").write_bytes(b"no database " * 1000)
    done = home.run("run", "--port", "0")
    assert done.code == 1
    assert "ratoon.sqlite cannot be used: file is not a database" in done.err
    assert "Traceback" not in done.err


def test_every_setting_is_a_flag_a_variable_and_a_line_of_the_file(home: Home):
    shown = home.good("run", "--help").out
    assert [name for name, row in TABLE.items() if row.flag not in shown] == []
    told = home.run("config", "--json", "--port", "1", RATOON_NAME="n", RATOON_PORT="2").json
    assert (told["port"], told["name"]) == (
        {"value": 1, "source": "--port"},
        {"value": "n", "source": "RATOON_NAME"},
    )
    assert home.good("config", "--example").out == example_toml()
    explained = home.good("config", "--explain").out
    assert [name for name, row in TABLE.items() if row.doc not in explained] == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "--port", "99999"), 1, "port is above 65535"),
        (("run", "--prt", "1"), 2, "No such option"),
        (("nothing",), 2, "No such command"),
        (("post",), 2, "Missing argument"),
        (("post", "x"), 1, "ratoon account new"),
        (("timeline", "--node", "http://127.0.0.1:1"), 4, "ratoon run"),
        (("timeline", "--node", "ftp://x"), 2, "not an address"),
        (("peer", "list"), 1, "ratoon run"),
        (("account", "new", "UPPER"), 2, "small letters"),
    ],
)
def test_mistakes_get_one_line_and_a_code(
    home: Home, arguments: tuple[str, ...], code: int, words: str
):
    done = home.run(*arguments)
    assert (done.code, words in done.err, done.out) == (code, True, ""), done


def test_an_error_is_json_where_json_was_asked_for(home: Home):
    done = home.run("timeline", "--json", "--node", "http://127.0.0.1:1")
    assert (done.code, done.json["error"]["code"]) == (4, "unreachable")


def test_the_version(home: Home):
    assert home.good("--version").out == f"ratoon {__version__}\n"
    modules = "import sys, ratoon_node.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [COMMAND[0], "-c", modules], capture_output=True, text=True, env=home.environment()
    )
    assert {"typer", "aiohttp", "cryptography", "msgspec"}.isdisjoint(loaded.stdout.split())


def test_the_example_settings_file_is_what_the_table_says():
    assert (ROOT / "deploy" / "ratoon.example.toml").read_text() == example_toml()
