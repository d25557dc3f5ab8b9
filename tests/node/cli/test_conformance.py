"""`ratoon conformance`: our node passes; of a node with a fault it names what that breaks."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.cli.conformance import addresses
from ratoon_node.cli.conformance.bench import Options
from ratoon_node.cli.conformance.run import checks_for, run
from ratoon_node.cli.conformance.suite import ABOUT, CHECKS, UNSEEN, Verdict, chosen
from ratoon_node.cli.say import CommandError
from ratoon_node.peering.receipts import Counts
from tests.node.api.site import TOKEN, site
from tests.node.cli.planted import FAULTS, Plant
from tests.node.cli.shell import new_home, serving
from tests.node.peering.meeting import listening
from tests.tidy.source import ROOT

SPEC = (ROOT / "protocol" / "SPEC.md").read_text(encoding="utf-8")
REQUIREMENTS = re.findall(r"^\*\*(R-\d+)\*\*", SPEC, re.MULTILINE)
FAULTS_MIN = 10
LIMITS = ("requests_per_minute_max", "records_per_minute_max", "entries_per_minute_max")
NO_LIMITS = [part for name in LIMITS for part in (f"--{name.replace('_', '-')}", "0")]


def test_every_requirement_has_a_check_or_a_reason():
    assert list(ABOUT) == REQUIREMENTS
    checked = {one for check in CHECKS for one in check.requirements}
    assert checked <= set(REQUIREMENTS)
    assert set(REQUIREMENTS) - checked == set(UNSEEN)


def test_the_suite_knows_nodes_by_their_wire_alone():
    """Of our own node it uses nothing below the command line."""
    files = sorted((ROOT / "node" / "ratoon_node" / "cli" / "conformance").glob("*.py"))
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    used = set(re.findall(r"^ *(?:from|import) (ratoon_node[.\w]*)", text, re.MULTILINE))
    assert {"ratoon_node.cli.client", "ratoon_node.cli.conformance.bench"} <= used
    assert [name for name in used if not name.startswith("ratoon_node.cli")] == []


def test_checks_belong_to_a_section_and_have_names_of_their_own():
    assert len(checks_for(REQUIREMENTS)) == len(CHECKS)
    assert len({check.title for check in CHECKS}) == len(CHECKS)


def test_requirements_are_chosen_by_name_or_pattern():
    assert chosen(["r-7x", "R-5"]) == ["R-5", *(f"R-{number}" for number in range(70, 80))]
    assert chosen([]) == REQUIREMENTS
    for wrong in ("R-99", "R-", "7"):
        with pytest.raises(ValueError, match=re.escape(wrong)):
            chosen([wrong])


@pytest.mark.parametrize(
    ("url", "http", "link"),
    [
        ("node.example", "http://node.example", "ws://node.example/v1/link"),
        ("https://node.example/", "https://node.example", "wss://node.example/v1/link"),
        ("wss://node.example", "https://node.example", "wss://node.example/v1/link"),
        ("ws://node.example:1/own", "http://node.example:1", "ws://node.example:1/own"),
        ("http://[::1]:8/a", "http://[::1]:8/a", "ws://[::1]:8/v1/link"),
    ],
)
def test_addresses(url: str, http: str, link: str):
    assert addresses(url, None) == (http, link)


@pytest.mark.parametrize("url", ["ftp://node.example", "http://", "http://a:0", "http://[::"])
def test_what_is_no_address(url: str):
    with pytest.raises(CommandError):
        addresses(url, None)


def test_our_node_conforms(tmp_path: Path):
    """A fresh node, as anybody starts it: everything that can be seen is right."""
    home = new_home(tmp_path)
    with serving(home, *NO_LIMITS) as node:
        token = str(home.data / "operator-token")
        done = home.run("conformance", node.url, "--operator-token-file", token, "--json")
    found = {row["requirement"]: row for row in done.json["requirements"]}
    wrong = {name: row.get("problems") for name, row in found.items() if row.get("problems")}
    assert (done.code, wrong) == (0, {})
    assert list(found) == REQUIREMENTS
    passed = {name for name, row in found.items() if row["verdict"] == Verdict.PASS}
    assert passed == set(REQUIREMENTS) - set(UNSEEN)
    assert all(row["why"] for row in found.values() if row["verdict"] == Verdict.NOT_CHECKED)
    assert done.json["accounts"]["made"] == done.json["accounts"]["vanished"] > 0


def test_what_cannot_run_is_never_passed(tmp_path: Path):
    """Without an invitation nobody is let in; the command says so, and leaves the rest alone."""
    home = new_home(tmp_path)
    with serving(home, "--registration", "invite") as node:
        done = home.run("conformance", node.url, "--only", "R-12,R-71,R-1")
    nobody = home.run("conformance", node.url)
    assert done.code == 0
    assert "1 pass, 0 fail, 2 not checked" in done.out
    assert "not checked: R-12: the node takes no new account (invite_needed)" in done.out
    assert "0 accounts" not in done.out
    assert (nobody.code, nobody.out) == (4, "")


@asynccontextmanager
async def fresh(folder: Path) -> AsyncIterator[tuple[Node, Options]]:
    """A node in this process that lets everybody in, and what the suite is told of it."""
    limits = dict.fromkeys(LIMITS, 0)
    async with (
        site(folder, [], "", 1, registration="open", **limits) as here,
        listening(here.node) as links,
    ):
        yield (
            here.node,
            Options(
                url=here.url,
                link_url=links.replace("http", "ws") + "/v1/link",
                network=here.node.settings.network_bytes,
                timeout_s=10,
                wait_s=10,
                operator_token=TOKEN,
            ),
        )


def test_there_are_enough_faults():
    assert len(FAULTS) >= FAULTS_MIN
    assert len({requirement for requirement, _ in FAULTS}) == len(FAULTS)


async def test_a_sound_node_passes_again_and_again(tmp_path: Path) -> None:
    """What the faults below break is right without them, in the same kind of process."""
    async with fresh(tmp_path) as (_, asked):
        for _ in range(2):
            found = (await run(asked, [requirement for requirement, _ in FAULTS])).results
            assert {one.requirement: one.problems for one in found if one.problems} == {}
            assert {one.verdict for one in found} == {Verdict.PASS}


async def test_copies_at_other_providers_are_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two providers that the operator confirmed before hold all that this node has, at once."""
    async with fresh(tmp_path) as (node, asked):
        count = node.receipts._count

        def with_others(nodes: set[bytes]) -> Counts:
            found = count(nodes)
            return found._replace(nodes=found.nodes + 2, providers=found.providers + 2)

        monkeypatch.setattr(node.receipts, "_count", with_others)
        found = (await run(asked, ["R-130"])).results[0]
        assert (found.verdict, found.problems) == (Verdict.PASS, ())


@pytest.mark.parametrize(("requirement", "plant"), FAULTS, ids=[p.__name__ for _, p in FAULTS])
async def test_a_fault_is_named(
    requirement: str, plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It breaks a requirement, and that one is told, with what came instead."""
    async with fresh(tmp_path) as (node, asked):
        plant(node, monkeypatch)
        # What ought to end a link and does not is waited for no longer than this.
        found = (await run(replace(asked, timeout_s=1.5), [requirement])).results[0]
        assert (found.requirement, found.verdict) == (requirement, Verdict.FAIL)
        assert not [problem for problem in found.problems if "in time" in problem]
