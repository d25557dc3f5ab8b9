"""Accounts through the real command: keys that stay here, words that bring everything back."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from ratoon_client.keyfile import KeyFile
from ratoon_node.cli.client import Client
from ratoon_node.cli.identity import fresh_salt, now_ms
from ratoon_node.cli.say import plain
from ratoon_protocol import kinds, phrase
from ratoon_protocol.kinds import Lane
from tests.node.cli.shell import Home, Process, new_home, serving


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path)


@pytest.fixture
def node(home: Home) -> Iterator[Process]:
    with serving(home) as process:
        yield process


def texts(home: Home, *arguments: str) -> list[str]:
    page = home.good("timeline", "--json", *arguments).json
    return [item["body"]["text"] for item in page["items"]]


def test_an_account_is_made_here_and_posts_reads_and_deletes(home: Home, node: Process):
    words = home.account()
    entropy = phrase.entropy_from_words(words)
    file = home.accounts / "me.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = json.loads(file.read_text())
    assert phrase.derive(entropy, phrase.ACCOUNT_KEY_LABEL).hex() not in json.dumps(kept)
    first = home.good("post", "--json", "one").json
    home.good("post", "-", given="two\nlines\n")
    home.good("post", "answer", "--reply-to", first["id"])
    assert texts(home) == ["answer", "two\nlines", "one"]
    assert texts(home, "--home", "--limit", "1") == ["answer"]
    assert texts(home, "--by", "me") == ["answer", "two\nlines", "one"]
    home.good("delete", first["id"])
    assert texts(home) == ["answer", "two\nlines"]
    assert home.good("account", "list", "--json").json[0]["account"] == kept["account"]
    assert home.good("account", "show", "--json").json["unsent"] == 0


def test_follows_and_profiles(home: Home, node: Process):
    home.account("ann")
    home.account("bob")
    home.good("post", "from bob", "--account", "bob")
    assert texts(home, "--home", "--account", "ann") == []
    home.good("follow", "bob", "--account", "ann")
    assert texts(home, "--home", "--account", "ann") == ["from bob"]
    home.good("unfollow", "bob", "--account", "ann")
    assert texts(home, "--home", "--account", "ann") == []
    home.good("profile", "set", "--name", "Ann", "--account", "ann")
    home.good("profile", "set", "--bio", "Hello", "--account", "ann")
    assert home.run("post", "whose?").code == 2
    stranger = home.run("follow", "carl", "--account", "ann")
    assert (stranger.code, "carl is no account of this machine" in stranger.err) == (2, True)


def test_addresses_in_a_post_are_links_that_blocks_look_at(home: Home, node: Process):
    home.account()
    home.good(
        "post", "é (https://a.example/x_(y)?b=c), http://b.example/ü! https:// ftp://c.example"
    )
    (item,) = home.good("timeline", "--json").json["items"]
    assert [facet[3] for facet in item["body"]["facets"]] == [
        "https://a.example/x_(y)?b=c",
        "http://b.example/ü",
    ]
    home.good("block", "domain", "b.example")
    assert texts(home) == []
    assert home.run("post", "more at http://b.example/").code == 3


@pytest.mark.parametrize(
    "shown", ["👩\u200d👩\u200d👧", "می\u200cخواهم", "5\u00a0km", "東京\u3000京都"]
)
def test_what_people_write_with_reaches_the_terminal(shown: str):
    assert plain(shown) == shown
    assert plain(f"{shown}\x1b[31m\u202e") == f"{shown}�[31m�"


def test_a_locale_without_the_letter_ends_nothing(home: Home, node: Process):
    home.account()
    home.good("post", "Grüße")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    shown = home.run("timeline", **ascii_only)
    assert (shown.code, "Gr??e" in shown.out) == (0, True)


def test_words_are_given_to_a_terminal_or_a_file_or_not_at_all(home: Home, node: Process):
    refused = home.run("account", "new")
    assert (refused.code, refused.out) == (1, "")
    assert "--words-file" in refused.err
    assert not (home.accounts / "me.json").exists()
    taken = home.path / "taken"
    taken.write_text("mine")
    assert home.run("account", "new", "--words-file", str(taken)).code == 1
    assert taken.read_text() == "mine"


def test_a_stranger_needs_an_invitation(home: Home, node: Process, tmp_path: Path):
    other = new_home(tmp_path, "other")
    words = str(other.path / "words")
    refused = other.run("account", "new", "--json", "--node", node.url, "--words-file", words)
    assert (refused.code, refused.json["error"]["code"]) == (3, "invite_needed")
    assert "--invite" in refused.json["error"]["message"]
    assert not Path(words).exists()  # of an account that nobody has
    code = home.good("invite", "new").out.strip()
    other.account("--node", node.url, "--invite", code)
    other.good("post", "let in")
    assert texts(home) == ["let in"]


def test_words_alone_bring_an_account_back(home: Home, node: Process):
    words = home.account()
    home.good("post", "before")
    shutil.rmtree(home.accounts)
    assert home.run("post", "nobody").code == 1
    wrong = home.run("account", "recover", "--words", "-", given=words.replace(" ", " zoo ", 1))
    assert (wrong.code, "bad_phrase" in wrong.err) == (1, True)
    back = home.good("account", "recover", "--json", "--words", "-", given=words).json
    assert len(back["stolen"]) == 1
    home.good("post", "after")
    assert texts(home) == ["after", "before"]
    shown = home.good("account", "show", "--json").json
    assert [device["here"] for device in shown["devices"]] == [True]
    assert shown["revoked"] == back["stolen"]


def test_a_restored_key_file_never_continues_a_chain(home: Home, node: Process):
    words = home.account()
    home.good("post", "one")
    saved = (home.accounts / "me.json").read_text()
    home.good("post", "two")
    (home.accounts / "me.json").write_text(saved)
    stale = home.run("post", "--json", "fork")
    assert (stale.code, stale.json["error"]["code"]) == (1, "behind")
    old = home.good("account", "show", "--json").json["devices"][0]["key"]
    assert home.good("account", "rotate", "--json", "--words", "-", given=words).json[
        "retired"
    ] == [old]
    home.good("post", "three")
    assert texts(home) == ["three", "two", "one"]


def test_a_copied_key_file_never_continues_a_chain(home: Home, node: Process, tmp_path: Path):
    home.account()
    copy = new_home(tmp_path, "copy")
    shutil.copytree(home.accounts, copy.accounts)
    copied = copy.run("post", "--json", "--node", node.url, "fork")
    assert (copied.code, copied.json["error"]["code"]) == (1, "copied")
    assert texts(home) == []


@pytest.mark.parametrize("arrived", [False, True])
def test_what_was_signed_and_never_answered_is_sent_again(home: Home, node: Process, arrived: bool):
    home.account()
    home.good("post", "one")
    file = home.accounts / "me.json"
    kept = KeyFile(**json.loads(file.read_text()))
    author = kept.author()
    unsent = author.sign(kinds.POST, {"text": "two"}, now_ms(), fresh_salt())
    kept.chains = author.saved_chains()
    kept.pending = [unsent.encode().hex()]
    file.write_text(json.dumps(asdict(kept)))
    client = Client(node.url)
    if arrived:
        client.post_records("/v1/records", [unsent.encode()])
    home.good("post", "three")
    assert texts(home) == ["three", "two", "one"]
    assert home.good("account", "show", "--json").json["unsent"] == 0
    heads = client.get(f"/v1/accounts/{kept.account}/heads")["heads"]
    client.close()
    assert [(head["seq"], head["forked"]) for head in heads if head["lane"] == Lane.PUBLIC] == [
        (3, False)
    ]


def test_a_home_of_this_machine_is_found_at_its_new_address(home: Home):
    with serving(home) as node:
        home.account()
        home.good("post", "one")
        assert node.stop() == 0
    away = home.run("post", "--json", "nobody hears")
    assert (away.code, away.json["error"]["code"]) == (4, "unreachable")
    with serving(home):
        home.good("post", "two")
        assert texts(home) == ["two", "one"]


def test_a_stolen_device_is_revoked(home: Home, node: Process, tmp_path: Path):
    words = home.account()
    home.good("post", "mine")
    thief = new_home(tmp_path, "thief")
    shutil.copytree(home.accounts, thief.accounts)
    state = Path(".local") / "state" / "ratoon"
    shutil.copytree(home.path / state, thief.path / state)
    stolen = home.good("account", "show", "--json").json["devices"][0]["key"]
    home.good("account", "rotate", "--words", "-", given=words)
    shown = home.good("account", "show", "--json").json
    assert shown["revoked"] == [stolen]
    refused = thief.run("post", "not mine", "--json", "--node", node.url)
    assert refused.code == 3
    assert texts(home) == ["mine"]
    assert home.run("account", "revoke", "ab" * 32, "--words", "-", given=words).code == 1


def test_a_second_home_takes_posts_and_the_first_may_go(tmp_path: Path):
    one, two, person = (new_home(tmp_path, name) for name in ("one", "two", "person"))
    with serving(two) as second, serving(one) as first:
        words = one_account(person, one, first)
        one.good("peer", "add", second.url, "--provider", "other", "--country", "CH")
        invited = two.good("invite", "new").out.strip()
        person.good(
            "account", "add-home", second.url, "--invite", invited, "--words", "-", given=words
        )
        done = person.good("post", "--json", "--wait", "2", "kept twice").json
        assert (done["nodes"], done["providers"]) == (2, 2)
        assert first.stop() == 0
        assert texts(person, "--node", second.url) == ["kept twice"]
        shutil.rmtree(person.accounts)
        person.good("account", "recover", "--node", second.url, "--words", "-", given=words)
        person.good("post", "from the second home")
        assert texts(person) == ["from the second home", "kept twice"]


def one_account(person: Home, host: Home, node: Process) -> str:
    code = host.good("invite", "new").out.strip()
    return person.account("--node", node.url, "--invite", code)
