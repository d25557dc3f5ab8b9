"""Signed statements of every context, as they come and with any content signed (R-127)."""

from __future__ import annotations

from collections.abc import Iterator

from ratoon_protocol import codec, keys, statement
from ratoon_protocol.errors import DecodeError, SignatureError, UsageError
from ratoon_protocol.keys import Context, SigningKey
from ratoon_protocol.statement import CAPABILITIES
from tests.fuzz.mutation import unpack, valuewise
from tests.fuzz.target import Target, ask, vectors
from tests.protocol import second_bodies, second_decoder

NETWORK = b"vectors\0"
SIGNER = SigningKey.from_seed(bytes([6]) * 32)
CONTEXTS = tuple(CAPABILITIES)
ADDRESSES = ("https://Node.Example:443/a", "ws://[::1]:80", "wss://a@b:8080#c", "http://\u0130:7")


def run(data: bytes) -> None:
    """In every context; what any key may sign besides."""
    for context in CONTEXTS:
        judge(context, data)
        if (mended := resigned(context, data)) is not None:
            judge(context, mended)
    try:
        address = data[:200].decode()
    except UnicodeDecodeError:
        return
    origin = statement.origin_of(address)
    ask(statement.origin_of(origin) == origin, "an origin with two spellings")


def judge(context: Context, data: bytes) -> None:
    """The same verdict twice; what is accepted can be stated again in the same bytes."""
    try:
        found = statement.read_statement(context, NETWORK, data)
    except (DecodeError, SignatureError):
        found = None
    try:
        expected = second_bodies.judge_statement(context, NETWORK, data)
    except second_decoder.Fault:
        expected = None
    ask((found is None) == (expected is None), f"one accepts it as {context}")
    if found is None or expected is None:
        return
    ask((found.key, list(found.parts)) == tuple(expected), "other parts")
    if found.key == SIGNER.public:
        again = statement.sign_statement(context, NETWORK, found.parts, SIGNER)
        ask(again == data, "stated otherwise")


def resigned(context: Context, data: bytes) -> bytes | None:
    """The content of a statement under a signature that fits."""
    parts = unpack(data)
    if not isinstance(parts, list) or not parts or not isinstance(parts[0], bytes):
        return None
    signature = SIGNER.sign(keys.signed_bytes(context, NETWORK, parts[0]))
    try:
        return codec.encode([parts[0], SIGNER.public, signature])
    except UsageError:
        return None


def seeds() -> Iterator[bytes]:
    """The vectors, and addresses."""
    cases = vectors("statements")
    for case in (*cases["valid"], *cases["invalid"]):
        if len(case["bytes"]) < 2 * TARGET.bytes_max:
            yield bytes.fromhex(case["bytes"])
    yield from (address.encode() for address in ADDRESSES)


TARGET = Target(
    "statement", run, seeds, (b"http://", b"wss://", b"[::1]"), bytes_max=1024, mutate=valuewise
)
