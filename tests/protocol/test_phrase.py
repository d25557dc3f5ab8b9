import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_protocol import phrase
from ratoon_protocol.errors import Code, ProtocolError, UsageError
from tests.protocol.published import BIP39
from tests.protocol.vectors_keys import VECTORS, hkdf, spelled
from tests.protocol.vectors_keys import phrase as document

DOCUMENT = json.loads((VECTORS / "phrase.json").read_text(encoding="utf-8"))


def ids(case):
    return case["name"]


def test_vectors_are_those_the_generator_makes():
    assert (VECTORS / "phrase.json").read_text(encoding="utf-8") == spelled(document())


@pytest.mark.parametrize("case", DOCUMENT["valid"], ids=ids)
def test_words_lead_to_keys(case):
    entropy = phrase.entropy_from_words(case["words"])
    assert entropy.hex() == case["entropy"]
    assert phrase.derive(entropy, phrase.ACCOUNT_KEY_LABEL).hex() == case["account_key_seed"]
    assert phrase.account_key(entropy).public.hex() == case["account_key"]
    assert phrase.slot_key(entropy).hex() == case["slot_key"]


@pytest.mark.parametrize(("entropy", "words"), BIP39)
def test_words_are_those_of_bip_39(entropy, words):
    assert phrase.words_from_entropy(bytes.fromhex(entropy)) == words


@pytest.mark.parametrize("case", DOCUMENT["invalid"], ids=ids)
def test_bad_phrases(case):
    with pytest.raises(ProtocolError) as caught:
        phrase.entropy_from_words(case["words"])
    assert caught.value.code == case["expect"] == Code.BAD_PHRASE


def test_an_error_names_places_and_no_words():
    words = BIP39[4][1].split()
    words[2], words[23] = "secretish", "lenght"
    with pytest.raises(ProtocolError) as caught:
        phrase.entropy_from_words(" ".join(words))
    assert caught.value.detail == "not in the word list: word 3, 24"


@given(st.binary(min_size=32, max_size=32))
def test_words_come_back(entropy):
    words = phrase.words_from_entropy(entropy)
    assert len(words.split(" ")) == 24
    assert phrase.entropy_from_words(words.title()) == entropy


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=40))
def test_derivation_is_hkdf(entropy, label):
    assert phrase.derive(entropy, label) == hkdf(entropy, b"ratoon/1/phrase", label)


@given(st.permutations(BIP39[4][1].split()))
def test_another_order_spells_other_bytes_or_nothing(words):
    """The checksum has 8 bits: one order in 256 is a phrase, of other entropy."""
    spelled_by = {phrase.words_from_entropy(entropy): entropy for entropy in opened(words)}
    assert set(spelled_by) <= {" ".join(words)}


def opened(words):
    """The entropy that `words` spell, or nothing: only `bad_phrase` may be raised."""
    try:
        return [phrase.entropy_from_words(" ".join(words))]
    except ProtocolError as error:
        if error.code is not Code.BAD_PHRASE:
            raise
        return []


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_entropy_of_another_length(length):
    with pytest.raises(UsageError):
        phrase.words_from_entropy(bytes(length))
    with pytest.raises(UsageError):
        phrase.derive(bytes(length), b"label")
