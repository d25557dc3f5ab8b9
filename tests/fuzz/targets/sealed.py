"""Envelopes: any bytes, and any inner part under keys that fit (R-121 to R-124)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ratoon_protocol import codec, keys, kinds, sealed
from ratoon_protocol.errors import Code, DecodeError, SignatureError, UsageError
from ratoon_protocol.keys import AgreementKey, Context, SigningKey
from ratoon_protocol.sealed import Binding
from tests.fuzz.mutation import pack, unpack, valuewise
from tests.fuzz.target import Target, ask, vectors

BINDING = Binding(b"vectors\0", kinds.MESSAGE, bytes([1]) * 32, bytes([2]) * 32)
READER = AgreementKey(bytes([3]) * 32)
CONTENT_KEY = bytes([4]) * 32
SENDER = SigningKey.from_seed(bytes([5]) * 32)


@lru_cache(maxsize=1)
def _row() -> tuple[bytes, bytes]:
    """The content key sealed to the reader, made once: sealing draws a key of its own."""
    info = BINDING.encode()
    return sealed.key_id(READER.public), sealed._seal_key(READER.public, info, CONTENT_KEY)


def run(data: bytes) -> None:
    """An envelope as it comes; the same bytes as plaintext, and as an inner part signed by us."""
    opened(data)
    under_our_key(data)
    padded = sealed.pad(data)
    ask(sealed.unpad(padded) == data, "padding")
    ask(len(padded) in sealed.BUCKETS_BYTES, "no bucket")
    under_our_key(padded)
    inner = unpack(data)
    if isinstance(inner, list) and len(inner) == 5:
        under_our_key(sealed.pad(signed(inner)))


def opened(envelope: bytes) -> sealed.Message | None:
    """The message, if it opens."""
    try:
        return sealed.open_(BINDING, READER, envelope)
    except DecodeError:
        return None
    except SignatureError as error:
        ask(error.code in (Code.BAD_SEAL, Code.BAD_SIGNATURE, Code.BAD_KEY), "another code")
        return None


def under_our_key(plaintext: bytes) -> None:
    """An envelope that opens, whatever is in it; what comes out was in it, and signed."""
    body_key, commitment = sealed._split(CONTENT_KEY)
    body = AESGCM(body_key).encrypt(bytes(12), plaintext, BINDING.encode() + commitment)
    message = opened(codec.encode([1, commitment, [list(_row())], body]))
    if message is None:
        return
    sender, key, created_ms, content = message
    parts = unpack(sealed.unpad(plaintext))
    ask(parts[:4] == [sender, key, created_ms, content], "another message")
    fields = codec.encode([BINDING.kind, BINDING.recipient, *message])
    keys.verify(key, parts[4], keys.signed_bytes(Context.MESSAGE, BINDING.network, fields))
    ask(sealed.pad(codec.encode(parts)) == plaintext, "two spellings")


def signed(inner: list[object]) -> bytes:
    """The inner part with a signature that fits, if its parts can be signed."""
    inner = [inner[0], SENDER.public, *inner[2:]]
    try:
        fields = codec.encode([BINDING.kind, BINDING.recipient, *inner[:4]])
    except UsageError:
        return pack(inner)
    statement = keys.signed_bytes(Context.MESSAGE, BINDING.network, fields)
    return pack([*inner[:4], SENDER.sign(statement)])


def seeds() -> Iterator[bytes]:
    """The vectors' envelopes, some inner parts, one envelope of ours."""
    cases = vectors("sealed")
    for case in (*cases["valid"], *cases["invalid"]):
        if "envelope" in case and len(case["envelope"]) < 2 * TARGET.bytes_max:
            yield bytes.fromhex(case["envelope"])
    yield sealed.seal(BINDING, [READER.public], CONTENT_KEY, bytes(32), SENDER, 7, b"hello")
    yield from (pack([bytes(32), bytes(32), 7, text, bytes(64)]) for text in (b"", b"a" * 300))


TARGET = Target("sealed", run, seeds, bytes_max=2048, mutate=valuewise)
