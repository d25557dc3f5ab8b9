"""What little input may cost: one deadline for all of it, and work that grows as it does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgpack
import pytest

from ratoon_node.api import batch
from ratoon_node.api.answers import RECORD_TYPE
from ratoon_node.policy import fold
from ratoon_node.policy.facts import links_of
from ratoon_node.timeline import terms
from ratoon_protocol import framing, kinds
from ratoon_protocol.reconcile import wire
from tests.badinput.lines import HttpLine
from tests.node.api.site import site

#: Bytes that a slow sender has to send, which it never does.
BODY_BYTES = 10_000
# What is linear takes four times as long for four times the input; what is quadratic sixteen. Of
# several runs the quickest counts: what else the machine does only ever adds.
RATIO_MAX = 10
RUNS = 5


async def test_a_body_a_byte_at_a_time_has_one_deadline_in_all(tmp_path: Path) -> None:
    """CVE-2023-36461 (Mastodon): the time began anew with each byte that came."""
    async with site(tmp_path, request_timeout_ms_max=200) as here:
        line = HttpLine(here.port)
        head = f"POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Type: {RECORD_TYPE}\r\n"
        await line.send(f"{head}Content-Length: {BODY_BYTES}\r\n\r\n".encode())
        answer = asyncio.ensure_future(line.answer())
        sent = 0
        while not answer.done():
            await line.send(b"x")
            sent += 1
            with suppress(TimeoutError):  # a byte well before each pause would be over
                async with asyncio.timeout(0.02):
                    await asyncio.shield(answer)
        assert (answer.result().status, answer.result().code) == (504, "timeout")
        assert 1 < sent < BODY_BYTES
        assert await line.ended()


def _push(count: int) -> bytes:
    items = [framing.pack_item(bytes(200), bytes(64), bytes(64)) for _ in range(count)]
    (frame,) = framing.encode_pushes(items)
    return frame


def _marks(count: int) -> str:
    return "a\u0301" * count


def _addresses(count: int) -> dict[str, str]:
    return {"text": "http://" * count}


#: name: (what makes an input of a size, what reads it, the smaller size).
READERS: dict[str, tuple[Callable[[int], object], Callable[..., object], int]] = {
    "a batch": (lambda count: msgpack.packb([b"x"] * count), batch.split, 2500),
    "a frame of items": (_push, framing.decode, 128),
    "a comparison": (
        lambda count: b"\x61" + b"\x02\x00\x00" * count,
        lambda data: wire.read_ranges(data, None),
        1000,
    ),
    "words with marks": (_marks, fold.tokens, 5000),
    "words for the index": (_marks, terms.tokens, 5000),
    "words without a space": (lambda count: "a" * count, terms.tokens, 10_000),
    "addresses in words": (_addresses, lambda body: links_of(kinds.POST, body), 1000),
    "brackets in words": (
        lambda count: {"text": "www.(" * count},
        lambda body: links_of(kinds.POST, body),
        1000,
    ),
    "dots in words": (
        lambda count: {"text": "a." * count},
        lambda body: links_of(kinds.POST, body),
        1000,
    ),
}


def seconds(read: Callable[..., object], given: object) -> float:
    """CPU time of this thread for one reading, the quickest of some."""
    best = float("inf")
    for _ in range(RUNS):
        begin = time.thread_time()
        read(given)
        best = min(best, time.thread_time() - begin)
    return best


@pytest.mark.parametrize("name", READERS)
def test_four_times_the_input_is_no_sixteen_times_the_work(name: str) -> None:
    """CVE-2025-68475 (Fedify): a page of 170 bytes kept a regular expression busy for 14 s."""
    make, read, size = READERS[name]
    small, large = make(size), make(4 * size)
    assert seconds(read, large) < RATIO_MAX * max(seconds(read, small), 0.0001)
