"""Reading from the command line, as two people at two terminals do."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ratoon_node.cli.client import Client
from ratoon_node.cli.reading import NAMES_MAX, learn
from tests.node.cli.shell import COMMAND, Home, Process, new_home, serving


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path)


@pytest.fixture
def node(home: Home) -> Iterator[Process]:
    with serving(home, "--registration", "open") as process:
        for name in ("ann", "bob"):
            home.account(name)
        yield process


def said(home: Home, who: str, text: str, *more: str) -> str:
    return home.good("post", text, "--account", who, "--json", *more).json["id"]


def caught_up(home: Home, command: tuple[str, ...], count: int) -> dict:
    """The answer of a command over what is derived, once it has so many items."""
    for _ in range(50):
        found = home.good(*command, "--json").json
        if len(found.get("items") or found.get("replies") or ()) >= count:
            return found
    raise AssertionError(f"{command}: {found}")


def test_a_thread_is_read_as_a_tree(home: Home, node: Process) -> None:
    root = said(home, "ann", "a question")
    answer = said(home, "bob", "an answer", "--reply-to", root)
    said(home, "ann", "thank you", "--reply-to", answer)
    other = said(home, "ann", "to be deleted", "--reply-to", root)
    said(home, "bob", "below what went", "--reply-to", other)
    home.good("delete", other, "--account", "ann")
    caught_up(home, ("thread", answer), 2)
    rows = home.good("thread", answer).out.splitlines()
    depth = {row.strip(): len(row) - len(row.lstrip()) for row in rows}
    assert depth["a question"] < depth["an answer"] < depth["thank you"]
    assert any(row.strip().startswith("[gone]") for row in rows)
    assert any(row.lstrip().startswith("> ") for row in rows)
    assert "to be deleted" not in "".join(rows)
    (gone,) = [row for row in rows if row.strip().startswith("[gone]")]
    assert depth["a question"] - 4 < len(gone) - len(gone.lstrip()) < depth["below what went"]


def test_words_people_and_tags_are_found(home: Home, node: Process) -> None:
    id_ = said(home, "ann", "the pelican of #Lisbon")
    home.good("profile", "set", "--name", "Ann of Lisbon", "--account", "ann")
    assert caught_up(home, ("search", "pelican"), 1)["items"][0]["id"] == id_
    assert "the pelican" in home.good("search", "pelican").out
    assert "nothing found" in home.good("search", "ostrich").out
    assert "#lisbon  1" in home.good("search", "lis", "--tags").out
    assert "Ann of Lisbon" in home.good("search", "ann", "--people").out
    assert home.run("search", '"').code in (2, 3)
    assert caught_up(home, ("timeline", "--tag", "LISBON"), 1)["items"][0]["id"] == id_
    assert "nothing stands out" in home.good("trends").out


def test_reactions_and_reposts_are_counted_and_told(home: Home, node: Process) -> None:
    id_ = said(home, "ann", "like this")
    home.good("react", id_, "--account", "bob")
    home.good("repost", id_, "--account", "bob")
    home.good("follow", "ann", "--account", "bob")
    found = caught_up(home, ("notifications", "--account", "ann"), 3)
    assert {one["what"] for one in found["items"]} == {"reaction", "repost", "follow"}
    shown = home.good("notifications", "--account", "ann", "--only", "reaction", "--read").out
    assert "reaction  Account" in shown
    after = home.good("notifications", "--account", "ann", "--json").json
    assert after["unread"] == {} or not any(after["unread"].values())
    for text in ("one", "two"):
        said(home, "bob", text, "--reply-to", id_)
    caught_up(home, ("thread", id_), 2)
    assert "2 replies  1 repost  ♥ 1" in home.good("timeline", "--by", "ann").out
    home.good("react", id_, "--off", "--account", "bob")


@contextmanager
def terminal(home: Home, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on, and its output."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, text=True, env=home.environment()
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_what_is_posted_shows_live_at_another_terminal(home: Home, node: Process) -> None:
    said(home, "ann", "before")
    with terminal(home, "timeline", "--follow", "--account", "bob") as live:
        assert live.stdout is not None
        assert "Account" in live.stdout.readline()
        assert live.stdout.readline().strip() == "before"
        id_ = said(home, "ann", "live")
        assert id_ in live.stdout.readline()
        assert live.stdout.readline().strip() == "live"
        home.good("delete", id_, "--account", "ann")
        assert live.stdout.readline().strip() == f"gone: {id_}"
    with terminal(home, "notifications", "-f", "--json", "--account", "ann") as live:
        assert live.stdout is not None
        id_ = said(home, "ann", "ask me")
        said(home, "bob", "I ask", "--reply-to", id_)
        told = json.loads(live.stdout.readline())["notification"]
        assert (told["what"], told["target"]) == ("reply", id_)


def test_whoever_comes_into_a_followed_timeline_is_named(home: Home, node: Process) -> None:
    home.good("profile", "set", "--name", "Bob B", "--account", "bob")
    home.good("follow", "bob", "--account", "ann")
    said(home, "ann", "before")
    for which in ((), ("--home",)):
        with terminal(home, "timeline", *which, "--limit", "1", "-f", "--account", "ann") as live:
            assert live.stdout is not None
            for _ in range(2):
                live.stdout.readline()
            for text in ("one", "two"):
                id_ = said(home, "bob", text)
                head = live.stdout.readline()
                assert ("  Bob B " in head, id_ in head) == (True, True), head
                assert live.stdout.readline().strip() == text
        said(home, "ann", "between")
    with terminal(home, "notifications", "-f", "--only", "reply", "--account", "ann") as live:
        assert live.stdout is not None
        assert live.stdout.readline().strip() == "nothing yet"
        id_ = said(home, "ann", "ask me")
        said(home, "bob", "I ask", "--reply-to", id_)
        assert "reply  Bob B " in live.stdout.readline()


def test_a_name_that_was_found_is_not_asked_for_again(home: Home, node: Process) -> None:
    account = home.good("account", "show", "--account", "bob", "--json").json["account"]
    home.good("profile", "set", "--name", "Bob B", "--account", "bob")
    with contextlib.closing(Client(node.url)) as client:
        names: dict[str, Any] = {f"{number:064x}": {} for number in range(NAMES_MAX)}
        learn(client, account, names)
        assert names[account]["name"] == "Bob B"
        assert len(names) == NAMES_MAX
        assert f"{0:064x}" not in names
    nobody = Client("http://127.0.0.1:1")
    learn(nobody, account, names)
    assert names[account]["name"] == "Bob B"
    learn(nobody, "ab" * 32, names)
    assert "ab" * 32 not in names


def test_shells_complete(home: Home) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "ratoon" in home.good("completion", shell).out
    done = home.run(_RATOON_COMPLETE="complete_bash", COMP_WORDS="ratoon noti", COMP_CWORD="1")
    assert done.out.split() == ["notifications"]
