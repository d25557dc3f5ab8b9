"""Section 3: keys and signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult_ed25519_base_noclamp,
)

from ratoon_node.cli.conformance.bench import Bench
from ratoon_node.cli.conformance.encoding import Case
from ratoon_node.cli.conformance.people import Person, fresh_key, fresh_salt
from ratoon_node.cli.conformance.suite import check
from ratoon_protocol.author import Draft
from ratoon_protocol.keys import FIELD_PRIME, GROUP_ORDER, SMALL_ORDER, Context, signed_bytes
from ratoon_protocol.operation import AccountKey, account_key_statement
from ratoon_protocol.record import signed_message

# A point of order 8: what a key with a torsion part has too much.
TORSION = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")


def with_scalar(scalar: bytes, key: bytes, message: bytes, nonce: bytes) -> bytes:
    """A signature by a scalar, with a nonce of one's own choice (64 bytes each way)."""
    r = crypto_core_ed25519_scalar_reduce(nonce)
    commitment = crypto_scalarmult_ed25519_base_noclamp(r)
    h = crypto_core_ed25519_scalar_reduce(hashlib.sha512(commitment + key + message).digest())
    s = crypto_core_ed25519_scalar_add(r, crypto_core_ed25519_scalar_mul(h, scalar))
    return commitment + s


def torsion_row(who: Person, rank: int) -> AccountKey:
    """A key outside the prime-order group whose proof any cofactorless verifier takes."""
    scalar = crypto_core_ed25519_scalar_reduce(hashlib.sha512(fresh_salt()).digest())
    key = crypto_core_ed25519_add(crypto_scalarmult_ed25519_base_noclamp(scalar), TORSION)
    statement = account_key_statement(who.network, who.paper.public, rank, key)
    while True:
        nonce = hashlib.sha512(fresh_salt()).digest()
        proof = with_scalar(scalar, key, statement, nonce)
        h = hashlib.sha512(proof[:32] + key + statement).digest()
        if crypto_core_ed25519_scalar_reduce(h)[0] % 8 == 0:  # then the torsion part cancels
            return AccountKey(rank, key, proof)


def second_signature(who: Person, header: bytes) -> bytes:
    """Another valid signature of the device, with a nonce that no library would take."""
    seed = who.device_seed
    expanded = bytearray(hashlib.sha512(seed).digest()[:32])
    expanded[0] &= 248
    expanded[31] = expanded[31] & 127 | 64
    scalar = crypto_core_ed25519_scalar_reduce(bytes(expanded) + bytes(32))
    nonce = hashlib.sha512(fresh_salt()).digest()
    return with_scalar(scalar, who.device.public, signed_message(header), nonce)


def signature_cases(who: Person) -> Iterator[Case]:
    """One good record, with signatures that are not."""
    good = who.bad(who.payload())
    right = good.signature
    high = (int.from_bytes(right[32:], "little") + GROUP_ORDER).to_bytes(32, "little")
    wrong = {
        "a flipped bit": bytes([right[0] ^ 1]) + right[1:],
        "S plus the order of the group": right[:32] + high,
        "S is the order of the group": right[:32] + GROUP_ORDER.to_bytes(32, "little"),
        "a signature of zeros": bytes(64),
        "a signature of another header": who.device.sign(signed_message(good.header_bytes + b"x")),
    }
    for case, signature in wrong.items():
        yield "R-17", case, good._replace(signature=signature), "bad_signature"
    for number, point in enumerate(sorted(SMALL_ORDER)):
        bad = good._replace(signature=point + right[32:])
        yield "R-17", f"R of small order, encoding {number}", bad, "bad_signature"
    for size in (0, 63, 65):
        bad = good._replace(signature=(right + b"\0")[:size])
        yield "R-17", f"a signature of {size} bytes", bad, "bad_length"


def key_cases(who: Person) -> Iterator[Case]:
    """Keys for which libraries disagree."""
    keys = {f"A of small order, encoding {n}": key for n, key in enumerate(sorted(SMALL_ORDER))}
    keys |= {f"y = p + {y}": (FIELD_PRIME + y).to_bytes(32, "little") for y in (2, 3, 18)}
    for case, key in keys.items():
        made = who.bad(who.payload(), key=key)
        yield "R-17", case, made, "bad_key"
        # What a library that takes small keys calls valid: S = 0, R the neutral point.
        zero = made._replace(signature=b"\x01" + bytes(63))
        yield "R-17", f"{case}, signed by nobody", zero, frozenset({"bad_key", "bad_signature"})


@check("R-17", title="Ed25519, strictly")
async def strict_signatures(bench: Bench) -> None:
    """Crafted keys and signatures are refused; see the specification for the order."""
    who = await bench.resident()
    await bench.refused([*signature_cases(who), *key_cases(who)])


@check("R-19", title="a signature is for one purpose")
async def contexts(bench: Bench) -> None:
    """What was signed for another context is no signature of a record."""
    who = await bench.resident()
    good = who.bad(who.payload())
    cases: list[Case] = []
    for context in (Context.LINK, Context.SESSION, Context.DEVICE, Context.BUNDLE):
        other = who.device.sign(signed_bytes(context, who.network, good.header_bytes))
        row = ("R-19", f"signed as {context}", good._replace(signature=other), "bad_signature")
        cases.append(row)
    bare = who.device.sign(good.header_bytes)
    row = ("R-19", "signed without context", good._replace(signature=bare), "bad_signature")
    await bench.refused([*cases, row])


@check("R-18", title="keys with a torsion part are not listed")
async def torsion(bench: Bench) -> None:
    """An operation that lists such a key is refused, though its proof verifies."""
    who = await bench.resident()
    draft = Draft.after(who.head)
    draft.keys.append(torsion_row(who, 2))
    good = who.row(fresh_key())
    small = Draft.after(who.head)
    small.devices.append(good._replace(key=sorted(SMALL_ORDER)[0], proof=b"\x01" + bytes(63)))
    await bench.refused(
        [
            ("R-18", "an account key with a torsion part", who.operation(draft), "bad_proof"),
            ("R-18", "a device key of small order", who.operation(small), "bad_proof"),
        ]
    )


@check("R-22", title="two signatures, one record")
async def two_signatures(bench: Bench) -> None:
    """The second valid signature of a header is a duplicate, and the first one is kept."""
    who = await bench.resident()
    first = who.post()
    other = first._replace(signature=second_signature(who, first.header_bytes))
    bench.true("R-22", "the signatures differ", other.signature != first.signature)
    codes = await bench.http.publish(first)
    codes += await bench.http.publish(other)
    bench.same("R-22", "a second signature of one header", codes, ["stored", "duplicate"])
    given = await bench.http.read(first.id)
    bench.true("R-22", "the first signature is given", given == first.encode())
