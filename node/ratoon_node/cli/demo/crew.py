"""Many people at once: threads with a connection each, which stop together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

from ratoon_node.cli.client import Client
from ratoon_node.operate.demo.network import DemoNode

# People who do something at the same time on one node.
AT_ONCE = 4

T = TypeVar("T")
#: Items for one node.
Share = tuple[DemoNode, Sequence[T]]


def at_all(shares: Iterable[Share[T]], do: Callable[[Client, T], None]) -> None:
    """Do it to every item of every node's share, `AT_ONCE` at a time on each node.

    The first error (or Ctrl-C) ends all of it and is raised.
    """
    stopped = threading.Event()

    def lane(node: DemoNode, items: Sequence[T]) -> None:
        client = Client(node.url)
        try:
            for item in items:
                if stopped.is_set():
                    return
                do(client, item)
        finally:
            client.close()

    lanes = [(node, items[at::AT_ONCE]) for node, items in shares for at in range(AT_ONCE)]
    with ThreadPoolExecutor(len(lanes)) as pool:
        try:
            running = [pool.submit(lane, node, items) for node, items in lanes]
            wait(running, return_when=FIRST_EXCEPTION)
            stopped.set()
            for one in running:
                one.result()
        except BaseException:
            stopped.set()
            raise


@contextmanager
def crew() -> Iterator[ThreadPoolExecutor]:
    """Threads for single jobs; if the block fails, jobs that have not begun never do."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
