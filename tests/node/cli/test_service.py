"""A node as a service: told to stop under load, to take settings anew, and watched by systemd."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgpack
import pytest

from ratoon_node.api.answers import RECORDS_TYPE
from ratoon_node.api.batch import join
from ratoon_node.runtime import SystemClock
from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import Author, Draft, device_row, new_account
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.limits import NETWORK_PUBLIC
from tests.node.cli.shell import COMMAND, SECONDS_MAX, Home, Process, new_home, serving
from tests.node.world import EVERYTHING

# What the node promises, and what this machine may add: it is shared.
STOP_S_MAX = 5.0


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path)


async def resident(http: aiohttp.ClientSession, url: str, seed: int) -> Author:
    """An account at home at a node in another process."""
    rng, now_ms = random.Random(seed), SystemClock().now_ms()
    async with http.get(f"{url}v1/node") as answer:
        node = bytes.fromhex((await answer.json())["account"])
    entropy = rng.randbytes(32)
    paper, device = phrase.account_key(entropy), SigningKey.from_seed(rng.randbytes(32))
    agreement = AgreementKey(rng.randbytes(32)).public
    row = device_row(NETWORK_PUBLIC, paper.public, device, agreement, EVERYTHING)
    draft = Draft(devices=[row], homes=[node])
    account, genesis = new_account(NETWORK_PUBLIC, paper, draft, now_ms, rng.randbytes(16))
    body = msgpack.packb({"records": [genesis.encode()]})
    async with http.post(
        f"{url}v1/accounts", data=body, headers={"Content-Type": "application/msgpack"}
    ) as answer:
        assert answer.status == 201, await answer.text()
    return Author(NETWORK_PUBLIC, account, device, phrase.slot_key(entropy))


async def publish_until_the_end(
    http: aiohttp.ClientSession, url: str, author: Author, seed: int, first: asyncio.Event
) -> tuple[list[str], set[str]]:
    """Post until the node is gone; the ids it acknowledged, and its last words."""
    rng, acknowledged, words = random.Random(seed), list[str](), set[str]()
    while True:
        records = [
            author.sign(
                kinds.POST, {"text": f"{seed} {at}"}, SystemClock().now_ms(), rng.randbytes(16)
            )
            for at in range(20)
        ]
        data = join([record.encode() for record in records])
        try:
            async with http.post(
                f"{url}v1/records", data=data, headers={"Content-Type": RECORDS_TYPE}
            ) as answer:
                body = await answer.json()
        except (aiohttp.ClientError, OSError):
            return acknowledged, words
        if "error" in body:
            words.add(body["error"]["code"])
            return acknowledged, words
        acknowledged += [one["id"] for one in body["records"] if one["code"] == "stored"]
        first.set()


async def stopped_under_load(node: Process) -> tuple[list[str], set[str], list[Any], float]:
    """What publishers were acknowledged and told, how streams ended, and the seconds it took."""
    async with aiohttp.ClientSession() as http:
        *authors, patient = [await resident(http, node.url, seed) for seed in range(4)]
        streams = [await http.ws_connect(f"{node.url}v1/stream") for _ in range(3)]
        begun = [asyncio.Event() for _ in authors]
        publishers = [
            asyncio.ensure_future(publish_until_the_end(http, node.url, author, seed, event))
            for seed, (author, event) in enumerate(zip(authors, begun, strict=True))
        ]
        # Waits for providers that do not exist: longer than the node may take to end.
        waiting = asyncio.ensure_future(wait_for_copies(http, node.url, patient))
        await asyncio.gather(*(event.wait() for event in begun))
        began = time.monotonic()
        node.process.send_signal(signal.SIGTERM)
        ended = [await stream_end(stream) for stream in streams]
        done = await asyncio.gather(*publishers)
        words = {word for _, said in done for word in said} | {await waiting}
        code = await asyncio.to_thread(node.process.wait, SECONDS_MAX)
        took = time.monotonic() - began
    assert code == 0
    return [id_ for ids, _ in done for id_ in ids], words, ended, took


async def wait_for_copies(http: aiohttp.ClientSession, url: str, author: Author) -> str:
    """What somebody is told whose copies are still awaited when the node ends."""
    record = author.sign(kinds.POST, {"text": "x"}, SystemClock().now_ms(), bytes(16))
    url = f"{url}v1/records?wait=providers:3&timeout=60000"
    headers = {"Content-Type": RECORDS_TYPE}
    async with http.post(url, data=join([record.encode()]), headers=headers) as answer:
        body = await answer.json()
    return str(body["error"]["code"]) if "error" in body else f"answered {answer.status}"


async def stream_end(stream: aiohttp.ClientWebSocketResponse) -> int | None:
    async for _ in stream:
        pass
    return stream.close_code


def test_a_stop_under_load_is_quick_and_loses_nothing(home: Home) -> None:
    flags = ("--registration", "open", "--records-per-minute-max", "0")
    with serving(home, *flags) as node:
        acknowledged, words, ended, took = asyncio.run(stopped_under_load(node))
    assert took < STOP_S_MAX
    assert ended == [1001] * 3
    assert "shutdown" in words
    assert len(acknowledged) >= 60
    with serving(home, *flags, "--requests-per-minute-max", "0") as node:
        missing = asyncio.run(unread(node.url, acknowledged))
    assert missing == []


async def unread(url: str, ids: list[str]) -> list[str]:
    """Those of `ids` that a node does not give."""
    missing = []
    async with aiohttp.ClientSession() as http:
        for id_ in ids:
            async with http.get(f"{url}v1/records/{id_}") as answer:
                if answer.status != 200:
                    missing.append(id_)
    return missing


def wait_until_said(node: Process, event: str, times: int) -> dict[str, Any]:
    """The log's line about one thing that is the `times`th of them, as soon as it is there."""
    follow = ["timeout", str(SECONDS_MAX), "tail", "-n", "+1", "-f", str(node.log)]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as lines:
        assert lines.stdout is not None
        for line in lines.stdout:
            found = json.loads(line) if line.startswith("{") else {}
            times -= found.get("event") == event
            if not times:
                lines.terminate()
                return dict(found)
    raise AssertionError(node.log.read_text()[-2000:])


def test_a_hangup_takes_settings_and_rules_or_none_of_them(home: Home) -> None:
    settings, rules = home.data / "ratoon.toml", home.data / "policy.toml"
    with serving(home) as node:
        settings.write_text('name = "Before"\nport = 7\nregistration = "open"\n')
        node.process.send_signal(signal.SIGHUP)
        done = wait_until_said(node, "reloaded", 1)
        assert (set(done["changed"]), done["restart"]) == ({"name", "registration"}, [])
        settings.write_text('name = "After"\nregistration = "sometimes"\n')
        node.process.send_signal(signal.SIGHUP)
        refused = wait_until_said(node, "reload_refused", 1)
        assert "line 2" in refused["problems"][0]
        settings.write_text('name = "After"\nreaders = 3\n')
        rules.write_text("[[rule]]\nid = 7\n")
        node.process.send_signal(signal.SIGHUP)
        refused = wait_until_said(node, "reload_refused", 2)
        assert re.match("line [12]", refused["problems"][0])
        shown = home.run("reload", "--json")
        assert (shown.code, shown.json["error"]["code"]) == (3, "bad_request")
        assert name_of(node) == "Before"
        rules.write_text("")
        shown = home.good("reload", "--json")
        assert set(shown.json["changed"]) == {"name", "registration"}
        assert shown.json["restart"] == ["readers"]
        assert name_of(node) == "After"
        assert node.stop() == 0


def name_of(node: Process) -> str:
    async def ask() -> str:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{node.url}v1/node") as answer,
        ):
            return str((await answer.json())["name"])

    return asyncio.run(ask())


@contextlib.contextmanager
def supervised(home: Home, **environ: str) -> Iterator[tuple[subprocess.Popen[str], socket.socket]]:
    """A node that tells its supervisor, and the supervisor's socket."""
    path = home.path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.settimeout(SECONDS_MAX)
        process = subprocess.Popen(
            [*COMMAND, "run", "--port", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            env=home.environment(NOTIFY_SOCKET=str(path), **environ),
        )
        try:
            yield process, channel
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(SECONDS_MAX)


def told(channel: socket.socket) -> dict[str, str]:
    """The next datagram but a sign of life."""
    while True:
        text = channel.recv(4096).decode()
        if text != "WATCHDOG=1":
            return dict(line.split("=", 1) for line in text.split("\n"))


def test_systemd_is_told_of_start_reload_and_stop(home: Home) -> None:
    with supervised(home) as (process, channel):
        assert told(channel) == {"READY": "1"}
        before_usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        process.send_signal(signal.SIGHUP)
        reloading = told(channel)
        assert reloading["RELOADING"] == "1"
        assert int(reloading["MONOTONIC_USEC"]) >= before_usec
        assert told(channel) == {"READY": "1"}
        process.send_signal(signal.SIGTERM)
        assert told(channel) == {"STOPPING": "1"}
        assert process.wait(SECONDS_MAX) == 0


def test_systemd_sees_signs_of_life_while_the_loop_turns(home: Home) -> None:
    with supervised(home, WATCHDOG_USEC="400000") as (process, channel):
        states = [channel.recv(4096).decode() for _ in range(4)]
        assert states.count("WATCHDOG=1") >= 3
        process.send_signal(signal.SIGSTOP)
        channel.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            while channel.recv(4096):
                pass
        channel.settimeout(1.0)  # longer than the node's pace: silence is what is looked for
        with pytest.raises(TimeoutError):
            channel.recv(4096)
        process.send_signal(signal.SIGCONT)
        channel.settimeout(SECONDS_MAX)
        assert channel.recv(4096) == b"WATCHDOG=1"


def test_a_watchdog_of_another_process_is_not_fed(home: Home) -> None:
    with supervised(home, WATCHDOG_USEC="200000", WATCHDOG_PID="1") as (process, channel):
        assert channel.recv(4096) == b"READY=1"
        process.send_signal(signal.SIGTERM)
        assert channel.recv(4096) == b"STOPPING=1"
