"""Sealed envelopes: what a message, report, follower-keys or setting record carries (R-38, R-121).

    envelope := [ suite: 1, commitment: bin(32), recipients, body: bin ]
    recipients := [ [ key_id: bin(8), sealed_key: bin(80) ], … ]   1 … 32, ascending, no key twice
    body     := AES-256-GCM( plaintext; nonce 0, associated data = binding . commitment )
    plaintext := length: u32 big-endian . inner . zeros up to a bucket
    inner    := [ sender: bin(32), key: bin(32), created_ms, content: bin, signature: bin(64) ]
    signature over [ kind, recipient, sender, key, created_ms, content ] in Context.MESSAGE

One content key opens the body; it is sealed with HPKE to each X25519 key (device or prekey) of the
recipient, so one envelope serves all devices. key_id = first 8 bytes of SHA-256(X25519 key).

- `binding` (kind, recipient account and one-time key, as in the record's header) is in the HPKE
  info and the associated data: no one can move an envelope to another record.
- The commitment fixes the content key, because AES-GCM alone lets a sender craft one body that
  reads differently under two keys: a device, and a moderator who gets a report, see the same text.
- The inner signature names the recipient: who gets a message cannot pass it on as written to
  another. Two envelopes with one inner signature are one message.
- Suite 1 is DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM for the key and AES-256-GCM for
  the body: all of it is in WebCrypto. Another suite gets another number.

The content key is drawn by the caller for one envelope only (hence nonce 0). HPKE draws its own
ephemeral keys inside the library: the one place in this package whose output is not a function of
its arguments.

Sources: RFC 9180 (HPKE, base mode), RFC 5869, NIST SP 800-38D.
"""

import hashlib
from bisect import bisect_left
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from ratoon_protocol import codec
from ratoon_protocol.errors import Code, DecodeError, SignatureError, UsageError
from ratoon_protocol.keys import (
    KEY_BYTES,
    SIGNATURE_BYTES,
    AgreementKey,
    Context,
    SigningKey,
    signed_bytes,
    verify,
)
from ratoon_protocol.limits import DEVICES_MAX

SUITE: Final = 1
CONTENT_KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 8
SEALED_KEY_BYTES: Final = 80  # ephemeral key 32, content key 32, tag 16

# The padded lengths: 256, 384, 512, 768 … 49,152, so an observer learns little and at most a third
# is lost; the last leaves room for 32 sealed keys in a payload of 64 KiB.
BUCKETS_BYTES: Final = (
    *(size for power in range(8, 16) for size in (2**power, 3 * 2 ** (power - 1))),
    61_440,
)

_HPKE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
_LENGTH_BYTES: Final = 4
_NONCE: Final = bytes(12)


class Message(NamedTuple):
    """An opened envelope: account and key that signed it, their time (ms), and the content.

    The caller still asks whether `key` was a device key of `sender` with the capability for it.
    """

    sender: bytes
    key: bytes
    created_ms: int
    content: bytes


class Binding(NamedTuple):
    """The record an envelope belongs to: network (8 bytes), kind, account and key of its header."""

    network: bytes
    kind: int
    recipient: bytes
    key: bytes

    def encode(self) -> bytes:
        """HPKE info, and the first part of the body's associated data."""
        fields = codec.encode([self.kind, self.recipient, self.key])
        return signed_bytes(Context.SEAL, self.network, fields)


def key_id(public: bytes) -> bytes:
    """How a recipient's X25519 key is named (8 bytes) in an envelope."""
    return hashlib.sha256(public).digest()[:KEY_ID_BYTES]


def pad(inner: bytes) -> bytes:
    """`inner` with its length before it and zeros up to a bucket. UsageError above the last one."""
    place = bisect_left(BUCKETS_BYTES, _LENGTH_BYTES + len(inner))
    if place == len(BUCKETS_BYTES):
        raise UsageError("the content does not fit an envelope")
    padded = len(inner).to_bytes(_LENGTH_BYTES, "big") + inner
    return padded.ljust(BUCKETS_BYTES[place], b"\x00")


def unpad(plaintext: bytes) -> bytes:
    """What `pad` got. Raises DecodeError(non_canonical) for any other spelling."""
    length = int.from_bytes(plaintext[:_LENGTH_BYTES], "big")
    inner = plaintext[_LENGTH_BYTES : _LENGTH_BYTES + length]
    if len(plaintext) > BUCKETS_BYTES[-1] or pad(inner) != plaintext:
        raise DecodeError(Code.NON_CANONICAL, "envelope padding")
    return inner


def seal(
    binding: Binding,
    recipient_keys: list[bytes],
    content_key: bytes,
    sender: bytes,
    signer: SigningKey,
    created_ms: int,
    content: bytes,
) -> bytes:
    """An envelope with `content`, signed by `signer` for account `sender`, for all `recipient_keys`
    (X25519, 1 … 32). `content_key`: 32 fresh random bytes. Raises UsageError, or
    SignatureError(bad_key) for a recipient key of small order.
    """
    if not 1 <= len(set(recipient_keys)) == len(recipient_keys) <= DEVICES_MAX:
        raise UsageError("an envelope needs 1 to 32 different recipient keys")
    if len(content_key) != CONTENT_KEY_BYTES:
        raise UsageError(f"a content key has {CONTENT_KEY_BYTES} bytes")
    info = binding.encode()
    rows = [[key_id(public), _seal_key(public, info, content_key)] for public in recipient_keys]
    rows.sort()
    message = Message(sender, signer.public, created_ms, content)
    inner = codec.encode([*message, signer.sign(_signed(binding, message))])
    body_key, commitment = _split(content_key)
    body = AESGCM(body_key).encrypt(_NONCE, pad(inner), info + commitment)
    return codec.encode([SUITE, commitment, rows, body])


def open_(binding: Binding, private: AgreementKey, envelope: bytes) -> Message:
    """The message in `envelope`, its inner signature checked.

    Raises DecodeError (shape; `unsupported` for another suite; `unknown_key` if it is not for
    this key) or SignatureError (`bad_seal` if it does not open or is of another record;
    `bad_signature`, `bad_key` from the inner signature).
    """
    commitment, rows, body = _decode(envelope)
    sealed_key = rows.get(key_id(private.public))
    if sealed_key is None:
        raise DecodeError(Code.UNKNOWN_KEY, "the envelope is not for this key")
    info = binding.encode()
    try:
        body_key, committed = _split(_HPKE.decrypt(sealed_key, private.private, info))
        if committed != commitment:
            raise SignatureError(Code.BAD_SEAL, "the envelope commits to another key")
        plaintext = AESGCM(body_key).decrypt(_NONCE, body, info + commitment)
    except InvalidTag:
        raise SignatureError(Code.BAD_SEAL, "the envelope does not open") from None
    message, signature = _decode_inner(unpad(plaintext))
    verify(message.key, signature, _signed(binding, message))
    return message


def _seal_key(public: bytes, info: bytes, content_key: bytes) -> bytes:
    try:
        return _HPKE.encrypt(content_key, X25519PublicKey.from_public_bytes(public), info)
    except ValueError:
        raise SignatureError(Code.BAD_KEY, "recipient key is unusable") from None


def _split(content_key: bytes) -> tuple[bytes, bytes]:
    """The body's key and the commitment to it."""
    both = HKDFExpand(SHA256(), 64, b"ratoon/1/seal content").derive(content_key)
    return both[:32], both[32:]


def _signed(binding: Binding, message: Message) -> bytes:
    fields = codec.encode([binding.kind, binding.recipient, *message])
    return signed_bytes(Context.MESSAGE, binding.network, fields)


def _decode(envelope: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    match codec.decode(envelope):
        case [int(suite), *_] if suite != SUITE:
            raise DecodeError(Code.UNSUPPORTED, f"suite {suite}")
        case [int(), bytes(commitment), list(rows), bytes(body)] if (
            len(commitment) == CONTENT_KEY_BYTES and 1 <= len(rows) <= DEVICES_MAX
        ):
            keys = dict(_decode_row(row) for row in rows)
            if len(keys) != len(rows) or list(keys) != sorted(keys):
                raise DecodeError(Code.NON_CANONICAL, "recipients out of order")
            return commitment, keys, body
    raise DecodeError(Code.BAD_BODY, "envelope")


def _decode_row(row: codec.Value) -> tuple[bytes, bytes]:
    match row:
        case [bytes(name), bytes(sealed)] if (
            len(name) == KEY_ID_BYTES and len(sealed) == SEALED_KEY_BYTES
        ):
            return name, sealed
    raise DecodeError(Code.BAD_BODY, "envelope recipient")


def _decode_inner(inner: bytes) -> tuple[Message, bytes]:
    match codec.decode(inner):
        case [bytes(sender), bytes(key), int(created_ms), bytes(content), bytes(signature)]:
            if len(sender) == len(key) == KEY_BYTES and len(signature) == SIGNATURE_BYTES:
                return Message(sender, key, created_ms, content), signature
    raise DecodeError(Code.BAD_BODY, "message")
