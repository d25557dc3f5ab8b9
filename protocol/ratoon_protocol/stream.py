"""The secure stream of a link: a Noise XX handshake, then frames cut out of its messages (R-72).

    stream := { length: 4 bytes big-endian, frame }        each way, through Noise messages

A frame may begin and end anywhere in a message, so small ones share a message and a large one
takes several. No more than one unfinished frame and one message is ever kept.
"""

from __future__ import annotations

from typing import Final

from ratoon_protocol.errors import Code, LinkError
from ratoon_protocol.keys import AgreementKey
from ratoon_protocol.limits import MESSAGE_FRAMES_MAX, NOISE_MESSAGE_BYTES_MAX
from ratoon_protocol.noise import TAG_BYTES, Cipher, Handshake

PROLOGUE: Final = b"ratoon/1/link\x00"
LENGTH_BYTES: Final = 4
_PLAIN_BYTES_MAX: Final = NOISE_MESSAGE_BYTES_MAX - TAG_BYTES


class SecureStream:
    """Messages in, frames out, and back. `static`, `ephemeral`: X25519 private keys."""

    def __init__(self, dialer: bool, static: bytes, ephemeral: bytes) -> None:
        self.static: Final = AgreementKey(static).public
        self.waiting_bytes = 0
        self._noise: Final = Handshake(dialer, static, ephemeral, PROLOGUE)
        self._ciphers: tuple[Cipher, Cipher] | None = None
        self._inbox = bytearray()
        self._cut = 0
        self._count = 0
        self._messages: list[bytes] = []
        self._frames: list[bytes] = []
        if dialer:
            self._messages.append(self._noise.write())

    @property
    def secured(self) -> bool:
        """The handshake is through: frames may be queued, keys and hash may be asked for."""
        return self._ciphers is not None

    @property
    def remote_static(self) -> bytes:
        """The peer's public static key (32 bytes)."""
        return self._noise.remote_static

    @property
    def handshake_hash(self) -> bytes:
        """What names this handshake on both sides (32 bytes)."""
        return self._noise.handshake_hash

    def feed(self, message: bytes) -> None:
        """Take a message of the peer. Raises `LinkError`; the stream is dead then."""
        if self._ciphers is None:
            self._shake_hands(message)
            return
        plain = self._ciphers[1].decrypt(message)
        if not plain:
            raise LinkError(Code.BAD_FRAME, "an empty message")
        self._inbox += plain
        self._count = 0

    def _shake_hands(self, message: bytes) -> None:
        if self._noise.read(message):
            raise LinkError(Code.BAD_HANDSHAKE, "a payload in the handshake")
        if not self._noise.finished:
            self._messages.append(self._noise.write())
        if self._noise.finished:
            self._ciphers = self._noise.split()

    def next_frame(self, bytes_max: int) -> bytes | None:
        """The next whole frame, or None. Raises `LinkError(too_large)` as soon as its length
        is known, `too_many` for more than MESSAGE_FRAMES_MAX since the last `feed`.
        """
        start = self._cut + LENGTH_BYTES
        head = self._inbox[self._cut : start]
        length = int.from_bytes(head)
        if length > bytes_max:
            raise LinkError(Code.TOO_LARGE, f"frame of {length} bytes")
        if len(head) < LENGTH_BYTES or len(self._inbox) < start + length:
            del self._inbox[: self._cut]  # once a message, not once a frame
            self._cut = 0
            return None
        self._cut = start + length
        self._count += 1
        if self._count > MESSAGE_FRAMES_MAX:
            raise LinkError(Code.TOO_MANY, "frames in one message")
        return bytes(self._inbox[start : self._cut])

    def queue(self, frame: bytes) -> None:
        """Put a frame behind what waits."""
        self._frames += (len(frame).to_bytes(LENGTH_BYTES), frame)
        self.waiting_bytes += LENGTH_BYTES + len(frame)

    def drop(self) -> None:
        """Forget the frames that wait, when the peer is not worth them."""
        self._frames.clear()
        self.waiting_bytes = 0

    def messages(self) -> list[bytes]:
        """What to write now, in order; frames that wait together share messages."""
        messages, self._messages = self._messages, []
        if self._ciphers is not None:
            plain = b"".join(self._frames)
            self.drop()
            for at in range(0, len(plain), _PLAIN_BYTES_MAX):
                messages.append(self._ciphers[0].encrypt(plain[at : at + _PLAIN_BYTES_MAX]))
        return messages
