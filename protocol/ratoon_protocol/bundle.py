"""Bundles: records in a file, for carrying by hand, archives and moves (R-87 to R-89).

    bundle   := magic: "ratoon bundle" 00 01 0a . manifest . item* . end
    manifest := length: u32 . [ network: bin(8), key: bin(32), created_ms, records, note: str ]
                . signature: 64 bytes, in Context.BUNDLE over the array's bytes
    item     := tag: u8 . length: u32 . bytes          tag 1 record, 2 media; others are passed over
    end      := 0: u8 . 0: u32                         lengths are big-endian

The manifest is told to people and trusted for nothing: each record is judged as if it had come
over a link. Dispositions and private tables have no place here. Files are opened by the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from ratoon_protocol import codec
from ratoon_protocol.errors import Code, DecodeError, SignatureError, UsageError
from ratoon_protocol.keys import (
    KEY_BYTES,
    NETWORK_BYTES,
    SIGNATURE_BYTES,
    Context,
    SigningKey,
    signed_bytes,
    verify,
)
from ratoon_protocol.limits import (
    BUNDLE_MANIFEST_BYTES_MAX,
    BUNDLE_MEDIA_BYTES_MAX,
    BUNDLE_RECORDS_MAX,
    RECORD_BYTES_MAX,
)
from ratoon_protocol.text import line

MAGIC = b"ratoon bundle\x00\x01\n"
END = 0
RECORD = 1
MEDIA = 2


class Source(Protocol):
    """What a bundle is read from: `read(n)` gives at most n bytes, and none at the end."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""


class Sink(Protocol):
    """What a bundle is written to: `write` takes all it is given."""

    def write(self, data: bytes, /) -> object:
        """Append `data`."""


class Manifest(NamedTuple):
    """What the maker says: `key` (32 bytes) signed it, `records` and `note` may be wrong."""

    network: bytes
    key: bytes
    created_ms: int
    records: int
    note: str


class BundleWriter:
    """Writes one bundle: the manifest at once, then `record` and `media`, then `close`.

    Raises UsageError for what no reader would take.
    """

    def __init__(self, sink: Sink, manifest: Manifest, signer: SigningKey) -> None:
        if signer.public != manifest.key:
            raise UsageError("the manifest names another key")
        if manifest.records > BUNDLE_RECORDS_MAX:
            raise UsageError("too many records: make two bundles")
        data = codec.encode(list(manifest))
        if len(data) > BUNDLE_MANIFEST_BYTES_MAX:
            raise UsageError("the note is too long")
        signature = signer.sign(signed_bytes(Context.BUNDLE, manifest.network, data))
        self._sink = sink
        sink.write(MAGIC + len(data).to_bytes(4) + data + signature)

    def record(self, data: bytes) -> None:
        """Add a record as it travels (`Record.encode`)."""
        self._item(RECORD, data, RECORD_BYTES_MAX)

    def media(self, data: bytes) -> None:
        """Add a file of media; it is found again by its SHA-256."""
        self._item(MEDIA, data, BUNDLE_MEDIA_BYTES_MAX)

    def _item(self, tag: int, data: bytes, bytes_max: int) -> None:
        if len(data) > bytes_max:
            raise UsageError("too large for a bundle")
        self._sink.write(tag.to_bytes(1) + len(data).to_bytes(4))
        self._sink.write(data)

    def close(self) -> None:
        """Write the end mark, without which a reader knows that the file was cut."""
        self._sink.write(bytes(5))


class BundleReader:
    """Reads one bundle. `manifest` and `signed` are known at once; then iterate `items`.

    Raises DecodeError: `malformed` (not a bundle), `unsupported` (another version), `truncated`,
    `too_large`, `too_many`, or what the manifest's bytes deserve.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._read_magic()
        data = self._sized(BUNDLE_MANIFEST_BYTES_MAX)
        signature = self._exactly(SIGNATURE_BYTES)
        self.manifest = _decode_manifest(data)
        #: Whether the key in the manifest signed it; says nothing about the records.
        self.signed = _is_signed(self.manifest, data, signature)

    def items(self) -> Iterator[tuple[int, bytes]]:
        """(RECORD or MEDIA, bytes) up to the end mark; bytes are not yet judged."""
        records = 0
        while (tag := self._exactly(1)[0]) != END:
            data = self._sized(RECORD_BYTES_MAX if tag == RECORD else BUNDLE_MEDIA_BYTES_MAX)
            if tag == RECORD:
                records += 1
                if records > BUNDLE_RECORDS_MAX:
                    raise DecodeError(Code.TOO_MANY, "records")
            if tag in (RECORD, MEDIA):
                yield tag, data
        self._sized(0)

    def _read_magic(self) -> None:
        magic = self._exactly(len(MAGIC))
        if magic == MAGIC:
            return
        if magic[:-2] == MAGIC[:-2]:
            raise DecodeError(Code.UNSUPPORTED, "bundle version")
        raise DecodeError(Code.MALFORMED, "not a bundle")

    def _sized(self, bytes_max: int) -> bytes:
        length = int.from_bytes(self._exactly(4))
        if length > bytes_max:  # before it is read: a lie must not cost memory
            raise DecodeError(Code.TOO_LARGE, "bundle item")
        return self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            more = self._source.read(length - len(data))
            if not more:
                raise DecodeError(Code.TRUNCATED)
            data += more
        return bytes(data)


def _decode_manifest(data: bytes) -> Manifest:
    match codec.decode(data, depth_max=1):
        case [bytes(network), bytes(key), int(created_ms), int(records), str(note)]:
            if len(network) == NETWORK_BYTES and len(key) == KEY_BYTES:
                line(BUNDLE_MANIFEST_BYTES_MAX)(note)
                return Manifest(network, key, created_ms, records, note)
    raise DecodeError(Code.BAD_BODY, "manifest")


def _is_signed(manifest: Manifest, data: bytes, signature: bytes) -> bool:
    try:
        verify(manifest.key, signature, signed_bytes(Context.BUNDLE, manifest.network, data))
    except SignatureError:
        return False
    return True
