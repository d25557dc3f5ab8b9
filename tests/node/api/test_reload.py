"""Reloading: all of what is read takes effect, or nothing does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ratoon_node.api.reload import Reloader
from ratoon_node.config import Settings
from ratoon_node.errors import NodeError
from ratoon_node.operate.policyfolder import read_policy
from ratoon_node.policy.document import PolicyFileError
from ratoon_node.policy.engine import Policy
from tests.node.api.site import site

RULES = '[[rule]]\nid = "a"\nwhen = { word = ["b"] }\nthen = "hold"\nreason = "spam"\n'


@pytest.mark.parametrize("sound", [False, True])
async def test_a_node_that_may_not_say_what_it_is_takes_nothing(
    tmp_path: Path, sound: bool
) -> None:
    policy = tmp_path / "policy.toml"
    async with site(tmp_path) as place:
        node = place.node
        took: list[Settings] = []
        before = (node.settings, node.registry.domain, node.gate.policy.version)
        policy.write_text(RULES)
        wanted = replace(node.settings, name="Another", domain="other.example")
        reloader = Reloader(node, lambda: wanted)
        reloader.took = took.append
        node.own.clock_sound = lambda: sound
        if sound:
            done = await reloader.reload()
            assert (node.settings, node.registry.domain) == (wanted, "other.example")
            assert node.gate.policy.version == done.policy != before[2]
            assert took == [wanted]
        else:
            with pytest.raises(NodeError) as refused:
                await reloader.reload()
            assert refused.value.code == "clock"
            assert (node.settings, node.registry.domain, node.gate.policy.version) == before
            assert not took


async def test_rules_that_cannot_be_read_change_nothing(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    async with site(tmp_path, policy=RULES) as place:
        policy.mkdir()
        status, body = await place.operate("POST", "/reload")
        assert (status, body["error"]["code"]) == (400, "bad_request")
        assert "cannot be read" in body["error"]["message"]
        assert place.node.gate.policy.version == Policy.parse(RULES.encode()).version
        with pytest.raises(PolicyFileError):
            read_policy(policy)


async def test_rules_do_not_end_because_their_file_is_gone(tmp_path: Path) -> None:
    async with site(tmp_path, policy=RULES) as place:
        version = place.node.gate.policy.version
        status, answer = await place.operate("POST", "/policy")
        assert (status, "gone" in str(answer)) == (400, True), answer
        assert place.node.gate.policy.version == version
        (tmp_path / "policy.toml").write_text("")
        status, _ = await place.operate("POST", "/policy")
        assert status == 200
        assert not place.node.gate.policy.rules
