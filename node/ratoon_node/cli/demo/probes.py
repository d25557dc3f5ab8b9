"""A reader and a writer who change nodes by themselves, and how long they had to do without.

Each knows two nodes at different providers, the first at the one that will be destroyed. Nobody
tells them: they find out by asking.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from ratoon_client.keyfile import LATER
from ratoon_node.cli.client import Client, Refused, Unreachable
from ratoon_node.cli.demo.authors import Person, Signed
from ratoon_node.cli.demo.replay import HELD, PROVIDERS, Tally, publish
from ratoon_node.operate.demo.network import DemoNode
from ratoon_node.operate.demo.posts import Post

# A node that is silent this long is given up for the next.
PATIENCE_S = 2.0
# Pause between two reads or two posts: what is measured cannot be finer.
READ_S = 0.05
WRITE_S = 0.1
# Seconds a writer waits for two providers before it asks again.
WRITER_WAIT_S = 2


class Probe:
    """Does one thing again and again, at whichever of its nodes answers."""

    def __init__(self, name: str, nodes: Sequence[DemoNode], pause_s: float) -> None:
        self.nodes = list(nodes)
        self._clients = [Client(node.url, timeout_s=PATIENCE_S) for node in nodes]
        self._at = 0
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        #: When it succeeded (`time.monotonic`), and at which of its nodes.
        self.done: list[tuple[float, int]] = []

    def start(self) -> None:
        """Begin, and return once it succeeded at its first node."""
        self._thread.start()
        while not self.done and self._thread.is_alive():
            self._stop.wait(READ_S)

    def stop(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join()
        for client in self._clients:
            client.close()

    @property
    def moved(self) -> bool:
        """Whether it succeeded at another node than its first."""
        return any(at for _, at in self.done)

    def interruption_ms(self) -> float | None:
        """From the last success at the first node to the first one elsewhere; None without."""
        first = [when for when, at in self.done if not at]
        later = [when for when, at in self.done if at]
        return (later[0] - first[-1]) * 1000 if first and later else None

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                succeeded = self.attempt(self._clients[self._at])
            except (Unreachable, Refused):
                self._at = (self._at + 1) % len(self._clients)
                if not self._at:  # nobody answered: a moment, then all of them again
                    self._stop.wait(self._pause_s)
                continue
            if succeeded:
                self.done.append((time.monotonic(), self._at))
                self._stop.wait(self._pause_s)

    def attempt(self, client: Client) -> bool:
        """Try it once. Raises `Unreachable` or `Refused`: then the next node is tried."""
        raise NotImplementedError


class Reader(Probe):
    """Reads the newest posts."""

    def __init__(self, nodes: Sequence[DemoNode]) -> None:
        super().__init__("reader", nodes, READ_S)

    def attempt(self, client: Client) -> bool:
        """See `Probe.attempt`."""
        client.get("/v1/timelines/network", limit=20)
        return True


class Writer(Probe):
    """Posts, and counts what two providers hold; the same post again until they do."""

    def __init__(self, nodes: Sequence[DemoNode], person: Person, tally: Tally) -> None:
        super().__init__("writer", nodes, WRITE_S)
        self._person = person
        self._tally = tally
        self._count = 0
        self._signed = self._next()

    def _next(self) -> Signed:
        self._count += 1
        text = f"Still writing, for the {self._count}. time."
        return self._person.sign(Post(self._person.name, 0, text, "the demonstration"))

    def attempt(self, client: Client) -> bool:
        """See `Probe.attempt`."""
        [outcome] = publish(client, [self._signed.data], WRITER_WAIT_S)
        if outcome["code"] not in HELD | LATER:
            raise Refused(outcome["code"], "the writer's node refuses a post", 403)
        if outcome.get("providers", 0) < PROVIDERS:
            return False
        self._tally.acknowledge(self._signed)
        self._signed = self._next()
        return True
