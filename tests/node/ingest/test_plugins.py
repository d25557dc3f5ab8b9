"""Programs of the operator that judge records: one line in, one line out, or else it is held."""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.ingest import plugin_child, plugins
from ratoon_node.policy.plugins import decision_of
from ratoon_node.policy.verdict import Verdict
from ratoon_protocol import kinds
from tests.node.ingest.replay import LINK, offer
from tests.node.ingest.test_erasure import ann_of
from tests.node.ingest.test_policy_at_ingest import decisions
from tests.node.world import Clock, Person, join, movable, running

# Answers by the words of a post; every line it is asked goes into a file.
PROGRAM = """
import json, os, sys, time
asked = open(sys.argv[1], "a")
asked.write(f"started {os.getpid()}\\n"); asked.flush()
for line in sys.stdin:
    asked.write(line); asked.flush()
    event = json.loads(line)["event"]
    text = event["body"].get("text", "")
    if text == "hang":
        time.sleep(100)
    if text == "crash":
        sys.exit(3)
    answer = {"id": event["id"], "action": "accept"}
    if text.startswith("say "):
        answer |= json.loads(text[4:])
    if text == "long":
        answer["msg"] = "x" * 9000
    print("nonsense" if text == "rubbish" else json.dumps(answer), flush=True)
"""


def command(tmp_path: Path, name: str = "bot", more: str = "budget_ms = 300") -> str:
    """A policy with the program as its plugin."""
    program = tmp_path / f"{name}.py"
    program.write_text(PROGRAM)
    words = json.dumps([sys.executable, "-S", str(program), str(tmp_path / f"{name}.asked")])
    return f'[[plugin]]\nname = "{name}"\ncommand = {words}\n{more}\n'


def asked(tmp_path: Path, name: str = "bot") -> list[str]:
    return (tmp_path / f"{name}.asked").read_text().splitlines()


async def codes(node: Node, who: Person, *texts: str) -> list[str]:
    posts = [who.post(text) for text in texts]
    return [str(one.code) for one in await offer(node, posts, LINK)]


def stand(clock: Clock, now_ms: int) -> None:
    """A stopped clock, at another moment."""
    clock._standing_ms = now_ms


def say(**answer: object) -> str:
    return "say " + json.dumps(answer)


async def test_what_a_plugin_is_told_and_what_its_answers_do(tmp_path: Path) -> None:
    async with running(tmp_path, policy=command(tmp_path)) as node:
        ann = ann_of(node)
        await join(node, ann)
        texts = ["fine", say(action="limit"), say(action="hold", msg="Odd one: see it")]
        texts += [say(action="reject", msg="blocked: spam"), say(action="shadowReject")]
        posts = [ann.post(text) for text in texts]
        outcomes = await offer(node, posts, LINK)
        assert [one.code for one in outcomes] == ["stored", "stored", "held", "withheld", "held"]
        told = [await decisions(node, post.id) for post in posts]
        assert [row[0][:3] if row else None for row in told] == [
            None,
            (2, "plugin", "plugin.bot"),
            (3, "odd-one", "plugin.bot"),
            (4, "blocked", "plugin.bot"),
            (3, "plugin", "plugin.bot"),
        ]
        started, first, *rest = asked(tmp_path)
        assert started.startswith("started")
        assert len(rest) == 4
        line = json.loads(first)
        assert line["event"] == {
            "id": posts[0].id.hex(),
            "account": ann.account.hex(),
            "key": posts[0].header.key.hex(),
            "kind": "post",
            "created_ms": posts[0].header.created_ms,
            "body": {"text": "fine"},
        }
        assert (line["sourceType"], line["sourceInfo"]) == ("Link", (b"p" * 32).hex())
        assert line["facts"]["local"]
        assert line["facts"]["texts"] == ["fine"]
        assert b64decode(line["record"]) == posts[0].encode()
        # What a plugin said stands while it is there.
        await node.gate.review()
        assert await codes(node, ann, "x") == ["stored"]


@pytest.mark.parametrize("what", ["hang", "crash", "rubbish", say(id="other"), "long"])
async def test_a_plugin_that_fails_holds_and_is_started_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(plugins, "START_MS", 700)
    policy = command(tmp_path) + "[[rule]]\nid = 'r'\nthen = 'limit'\nreason = 'x'\n"
    policy += "when.kind = 'profile'\n"
    async with running(tmp_path, policy=policy) as node:
        ann = ann_of(node)
        await join(node, ann)
        faults: list[str] = []
        node.gate.plugins.failed = lambda name, fault: faults.append(name)
        clock = movable(node.runtime.clock)
        clock.stop()
        assert await codes(node, ann, "fine", what, "after") == ["stored", "held", "held"]
        assert faults == ["bot"]
        # Meanwhile nobody waits for it, and what it is not asked about goes on.
        profile = ann.sign(kinds.PROFILE, {"name": "ann", "bio": ""}, b"")
        assert [one.code for one in await offer(node, [profile], LINK)] == ["stored"]
        held = ann.post("meanwhile")
        assert [one.code for one in await offer(node, [held], LINK)] == ["held"]
        assert [row[:3] for row in await decisions(node, held.id)] == [
            (3, "policy_error", "plugin.bot")
        ]
        stand(clock, clock.monotonic_ms() + plugins.PAUSE_MS)
        assert await codes(node, ann, "again") == ["stored"]
        lines = asked(tmp_path)
        assert len([line for line in lines if line.startswith("started")]) == 2
        assert not any("meanwhile" in line for line in lines)


async def test_pauses_grow_and_end(tmp_path: Path) -> None:
    async with running(tmp_path, policy=command(tmp_path)) as node:
        ann = ann_of(node)
        await join(node, ann)
        clock = movable(node.runtime.clock)
        clock.stop()
        pauses = []
        for _ in range(8):
            assert await codes(node, ann, "crash") == ["held"]
            (plugin,) = node.gate.plugins._running.values()
            pauses.append(plugin._not_before_ms - clock.monotonic_ms())
            stand(clock, plugin._not_before_ms)
        assert pauses == [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]
        assert await codes(node, ann, "fine", "crash") == ["stored", "held"]
        stand(clock, clock.monotonic_ms() + plugins.PAUSE_MS_MAX)
        assert await codes(node, ann, "fine") == ["stored"]
        assert plugin._pause_ms == plugins.PAUSE_MS


async def test_a_program_that_is_not_there_holds(tmp_path: Path) -> None:
    policy = '[[plugin]]\nname = "no"\ncommand = ["/no/such/program"]\n'
    async with running(tmp_path, policy=policy) as node:
        ann = ann_of(node)
        await join(node, ann)
        assert await codes(node, ann, "hello") == ["held"]


async def test_several_are_asked_of_their_kinds_and_the_strongest_counts(tmp_path: Path) -> None:
    policy = command(tmp_path) + command(tmp_path, "other", "kinds = ['profile', 'post']")
    async with running(tmp_path, policy=policy) as node:
        ann = ann_of(node)
        await join(node, ann)
        profile = ann.sign(kinds.PROFILE, {"name": "ann", "bio": ""}, b"")
        assert [one.code for one in await offer(node, [profile], LINK)] == ["stored"]
        assert await codes(node, ann, "fine") == ["stored"]
        assert await codes(node, ann, "hang") == ["held"]
        assert len(asked(tmp_path, "other")) == 4
        assert len(asked(tmp_path)) == 3
        bot = node.gate.plugins._running[node.gate.policy.plugins[0]]
        assert bot._process is None
    assert node.gate.plugins._running == {}


def matcher(header, body, facts):
    """Holds what the letter of the body asks for."""
    assert (header.kind, facts.texts) == (kinds.POST, (body["text"],))
    assert len(facts.nodes) == 1
    return {"n": None, "s": "hold: so so", "m": ["limit", "withhold: bad", "accept"]}[body["text"]]


async def test_a_python_matcher_gets_the_record_as_it_is(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann = ann_of(node)
        await join(node, ann)
        found = []
        for text in "nsm":
            post = ann.post(text)
            said: list[bytes] = []

            async def ask(policy, items, said=said):
                facts = await node.gate.plugins._facts(items)
                said += [plugins.line_of(one, facts[one.record.id]) for one in items]
                return items

            node.gate.plugins.ask = ask
            await offer(node, [post], LINK)
            (line,) = said
            found.append(decision_of(plugin_child.answer(matcher, line), post.id, "m", "v"))
    assert found[0] is None
    assert [one and one[:3] for one in found[1:]] == [
        (Verdict.HOLD, "so-so", "plugin.m"),
        (Verdict.WITHHOLD, "bad", "plugin.m"),
    ]


async def test_an_entry_point_runs_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package as an operator would install it, found by its entry point."""
    (tmp_path / "my_matcher.py").write_text(
        "def judge(header, body, facts):\n    print('hello')\n    return 'hold: seen'\n"
    )
    info = tmp_path / "my_matcher-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-matcher\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[ratoon.matchers]\nmine = my_matcher:judge\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(plugins, "START_MS", 30_000)
    policy = '[[plugin]]\nname = "p"\nentry_point = "mine"\nbudget_ms = 5000\n'
    async with running(tmp_path, policy=policy) as node:
        ann = ann_of(node)
        await join(node, ann)
        post = ann.post("anything")
        assert [one.code for one in await offer(node, [post], LINK)] == ["held"]
        assert [row[:3] for row in await decisions(node, post.id)] == [(3, "seen", "plugin.p")]
    with pytest.raises(LookupError):
        plugin_child.load("nobody-made-this")


def test_what_a_line_must_be():
    id_ = bytes(32)
    good = {"id": id_.hex(), "action": "hold"}
    said = decision_of(json.dumps(good).encode(), id_, "m", "v")
    assert said is not None
    assert said.verdict is Verdict.HOLD
    bads: tuple[object, ...] = (
        {},
        [],
        {**good, "action": "purge"},
        {**good, "action": ["hold"]},
        {**good, "msg": 3},
        {**good, "id": "00"},
    )
    for bad in bads:
        with pytest.raises(ValueError, match="no "):
            decision_of(json.dumps(bad).encode(), id_, "m", "v")
    with pytest.raises(ValueError, match="deep"):
        decision_of(b"[" * 8000, id_, "m", "v")
