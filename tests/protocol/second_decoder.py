"""A second implementation of the record format, written from SPEC.md alone.

It shares no code with `ratoon_protocol` and no library with it but the curve arithmetic of
`cryptography`. Where both agree on every vector, the spec says enough.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

NETWORK_EPOCH = 1_577_836_800_000
PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
CURVE_D = -121665 * pow(121666, -1, PRIME) % PRIME
Y8 = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
SMALL_Y = {0, 1, PRIME - 1, Y8, PRIME - Y8}


class Fault(Exception):
    """What is wrong, as the code of the spec."""


def ask(condition, code):
    if not condition:
        raise Fault(code)


# ------------------------------------------------------------------------- MessagePack (R-10 …)
class Reader:
    """One value from bytes, by hand."""

    def __init__(self, data, depth_max):
        self.data, self.at, self.depth_max, self.lax = data, 0, depth_max, False

    def take(self, count):
        ask(self.at + count <= len(self.data), "malformed")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, width, least):
        value = int.from_bytes(self.take(width), "big")
        self.lax |= value < least
        return value

    def value(self, depth=0):
        head = self.take(1)[0]
        if head < 0x80:
            return head
        if head < 0x90:
            return self.map(head & 15, depth)
        if head < 0xA0:
            return self.array(head & 15, depth)
        if head < 0xC0:
            return self.string(head & 31)
        return self.long(head, depth)

    def long(self, head, depth):
        match head:
            case 0xC0:
                return None
            case 0xC1:
                raise Fault("malformed")
            case 0xC4 | 0xC5 | 0xC6:
                width = 1 << head - 0xC4
                return self.take(self.number(width, (0, 1 << 8, 1 << 16)[head - 0xC4]))
            case 0xCC | 0xCD | 0xCE | 0xCF:
                value = self.number(1 << head - 0xCC, (128, 1 << 8, 1 << 16, 1 << 32)[head - 0xCC])
                ask(value < 1 << 53, "out_of_range")
                return value
            case 0xD0 | 0xD1 | 0xD2 | 0xD3:
                raw = self.take(1 << head - 0xD0)
                ask(raw[0] < 0x80, "out_of_range")
                self.lax = True
                return int.from_bytes(raw, "big")
            case 0xD9 | 0xDA | 0xDB:
                return self.string(
                    self.number(1 << head - 0xD9, (32, 1 << 8, 1 << 16)[head - 0xD9])
                )
            case 0xDC | 0xDD:
                return self.array(self.number(2 << head - 0xDC, (16, 1 << 16)[head - 0xDC]), depth)
            case 0xDE | 0xDF:
                return self.map(self.number(2 << head - 0xDE, (16, 1 << 16)[head - 0xDE]), depth)
        if head >= 0xE0:
            raise Fault("out_of_range")
        raise Fault("bad_type")  # booleans, floats, extensions

    def string(self, length):
        try:
            text = self.take(length).decode()
        except UnicodeDecodeError:
            raise Fault("bad_utf8") from None
        ask("\0" not in text, "bad_text")
        return text

    def enter(self, count, depth):
        ask(count <= len(self.data) - self.at, "malformed")  # each item needs a byte
        ask(depth < self.depth_max, "too_deep")
        ask(count <= 1024, "too_many")

    def array(self, count, depth):
        self.enter(count, depth)
        return [self.value(depth + 1) for _ in range(count)]

    def map(self, count, depth):
        self.enter(count, depth)
        found = {}
        last = ""
        for _ in range(count):
            key = self.value(depth + 1)
            ask(isinstance(key, str), "bad_type")
            self.lax |= not key.isascii() or key <= last
            last = key
            found[key] = self.value(depth + 1)
        return found


def decode(data, depth_max=4):
    ask(data, "empty")
    reader = Reader(data, depth_max)
    value = reader.value()
    ask(reader.at == len(data), "trailing")
    ask(not reader.lax, "non_canonical")
    return value


# ------------------------------------------------------------------------------ signatures
def small(encoding):
    return (int.from_bytes(encoding, "little") & (1 << 255) - 1) % PRIME in SMALL_Y


def check_signature(key, signature, message):
    ask(len(signature) == 64 and len(key) == 32, "bad_length")
    ask(int.from_bytes(signature[32:], "little") < ORDER, "bad_signature")
    ask(int.from_bytes(key, "little") & (1 << 255) - 1 < PRIME and not small(key), "bad_key")
    ask(not small(signature[:32]), "bad_signature")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Fault("bad_signature") from None


def add(p, q):
    """The sum of two points of edwards25519, by the affine law of RFC 8032, section 5.1."""
    (x1, y1), (x2, y2) = p, q
    twist = CURVE_D * x1 * x2 * y1 * y2
    x3 = (x1 * y2 + x2 * y1) * pow(1 + twist, -1, PRIME)
    y3 = (y1 * y2 + x1 * x2) * pow(1 - twist, -1, PRIME)
    return x3 % PRIME, y3 % PRIME


def point(encoding):
    """The point that an encoding names, or `bad_key`."""
    y = int.from_bytes(encoding, "little") & (1 << 255) - 1
    square = (y * y - 1) * pow(CURVE_D * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if (x * x - square) % PRIME:
        x = x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    ask((x * x - square) % PRIME == 0, "bad_key")
    return (PRIME - x if x & 1 != encoding[31] >> 7 else x), y


def check_new_key(key):
    """R-18: canonical, not small, on the curve, and the group order takes it to the identity."""
    ask(len(key) == 32, "bad_length")
    ask(int.from_bytes(key, "little") & (1 << 255) - 1 < PRIME and not small(key), "bad_key")
    doubled, total = point(key), (0, 1)
    for place in range(ORDER.bit_length()):
        if ORDER >> place & 1:
            total = add(total, doubled)
        doubled = add(doubled, doubled)
    ask(total == (0, 1), "bad_key")


# --------------------------------------------------------------------------------- records (R-20 …)
NAMES = (
    *("version", "network", "kind", "account", "key", "seq", "prev"),
    *("created_ms", "slot", "payload_len", "payload_hash"),
)
CRITICAL = {272, 624, 952, 1208}


def check_class(kind):
    """R-30, R-31: (has slot, is an envelope)."""
    lane, slot, capability = kind & 7, kind >> 3 & 1, kind >> 5 & 7
    ask(kind < 65536 and lane <= 4, "unsupported")
    ask((lane == 4) == (capability == 7), "unsupported")
    ask(not (lane == 4 and slot), "unsupported")
    ask(capability != 0 or kind == 272, "unsupported")
    ask(not kind & 16 or kind in CRITICAL, "unsupported")
    return bool(slot), lane == 4


def octets(value, length):
    ask(isinstance(value, bytes), "bad_type")
    ask(len(value) == length, "bad_length")


def decode_header(data):
    ask(len(data) <= 256, "too_large")
    row = decode(data, 1)
    ask(isinstance(row, list) and row and isinstance(row[0], int), "bad_type")
    ask(row[0] == 1, "unsupported")
    ask(len(row) == 11, "bad_length")
    header = dict(zip(NAMES, row, strict=True))
    for name in ("kind", "seq", "created_ms", "payload_len"):
        ask(isinstance(header[name], int), "bad_type")
    for name, length in (("network", 8), ("account", 32), ("key", 32), ("payload_hash", 32)):
        octets(header[name], length)
    for name, length in (("prev", 32), ("slot", 16)):
        if header[name] is not None:
            octets(header[name], length)
    slot, envelope = check_class(header["kind"])
    ask(slot == (header["slot"] is not None), "bad_slot")
    ask(envelope == (header["seq"] == 0), "bad_chain")
    ask((header["prev"] is None) == (header["seq"] <= 1), "bad_chain")
    ask(header["created_ms"] >= NETWORK_EPOCH, "too_old")
    ask(header["payload_len"] <= (65536 if envelope else 16384), "too_large")
    ask(header["payload_len"] and header["payload_len"] % 64 == 0, "bad_length")
    return header


def judge_record(data, network, now_ms):
    """R-23: the id of a record that is accepted, with its header and body; else `Fault`."""
    ask(len(data) <= 65536 + 256 + 128, "too_large")
    parts = decode(data, 1)
    ask(isinstance(parts, list), "bad_type")
    ask(len(parts) == 3, "bad_length")
    raw, signature, payload = parts
    ask(isinstance(raw, bytes) and isinstance(signature, bytes), "bad_type")
    ask(payload is None or isinstance(payload, bytes), "bad_type")
    ask(len(signature) == 64, "bad_length")
    header = decode_header(raw)
    if payload is not None:
        fits = len(payload) == header["payload_len"]
        fits = fits and hashlib.sha256(payload).digest() == header["payload_hash"]
        ask(fits, "payload_mismatch")
    ask(header["network"] == network, "wrong_network")
    ask(header["created_ms"] <= now_ms + 600_000, "future")
    message = b"ratoon/1/record\0" + raw
    check_signature(header["key"], signature, message)
    body = None if payload is None else decode_payload(payload)
    return hashlib.sha256(message).digest(), header, body


def decode_payload(payload):
    parts = decode(payload)
    ask(isinstance(parts, list), "bad_type")
    ask(len(parts) == 3, "bad_length")
    salt, padding, body = parts
    ask(isinstance(salt, bytes) and isinstance(padding, bytes), "bad_type")
    ask(isinstance(body, dict), "bad_type")
    ask(len(salt) == 16, "bad_length")
    ask(len(padding) < 64 and not any(padding), "non_canonical")
    return body


def slot_of(account, kind, salt, target):
    data = b"ratoon/1/slot\0" + account + kind.to_bytes(2, "big") + salt + target
    return hashlib.sha256(data).digest()[:16]
