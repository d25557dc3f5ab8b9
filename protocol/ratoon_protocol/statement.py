"""Signed statements: what a key says outside of records and links (R-127).

    statement := [ content: bin, key: bin(32), signature: bin(64) ]

`content` is the encoding of an array whose parts the context fixes; the signature is by `key`,
over the content in that context. Whether the key may say so is asked of the account's head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from ratoon_protocol import codec
from ratoon_protocol.codec import Value
from ratoon_protocol.errors import Code, DecodeError, UsageError
from ratoon_protocol.keys import (
    KEY_BYTES,
    SIGNATURE_BYTES,
    Context,
    SigningKey,
    signed_bytes,
    verify,
)
from ratoon_protocol.kinds import Capability
from ratoon_protocol.limits import NONCE_BYTES, STATEMENT_BYTES_MAX
from ratoon_protocol.text import Check, word

_ID_BYTES: Final = 32


class SignIn(NamedTuple):
    """What a device says to sign in (context `session`).

    `account` and `audience` (the node) have 32 bytes, `nonce` 16. `origin` is the address at which
    the client asked, as scheme, host and port.
    """

    account: bytes
    audience: bytes
    origin: str
    nonce: bytes
    expires_ms: int


class Statement(NamedTuple):
    """A statement whose signature fits: the key (32 bytes) and what it says, part by part."""

    key: bytes
    parts: tuple[Value, ...]


def _exactly(length: int) -> Check:
    def check(value: Value) -> None:
        if type(value) is not bytes:
            raise DecodeError(Code.BAD_TYPE, "not bytes")
        if len(value) != length:
            raise DecodeError(Code.BAD_LENGTH)

    return check


def _number(value: Value) -> None:
    if type(value) is not int:
        raise DecodeError(Code.BAD_TYPE, "not a number")


def _id_or_nil(value: Value) -> None:
    if value is not None:
        _ID(value)


_ID: Final = _exactly(_ID_BYTES)
_NONCE: Final = _exactly(NONCE_BYTES)
_PARTS: Final[Mapping[Context, tuple[Check, ...]]] = {
    Context.TOKEN: (_ID, _id_or_nil, _number),
    Context.SESSION: (_ID, _ID, word(), _NONCE, _number),
    Context.INVITE: (_ID, _NONCE, _number),
    Context.ERASURE: (_ID, _ID, _number),
    Context.AUDIT: (_ID, _number, _ID, _number),
}
#: What the key must be allowed at the account that the first part names.
CAPABILITIES: Final[Mapping[Context, Capability]] = {
    Context.TOKEN: Capability.PRIVATE,
    Context.SESSION: Capability.WRITE,
    Context.INVITE: Capability.SERVE,
    Context.ERASURE: Capability.SERVE,
    Context.AUDIT: Capability.SERVE,
}


def sign_statement(
    context: Context, network: bytes, parts: tuple[Value, ...], signer: SigningKey
) -> bytes:
    """A statement as it travels. Raises UsageError for parts that no reader would take."""
    try:
        _check_parts(context, list(parts))
    except DecodeError as error:
        raise UsageError(f"cannot state: {error}") from error
    content = codec.encode(list(parts))
    signature = signer.sign(signed_bytes(context, network, content))
    return codec.encode([content, signer.public, signature])


def read_statement(context: Context, network: bytes, data: bytes) -> Statement:
    """The statement in `data`, if its signature fits.

    Raises DecodeError (`too_large`, what the codec says, `bad_type`, `bad_length`, `bad_text`,
    `bad_body`, `too_long`) or SignatureError (`bad_key`, `bad_signature`).
    """
    if len(data) > STATEMENT_BYTES_MAX:
        raise DecodeError(Code.TOO_LARGE)
    content, key, signature = _outer(codec.decode(data, depth_max=1))
    parts = codec.decode(content, depth_max=1)
    _check_parts(context, parts)
    verify(key, signature, signed_bytes(context, network, content))
    return Statement(key, tuple(parts))


def sign_in(network: bytes, said: SignIn, device: SigningKey) -> bytes:
    """The statement that signs a device in, as it travels. Raises as `sign_statement`."""
    return sign_statement(Context.SESSION, network, said, device)


def read_sign_in(network: bytes, data: bytes) -> tuple[bytes, SignIn]:
    """The key that signed, and what it says; raises as `read_statement`.

    The caller asks whether the audience is itself, the origin one of its addresses, the nonce its
    own and new, the time not over, and the key one of the account's with `CAPABILITIES`.
    """
    found = read_statement(Context.SESSION, network, data)
    return found.key, SignIn(*found.parts)


#: The port that an address without one means.
PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
_SCHEMES: Final[Mapping[str, str]] = {
    "ws": "http",
    "wss": "https",
    "http": "http",
    "https": "https",
}


def origin_of(address: str) -> str:
    """Scheme, host and port of an address, in the one spelling of R-127; "" if it has none."""
    try:
        parts = urlsplit(address)
        scheme, host, port = _SCHEMES.get(parts.scheme.lower()), parts.hostname, parts.port
    except ValueError:
        return ""
    if scheme is None or not host:
        return ""
    name = f"[{host}]" if ":" in host else host.lower()
    return f"{scheme}://{name}" + (f":{port}" if port not in (None, PORTS[scheme]) else "")


def _outer(value: Value) -> tuple[bytes, bytes, bytes]:
    if type(value) is not list:
        raise DecodeError(Code.BAD_TYPE, "not a list")
    if len(value) != 3:
        raise DecodeError(Code.BAD_LENGTH, "statement")
    content, key, signature = value
    if type(content) is not bytes:
        raise DecodeError(Code.BAD_TYPE, "content is not bytes")
    _exactly(KEY_BYTES)(key)
    _exactly(SIGNATURE_BYTES)(signature)
    return content, key, signature


def _check_parts(context: Context, parts: Value) -> None:
    checks = _PARTS[context]
    if type(parts) is not list:
        raise DecodeError(Code.BAD_TYPE, "content is not a list")
    if len(parts) != len(checks):
        raise DecodeError(Code.BAD_LENGTH, "content")
    for check, part in zip(checks, parts, strict=True):
        check(part)
