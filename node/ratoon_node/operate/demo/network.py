"""Nodes as processes on loopback, each in a folder of its provider's.

    <root>/<provider>/<node>/       the node's data folder
    <root>/<provider>/authors/      key files of the people who are at home at that provider

Destroying a provider kills its processes without warning and deletes its whole folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from ratoon_node.operate.folder import Folder, Serving
from ratoon_protocol.errors import RatoonError

# Nodes go round these, so that five stand as two, two and one. The names are made up.
PROVIDERS = (("Alder Hosting", "NL"), ("Birch Cloud", "FI"), ("Cedar Metal", "CA"))
NODE_NAMES = ("Ash", "Beech", "Chestnut", "Elm", "Fir", "Hazel", "Juniper", "Larch", "Maple")
NODES_MIN = 3
NODES_MAX = len(NODE_NAMES)
# A node makes keys and a database at its first start; all start at once on few cores.
START_S_MAX = 60.0
# How often a starting process is looked at.
LOOK_S = 0.02
# A node that was told to stop writes down what it has; then it is killed.
STOP_S_MAX = 10.0
# Lines of a failed node's log that are shown.
LOG_LINES_SHOWN = 12
LOG = "node.log"


class NetworkError(RatoonError):
    """The network of the demonstration did not come up or lost a node it should not have."""


@dataclass(eq=False)
class DemoNode:
    """One node: a process, and the folder it lives in."""

    name: str
    provider: str
    country: str
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    #: Set when its provider was destroyed.
    lost: bool = False
    #: The most memory its process ever had, as last read.
    peak_bytes: int = 0

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def authors(self) -> Path:
        """Where key files of its people are: on a disk of its provider's."""
        return self.folder.parent / "authors"

    @property
    def operator_token(self) -> str:
        """What its operator proves himself with."""
        found = Folder(self.folder).operator_token()
        if found is None:
            raise NetworkError(f"{self.name} has no operator token")
        return found

    def start(self) -> None:
        """Start `ratoon run` for it; `wait_serving` tells when it is there."""
        self.folder.mkdir(parents=True)
        self.authors.mkdir(exist_ok=True)
        arguments = [
            *("--data-dir", str(self.folder), "--host", "127.0.0.1", "--port", str(self.port)),
            *("--name", self.name, "--provider", self.provider, "--country", self.country),
            *("--public-addresses", self.url, "--accept-private-addresses"),
            *("--registration", "open", "--requests-per-minute-max", "0"),
            *("--log-level", "warning", "--log-format", "json"),
        ]
        clean = {name: value for name, value in os.environ.items() if name[:7] != "RATOON_"}
        with (self.folder / LOG).open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ratoon_node", "run", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean,
                start_new_session=True,  # Ctrl-C is for the demonstration, which then stops them
            )

    def wait_serving(self, until: float) -> Serving:
        """Return when it serves. `until`: of `time.monotonic`. Raises `NetworkError`."""
        assert self.process is not None, "started before"
        folder = Folder(self.folder)
        while (found := folder.serving()) is None:
            if self.process.poll() is not None or time.monotonic() > until:
                raise NetworkError(f"{self.name} did not start:\n{self.log_end()}")
            time.sleep(LOOK_S)
        return found

    def log_end(self) -> str:
        """The last lines of its log."""
        try:
            lines = (self.folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-LOG_LINES_SHOWN:])

    def read_peak(self) -> int:
        """The most memory the process ever had (VmHWM of proc(5)), in bytes."""
        if self.process is not None and self.process.poll() is None:
            with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
                for line in status:
                    if line.startswith("VmHWM:"):
                        self.peak_bytes = int(line.split()[1]) * 1024
        return self.peak_bytes

    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End the process as a power cut would: no warning, no last words."""
        if self.process is not None and self.alive():
            self.process.send_signal(signal.SIGKILL)

    def reap(self, wait_s: float | None = None) -> None:
        """Wait until the process is gone; after `wait_s` it is killed."""
        if self.process is None:
            return
        try:
            self.process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class Network:
    """The nodes of the demonstration."""

    root: Path
    nodes: list[DemoNode] = field(default_factory=list)

    @property
    def alive(self) -> list[DemoNode]:
        """The nodes whose provider is still there."""
        return [node for node in self.nodes if not node.lost]

    @property
    def providers(self) -> dict[str, list[DemoNode]]:
        """All nodes by their provider."""
        found: dict[str, list[DemoNode]] = {}
        for node in self.nodes:
            found.setdefault(node.provider, []).append(node)
        return found

    def start(self) -> None:
        """Start every process and wait until all serve. Raises `NetworkError`."""
        for node in self.nodes:
            node.start()
        until = time.monotonic() + START_S_MAX
        for node in self.nodes:
            node.wait_serving(until)

    def destroy(self, provider: str) -> list[DemoNode]:
        """Kill every process of a provider and delete its disks; the nodes that were lost."""
        lost = self.providers[provider]
        for node in lost:
            node.read_peak()
            node.lost = True
        for node in lost:
            node.kill()
        for node in lost:
            node.reap()
        shutil.rmtree(lost[0].folder.parent)
        return lost

    def check_alive(self) -> None:
        """Raise `NetworkError` if a node ended that nobody destroyed."""
        for node in self.alive:
            if not node.alive():
                raise NetworkError(f"{node.name} ended by itself:\n{node.log_end()}")

    def stop(self) -> None:
        """Ask every process to end, then see to it."""
        for node in self.nodes:
            if node.process is not None and node.alive():
                node.process.terminate()
        until = time.monotonic() + STOP_S_MAX
        for node in self.nodes:
            node.reap(max(0.0, until - time.monotonic()))


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses: nodes name their address before they listen on it."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for taken in sockets:
            taken.bind(("127.0.0.1", 0))
        return [taken.getsockname()[1] for taken in sockets]
    finally:
        for taken in sockets:
            taken.close()


@contextmanager
def network(nodes: int) -> Iterator[Network]:
    """A network of `nodes` that are not started yet; however this ends, nothing is left of it."""
    with TemporaryDirectory(prefix="ratoon-demo-", ignore_cleanup_errors=True) as folder:
        found = Network(Path(folder))
        for at, port in enumerate(free_ports(nodes)):
            provider, country = PROVIDERS[at % len(PROVIDERS)]
            place = found.root / provider.split()[0].lower() / NODE_NAMES[at].lower()
            found.nodes.append(DemoNode(NODE_NAMES[at], provider, country, place, port))
        try:
            yield found
        finally:
            found.stop()
