"""The handshake of a link, and its stream: what is changed on the way is noticed (R-71, R-72)."""

from __future__ import annotations

from collections.abc import Iterator

from ratoon_protocol.errors import LinkError, UsageError
from ratoon_protocol.limits import FRAME_BYTES_MAX, NOISE_MESSAGE_BYTES_MAX
from ratoon_protocol.noise import Cipher, Handshake
from ratoon_protocol.stream import LENGTH_BYTES, SecureStream
from tests.fuzz.target import Steered, Target, ask, vectors

KEYS = [bytes([number]) * 32 for number in range(1, 5)]


def run(data: bytes) -> None:
    """Either a handshake or, after it, chunks of a stream."""
    steered = Steered(data)
    if steered.getrandbits(8) % 2:
        handshake(steered)
    else:
        stream(steered)


def handshake(steered: Steered) -> None:
    """Three messages, each whole, changed or any bytes; whoever got another one fails."""
    prologue = steered.chunk(16)
    one = Handshake(True, KEYS[0], KEYS[1], prologue)
    other = Handshake(False, KEYS[2], KEYS[3], prologue)
    sides = one, other
    for number in range(3):
        writer, reader = sides[number % 2], sides[1 - number % 2]
        sent = writer.write(payload := steered.chunk(64))
        got = changed(sent, steered)
        try:
            read = reader.read(got)
        except LinkError:
            ask(got != sent, "an honest message fails")
            refuses_all(reader)
            return
        if got != sent:  # the first message is in clear: what is changed there fails later
            ask(number == 0, "a changed message is read")
            fails_next(writer, reader)
            return
        ask(read == payload, "another payload")
    agree(one, other, steered)


def changed(message: bytes, steered: Steered) -> bytes:
    """What arrives of it."""
    match steered.getrandbits(8) % 8:
        case 0:
            return steered.chunk()
        case 1:
            at = steered.randrange(len(message))
            other = bytes([message[at] ^ 1 << steered.getrandbits(3)])
            return message[:at] + other + message[at + 1 :]
        case 2:
            return message[: steered.randrange(len(message))]
        case 3:
            return message + steered.chunk(8)
        case 4:
            return bytes(32) + message[32:]
    return message


def refuses_all(side: Handshake) -> None:
    """After an error nothing more can be done with it."""
    for act in (lambda: side.read(bytes(96)), side.write, side.split):
        try:
            act()
        except UsageError:
            continue
        ask(False, "a failed handshake goes on")
    ask(not side.finished and not side.remote_static, "a failed handshake knows its peer")


def fails_next(writer: Handshake, reader: Handshake) -> None:
    """Both heard something else, so the answer cannot be read."""
    try:
        writer.read(reader.write())
    except LinkError:
        return
    ask(False, "two transcripts, one hash")


def agree(one: Handshake, other: Handshake, steered: Steered) -> None:
    """Both know the same, and only the next message of the peer can be read."""
    ask(one.handshake_hash == other.handshake_hash, "another hash")
    ciphers = one.split(), other.split()
    for _ in range(4):
        sent = ciphers[0][0].encrypt(plain := steered.chunk())
        got = changed(sent, steered)
        try:
            ask(ciphers[1][1].decrypt(got) == plain and got == sent, "a changed message is read")
        except LinkError:
            ask(got != sent, "an honest message fails")
            return


def stream(steered: Steered) -> None:
    """Plain bytes in messages of any size: frames come out as they were put in, or an error."""
    ours, theirs = opened()
    said = b""
    found: list[bytes] = []
    limit = 4 << steered.getrandbits(4)
    while steered.more:
        part = steered.chunk(255)
        said += part
        try:
            ours.feed(theirs.encrypt(part))
            while (frame := ours.next_frame(limit)) is not None:
                found.append(frame)
        except LinkError:
            break
        ask(len(ours._inbox) <= limit + LENGTH_BYTES + 255, "keeps more than a frame")
    ask(said.startswith(b"".join(len(one).to_bytes(4) + one for one in found)), "other frames")
    ask(all(len(one) <= limit for one in found), "a frame above its limit")
    back_again(found)


def back_again(frames: list[bytes]) -> None:
    """What one side queues the other reads."""
    ours, theirs = opened()
    for one in frames:
        ours.queue(one)
    peer, _ = opened()
    for message in ours.messages():
        ask(len(message) <= NOISE_MESSAGE_BYTES_MAX, "a message above its limit")
        peer.feed(message)
    for one in frames:
        ask(peer.next_frame(FRAME_BYTES_MAX) == one, "another frame")
    ask(peer.next_frame(FRAME_BYTES_MAX) is None and theirs is not None, "a frame too many")


def opened() -> tuple[SecureStream, Cipher]:
    """A stream whose handshake is through, with the same key both ways, and its peer's cipher."""
    made = SecureStream(False, KEYS[0], KEYS[1])
    made._ciphers = Cipher(KEYS[2]), Cipher(KEYS[2])
    return made, Cipher(KEYS[2])


def seeds() -> Iterator[bytes]:
    """Handshakes with each kind of change, and streams of frames."""
    for change in range(8):
        yield bytes([1, 2, 7, 7, 3, 1, 2, 3, change, 4, 9, 9, 9, 9, 5, 2, 1, 1, 5, 1, 0, change])
    for case in vectors("noise")["invalid"]:
        message = bytes.fromhex(case["steps"][0][1])[:200]
        yield bytes([1, 0, 0, 0, len(message)]) + message
    frames = b"".join(len(one).to_bytes(4) + one for one in (b"", b"a", b"bc" * 40, b"d" * 250))
    yield bytes([0, 15]) + bytes([len(frames) % 256]) + frames
    yield bytes([0, 15]) + b"".join(bytes([1, one]) for one in frames[:60])


TARGET = Target("noise", run, seeds, bytes_max=2048)
