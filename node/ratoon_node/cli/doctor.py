"""`ratoon doctor`: what is wrong with the node of this machine, and what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import typer

from ratoon_node.cli import say
from ratoon_node.cli.flags import DataDir, Json, settings_of

if TYPE_CHECKING:
    from ratoon_node.cli.client import Client
    from ratoon_node.operate.doctor.finding import Finding
    from ratoon_node.operate.folder import Folder, Serving


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(data_dir: DataDir = None, json_: Json = False) -> None:
    """Check the node of this machine; say what to do.

    Looks at settings, folder, database and machine, and asks the node if it runs: its clock, its
    addresses, its peers. Changes nothing. The exit code is 1 if something failed.
    """
    from ratoon_node.operate.doctor.finding import failed

    findings = examine(data_dir)
    bad = failed(findings)
    if json_:
        rows = [
            {"check": one.check, "state": one.state.value, "says": one.says, "do": one.do}
            for one in findings
        ]
        say.result({"ok": not bad, "checks": rows})
    else:
        for one in findings:
            do = f". To do: {one.do}" if one.do else ""
            say.line(f"{one.state.value:4}  {one.check}: {one.says}{do}")
    if bad:
        raise typer.Exit(say.Exit.FAILED)


def examine(data_dir: Path | None) -> list[Finding]:
    """Every check that can be made; without settings there is no telling where to look."""
    from ratoon_node.config import ConfigError
    from ratoon_node.operate.doctor import database, folder, standing
    from ratoon_node.operate.doctor.finding import fail, ok
    from ratoon_node.operate.folder import Folder
    from ratoon_node.runtime import SystemClock

    try:
        config = settings_of(data_dir)
    except ConfigError as error:
        do = "put these right; deploy/ratoon.example.toml has every setting"
        return [fail("settings", problem, do) for problem in error.problems]
    settings, place = config.settings, Folder(config.settings.data_dir)
    source = f"{config.file} is valid" if config.file else "no settings file: all is as it comes"
    findings = [ok("settings", source), *folder.check_folder(place, settings.network_bytes)]
    if not place.path.is_dir():
        return findings
    clock = SystemClock()
    looked = database.check_database(place.store, clock.now_ms(), clock.monotonic_ms)
    findings += [*looked.findings, database.check_sqlite()]
    findings.append(folder.check_disk(place, looked.growth_bytes_per_day))
    serving = place.serving()
    running = _ask(place, serving)
    policy = running.node["policy"] if running.node else None
    findings += [folder.check_policy(settings, policy), folder.check_registration(settings)]
    findings.append(folder.check_files(settings, serving.pid if running.node and serving else None))
    findings.append(running.finding)
    addresses = running.node["addresses"] if running.node else settings.public_addresses
    findings += standing.check_proxies(settings.trusted_proxies, addresses)
    if running.client is not None:
        with closing(running.client):
            findings.append(standing.check_keys(running.keys))
            findings += _in_the_network(place, running.node, running.client)
    return findings


@dataclass(frozen=True)
class _Running:
    """Whether the node runs, and what it says of itself if it does."""

    finding: Finding
    node: Any = None
    client: Client | None = None
    #: What `/readyz` says of its keys.
    keys: str = "ok"


def _ask(folder: Folder, serving: Serving | None) -> _Running:
    from ratoon_node.cli.client import Client
    from ratoon_node.operate.doctor.finding import fail, ok, warn

    token = folder.operator_token()
    if serving is None or token is None:
        words = "the node does not run: only its folder was looked at"
        return _Running(warn("running", words, "`ratoon run`, then `ratoon doctor` again"))
    if not _alive(serving.pid):
        words = "the node ended without a word: it was killed, or the machine went down"
        return _Running(fail("running", words, "see its log, then start it: `ratoon run`"))
    client = Client(serving.url, token)
    try:
        node = client.get("/v1/node")
        ready = client.ask("GET", "/readyz", also=(503,)).json()
    except say.CommandError as error:
        client.close()
        words = f"process {serving.pid} runs and does not answer: {error}"
        return _Running(fail("running", words, "see its log; if it stays so, start it anew"))
    keys = ready["checks"]["keys"]
    if ready["ready"]:
        found = ok("running", f"it runs at {serving.url} and is ready")
        return _Running(found, node, client, keys)
    bad = ", ".join(name for name, state in ready["checks"].items() if state != "ok")
    words = f"it runs at {serving.url} and is not ready, because of: {bad}"
    found = fail("running", words, "see its log, and what is said here of it")
    return _Running(found, node, client, keys)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's, and there
        return True
    return True


def _in_the_network(folder: Folder, node: Any, client: Client) -> Iterator[Finding]:
    """What only a node that runs can tell: clock, peers, addresses, names.

    It was perhaps started with flags: what it says of itself counts, not the settings file.
    """
    from ratoon_node.cli import probing
    from ratoon_node.operate.doctor import database, standing

    links = [one["node"] for one in client.get("/v1/replication")["links"]]
    metrics = client.ask("GET", "/metrics").data.decode()
    skew = re.search(r"^ratoon_clock_skew_seconds (\S+)$", metrics, re.MULTILINE)
    yield standing.check_clock(float(skew[1]) if skew else 0.0, len(links))
    peers = client.get("/v1/operator/peers")["peers"]
    yield from standing.check_peers(node["provider"], peers, links)
    addresses = tuple(node["addresses"])
    for address in addresses:
        yield from probing.check_address(address, node["account"])
    hosts = {urlsplit(address).hostname or "" for address in addresses}
    resolved = {host: probing.resolve(host) for host in hosts}
    yield standing.check_vendors(addresses, resolved)
    if node["domain"]:
        name = database.name_given(folder.store) or probing.NOBODY
        yield probing.check_names(client, node["domain"], addresses, name)
