"""`ratoon doctor` beside nodes that run, are stopped, were killed, or are set up wrongly."""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from ratoon_node.cli.doctor import examine
from ratoon_node.operate.disk import write_private
from ratoon_node.operate.folder import Folder
from tests.node.api.site import TOKEN, site
from tests.node.cli.shell import Home, new_home, serving


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def checks(home: Home, code: int = 0) -> dict[str, dict[str, str]]:
    """What the command says by check; every warning and failure says what to do."""
    done = home.run("doctor", "--json")
    found = {one["check"]: one for one in done.json["checks"]}
    assert (done.code, done.json["ok"]) == (code, code == 0), found
    assert all(one["do"] for one in found.values() if one["state"] != "ok")
    assert all(one["says"] for one in found.values())
    return found


def states(home: Home, code: int = 0) -> dict[str, str]:
    return {name: one["state"] for name, one in checks(home, code).items()}


@contextmanager
def without_upgrades(target: str) -> Iterator[str]:
    """A proxy in front of a node that passes requests on, and no WebSockets."""
    parts = urlsplit(target)

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            onward = http.client.HTTPConnection(parts.hostname or "", parts.port)
            onward.request("GET", self.path)
            answer = onward.getresponse()
            data = answer.read()
            onward.close()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_node_that_stands_well_and_then_does_not_run(tmp_path: Path) -> None:
    one, two = new_home(tmp_path, "one"), new_home(tmp_path, "two")
    port = free_port()
    (one.data).mkdir(parents=True, mode=0o700)
    (one.data / "ratoon.toml").write_text(
        f'port = {port}\nprovider = "North"\n'
        f'public_addresses = ["http://127.0.0.1:{port}", "http://localhost:{port}"]\n'
        'domain = "localhost"\ntrusted_proxies = ["127.0.0.1"]\n'
    )
    with serving(one, "--port", str(port)), serving(two) as other:
        one.account("--handle", "ann")
        one.good("peer", "add", other.url, "--provider", "East")
        found = states(one)
        warned = {name for name, state in found.items() if state != "ok"}
        # The words are in their file, one machine is one vendor, and here is no TLS.
        assert warned == {"words", "vendors", "names"}
        assert {f"address http://localhost:{port}", f"streams http://localhost:{port}"} <= set(
            found
        )
        assert {"clock", "links", "providers", "digest", "running"} <= set(found)
        said = one.good("doctor").out.splitlines()
        assert len(said) == len(found)
        assert all(row.split()[0] in ("ok", "warn") for row in said)
        (one.data / "policy.toml").write_text("# my rules\n")
        (one.data / "policy.toml").chmod(0o600)
        assert states(one)["policy"] == "warn"  # not in force yet
        one.good("policy", "reload")
        assert states(one)["policy"] == "ok"
    stopped = states(one)
    assert stopped["running"] == "warn"
    assert not any(name.startswith(("address", "links", "names")) for name in stopped)
    (one.data / "keys.json").chmod(0o644)
    assert states(one, 1)["keys"] == "fail"


def test_addresses_that_lead_elsewhere_or_nowhere_fail(tmp_path: Path) -> None:
    one, two = new_home(tmp_path, "one"), new_home(tmp_path, "two")
    nowhere = f"http://127.0.0.1:{free_port()}"
    with serving(two) as other:
        wrong = other.url.rstrip("/").replace("127.0.0.1", "localhost")
        with serving(one, "--public-addresses", f"{nowhere},{wrong}", "--domain", "localhost"):
            one.account("--handle", "ann")
            found = checks(one, 1)
    assert found[f"address {nowhere}"]["state"] == "fail"
    assert "nobody listens" in found[f"address {nowhere}"]["says"]
    assert "another node answers" in found[f"address {wrong}"]["says"]
    assert "ann@localhost" in found["names"]["says"]
    assert found["names"]["state"] == "fail"


def test_a_proxy_that_lets_no_websockets_through_fails(home: Home) -> None:
    port = free_port()
    with (
        without_upgrades(f"http://127.0.0.1:{port}") as proxy,
        serving(home, "--port", str(port), "--public-addresses", proxy),
    ):
        found = states(home, 1)
    assert (found[f"address {proxy}"], found[f"streams {proxy}"]) == ("ok", "fail")


def test_a_domain_that_nobody_serves_fails(home: Home) -> None:
    with serving(home, "--domain", "names.invalid"):
        assert states(home, 1)["names"] == "fail"


def test_a_node_that_was_killed_is_told_from_one_that_was_stopped(home: Home) -> None:
    with serving(home) as node:
        node.stop(signal.SIGKILL)
        found = checks(home, 1)["running"]
        assert (found["state"], "killed" in found["says"]) == ("fail", True)


def test_a_process_that_does_not_answer_fails(home: Home) -> None:
    with serving(home) as node:
        node.stop()
    Folder(home.data).note_serving(f"http://127.0.0.1:{free_port()}/", bytes(32))
    found = checks(home, 1)["running"]
    assert (found["state"], "does not answer" in found["says"]) == ("fail", True)


def test_settings_that_are_wrong_are_told_with_their_line(home: Home) -> None:
    home.data.mkdir(parents=True)
    (home.data / "ratoon.toml").write_text('name = "x"\nprot = 80\n')
    found = checks(home, 1)
    assert set(found) == {"settings"}
    assert "line 2" in found["settings"]["says"]
    (home.data / "ratoon.toml").unlink()
    shutil.rmtree(home.data)
    assert states(home, 1) == {"settings": "ok", "folder": "fail"}


async def test_a_node_that_is_not_ready_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("RATOON_")]:
        monkeypatch.delenv(name)
    async with site(tmp_path) as place:
        folder = Folder(tmp_path)
        write_private(tmp_path / "operator-token", TOKEN)
        folder.note_serving(place.url, place.node.own.account)
        full = SimpleNamespace(total=1, used=1, free=0)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
        found = {one.check: one for one in await asyncio.to_thread(examine, tmp_path)}
    assert found["running"].state == "fail"
    assert found["running"].says.endswith("because of: disk")
