"""What the demonstration would notice: a post that is gone, one that changed, a node too large."""

from __future__ import annotations

import secrets
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from ratoon_node.cli import identity
from ratoon_node.cli.client import Client
from ratoon_node.cli.demo.authors import Person, Signed
from ratoon_node.cli.demo.probes import Reader
from ratoon_node.cli.demo.replay import Sender, Tally
from ratoon_node.cli.demo.story import difference
from ratoon_node.operate.demo.figures import NODE_BYTES_MAX, Figures, NodeFigures
from ratoon_node.operate.demo.network import DemoNode, NetworkError, free_ports, network
from ratoon_node.operate.demo.posts import Post
from ratoon_protocol import phrase
from tests.node.cli.shell import new_home, serving

GOOD = Figures(
    acknowledged=5,
    survived=5,
    equal=True,
    to_recover=2,
    recovered=2,
    reading_interrupted_ms=1.0,
    writing_interrupted_ms=1.0,
    nodes=[NodeFigures("Ash", "Alder", lost=False, peak_bytes=NODE_BYTES_MAX)],
)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"survived": 4}, "1 acknowledged posts are missing"),
        ({"acknowledged": 0, "survived": 0}, "nothing was acknowledged"),
        ({"equal": False}, "equal"),
        ({"recovered": 1}, "1 authors could not come back"),
        ({"reading_interrupted_ms": None}, "reader"),
        ({"writing_interrupted_ms": None}, "writer"),
        (
            {"nodes": [NodeFigures("Ash", "Alder", lost=True, peak_bytes=NODE_BYTES_MAX + 1)]},
            "Ash took 300 MiB",
        ),
    ],
)
def test_every_broken_promise_fails_the_run(wrong: dict, words: str):
    assert GOOD.failures() == []
    (found,) = replace(GOOD, **wrong).failures()
    assert words in found


def dead_node(folder: Path, lost: bool) -> DemoNode:
    """A node where nobody listens."""
    (port,) = free_ports(1)
    return DemoNode("Ash", "Alder", "NL", folder, port, lost=lost)


def signed(node: DemoNode) -> Signed:
    person = Person("anne", 1, node, "")
    return Signed(person, Post("anne", 0, "text", "test"), secrets.token_bytes(32), b"record")


def test_posts_under_way_to_a_lost_node_are_neither_acknowledged_nor_forgotten(tmp_path: Path):
    tally = Tally()
    sender = Sender(dead_node(tmp_path, lost=True), tally)
    sent = [signed(sender.node) for _ in range(3)]
    for one in sent:
        sender.put(one)
    sender.drain()
    sender.close()
    assert sorted(one.id for one in tally.unanswered) == sorted(one.id for one in sent)
    assert tally.acknowledged == {}


def test_a_node_that_does_not_answer_acknowledges_nothing(tmp_path: Path):
    tally = Tally()
    sender = Sender(dead_node(tmp_path, lost=False), tally)
    sender.put(signed(sender.node))
    sender.drain()
    sender.close()
    assert (tally.unconfirmed, tally.acknowledged, tally.unanswered) == (1, {}, [])


def test_an_interruption_lasts_from_the_last_success_to_the_first_elsewhere(tmp_path: Path):
    reader = Reader([dead_node(tmp_path, lost=False)])
    reader.done = [(1.0, 0), (1.1, 0), (1.4, 1), (1.5, 1)]
    assert reader.interruption_ms() == pytest.approx(300)
    reader.done = [(1.0, 0), (1.1, 0)]
    assert reader.interruption_ms() is None


def test_a_post_that_is_missing_or_altered_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    home = new_home(tmp_path)
    with serving(home, "--registration", "open") as process:
        client = Client(process.url)
        node = DemoNode("Ash", "Alder", "NL", tmp_path / "alder" / "ash", 1)
        node.authors.mkdir(parents=True)
        words = phrase.words_from_entropy(secrets.token_bytes(32))
        person = Person("anne", 1, node, words)
        person.sign_up(client, identity.ask_node(client))
        kept = person.sign(Post("anne", 1_600_000_000_000, "Hello", "test"))
        assert difference(client, kept) == "missing"
        client.post_records("/v1/records", [kept.data])
        assert difference(client, kept) == ""
        other = kept.data[:-1] + bytes([kept.data[-1] ^ 1])
        assert difference(client, replace(kept, data=other)) == "altered"
        changed = Post("anne", 1_600_000_000_000, "Bye", "test")
        assert difference(client, replace(kept, post=changed)) == "altered"
        client.close()


def test_keys_are_gone_with_the_providers_disks():
    with network(5) as net:
        for node in net.nodes:
            node.folder.mkdir(parents=True)
            node.authors.mkdir(exist_ok=True)
        person = Person("anne", 1, net.nodes[0], "")
        person.key_file.write_text("{}")
        lost = net.destroy(net.nodes[0].provider)
        assert [node.name for node in lost] == [net.nodes[0].name, net.nodes[3].name]
        assert net.alive == [net.nodes[1], net.nodes[2], net.nodes[4]]
        with pytest.raises(FileNotFoundError):
            person.load()
        assert all(node.folder.exists() for node in net.alive)
    assert not net.root.exists()


def test_a_node_that_cannot_start_is_told_with_its_own_words():
    with network(3) as net:
        net.nodes = net.nodes[:1]
        with (
            socket.create_server(("127.0.0.1", net.nodes[0].port)),
            pytest.raises(NetworkError, match="another program"),
        ):
            net.start()
