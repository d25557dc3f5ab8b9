"""Makes the vectors of sealed envelopes, with an HPKE of its own (RFC 9180, base mode).

The library draws the ephemeral keys of HPKE itself; here they are given, so that the same bytes
come out every time. Vectors are for opening only: sealing is never twice the same.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgpack
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.protocol import curve

Case = dict[str, Any]

R_SEALED = "R-121"  # envelopes

KEM_ID = b"KEM" + (0x0020).to_bytes(2)
HPKE_ID = b"HPKE" + b"".join(number.to_bytes(2) for number in (0x0020, 0x0001, 0x0001))


def expand(secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand with SHA-256 (RFC 5869)."""
    out = block = b""
    for counter in range(1, length // 32 + 2):
        block = hmac.digest(secret, block + info + bytes([counter]), "sha256")
        out += block
    return out[:length]


def _extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, "sha256")


def _expand(suite: bytes, secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return expand(secret, length.to_bytes(2) + b"HPKE-v1" + suite + label + info, length)


def _schedule(
    shared: bytes, encapsulated: bytes, public: bytes, info: bytes
) -> tuple[bytes, bytes]:
    """Key and nonce of the only message."""
    secret = _extract(KEM_ID, b"", b"eae_prk", shared)
    shared = _expand(KEM_ID, secret, b"shared_secret", encapsulated + public, 32)
    hashes = [
        _extract(HPKE_ID, b"", b"psk_id_hash", b""),
        _extract(HPKE_ID, b"", b"info_hash", info),
    ]
    context = b"\x00" + b"".join(hashes)
    secret = _extract(HPKE_ID, shared, b"secret", b"")
    return (
        _expand(HPKE_ID, secret, b"key", context, 16),
        _expand(HPKE_ID, secret, b"base_nonce", context, 12),
    )


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _exchange(private: bytes, other: bytes) -> bytes:
    own = X25519PrivateKey.from_private_bytes(private)
    return own.exchange(X25519PublicKey.from_public_bytes(other))


def hpke_seal(to: bytes, ephemeral: bytes, info: bytes, plain: bytes) -> bytes:
    """Encapsulated key and ciphertext, for an X25519 key `to`."""
    encapsulated = public(ephemeral)
    key, nonce = _schedule(_exchange(ephemeral, to), encapsulated, to, info)
    return encapsulated + AESGCM(key).encrypt(nonce, plain, b"")


def hpke_open(private: bytes, info: bytes, sealed_text: bytes) -> bytes:
    """What `hpke_seal`, or any other implementation, sealed to `private`."""
    encapsulated = sealed_text[:32]
    shared = _exchange(private, encapsulated)
    key, nonce = _schedule(shared, encapsulated, public(private), info)
    return AESGCM(key).decrypt(nonce, sealed_text[32:], b"")


def fixed(name: str) -> bytes:
    """32 bytes that look random and are always the same."""
    return hashlib.sha256(b"sealed vector " + name.encode()).digest()


def split(content_key: bytes) -> tuple[bytes, bytes]:
    both = expand(content_key, b"ratoon/1/seal content", 64)
    return both[:32], both[32:]


class Parts(NamedTuple):
    """All that goes into one envelope; a case changes one of them."""

    network: bytes = b"vectors\x00"
    kind: int = 18 << 8 | 7 << 5 | 4
    recipient: bytes = fixed("recipient account")
    key: bytes = curve.public_key(fixed("one-time key"))
    devices: tuple[str, ...] = ("phone",)
    sender: bytes = fixed("sender account")
    signer: bytes = fixed("sender device")
    created_ms: int = 1_790_000_000_000
    content: bytes = b"\x81\xa4text\xa5hello"

    @property
    def info(self) -> bytes:
        fields = msgpack.packb([self.kind, self.recipient, self.key])
        return b"ratoon/1/seal\x00" + self.network + fields

    @property
    def message(self) -> list[Any]:
        return [self.sender, curve.public_key(self.signer), self.created_ms, self.content]

    def inner(self) -> list[Any]:
        fields = msgpack.packb([self.kind, self.recipient, *self.message])
        signed = b"ratoon/1/message\x00" + self.network + fields
        return [*self.message, curve.sign(self.signer, signed)]


def bucket(length: int) -> int:
    """The first padded length that holds `length` bytes: 256, 384, 512, 768, … 49,152, 61,440."""
    size = 256
    while size < length:
        size += size // 2 if size & (size - 1) == 0 else size // 3
    return min(size, 61_440)


def padded(inner: bytes) -> bytes:
    text = len(inner).to_bytes(4) + inner
    return text.ljust(bucket(len(text)), b"\0")


def rows(parts: Parts, content_key: bytes) -> list[list[bytes]]:
    found = []
    for device in parts.devices:
        to = public(fixed(device))
        sealed_key = hpke_seal(to, fixed("ephemeral " + device), parts.info, content_key)
        found.append([hashlib.sha256(to).digest()[:8], sealed_key])
    return sorted(found)


def envelope(
    parts: Parts,
    inner: list[Any] | None = None,
    pad: Callable[[bytes], bytes] = padded,
    change: Callable[[list[Any]], None] = lambda fields: None,
) -> bytes:
    """The envelope of `parts`; a case may give another inner array, padding, or last change."""
    content_key = fixed("content key")
    body_key, commitment = split(content_key)
    plain = pad(msgpack.packb(parts.inner() if inner is None else inner))
    body = AESGCM(body_key).encrypt(bytes(12), plain, parts.info + commitment)
    fields = [1, commitment, rows(parts, content_key), body]
    change(fields)
    return bytes(msgpack.packb(fields))


def _case(name: str, parts: Parts, data: bytes, expect: str, device: str = "phone") -> Case:
    case = {
        "name": name,
        "requirement": R_SEALED,
        "network": parts.network.hex(),
        "kind": parts.kind,
        "recipient": parts.recipient.hex(),
        "key": parts.key.hex(),
        "private": fixed(device).hex(),
        "envelope": data.hex(),
        "expect": expect,
    }
    if expect == "ok":
        case["sender"], case["sender_key"] = parts.sender.hex(), parts.message[1].hex()
        case["created_ms"], case["content"] = parts.created_ms, parts.content.hex()
    return case


def _valid() -> Iterator[Case]:
    one = Parts()
    yield _case("one device", one, envelope(one), "ok")
    three = one._replace(devices=("phone", "laptop", "tablet"))
    for device in three.devices:
        yield _case(f"three devices: {device}", three, envelope(three), "ok", device)
    many = one._replace(devices=tuple(f"device {number}" for number in range(32)))
    yield _case("32 devices: the last", many, envelope(many), "ok", "device 31")
    empty = one._replace(content=b"")
    yield _case("no content", empty, envelope(empty), "ok")
    overhead = len(msgpack.packb(one._replace(content=bytes(64)).inner())) - 64 + 4
    for length in (256 - overhead, 257 - overhead, 384 - overhead, 385 - overhead):
        sized = one._replace(content=b"x" * length)
        yield _case(f"content of {length} bytes", sized, envelope(sized), "ok")
    for name, number in (("report", 19), ("follower keys", 20)):
        other = one._replace(kind=number << 8 | 7 << 5 | 4)
        yield _case(name, other, envelope(other), "ok")
    setting = one._replace(kind=17 << 8 | 4 << 5 | 1 << 3 | 3)
    yield _case("setting", setting, envelope(setting), "ok")


def _elsewhere() -> Iterator[Case]:
    """A good envelope, shown in another place than it was made for."""
    one = Parts()
    data = envelope(one)
    yield _case("of another device", one, data, "unknown_key", "laptop")
    for name, other in (
        ("network", one._replace(network=b"another\x00")),
        ("kind", one._replace(kind=19 << 8 | 7 << 5 | 4)),
        ("recipient", one._replace(recipient=fixed("somebody else"))),
        ("one-time key", one._replace(key=fixed("another key"))),
    ):
        yield _case(f"in a record with another {name}", other, data, "bad_seal")
        again = envelope(other, inner=one.inner())
        expect = "ok" if name == "one-time key" else "bad_signature"
        opened = other._replace(sender=one.sender)
        yield _case(f"inner message sealed again for another {name}", opened, again, expect)


def _changed() -> Iterator[Case]:
    one, two = Parts(), Parts(devices=("phone", "laptop"))

    def case(
        name: str, expect: str, change: Callable[[list[Any]], None], parts: Parts = one
    ) -> Case:
        return _case(name, parts, envelope(parts, change=change), expect)

    def put(place: int, value: Any) -> Callable[[list[Any]], None]:
        return lambda fields: fields.__setitem__(place, value)

    other_key, other_commitment = fixed("other key"), split(fixed("other key"))[1]
    yield case("body changed", "bad_seal", lambda f: f.__setitem__(3, f[3][:-1] + b"\0"))
    yield case("body empty", "bad_seal", put(3, b""))
    yield case("commitment of another key", "bad_seal", put(1, other_commitment))
    yield case("content key does not fit the commitment", "bad_seal", put(2, rows(one, other_key)))
    garbage = [[rows(one, other_key)[0][0], fixed("e") + bytes(48)]]
    yield case("sealed key is garbage", "bad_seal", put(2, garbage))
    low = [[rows(one, other_key)[0][0], bytes(80)]]
    yield case("sealed key has an ephemeral key of small order", "bad_seal", put(2, low))
    yield case("suite 2", "unsupported", put(0, 2))
    yield case("suite 2 of another shape", "unsupported", lambda f: f.__setitem__(slice(None), [2]))
    yield case("suite is bytes", "bad_body", put(0, b"1"))
    yield case("no recipients", "bad_body", put(2, []))
    yield case("recipients are bytes", "bad_body", put(2, b""))
    yield case(
        "33 recipients", "bad_body", put(2, [[bytes([i] * 8), bytes(80)] for i in range(33)])
    )
    yield case("recipients out of order", "non_canonical", lambda f: f[2].reverse(), two)
    yield case("a recipient twice", "non_canonical", lambda f: f[2].append(f[2][0]))
    yield case("key id of 7 bytes", "bad_body", lambda f: f[2][0].__setitem__(0, bytes(7)))
    yield case("sealed key of 79 bytes", "bad_body", lambda f: f[2][0].__setitem__(1, bytes(79)))
    yield case("recipient of three fields", "bad_body", lambda f: f[2][0].append(b""))
    yield case("recipient is bytes", "bad_body", put(2, [bytes(88)]))
    yield case("commitment of 31 bytes", "bad_body", put(1, bytes(31)))
    yield case("body is text", "bad_body", put(3, "text"))
    yield case("five fields", "bad_body", lambda f: f.append(0))
    yield _case("a byte after it", one, envelope(one) + b"\0", "trailing")
    yield _case("nothing", one, b"", "empty")
    yield _case("not an array", one, b"\x80", "bad_body")


def _padding() -> Iterator[Case]:
    one = Parts()

    def case(name: str, pad: Callable[[bytes], bytes], expect: str = "non_canonical") -> Case:
        return _case(f"padding: {name}", one, envelope(one, pad=pad), expect)

    yield case("none", lambda inner: len(inner).to_bytes(4) + inner)
    yield case("no length", lambda inner: b"")
    yield case("not zeros", lambda inner: padded(inner)[:-1] + b"\x01")
    yield case("a larger bucket", lambda inner: padded(inner).ljust(bucket(512), b"\0"))
    yield case("length beyond the end", lambda inner: b"\xff" * 4 + padded(inner)[4:])
    yield case("length too short", lambda inner: padded(inner[:-1]), "malformed")


def _inner() -> Iterator[Case]:
    one = Parts()
    sender, key, created_ms, content, signature = one.inner()

    def case(name: str, inner: list[Any], expect: str) -> Case:
        return _case(f"inner: {name}", one, envelope(one, inner=inner), expect)

    yield case("four fields", [sender, key, created_ms, content], "bad_body")
    yield case("sender of 31 bytes", [sender[1:], key, created_ms, content, signature], "bad_body")
    yield case("key of 31 bytes", [sender, key[1:], created_ms, content, signature], "bad_body")
    short = [sender, key, created_ms, content, signature[1:]]
    yield case("signature of 63 bytes", short, "bad_body")
    yield case("time is text", [sender, key, "now", content, signature], "bad_body")
    later = [sender, key, created_ms + 1, content, signature]
    yield case("another time than signed", later, "bad_signature")
    other = [fixed("another sender"), key, created_ms, content, signature]
    yield case("another sender than signed", other, "bad_signature")
    text = [sender, key, created_ms, content + b"!", signature]
    yield case("another content than signed", text, "bad_signature")
    small = [sender, bytes(32), created_ms, content, signature]
    yield case("key of small order", small, "bad_key")


def sealed() -> dict[str, Any]:
    """sealed.json: envelopes to open with a given private key."""
    cases = [case for make in (_valid, _elsewhere, _changed, _padding, _inner) for case in make()]
    return {
        "valid": [case for case in cases if case["expect"] == "ok"],
        "invalid": [case for case in cases if case["expect"] != "ok"],
    }
