"""A file of records: read with declared errors alone, never more at once than it may (R-87 …)."""

from __future__ import annotations

import io
from collections.abc import Iterator

from ratoon_node.cli.bundles import BATCH_BYTES_MAX, BATCH_RECORDS, _batches
from ratoon_protocol.bundle import MAGIC, MEDIA, RECORD, BundleReader, BundleWriter, Manifest
from ratoon_protocol.errors import DecodeError, ProtocolError, UsageError
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.limits import BUNDLE_MEDIA_BYTES_MAX
from tests.fuzz.mutation import bytewise
from tests.fuzz.target import Steered, Target, ask, vectors

SIGNER = SigningKey.from_seed(bytes(32))


class Slow:
    """A file that gives little at a time, and notes what it is asked for."""

    def __init__(self, data: bytes, step: int) -> None:
        self._file, self._step = io.BytesIO(data), step

    def read(self, size: int, /) -> bytes:
        """At most a step."""
        ask(0 < size <= BUNDLE_MEDIA_BYTES_MAX, "asks for more than an item")
        return self._file.read(min(size, self._step))


def run(data: bytes) -> None:
    """The first byte: how slow the file is; the others are the file."""
    steered = Steered(data)
    step = 1 + steered.getrandbits(8)
    content = steered.rest()
    try:
        reader = BundleReader(Slow(content, step))
    except ProtocolError as error:
        ask(isinstance(error, DecodeError), f"raises {type(error)}")
        return
    items: list[tuple[int, bytes]] = []
    whole = False
    try:
        for item in reader.items():
            items.append(item)
        whole = True
    except DecodeError:
        pass
    ask(sum(5 + len(item) for _, item in items) <= len(content), "more than the file holds")
    if whole:
        written_again(reader.manifest, items)
        in_requests(content, [item for tag, item in items if tag == RECORD])


def written_again(manifest: Manifest, items: list[tuple[int, bytes]]) -> None:
    """What was read can be written, and is read the same."""
    sink = io.BytesIO()
    manifest = manifest._replace(key=SIGNER.public)
    try:
        writer = BundleWriter(sink, manifest, SIGNER)
    except UsageError:
        return  # more records promised than a bundle holds
    for tag, item in items:
        (writer.record if tag == RECORD else writer.media)(item)
    writer.close()
    reader = BundleReader(io.BytesIO(sink.getvalue()))
    ask(reader.signed and reader.manifest == manifest, "another manifest")
    ask(list(reader.items()) == items, "other items")


def in_requests(content: bytes, records: list[bytes]) -> None:
    """What the command sends: every record once, in order, within its bounds."""
    batches = list(_batches(BundleReader(io.BytesIO(content)), skip=1))
    ask([one for batch in batches for one in batch] == records[1:], "other records sent")
    for batch in batches:
        ask(0 < len(batch) <= BATCH_RECORDS, "records of a request")
        ask(sum(map(len, batch)) <= BATCH_BYTES_MAX or len(batch) == 1, "bytes of a request")


def seeds() -> Iterator[bytes]:
    """The vectors, and one with media and an item of a later version."""
    cases = vectors("bundle")
    for case in (*cases["valid"], *cases["invalid"]):
        if len(case["bytes"]) < 2 * TARGET.bytes_max:
            yield b"\x20" + bytes.fromhex(case["bytes"])
    sink = io.BytesIO()
    writer = BundleWriter(sink, Manifest(bytes(8), SIGNER.public, 1, 3, "a note"), SIGNER)
    writer.record(b"a record")
    writer.media(b"a picture")
    sink.write(b"\x07\0\0\0\x05later")
    writer.record(b"")
    writer.close()
    ask(MEDIA == 2, "tags")
    yield b"\xff" + sink.getvalue()


TARGET = Target(
    "bundle", run, seeds, (MAGIC, bytes(5), b"\x01\0\0\0\x02"), bytes_max=2048, mutate=bytewise
)
