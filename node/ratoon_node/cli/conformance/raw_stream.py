"""The dialler's end of a secure stream, with no opinion on what goes through it (R-71, R-72)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from ratoon_protocol.keys import AgreementKey
from ratoon_protocol.limits import NOISE_MESSAGE_BYTES_MAX
from ratoon_protocol.noise import TAG_BYTES, Cipher, Handshake
from ratoon_protocol.stream import LENGTH_BYTES, PROLOGUE

_PLAIN_BYTES_MAX = NOISE_MESSAGE_BYTES_MAX - TAG_BYTES


def framed(frame: bytes) -> bytes:
    """A frame with its length before it."""
    return len(frame).to_bytes(LENGTH_BYTES) + frame


class RawStream:
    """`begin`, then `finish` with the node's answer; then messages of any bytes."""

    def __init__(self) -> None:
        private = secrets.token_bytes(32)
        self.static = AgreementKey(private).public
        self._noise = Handshake(True, private, secrets.token_bytes(32), PROLOGUE)
        self._ciphers: tuple[Cipher, Cipher] | None = None
        self._inbox = bytearray()

    @property
    def secured(self) -> bool:
        """The handshake is through."""
        return self._ciphers is not None

    @property
    def remote_static(self) -> bytes:
        """The node's static public key (32 bytes)."""
        return self._noise.remote_static

    @property
    def handshake_hash(self) -> bytes:
        """What names this handshake on both sides (32 bytes)."""
        return self._noise.handshake_hash

    def begin(self) -> bytes:
        """The first message of the handshake."""
        return self._noise.write()

    def finish(self, answer: bytes) -> bytes:
        """Its last message. Raises `LinkError` for an answer that is none."""
        self._noise.read(answer)
        last = self._noise.write()
        self._ciphers = self._noise.split()
        return last

    def encrypt(self, plain: bytes) -> bytes:
        """One message of any bytes."""
        assert self._ciphers is not None, "after the handshake"
        return self._ciphers[0].encrypt(plain)

    def messages(self, frames: list[bytes]) -> Iterator[bytes]:
        """The messages that carry these frames."""
        plain = b"".join(map(framed, frames))
        for at in range(0, len(plain), _PLAIN_BYTES_MAX):
            yield self.encrypt(plain[at : at + _PLAIN_BYTES_MAX])

    def frames(self, message: bytes) -> Iterator[bytes]:
        """The frames that a message of the node completes. Raises `LinkError`."""
        assert self._ciphers is not None, "after the handshake"
        self._inbox += self._ciphers[1].decrypt(message)
        while len(self._inbox) >= LENGTH_BYTES:
            end = LENGTH_BYTES + int.from_bytes(self._inbox[:LENGTH_BYTES])
            if len(self._inbox) < end:
                return
            yield bytes(self._inbox[LENGTH_BYTES:end])
            del self._inbox[:end]
