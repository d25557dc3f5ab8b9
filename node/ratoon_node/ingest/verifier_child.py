"""The child of `verifier.ProcessVerifier`: reads requests and answers, until its input ends."""

from __future__ import annotations

import signal
import sys
from typing import BinaryIO

from ratoon_node.ingest.verifier import LENGTH_BYTES, answer


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer every request of `source` on `sink`."""
    while len(head := source.read(LENGTH_BYTES)) == LENGTH_BYTES:
        said = answer(source.read(int.from_bytes(head)))
        sink.write(len(said).to_bytes(LENGTH_BYTES) + said)
        sink.flush()


if __name__ == "__main__":
    # Whoever stops a node with a signal to all its processes means the node: it ends this one.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    answers, sys.stdout = sys.stdout.buffer, sys.stderr  # what is printed is no answer
    serve(sys.stdin.buffer, answers)
