"""Names at the command line: from sign-up to a follow on another node."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratoon_node.cli import identity
from ratoon_node.cli.say import CommandError, Exit
from tests.node.cli.shell import Home, new_home, serving


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[tuple[Home, Home]]:
    """Two machines with a node each; the second node knows the first."""
    first, second = new_home(tmp_path, "first"), new_home(tmp_path, "second")
    port = free_port()
    address = f"http://localhost:{port}"
    with (
        serving(first, "--port", str(port), "--public-addresses", address) as one,
        serving(second),
    ):
        second.good("peer", "add", one.url)
        yield first, second


def test_people_are_followed_by_their_handles(homes: tuple[Home, Home]) -> None:
    first, second = homes
    words = first.account("--handle", "ann")
    ann = first.good("account", "show", "--json").json
    assert ann["handles"] == ["ann@localhost"]
    second.account()
    second.good("follow", "ann@localhost")
    read = second.good("timeline", "--by", "@Ann@localhost", "--json").json
    assert read["items"] == []
    refused = second.run("follow", "ben@localhost", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (3, "not_found")
    unknown = second.run("follow", "nobody")
    assert (unknown.code, "name@domain" in unknown.err) == (2, True)

    kept = first.good("account", "handle", "ann.b", "--words", "-", "--json", given=words).json
    assert kept["handles"] == ["ann.b@localhost", "ann@localhost"]
    taken = first.run("account", "new", "other", "--handle", "annb", "--words-file", "x", "--json")
    assert (taken.code, taken.json["error"]["code"]) == (3, "name_taken")
    left = first.good("account", "handle", "ann", "--remove", "--words", "-", "--json", given=words)
    assert left.json["handles"] == ["ann.b@localhost"]
    shown = first.good("account", "show").out
    assert "ann.b@localhost" in shown


def test_a_node_without_a_domain_gives_out_no_names(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with serving(home):
        done = home.run("account", "new", "--handle", "ann", "--words-file", str(tmp_path / "w"))
    assert (done.code, "no names" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("handle", "words"),
    [
        ("bob@b.test", "say the name alone: --handle bob"),
        ("@Bob@b.test", "say the name alone: --handle bob"),
        ("Bob", "small letters"),
        ("b b", "small letters"),
    ],
)
def test_a_name_that_cannot_be_is_told_before_anything_is_made(handle: str, words: str) -> None:
    info = identity.NodeInfo(b"", b"", "node.example")
    with pytest.raises(CommandError, match=words) as error:
        info.handle(handle)
    assert error.value.code is Exit.USAGE
    assert "characters that no text" not in str(error.value)
    assert info.handle("bob") == "bob@node.example"


def test_an_invitation_says_who_came_and_ends(tmp_path: Path) -> None:
    host, guest = new_home(tmp_path, "host"), new_home(tmp_path, "guest")
    with serving(host) as node:
        code = host.good("invite", "new", "--uses", "3", "--note", "friends").out.strip()
        assert host.good("invite", "who", code).out == "nobody so far\n"
        guest.account("--node", node.url, "--invite", code)
        account = guest.good("account", "show", "--json").json["account"]
        assert account in host.good("invite", "who", code).out
        host.good("invite", "revoke", code)
        assert "revoked" in host.good("invite", "list").out
        again = ("--node", node.url, "--invite", code, "--words-file", str(tmp_path / "w"))
        late = guest.run("account", "new", "two", *again)
        assert (late.code, "does not take this invitation" in late.err) == (3, True)
        assert host.run("invite", "revoke", "../x").code == 2
