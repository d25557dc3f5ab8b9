"""Keys, signing contexts and the strict Ed25519 rule.

Ed25519 libraries disagree on crafted keys and signatures: some multiply by the cofactor, some
refuse points of small order, some reduce coordinates first. One verdict everywhere needs a rule
stricter than all of them, so `verify` filters before it asks the library
(R-17):

1. a key has 32 bytes and a signature 64;
2. S < L, so nobody can make a second signature out of a first;
3. y(A) < p, so a key has one spelling;
4. neither A nor R is one of the 14 encodings of the 8 points of small order;
5. then the library's ordinary, cofactorless verification.

What is left after 1 to 4 is judged alike by libsodium, OpenSSL and browsers. Never replace step 5
by batch or cofactored verification: they accept signatures that the others refuse.

Sources: RFC 8032; RFC 7748; "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko, 2020).
"""

from enum import StrEnum
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_sign,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError

from ratoon_protocol.errors import Code, SignatureError, UsageError

KEY_BYTES: Final = 32
SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
NETWORK_BYTES: Final = 8

FIELD_PRIME: Final = 2**255 - 19
GROUP_ORDER: Final = 2**252 + 27742317777372353535851937790883648493

# The points of order 1, 2, 4 and 8 in all their encodings: for each of them anyone can make
# signatures that some libraries accept. Six of the fourteen are non-canonical spellings.
SMALL_ORDER: Final = frozenset(
    bytes.fromhex(encoding)
    for encoding in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    )
)

_Y_MASK: Final = 2**255 - 1


class Context(StrEnum):
    """What a signature or hash is about. No value is a prefix of another.

    A signature made for one purpose can then never be shown as one for another purpose.
    """

    RECORD = "record"  # header of a record: signed, and hashed to its id
    ACCOUNT = "account"  # hash: account id from the genesis operation
    SLOT = "slot"  # hash: slot of a kind that holds a current value
    ACCOUNT_KEY = "ranked-key"  # an account key's holder agrees to be listed ("account" is taken)
    DEVICE = "device"  # the same for a device key
    LINK = "link"  # a node proves its static key on a link
    SESSION = "session"  # signing in: audience, origin, nonce, expiry
    TOKEN = "token"  # contact token: a recipient lets a sender write to it
    INVITE = "invite"  # an operator lets somebody register
    RECEIPT = "receipt"  # standing statement of what a node holds
    ERASURE = "erasure"  # statement of a node that bytes are gone
    CHALLENGE = "challenge"  # hash of a payload with a nonce, to find holders that lie
    AUDIT = "audit"  # entry of a moderation log
    BUNDLE = "bundle"  # manifest of a file of records
    HOSTING = "hosting"  # a node agrees to carry an account
    VOUCH = "vouch"  # a node names another as one to be let in
    MESSAGE = "message"  # inner signature of a sealed envelope
    SEAL = "seal"  # HPKE info and authenticated data of a sealed envelope


def context_prefix(context: Context) -> bytes:
    """The bytes that stand before everything signed or hashed for `context`."""
    return b"ratoon/1/" + context.encode("ascii") + b"\x00"


# The header follows at once, because the network stands in it.
RECORD_PREFIX: Final = context_prefix(Context.RECORD)


def signed_bytes(context: Context, network: bytes, body: bytes) -> bytes:
    """What is signed or hashed for every context but RECORD (that one: RECORD_PREFIX + header).

    `network` has NETWORK_BYTES bytes: with a fixed length no body can be read as part of it.
    Raises UsageError for another length, or for RECORD.
    """
    if context is Context.RECORD:
        raise UsageError("a record's network stands in its header: use RECORD_PREFIX")
    if len(network) != NETWORK_BYTES:
        raise UsageError(f"a network has {NETWORK_BYTES} bytes")
    return context_prefix(context) + network + body


def check_public_key(key: bytes) -> None:
    """Refuse a key for which libraries would disagree (rule 1, 3, 4).

    Raises SignatureError: `bad_length` or `bad_key`. Whether the key is on the curve is left to
    the verification, which fails for one that is not.
    """
    if len(key) != KEY_BYTES:
        raise SignatureError(Code.BAD_LENGTH, f"public key has {len(key)} bytes, not {KEY_BYTES}")
    if int.from_bytes(key, "little") & _Y_MASK >= FIELD_PRIME:
        raise SignatureError(Code.BAD_KEY, "public key is not canonical: y is not below p")
    if key in SMALL_ORDER:
        raise SignatureError(Code.BAD_KEY, "public key has small order")


def check_new_public_key(key: bytes) -> None:
    """`check_public_key`, and the point is on the curve and in the prime-order group (R-18).

    Asked once, when an identity operation lists the key: a key with a torsion part has
    signatures that cofactored verifiers accept and we refuse, so nobody is let to start with one.
    Raises SignatureError: `bad_length` or `bad_key`.
    """
    check_public_key(key)
    if not crypto_core_ed25519_is_valid_point(key):
        raise SignatureError(Code.BAD_KEY, "public key is not in the prime-order group")


def _check_form(key: bytes, signature: bytes) -> None:
    """Rules 1 to 4, in the order that decides which code is reported."""
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureError(
            Code.BAD_LENGTH, f"signature has {len(signature)} bytes, not {SIGNATURE_BYTES}"
        )
    if len(key) != KEY_BYTES:
        raise SignatureError(Code.BAD_LENGTH, f"public key has {len(key)} bytes, not {KEY_BYTES}")
    # A top byte below 0x10 means S < 2^252 < L: the comparison is for the rare rest.
    if signature[63] >= 0x10 and int.from_bytes(signature[32:], "little") >= GROUP_ORDER:
        raise SignatureError(Code.BAD_SIGNATURE, "S is not below the group order")
    check_public_key(key)
    if signature[:32] in SMALL_ORDER:
        raise SignatureError(Code.BAD_SIGNATURE, "R has small order")


def verify(key: bytes, signature: bytes, message: bytes) -> None:
    """Accept `signature` (64 bytes) of `message` under `key` (32 bytes), or raise SignatureError.

    Codes: `bad_length` (key or signature), `bad_key` (non-canonical or of small order),
    `bad_signature` (everything else, a key off the curve too). Releases the GIL while it computes.
    """
    _check_form(key, signature)
    try:
        crypto_sign_open(signature + message, key)
    except BadSignatureError:
        raise SignatureError(Code.BAD_SIGNATURE, "signature does not fit") from None


class SigningKey:
    """An Ed25519 private key made from a seed of 32 bytes that the caller drew or derived."""

    __slots__ = ("_secret", "public")

    def __init__(self, public: bytes, secret: bytes) -> None:
        self.public: Final = public
        self._secret: Final = secret

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The key of RFC 8032 for `seed`. Raises UsageError if it has not 32 bytes."""
        if len(seed) != SEED_BYTES:
            raise UsageError(f"a seed has {SEED_BYTES} bytes")
        public, secret = crypto_sign_seed_keypair(seed)
        return cls(public, secret)

    def sign(self, message: bytes) -> bytes:
        """The signature (64 bytes) of `message`; always the same for the same message."""
        return crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"


class AgreementKey:
    """An X25519 private key (RFC 7748) from 32 bytes that the caller drew or derived.

    Raises UsageError if there are not 32.
    """

    __slots__ = ("_private", "public")

    def __init__(self, private: bytes) -> None:
        if len(private) != KEY_BYTES:
            raise UsageError(f"a private key has {KEY_BYTES} bytes")
        self._private: Final = X25519PrivateKey.from_private_bytes(private)
        self.public: Final = self._private.public_key().public_bytes_raw()

    def exchange(self, public: bytes) -> bytes:
        """The shared secret (32 bytes) with `public`.

        Raises SignatureError: `bad_length`, or `bad_key` for a point of small order, whose
        secret would be all zeros whatever the private key.
        """
        if len(public) != KEY_BYTES:
            raise SignatureError(Code.BAD_LENGTH, f"public key has {len(public)} bytes")
        try:
            return self._private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise SignatureError(Code.BAD_KEY, "public key has small order") from None

    @property
    def private(self) -> X25519PrivateKey:
        """The library's object, for HPKE."""
        return self._private

    def __repr__(self) -> str:
        return f"AgreementKey(public={self.public.hex()})"
