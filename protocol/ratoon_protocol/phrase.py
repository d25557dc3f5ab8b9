"""The recovery phrase: 24 English words of BIP-39 for 32 random bytes, and its keys (R-125).

Keys are derived from the *entropy* (the 32 bytes that the words spell), with HKDF-SHA256 and one
label a key. BIP-39's own step, PBKDF2 over the text of the words, is left out on purpose:

- 256 random bits need no stretching; there is nothing to guess.
- Its optional passphrase makes every typing error a valid, empty account instead of an error.
- It hashes text, so a key would depend on spelling, spaces and Unicode form; the entropy does not,
  and the same account could be written down in the words of another language.
- The labels keep these keys apart from those of a wallet made of the same words.

Sources: BIP-39 (word list, checksum); RFC 5869 (HKDF).
"""

from functools import cache
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from mnemonic import Mnemonic

from ratoon_protocol.errors import Code, ProtocolError, UsageError
from ratoon_protocol.keys import SigningKey

ENTROPY_BYTES: Final = 32
WORDS: Final = 24

_SALT: Final = b"ratoon/1/phrase"
ACCOUNT_KEY_LABEL: Final = b"account-key"
SLOT_KEY_LABEL: Final = b"slot-key"


@cache
def _list() -> Mnemonic:
    """The English list, read once and only where somebody uses a phrase."""
    return Mnemonic("english")


def words_from_entropy(entropy: bytes) -> str:
    """24 words with single spaces for 32 random bytes. Raises UsageError for another length."""
    if len(entropy) != ENTROPY_BYTES:
        raise UsageError(f"a phrase has {ENTROPY_BYTES} bytes of entropy")
    return _list().to_mnemonic(entropy)


def entropy_from_words(words: str) -> bytes:
    """The 32 bytes that `words` spell, in any case and with any white space between them.

    Raises ProtocolError(bad_phrase). Its detail says which word is not in the list, by place and
    never by text: what somebody typed may be nearly right and must not reach a log.
    """
    found = words.lower().split()
    if len(found) != WORDS:
        raise ProtocolError(Code.BAD_PHRASE, f"{len(found)} words, not {WORDS}")
    known = set(_list().wordlist)
    unknown = [str(place) for place, word in enumerate(found, 1) if word not in known]
    if unknown:
        raise ProtocolError(Code.BAD_PHRASE, f"not in the word list: word {', '.join(unknown)}")
    try:
        return bytes(_list().to_entropy(found))
    except ValueError:
        raise ProtocolError(Code.BAD_PHRASE, "the words do not fit together") from None


def derive(entropy: bytes, label: bytes) -> bytes:
    """The 32-byte seed for one purpose. Raises UsageError unless `entropy` has 32 bytes."""
    if len(entropy) != ENTROPY_BYTES:
        raise UsageError(f"a phrase has {ENTROPY_BYTES} bytes of entropy")
    return HKDF(SHA256(), 32, salt=_SALT, info=label).derive(entropy)


def account_key(entropy: bytes) -> SigningKey:
    """The account key that this paper holds: rank 0, or a lower rank on a second paper."""
    return SigningKey.from_seed(derive(entropy, ACCOUNT_KEY_LABEL))


def slot_key(entropy: bytes) -> bytes:
    """The 32-byte HMAC key of the account's slot salts; devices get it sealed from this one."""
    return derive(entropy, SLOT_KEY_LABEL)
