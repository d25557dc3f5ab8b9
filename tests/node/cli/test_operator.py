"""What an operator does, through the real command on a running node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratoon_node.cli import operator
from ratoon_node.policy import lists
from ratoon_node.policy.verdict import ENTRY_VERDICTS
from ratoon_protocol.bundle import BundleReader
from tests.node.cli.shell import Home, Process, new_home, serving
from tests.node.cli.test_people import texts


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path)


@pytest.fixture
def node(home: Home) -> Iterator[Process]:
    with serving(home) as process:
        yield process


def test_the_words_of_the_command_are_those_of_the_policy():
    assert [one.value for one in operator.Subject] == [one.value for one in lists.Subject]
    assert [one.value for one in operator.Verdict] == [one.word for one in ENTRY_VERDICTS]


def test_a_block_hides_at_once_and_an_unblock_shows(home: Home, node: Process):
    home.account()
    home.good("post", "seen")
    account = home.good("account", "list", "--json").json[0]["account"]
    home.good("block", "account", account, "--reason", "spam", "--days", "3")
    assert texts(home) == []
    (entry,) = home.good("blocks", "--json").json["blocks"]
    assert (entry["entity"], entry["verdict"], entry["reason"]) == (account, "withhold", "spam")
    home.good("unblock", "account", "me")  # a name of this machine does, too
    assert texts(home) == ["seen"]
    assert home.run("unblock", "account", account).code == 3


def test_a_blocked_word_is_refused_with_its_code(home: Home, node: Process):
    home.account()
    home.good("block", "word", "sell pills")
    refused = home.run("post", "--json", "I sell pills")
    assert (refused.code, refused.json["error"]["code"]) == (3, "withheld")
    home.good("post", "I sell nothing")
    assert texts(home) == ["I sell nothing"]


def test_invitations_are_used_up(home: Home, node: Process, tmp_path: Path):
    code = home.good("invite", "new", "--uses", "1", "--note", "for Ann", "--days", "2").out.strip()
    guest, other = new_home(tmp_path, "guest"), new_home(tmp_path, "other")
    guest.account("--node", node.url, "--invite", code)
    words = str(other.path / "words")
    late = ["account", "new", "--node", node.url, "--invite", code, "--words-file", words]
    assert other.run(*late).code == 3
    (shown,) = home.good("invite", "list", "--json").json["invites"]
    assert (shown["code"], shown["uses"], shown["note"]) == (code, 0, "for Ann")
    assert code in home.good("invite", "list").out


def test_rules_are_checked_and_reloaded_whole_or_not_at_all(home: Home, node: Process):
    rules = home.data / "policy.toml"
    before = home.good("policy", "reload", "--json").json["policy"]
    rules.write_text("version = 1\nnonsense = true\n")
    checked = home.run("policy", "check", str(rules))
    assert (checked.code, "nonsense" in checked.out) == (1, True)
    assert home.run("policy", "check", "--json", str(rules)).json["ok"] is False
    assert home.run("policy", "reload").code == 3
    rules.write_text("")
    assert home.good("policy", "check", "--json", str(rules)).json["version"] == before
    assert home.good("policy", "reload", "--json").json["policy"] == before


def test_peers_are_added_listed_and_removed(home: Home, node: Process, tmp_path: Path):
    other = new_home(tmp_path, "other")
    with serving(other) as second:
        added = home.good(
            "peer", "add", second.url, "--provider", "two", "--country", "CH", "--json"
        ).json
        (shown,) = home.good("peer", "list", "--json").json["peers"]
        assert (shown["node"], shown["provider"], shown["country"]) == (added["node"], "two", "CH")
        home.good("peer", "remove", added["node"])
        shown = home.good("peer", "list", "--json").json["peers"]
        assert [one["node"] for one in shown if one["added"]] == []
    nobody = home.run("peer", "add", "http://127.0.0.1:1", "--json")
    assert (nobody.code, nobody.json["error"]["code"]) == (3, "bad_address")
    assert "Nobody answers at this address." in nobody.json["error"]["message"]
    assert home.run("peer", "add", node.url).code == 3


def test_nobody_else_commands_the_node(home: Home, node: Process):
    (home.data / "operator-token").write_text("0" * 64)
    refused = home.run("invite", "new", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (3, "unauthorised")


def test_a_bundle_carries_records_to_a_node_without_a_network(
    home: Home, node: Process, tmp_path: Path
):
    home.account()
    for number in range(3):
        home.good("post", f"post {number}")
    file, own = tmp_path / "all.bundle", tmp_path / "own.bundle"
    written = home.good("export", str(file), "--note", "carried by hand", "--json").json
    home.good("export", str(own), "--account", "me")
    with file.open("rb") as opened:
        reader = BundleReader(opened)
        found = [item for _, item in reader.items()]
    assert (reader.signed, reader.manifest.note) == (True, "carried by hand")
    assert len(found) == reader.manifest.records == written["records"]
    assert home.run("export", str(file)).code == 1
    assert sorted(path.name for path in tmp_path.glob("*.part*")) == []

    other = new_home(tmp_path, "other")
    account = _node_account(home)
    with serving(other):
        refused = other.good("import", str(own), "--json").json
        assert set(refused["codes"]) == {"not_hosted"}
        other.good("peer", "add", node.url)
        assert account in {
            one["node"] for one in other.good("peer", "list", "--json").json["peers"]
        }
        taken = other.good("import", str(file), "--json").json
        assert taken["records"] == len(found)
        assert set(taken["codes"]) <= {"stored", "duplicate", "superseded"}
        again = other.good("import", str(file), "--json").json
        assert set(again["codes"]) <= {"duplicate", "superseded"}
        assert sorted(texts(other)) == ["post 0", "post 1", "post 2"]
    cut = tmp_path / "cut.bundle"
    cut.write_bytes(file.read_bytes()[:-3])
    broken = home.run("import", str(cut), "--json")
    assert (broken.code, broken.json["error"]["code"]) == (1, "truncated")


def test_an_export_goes_on_where_it_stopped(home: Home, node: Process, tmp_path: Path):
    home.account()
    home.good("post", "one")
    file = tmp_path / "own.bundle"
    whole = home.good("export", str(tmp_path / "first"), "--account", "me", "--json").json
    # As an interrupted export leaves it: a page kept, half of another written and not noted.
    account = home.good("account", "list", "--json").json[0]["account"]
    spool, note = tmp_path / "own.bundle.part", tmp_path / "own.bundle.part.json"
    spool.write_bytes(b"half a record")
    origin = {"node": _node_account(home), "account": account}
    state = {"origin": origin, "after": 0, "records": 0, "size": 0}
    note.write_text(json.dumps(state))
    resumed = home.good("export", str(file), "--account", "me", "--json").json
    assert resumed["records"] == whole["records"]
    with file.open("rb") as opened:
        assert len(list(BundleReader(opened).items())) == whole["records"]


def _node_account(home: Home) -> str:
    return str(json.loads((home.data / "serving.json").read_text())["account"])
