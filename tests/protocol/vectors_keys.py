"""Makes the vectors of keys, links, phrases and envelopes (the latter: `vectors_sealed`).

Expected verdicts come from `curve`, which shares no code with the library, and from published
data. Everything is a function of constants, so that a second run writes the same bytes.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.protocol import curve
from tests.protocol.published import BIP39, NOISE_XX, NOISE_XX_MESSAGES, SPECCHECK
from tests.protocol.vectors_sealed import sealed

Case = dict[str, Any]

R_SIGNATURE = "R-17"  # the strict Ed25519 rule
R_NEW_KEY = "R-18"  # keys that an identity operation lists
R_PHRASE = "R-125"  # words, entropy and the keys derived from it
R_LINK = "R-71"  # Noise XX inside a link

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors"


def seed(name: str) -> bytes:
    """32 bytes that look random and are always the same."""
    return hashlib.sha256(b"vector " + name.encode()).digest()


def _split(cases: list[Case], good: str = "ok") -> dict[str, list[Case]]:
    return {
        "valid": [case for case in cases if case["expect"] == good],
        "invalid": [case for case in cases if case["expect"] != good],
    }


# ---------------------------------------------------------------------------------- signatures


def _case(name: str, key: bytes, message: bytes, signature: bytes) -> Case:
    return {
        "name": name,
        "requirement": R_SIGNATURE,
        "key": key.hex(),
        "message": message.hex(),
        "signature": signature.hex(),
        "expect": curve.expected(key, signature, message),
    }


def _published() -> Iterator[Case]:
    for number, (about, message, key, signature) in enumerate(SPECCHECK):
        name = f"speccheck {number}: {about}"
        yield _case(name, bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature))


def _small_order_pairs() -> Iterator[Case]:
    """Every (A, R) of small order with S = 0: for some of them anyone can sign anything."""
    spellings = curve.small_order_encodings()
    for i, key in enumerate(spellings):
        for j, commitment in enumerate(spellings):
            yield _case(f"small order A {i}, R {j}", key, b"Zcash", commitment + bytes(32))


def _mixed(name: str, i: int, j: int, message: bytes) -> tuple[bytes, bytes]:
    """A key aB + T_i, and a signature with commitment rB + T_j that fits up to torsion."""
    a, r = (int.from_bytes(seed(name + part), "little") % curve.L for part in ("a", "r"))
    key = curve.encode(curve.add(curve.multiply(a, curve.BASE), curve.TORSION[i]))
    commitment = curve.encode(curve.add(curve.multiply(r, curve.BASE), curve.TORSION[j]))
    s = (r + curve.challenge(commitment, key, message) * a) % curve.L
    return key, commitment + s.to_bytes(32, "little")


def _torsion_mixes() -> Iterator[Case]:
    """All hold cofactored; cofactorless only where the torsion parts cancel."""
    for i in range(8):
        for j in range(8):
            for turn in range(2):
                name = f"torsion A {i}, R {j}, turn {turn}"
                message = seed(name)[:20]
                yield _case(name, *_in_order(_mixed(name, i, j, message), message))


def _in_order(pair: tuple[bytes, bytes], message: bytes) -> tuple[bytes, bytes, bytes]:
    return pair[0], message, pair[1]


def _scalars() -> Iterator[Case]:
    """A good signature, and the same with another S."""
    for number in range(6):
        name = f"signer {number}"
        key, message = curve.public_key(seed(name)), seed(name) * number
        good = curve.sign(seed(name), message)
        r, s = good[:32], int.from_bytes(good[32:], "little")
        yield _case(f"{name}: as signed", key, message, good)
        yield _case(f"{name}: S = 0", key, message, r + bytes(32))
        for what, other in (
            ("S + L", s + curve.L),
            ("S + 2 L", s + 2 * curve.L),
            ("L - S", curve.L - s),
            ("S = L", curve.L),
            ("S = L - 1", curve.L - 1),
            ("S = 2^256 - 1", 2**256 - 1),
        ):
            yield _case(f"{name}: {what}", key, message, r + other.to_bytes(32, "little"))
        yield _case(
            f"{name}: S with its top bit", key, message, good[:63] + bytes([good[63] | 128])
        )


def _flipped_bits() -> Iterator[Case]:
    key, message = curve.public_key(seed("bits")), b"one bit"
    good = curve.sign(seed("bits"), message)
    for bit in (0, 7, 100, 255, 256, 300, 500):
        number = int.from_bytes(good, "little") ^ 1 << bit
        yield _case(f"bit {bit} of the signature", key, message, number.to_bytes(64, "little"))
    for bit in (0, 100, 255):
        number = int.from_bytes(key, "little") ^ 1 << bit
        yield _case(f"bit {bit} of the key", number.to_bytes(32, "little"), message, good)
    yield _case("another message", key, b"one bjt", good)
    yield _case("a longer message", key, message + b"\0", good)


def _spellings() -> Iterator[Case]:
    """Non-canonical A and R, and keys that are no point at all."""
    key, message = curve.public_key(seed("spell")), b"spelling"
    good = curve.sign(seed("spell"), message)
    for y in range(19):
        for sign in (0, 1):
            spelled = (y + curve.P | sign << 255).to_bytes(32, "little")
            yield _case(f"A spells y = {y} as p + {y}, sign {sign}", spelled, message, good)
            yield _case(
                f"R spells y = {y} as p + {y}, sign {sign}", key, message, spelled + good[32:]
            )
    for y in (2, 7, 8):
        off = y.to_bytes(32, "little")
        assert curve.decode(off) is None
        yield _case(f"A off the curve, y = {y}", off, message, good)
        yield _case(f"R off the curve, y = {y}", key, message, off + good[32:])


def _lengths() -> Iterator[Case]:
    key, message = curve.public_key(seed("length")), b"length"
    good = curve.sign(seed("length"), message)
    for length in (0, 31, 33):
        yield _case(f"key of {length} bytes", (key * 2)[:length], message, good)
    for length in (0, 32, 63, 65, 128):
        yield _case(f"signature of {length} bytes", key, message, (good * 2)[:length])


def _new_keys() -> Iterator[Case]:
    """Keys for an identity operation: in the prime-order group, in their one spelling."""

    def case(name: str, key: bytes, expect: str) -> Case:
        return {"name": name, "requirement": R_NEW_KEY, "key": key.hex(), "expect": expect}

    point = curve.multiply(int.from_bytes(seed("new"), "little") % curve.L, curve.BASE)
    for index, torsion in enumerate(curve.TORSION):
        key = curve.encode(curve.add(point, torsion))
        yield case(f"torsion part {index}", key, "bad_key" if index else "ok")
    for index, key in enumerate(curve.small_order_encodings()):
        yield case(f"small order {index}", key, "bad_key")
    yield case("y is not below p", (curve.P + 3).to_bytes(32, "little"), "bad_key")
    yield case("off the curve", (2).to_bytes(32, "little"), "bad_key")
    yield case("too short", curve.encode(point)[:31], "bad_length")
    yield case("too long", curve.encode(point) + b"\0", "bad_length")


def signatures() -> dict[str, Any]:
    """signatures.json: verify(key, message, signature), and keys fit to be listed."""
    makers = (
        _published,
        _small_order_pairs,
        _torsion_mixes,
        _scalars,
        _flipped_bits,
        _spellings,
        _lengths,
    )
    cases = _split([case for maker in makers for case in maker()])
    keys = _split(list(_new_keys()))
    return {**cases, "new_keys_valid": keys["valid"], "new_keys_invalid": keys["invalid"]}


# --------------------------------------------------------------------------------------- noise


def _noise_invalid() -> Iterator[Case]:
    """Steps of one side; the last one must fail with `expect`. Built on the first public vector."""
    vector = NOISE_XX[0]
    sent = [bytes.fromhex(message) for _, message in NOISE_XX_MESSAGES[vector["name"]]]
    good = [("write", b"Ludwig von Mises"), ("read", sent[1]), ("write", b"F. A. Hayek")]
    answered = [("read", sent[0]), ("write", b"Murray Rothbard"), ("read", sent[2])]

    def flip(message: bytes, place: int) -> bytes:
        return message[:place] + bytes([message[place] ^ 1]) + message[place + 1 :]

    def case(name: str, role: str, steps: list[tuple[str, bytes]], expect: str) -> Case:
        return {
            "name": name,
            "requirement": R_LINK,
            "role": role,
            "static": vector[f"{role}_static"],
            "ephemeral": vector[f"{role}_ephemeral"],
            "prologue": vector["prologue"],
            "steps": [[verb, data.hex()] for verb, data in steps],
            "expect": expect,
        }

    def opening(name: str, message: bytes) -> Case:
        return case(name, "responder", [("read", message)], "bad_handshake")

    def answer(name: str, message: bytes) -> Case:
        return case(name, "initiator", [good[0], ("read", message)], "bad_handshake")

    def closing(name: str, message: bytes) -> Case:
        return case(name, "responder", [*answered[:2], ("read", message)], "bad_handshake")

    yield opening("empty first message", b"")
    yield opening("first message cut inside e", sent[0][:31])
    low = [("read", bytes(32)), answered[1]]
    yield case("e of small order: the answer has no secret", "responder", low, "bad_handshake")
    yield answer("e of small order in the answer", bytes(32) + sent[1][32:])
    yield answer("another e in the answer", flip(sent[1], 0))
    yield answer("answer cut inside s", sent[1][:79])
    yield answer("answer cut inside the payload's tag", sent[1][:90])
    yield answer("sealed s changed", flip(sent[1], 40))
    yield answer("payload changed", flip(sent[1], 97))
    yield answer("answer is the first message", sent[0])
    yield closing("last message cut", sent[2][:47])
    yield closing("sealed s of the initiator changed", flip(sent[2], 0))
    yield closing("last payload changed", flip(sent[2], 50))
    yield closing("answer sent back", sent[1])
    for name, role, steps in (
        ("initiator", "initiator", good),
        ("responder", "responder", answered),
    ):
        mine = 0 if role == "responder" else 1  # which of sent[3:] the peer encrypted first
        first = sent[4] if mine == 0 else sent[3]
        split = [*steps, ("split", b"")]
        yield case(f"{name}: changed", role, [*split, ("decrypt", flip(first, 3))], "bad_frame")
        yield case(f"{name}: empty", role, [*split, ("decrypt", b"")], "bad_frame")
        twice = [("decrypt", first), ("decrypt", first)]
        yield case(f"{name}: replayed", role, [*split, *twice], "bad_frame")
        own = sent[3] if mine == 0 else sent[4]
        yield case(f"{name}: sent back", role, [*split, ("decrypt", own)], "bad_frame")
    skipped = [*good, ("split", b""), ("decrypt", sent[5])]
    yield case("initiator: one message skipped", "initiator", skipped, "bad_frame")


def noise() -> dict[str, Any]:
    """noise.json: published transcripts of both sides, and what must end a link."""
    valid = [
        {
            **vector,
            "requirement": R_LINK,
            "messages": [
                {"payload": payload, "sent": sent}
                for payload, sent in NOISE_XX_MESSAGES[vector["name"]]
            ],
        }
        for vector in NOISE_XX
    ]
    return {"valid": valid, "invalid": list(_noise_invalid())}


# -------------------------------------------------------------------------------------- phrase


def hkdf(key: bytes, salt: bytes, label: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869) of 32 bytes, from its text."""
    extracted = hmac.digest(salt, key, "sha256")
    return hmac.digest(extracted, label + b"\x01", "sha256")


def _phrase(name: str, entropy: bytes, words: str) -> Case:
    account_seed = hkdf(entropy, b"ratoon/1/phrase", b"account-key")
    return {
        "name": name,
        "requirement": R_PHRASE,
        "words": words,
        "entropy": entropy.hex(),
        "account_key_seed": account_seed.hex(),
        "account_key": curve.public_key(account_seed).hex(),
        "slot_key": hkdf(entropy, b"ratoon/1/phrase", b"slot-key").hex(),
    }


def phrase() -> dict[str, Any]:
    """phrase.json: words, the bytes they spell, and the keys that follow from these."""
    valid = [
        _phrase(f"BIP-39 {number}", bytes.fromhex(entropy), words)
        for number, (entropy, words) in enumerate(BIP39)
    ]
    entropy, words = bytes.fromhex(BIP39[4][0]), BIP39[4][1]
    valid.append(_phrase("capitals", entropy, words.upper()))
    valid.append(_phrase("white space", entropy, "\n " + words.replace(" ", " \t\r\n") + "\u00a0"))
    parts = words.split()
    invalid = {
        "empty": "",
        "23 words": " ".join(parts[:23]),
        "25 words": f"{words} length",
        "12 words that BIP-39 allows": "abandon " * 11 + "about",
        "two words swapped": " ".join([parts[1], parts[0], *parts[2:]]),
        "wrong last word": "abandon " * 23 + "zoo",
        "a word of no list": "abandom " + "abandon " * 22 + "art",
        "only first letters": " ".join(part[:4] for part in parts),
        "commas": words.replace(" ", ","),
    }
    return {
        "valid": valid,
        "invalid": [
            {"name": name, "requirement": R_PHRASE, "words": bad, "expect": "bad_phrase"}
            for name, bad in invalid.items()
        ],
    }


FILES: dict[str, Callable[[], dict[str, Any]]] = {
    "signatures.json": signatures,
    "noise.json": noise,
    "phrase.json": phrase,
    "sealed.json": sealed,
}


def spelled(document: dict[str, Any]) -> str:
    """The text of a vector file."""
    return json.dumps(document, indent=1, ensure_ascii=True) + "\n"
