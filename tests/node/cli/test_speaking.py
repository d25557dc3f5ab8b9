"""Posts of every kind, lists and profiles through the real command."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratoon_client import keyfile
from ratoon_node.cli import identity, signing
from ratoon_node.cli.client import Client, Refused
from ratoon_node.cli.publishing import span_ms
from ratoon_node.cli.say import CommandError
from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import Author, Draft, account_key_row
from ratoon_protocol.keys import SigningKey
from tests.node.cli.shell import Home, Process, new_home, serving


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return new_home(tmp_path_factory.mktemp("speaking"))


@pytest.fixture(scope="module")
def node(home: Home) -> Iterator[Process]:
    with serving(home, "--public-addresses", "http://localhost:7420") as process:
        home.account("ann", "--handle", "ann")
        home.account("bob")
        yield process


@pytest.fixture
def client(node: Process) -> Iterator[Client]:
    with contextlib.closing(Client(node.url)) as found:
        yield found


@pytest.fixture
def as_ann(home: Home, node: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Key files are found as the commands find them."""
    for name, value in home.environment().items():
        monkeypatch.setenv(name, value)


def sign(client: Client, kind: int, body: dict, target: bytes | None = None) -> str:
    """What no command writes, signed by ann."""
    with keyfile.held("ann") as file:
        return signing.publish(file, client, kind, body, target).record.id.hex()


def said(home: Home, who: str, *words: str) -> str:
    return home.good("post", *words, "--account", who, "--json").json["id"]


def shown(client: Client, id_: str) -> dict:
    return dict(client.get(f"/v1/records/{id_}"))


def test_nothing_is_deleted_unless_all_of_it_can_be(home: Home, client: Client) -> None:
    mine, theirs, unknown = said(home, "ann", "mine"), said(home, "bob", "theirs"), "ab" * 32
    by = ("--account", "ann", "--json")
    refused = home.run("delete", mine, unknown, theirs, *by)
    assert (refused.code, refused.json["error"]["code"]) == (1, "not_found")
    words = refused.json["error"]["message"]
    assert f"no record {unknown}" in words
    assert f"{theirs} is not of ann" in words
    assert mine not in words
    assert shown(client, mine)["body"]["text"] == "mine"
    assert home.good("delete", mine, mine, *by).json["code"] == "stored"
    again = home.run("delete", mine, *by)
    assert (again.code, "deleted already" in again.json["error"]["message"]) == (1, True)


@pytest.mark.parametrize("nothing", ["", " \n\t", "\u3000", "\u200b"])
def test_a_post_has_words(home: Home, node: Process, nothing: str) -> None:
    refused = home.run("post", "-", "--account", "ann", "--json", given=nothing)
    assert (refused.code, refused.json["error"]["code"]) == (2, "usage")


def test_what_is_wrong_with_a_command_line_is_said_as_json(home: Home) -> None:
    for line in (["post", "--json"], ["post", "x", "--json", "--nonsense"], ["nothing", "--json"]):
        refused = home.run(*line)
        assert (refused.code, refused.json["error"]["code"]) == (2, "usage"), line
    plain = home.run("post", "x", "--nonsense")
    assert (plain.code, plain.out, "--nonsense" in plain.err) == (2, "", True)


def test_an_edit_changes_words_and_nothing_else(home: Home, client: Client) -> None:
    root = said(home, "bob", "a question")
    id_ = said(home, "ann", "an anser", "--reply-to", root, "--lang", "en", "--warning", "careful")
    before = shown(client, id_)["body"]
    home.good("edit", id_, "an answer, see https://a.example", "--account", "ann")
    home.good("edit", id_, "an answer", "--account", "ann")
    after = shown(client, id_)
    assert after["body"] == before | {"text": "an answer"}
    assert after["edited"]["id"] != id_
    refused = home.run("edit", id_, "not mine", "--account", "bob")
    assert (refused.code, "only its author" in refused.err) == (1, True)
    assert home.run("edit", id_, " ", "--account", "ann").code == 2


def test_a_post_is_quoted_with_and_without_words(home: Home, client: Client) -> None:
    quoted = said(home, "bob", "worth showing")
    for words in ("look", ""):
        body = shown(client, said(home, "ann", words, "--quote", quoted))["body"]
        assert (body["text"], body["quote"]) == (words, quoted)
    assert f"(quotes {quoted})" in home.good("timeline", "--by", "ann").out
    assert home.run("post", "x", "--quote", "ab" * 32, "--account", "ann").code == 3


def test_people_vote_in_a_poll(home: Home, client: Client) -> None:
    answers = ("--option", "tea", "--option", "coffee", "--option", "water")
    one = said(home, "ann", "What to drink?", *answers, "--ends", "2h")
    many = said(home, "ann", "And with it?", *answers, "--many")
    poll = shown(client, one)["body"]["poll"]
    assert (poll["options"], poll["many"]) == (["tea", "coffee", "water"], 0)
    by = ("--account", "bob")
    home.good("vote", one, "2", *by)
    home.good("vote", many, "3", "1", *by)
    assert "2. coffee  " in home.good("timeline", "--by", "ann").out
    for wrong in (["4"], ["0"], ["1", "2"], [], ["1", "--off"]):
        assert home.run("vote", one, *wrong, *by).code == 2, wrong
    home.good("vote", one, "--off", *by)
    assert home.run("vote", said(home, "ann", "no poll"), "1", *by).code == 1
    for wrong in (["--option", "one"], ["--option", "a", "--option", "a"], ["--ends", "1d"]):
        assert home.run("post", "x", *wrong, *by).code == 2, wrong
    assert home.run("post", "x", *answers, "--ends", "soon", *by).code == 2
    assert (span_ms("30m"), span_ms("1w")) == (1_800_000, 604_800_000)


def test_votes_are_refused_once_a_poll_has_ended(home: Home, client: Client, as_ann: None) -> None:
    poll = {"ends_ms": identity.now_ms() - 1, "many": 0, "options": ["a", "b"]}
    late = sign(client, kinds.POST, {"text": "too late", "poll": poll})
    refused = home.run("vote", late, "1", "--account", "bob")
    assert (refused.code, "has ended" in refused.err) == (1, True)


def test_a_mention_is_told_and_an_unknown_one_stays_text(home: Home, client: Client) -> None:
    ann = home.good("account", "show", "--account", "ann", "--json").json["account"]
    words = ("post", "@Ann@localhost and @nobody@localhost", "--account", "bob", "--json")
    done = home.good(*words)
    facets = shown(client, done.json["id"])["body"]["facets"]
    assert [facet[3] for facet in facets] == [ann]
    assert done.err == "nobody is found as @nobody@localhost; it stays text\n"


def test_a_name_without_a_domain_names_nobody_and_is_told(home: Home, node: Process) -> None:
    account = home.good("account", "show", "--account", "ann", "--json").json["account"]
    text = f"@ann, (@Bob.b) and a@b.example, @{account}, https://a.example/@cat @ann@localhost"
    done = home.good("post", text, "--account", "bob")
    told = "nobody is found as @{}; it stays text: a mention is @name@domain\n"
    assert done.err == told.format("ann") + told.format("Bob.b")


def test_too_few_holders_are_a_failure_that_scripts_see(home: Home, node: Process) -> None:
    wait = ("post", "kept once", "--wait", "2", "--timeout", "1", "--account", "ann")
    few = home.run(*wait)
    assert (few.code, "fewer than asked for, so far" in few.out) == (1, True)
    assert "held by 1 node at 1 provider" in few.out
    few = home.run(*wait, "--json")
    assert (few.code, few.json["code"], few.json["providers"]) == (1, "stored", 1)
    home.good("post", "kept once", "--wait", "1", "--account", "ann")


def test_a_profile_keeps_what_it_is_not_asked_to_change(
    home: Home, client: Client, as_ann: None
) -> None:
    picture = {
        "alt": "a heron",
        "blur": "",
        "hash": b"\x01" * 32,
        "height": 8,
        "size": 64,
        "type": "image/png",
        "width": 8,
    }
    more = {"avatar": picture, "banner": picture, "fields": [["site", "https://a.example"]]}
    body = {"name": "Ann", "bio": "", "later": [1, b"\x02"], **more}
    sign(client, kinds.PROFILE, body, b"")
    by = ("--account", "ann")
    file = keyfile.load("ann")

    def profile() -> dict:
        return dict(client.get(f"/v1/accounts/{file.account}")["profile"])

    before = profile()
    home.good("profile", "set", "--bio", "Hello", *by)
    assert profile() == before | {"bio": "Hello"}
    home.good("profile", "set", "--field", "site=https://b.example", "--field", "in=Bern", *by)
    assert profile()["fields"] == [["site", "https://b.example"], ["in", "Bern"]]
    home.good("profile", "set", "--clear-fields", "--field", "in=Basel", *by)
    assert profile() == before | {"bio": "Hello", "fields": [["in", "Basel"]]}
    home.good("profile", "set", "--clear-fields", *by)
    assert "fields" not in profile()
    assert home.run("profile", "set", "--field", "nothing", *by).code == 2
    assert home.run("profile", "set", *by).code == 2


def test_lists_are_made_read_changed_and_deleted(home: Home, node: Process) -> None:
    by = ("--account", "ann")
    id_ = said(home, "bob", "for the list")
    assert "none yet" in home.good("list", "show", *by).out
    home.good("list", "make", "Friends", "bob", "@ann@localhost", *by)
    assert home.run("list", "make", "friends", *by).code == 1
    found = home.good("list", "show", "friends", "--json", *by).json
    assert len(found["members"]) == 2
    home.good("list", "remove", "Friends", "ann", *by)
    assert home.run("list", "remove", "Friends", "ann", *by).code == 1
    page = home.good("timeline", "--list", "Friends", "--json", *by).json
    assert id_ in [item["id"] for item in page["items"]]
    assert {item["account"] for item in page["items"]} == set(found["members"][:1])
    home.good("list", "add", found["target"], "ann", *by)
    assert "Friends  " in home.good("list", "show", *by).out
    assert home.run("timeline", "--list", "Friends", "--home", *by).code == 2
    home.good("list", "delete", "Friends", *by)
    gone = home.run("timeline", "--list", "Friends", *by)
    assert (gone.code, "no list Friends" in gone.err) == (1, True)


def test_a_contested_account_goes_on_from_what_its_owner_names(
    home: Home, node: Process, client: Client, tmp_path: Path
) -> None:
    words = home.account("cat")
    entropy = phrase.entropy_from_words(words)
    account = home.good("account", "show", "--account", "cat", "--json").json["account"]
    network = identity.ask_node(client).network

    def known() -> identity.Known:
        return identity.gather([client], network, bytes.fromhex(account))

    helper = SigningKey.from_seed(bytes(range(32)))
    now = known()
    draft = Draft.after(now.head)
    draft.keys.append(account_key_row(network, now.anchor, 1, helper))
    identity.change(client, now, entropy, draft)
    fork = known().head
    for handle in ("one@cat.example", "two@cat.example"):
        draft = Draft.after(fork)
        draft.handles = [handle]
        author = Author(network, bytes.fromhex(account), helper, None)
        changed = author.sign(kinds.IDENTITY, draft.body(), identity.now_ms(), bytes(16))
        identity.tell(client, changed.encode())
    ends = known().ends()
    assert (len(ends), known().log.contested, known().log.head) == (2, True, ends[0])
    other = new_home(tmp_path, "other")
    back = ("account", "recover", "--node", node.url, "--words", "-", "--json")
    asked = other.run(*back, given=words)
    assert (asked.code, asked.json["error"]["code"]) == (1, "contested")
    assert all(op.id.hex() in asked.json["error"]["message"] for op in ends)
    assert not other.accounts.exists()
    unknown = other.run(*back, "--on", "ab" * 32, given=words)
    assert (unknown.code, "no operation" in unknown.err + unknown.out) == (1, False)
    chosen = ends[1]  # not what nodes follow
    code = home.good("invite", "new").out.strip()
    other.good(*back, "--on", chosen.id.hex(), "--invite", code, given=words)
    log = known().log
    assert (log.head is not None and log.head.prev_op, log.contested) == (chosen.id, False)
    assert list(log.state.handles) == list(chosen.handles)
    elsewhere = other.run(*back, "x", "--id", "ab" * 32, given=words)
    assert (elsewhere.code, "are not for the account" in elsewhere.out) == (1, True)


def test_a_key_that_may_not_post_is_not_called_revoked_alone(
    home: Home, node: Process, client: Client
) -> None:
    """The account's own key changes the account, and says nothing."""
    entropy = phrase.entropy_from_words(home.account("eve"))
    account = home.good("account", "show", "--account", "eve", "--json").json["account"]
    network = identity.ask_node(client).network
    author = Author(network, bytes.fromhex(account), phrase.account_key(entropy), None)
    signed = author.sign(kinds.POST, {"text": "x"}, identity.now_ms(), bytes(16))
    with pytest.raises(Refused, match="revoked, or not allowed to sign this") as error:
        client.post_records("/v1/records", [signed.encode()])
    assert error.value.json_code == "revoked"


def test_a_time_is_a_number_and_a_unit() -> None:
    with pytest.raises(CommandError):
        span_ms("1 day")


def test_a_change_that_cannot_win_is_not_made(home: Home, node: Process, client: Client) -> None:
    entropy = phrase.entropy_from_words(home.account("dan"))
    account = bytes.fromhex(
        home.good("account", "show", "--account", "dan", "--json").json["account"]
    )
    network = identity.ask_node(client).network
    genesis = identity.gather([client], network, account).head
    for handle in ("one@dan.example", "two@dan.example"):
        draft = Draft.after(genesis)
        draft.handles = [handle]
        known = identity.gather([client], network, account)
        identity.change(client, known, entropy, draft)
    known = identity.gather([client], network, account)
    for end, wins in zip(known.ends(), (True, False), strict=True):
        again = identity.gather([client], network, account)
        again.build_on(end.id)
        changed = identity.amend(again, identity.paper_of(entropy), Draft.after(again.head))
        assert again.wins(changed.encode()) is wins
