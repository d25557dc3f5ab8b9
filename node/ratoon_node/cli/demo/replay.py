"""Posts on their way: batches in flight to every node, each waiting for two providers."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ratoon_client.keyfile import LATER
from ratoon_node.cli.client import Client, Refused, Unreachable
from ratoon_node.cli.demo.authors import Signed
from ratoon_node.operate.demo.network import DemoNode

# What `wait` asks for: the promise that the demonstration checks.
PROVIDERS = 2
WAIT = f"providers:{PROVIDERS}"
# Records in one request.
BATCH_RECORDS = 100
# Requests under way to one node.
IN_FLIGHT = 3
# Signed posts that wait for a request to one node.
QUEUED_MAX = 400
# How long a node may take to say that two providers hold a batch.
WAIT_S = 20
# Times a post is asked about again before it counts as not acknowledged.
ATTEMPTS_MAX = 5
# Pause after a node said that it is busy.
BUSY_S = 0.2

HELD = frozenset({"stored", "duplicate"})


class Tally:
    """What became of every post. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: id: what was signed, and the text that readers must see.
        self.acknowledged: dict[bytes, Signed] = {}
        #: Posts that were under way when their node was lost.
        self.unanswered: list[Signed] = []
        self.refused: Counter[str] = Counter()
        self.unconfirmed = 0
        self.last_s = 0.0

    def acknowledge(self, signed: Signed) -> None:
        """Two providers hold it, says the node."""
        with self._lock:
            self.acknowledged[signed.id] = signed
            self.last_s = time.monotonic()

    def lose(self, batch: Sequence[Signed]) -> None:
        """The node is gone and has not answered."""
        with self._lock:
            self.unanswered.extend(batch)

    def refuse(self, code: str) -> None:
        """The node will not have it."""
        with self._lock:
            self.refused[code] += 1

    def give_up(self, count: int) -> None:
        """So many are stored, but nobody said that two providers hold them."""
        with self._lock:
            self.unconfirmed += count

    @property
    def settled(self) -> int:
        """Posts that need no more work."""
        return len(self.acknowledged) + self.refused.total() + self.unconfirmed


class Sender:
    """Sends what is queued for one node, several requests at a time."""

    def __init__(self, node: DemoNode, tally: Tally) -> None:
        self.node = node
        self._tally = tally
        self._queue: queue.Queue[Signed | None] = queue.Queue(QUEUED_MAX)
        self._threads = [
            threading.Thread(target=self._run, name=f"send-{node.name}-{at}", daemon=True)
            for at in range(IN_FLIGHT)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, signed: Signed) -> None:
        """Queue a post; waits while too many wait."""
        self._queue.put(signed)

    def drain(self) -> None:
        """Return when everything queued was settled or lost."""
        self._queue.join()

    def close(self) -> None:
        """End the threads once the queue is empty."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        client = Client(self.node.url)
        while (first := self._queue.get()) is not None:
            batch = [first]
            ended = False
            while len(batch) < BATCH_RECORDS and not ended:
                try:
                    more = self._queue.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    ended = True
                else:
                    batch.append(more)
            try:
                self._settle(client, batch)
            finally:
                for _ in range(len(batch) + ended):
                    self._queue.task_done()
            if ended:
                break
        client.close()

    def _settle(self, client: Client, batch: list[Signed]) -> None:
        """Send a batch until every post of it is acknowledged, refused, or lost with the node."""
        for _ in range(ATTEMPTS_MAX):
            if self.node.lost:
                break
            try:
                batch = self._take(batch, publish(client, [one.data for one in batch]))
            except Unreachable:
                continue
            if not batch:
                return
        if self.node.lost:
            self._tally.lose(batch)
        else:
            self._tally.give_up(len(batch))

    def _take(self, batch: Sequence[Signed], outcomes: Sequence[dict[str, Any]]) -> list[Signed]:
        """Note each answer; what is to be asked again."""
        again = []
        for signed, outcome in zip(batch, outcomes, strict=True):
            code = outcome["code"]
            if code in HELD and outcome.get("providers", 0) >= PROVIDERS:
                self._tally.acknowledge(signed)
            elif code in HELD or code in LATER:
                again.append(signed)
            else:
                self._tally.refuse(code)
        return again


def publish(client: Client, records: Sequence[bytes], wait_s: int = WAIT_S) -> list[dict[str, Any]]:
    """An outcome for each record, once two providers hold them all or `wait_s` are over.

    Raises `Unreachable`. A node that is busy is given a moment; its word is the outcome of all.
    """
    try:
        found = client.post_records(
            "/v1/records", records, wait_s, wait=WAIT, timeout=wait_s * 1000
        )
    except Refused as error:
        if error.json_code in LATER:
            time.sleep(BUSY_S)
        return [{"code": error.json_code}] * len(records)
    outcomes: list[dict[str, Any]] = found["records"]
    return outcomes
