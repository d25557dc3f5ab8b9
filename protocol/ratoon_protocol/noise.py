"""Noise_XX_25519_ChaChaPoly_SHA256 without I/O: bytes and keys in, bytes out (R-71).

    -> e
    <- e, ee, s, es
    -> s, se

Both sides learn each other's static key, which the link then binds to a node account by a
signature (Context.LINK). The caller draws the ephemeral key, must use it for one handshake only,
and frames the messages. After any error of `read` or `decrypt` the link is dead.

Source: The Noise Protocol Framework, revision 34; checked against published vectors.
"""

import hashlib
import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ratoon_protocol.errors import Code, LinkError, SignatureError, UsageError
from ratoon_protocol.keys import KEY_BYTES, AgreementKey
from ratoon_protocol.limits import NOISE_MESSAGE_BYTES_MAX

PROTOCOL_NAME: Final = b"Noise_XX_25519_ChaChaPoly_SHA256"
TAG_BYTES: Final = 16

# The largest nonce is reserved by the specification; one below it is the last that may be used.
NONCE_MAX: Final = 2**64 - 2

# The tokens of each message, in the order they are written. Even messages are the initiator's.
_PATTERN: Final = (("e",), ("e", "ee", "s", "es"), ("s", "se"))
_FINISHED: Final = len(_PATTERN)
_SPLIT: Final = _FINISHED + 1
_FAILED: Final = -1


def _hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Two keys of 32 bytes (section 4.3 of the specification)."""
    secret = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(secret, b"\x01", "sha256")
    return first, hmac.digest(secret, first + b"\x02", "sha256")


class Cipher:
    """One direction of a link: a key, and a nonce that counts messages."""

    __slots__ = ("_aead", "_nonce")

    def __init__(self, key: bytes, nonce: int = 0) -> None:
        self._aead: Final = ChaCha20Poly1305(key)
        self._nonce = nonce

    def encrypt(self, plain: bytes, associated: bytes = b"") -> bytes:
        """The message (TAG_BYTES longer than `plain`) that the peer decrypts next.

        Raises UsageError for one above NOISE_MESSAGE_BYTES_MAX, LinkError when the nonces are
        used up (then the caller opens a new link).
        """
        if len(plain) + TAG_BYTES > NOISE_MESSAGE_BYTES_MAX:
            raise UsageError("a Noise message has at most 65,535 bytes")
        message = self._aead.encrypt(self._next_nonce(), plain, associated)
        self._nonce += 1
        return message

    def decrypt(self, message: bytes, associated: bytes = b"") -> bytes:
        """What the peer encrypted. Raises LinkError(bad_frame) if it is not its next message."""
        if len(message) > NOISE_MESSAGE_BYTES_MAX:
            raise LinkError(Code.BAD_FRAME, f"Noise message of {len(message)} bytes")
        try:
            plain = self._aead.decrypt(self._next_nonce(), message, associated)
        except InvalidTag:
            raise LinkError(Code.BAD_FRAME, "Noise message does not authenticate") from None
        self._nonce += 1
        return plain

    def _next_nonce(self) -> bytes:
        if self._nonce > NONCE_MAX:
            raise LinkError(Code.BAD_FRAME, "nonces of this link are used up")
        return bytes(4) + self._nonce.to_bytes(8, "little")


class Handshake:
    """One side of an XX handshake. `static` and `ephemeral` are X25519 private keys (32 bytes).

    The initiator calls write, read, write; the responder read, write, read; then `split`.
    Both must give the same `prologue`. A call out of turn raises UsageError.
    """

    def __init__(
        self, initiator: bool, static: bytes, ephemeral: bytes, prologue: bytes = b""
    ) -> None:
        self._initiator: Final = initiator
        self._static: Final = AgreementKey(static)
        self._ephemeral: Final = AgreementKey(ephemeral)
        self._remote_ephemeral = b""
        self._remote_static = b""
        self._step = 0
        # The name has exactly the length of a hash and so stands for its own (section 5.2).
        self._chaining_key = self._hash = PROTOCOL_NAME
        self._cipher: Cipher | None = None
        self._mix_hash(prologue)

    @property
    def finished(self) -> bool:
        """All three messages went through."""
        return self._step >= _FINISHED

    @property
    def remote_static(self) -> bytes:
        """The peer's static public key (32 bytes); authenticated once `finished`, empty before."""
        return self._remote_static if self.finished else b""

    @property
    def handshake_hash(self) -> bytes:
        """32 bytes that name this handshake on both sides; sign these to bind it to an identity."""
        self._must_be(self.finished)
        return self._hash

    def write(self, payload: bytes = b"") -> bytes:
        """The next message, with `payload` inside: readable to all in the first message,
        authenticated by the responder's static key in the second, by both in the third.

        Raises UsageError if the message would exceed NOISE_MESSAGE_BYTES_MAX, LinkError if the
        peer's key gives no shared secret.
        """
        tokens = self._tokens(ours=True)
        if len(payload) > NOISE_MESSAGE_BYTES_MAX - 2 * KEY_BYTES - 2 * TAG_BYTES:
            raise UsageError("the payload does not fit a Noise message")
        message = b""
        for token in tokens:
            if token == "e":
                message += self._ephemeral.public
                self._mix_hash(self._ephemeral.public)
            elif token == "s":
                message += self._encrypt_and_hash(self._static.public)
            else:
                self._mix_key(token)
        message += self._encrypt_and_hash(payload)
        self._step += 1
        return message

    def read(self, message: bytes) -> bytes:
        """The payload of the peer's next message. Raises LinkError(bad_handshake)."""
        tokens = self._tokens(ours=False)
        if len(message) > NOISE_MESSAGE_BYTES_MAX:
            raise self._failed(f"message of {len(message)} bytes")
        for token in tokens:
            if token == "e":
                self._remote_ephemeral, message = self._cut(message, KEY_BYTES)
                self._mix_hash(self._remote_ephemeral)
            elif token == "s":
                sealed, message = self._cut(message, KEY_BYTES + TAG_BYTES)
                self._remote_static = self._decrypt_and_hash(sealed)
            else:
                self._mix_key(token)
        payload = self._decrypt_and_hash(message)
        self._step += 1
        return payload

    def split(self) -> tuple[Cipher, Cipher]:
        """The ciphers of the link: (send, receive). Once only: no key counts from 0 twice."""
        self._must_be(self._step == _FINISHED)
        self._step = _SPLIT
        first, second = _hkdf(self._chaining_key, b"")
        ciphers = Cipher(first), Cipher(second)
        return ciphers if self._initiator else ciphers[::-1]

    def _tokens(self, ours: bool) -> tuple[str, ...]:
        """The tokens of the message that is next, which must be this side's (or the peer's)."""
        self._must_be(0 <= self._step < _FINISHED)
        initiators_turn = self._step % 2 == 0
        self._must_be((initiators_turn == self._initiator) == ours)
        return _PATTERN[self._step]

    def _must_be(self, in_turn: bool) -> None:
        if not in_turn:
            raise UsageError("this handshake is finished, failed, or not at this step")

    def _failed(self, why: str) -> LinkError:
        self._step = _FAILED
        return LinkError(Code.BAD_HANDSHAKE, why)

    def _cut(self, message: bytes, length: int) -> tuple[bytes, bytes]:
        if len(message) < length:
            raise self._failed("message is too short")
        return message[:length], message[length:]

    def _mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def _mix_key(self, token: str) -> None:
        """A Diffie-Hellman exchange: the token names the initiator's key, then the responder's."""
        mine, theirs = (0, 1) if self._initiator else (1, 0)
        own = self._ephemeral if token[mine] == "e" else self._static
        remote = self._remote_ephemeral if token[theirs] == "e" else self._remote_static
        try:
            secret = own.exchange(remote)
        except SignatureError as error:
            raise self._failed(error.detail) from error
        self._chaining_key, key = _hkdf(self._chaining_key, secret)
        self._cipher = Cipher(key)

    def _encrypt_and_hash(self, plain: bytes) -> bytes:
        data = plain if self._cipher is None else self._cipher.encrypt(plain, self._hash)
        self._mix_hash(data)
        return data

    def _decrypt_and_hash(self, data: bytes) -> bytes:
        if self._cipher is None:
            plain = data
        else:
            try:
                plain = self._cipher.decrypt(data, self._hash)
            except LinkError as error:
                raise self._failed(error.detail) from error
        self._mix_hash(data)
        return plain
