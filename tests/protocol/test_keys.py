import json
from itertools import permutations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from ratoon_protocol import keys, record
from ratoon_protocol.errors import SignatureError, UsageError
from tests.protocol import curve
from tests.protocol.vectors_keys import VECTORS, signatures, spelled

DOCUMENT = json.loads((VECTORS / "signatures.json").read_text(encoding="utf-8"))
CASES = DOCUMENT["valid"] + DOCUMENT["invalid"]
NEW_KEYS = DOCUMENT["new_keys_valid"] + DOCUMENT["new_keys_invalid"]

seeds = st.binary(min_size=32, max_size=32)


def parts(case):
    return tuple(bytes.fromhex(case[name]) for name in ("key", "signature", "message"))


def verdict(key, signature, message):
    try:
        keys.verify(key, signature, message)
    except SignatureError as error:
        return error.code.value
    return "ok"


def openssl_verdict(key, signature, message):
    """The same rules 1 to 4, then the other library."""
    try:
        keys._check_form(key, signature)
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except SignatureError as error:
        return error.code.value
    except (InvalidSignature, ValueError):
        return "bad_signature"
    return "ok"


def test_vectors_are_those_the_generator_makes():
    assert (VECTORS / "signatures.json").read_text(encoding="utf-8") == spelled(signatures())


def test_vectors_have_all_sorts():
    names = [case["name"] for case in CASES]
    assert len(set(names)) == len(names) > 450
    assert sum(name.startswith("speccheck") for name in names) == 12
    assert sum(name.startswith("small order A") for name in names) == 196
    assert {case["expect"] for case in CASES} == {"ok", "bad_signature", "bad_key", "bad_length"}


def test_every_vector_gets_its_verdict():
    found = {case["name"]: verdict(*parts(case)) for case in CASES}
    assert found == {case["name"]: case["expect"] for case in CASES}


def test_another_library_behind_the_same_rules_agrees():
    found = {case["name"]: openssl_verdict(*parts(case)) for case in CASES}
    assert found == {case["name"]: case["expect"] for case in CASES}


def test_published_cases_are_judged_as_the_table_says():
    published = {c["name"]: c["expect"] for c in CASES if c["name"].startswith("speccheck")}
    assert [name.split(":")[0] for name, expect in published.items() if expect == "ok"] == [
        "speccheck 3"
    ]


def test_torsion_is_accepted_only_where_it_cancels():
    mixes = [case for case in CASES if case["name"].startswith("torsion")]
    accepted = [case for case in mixes if case["expect"] == "ok"]
    assert len(mixes) == 128
    assert 2 < len(accepted) < 64  # none but (0, 0) if torsion were refused, all if cofactored


def test_new_keys_get_their_verdict():
    found = {}
    for case in NEW_KEYS:
        try:
            keys.check_new_public_key(bytes.fromhex(case["key"]))
            found[case["name"]] = "ok"
        except SignatureError as error:
            found[case["name"]] = error.code.value
    assert found == {case["name"]: case["expect"] for case in NEW_KEYS}
    assert [case["name"] for case in DOCUMENT["new_keys_valid"]] == ["torsion part 0"]


def test_the_small_order_list_is_complete():
    assert sorted(keys.SMALL_ORDER) == curve.small_order_encodings()
    assert len(keys.SMALL_ORDER) == 14


def test_a_key_with_torsion_is_no_new_key_though_its_form_is_good():
    case = next(c for c in NEW_KEYS if c["name"] == "torsion part 1")
    keys.check_public_key(bytes.fromhex(case["key"]))
    with pytest.raises(SignatureError, match="prime-order"):
        keys.check_new_public_key(bytes.fromhex(case["key"]))


@given(seeds, st.binary(max_size=200))
def test_signing_is_rfc_8032(seed, message):
    key = keys.SigningKey.from_seed(seed)
    assert key.public == curve.public_key(seed)
    signature = key.sign(message)
    assert signature == curve.sign(seed, message)
    keys.verify(key.public, signature, message)
    keys.check_new_public_key(key.public)


@given(seeds, st.binary(max_size=64), st.integers(0, 511))
def test_no_bit_of_a_signature_may_change(seed, message, bit):
    key = keys.SigningKey.from_seed(seed)
    number = int.from_bytes(key.sign(message), "little") ^ 1 << bit
    assert verdict(key.public, number.to_bytes(64, "little"), message) == "bad_signature"


@given(seeds, seeds)
def test_agreement_is_mutual(one, other):
    first, second = keys.AgreementKey(one), keys.AgreementKey(other)
    assert first.exchange(second.public) == second.exchange(first.public)


def test_agreement_with_published_keys():
    # RFC 7748, section 6.1.
    alice = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
    bob = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    key = keys.AgreementKey(bytes.fromhex(alice))
    public = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert key.public.hex() == public
    assert key.exchange(bytes.fromhex(bob)).hex() == shared


@pytest.mark.parametrize(
    ("length", "code"), [(31, "bad_length"), (33, "bad_length"), (32, "bad_key")]
)
def test_agreement_refuses_bad_keys(length, code):
    with pytest.raises(SignatureError) as caught:
        keys.AgreementKey(b"\x01" * 32).exchange(bytes(length))
    assert caught.value.code == code


def test_private_keys_do_not_show_in_text():
    signing, agreement = keys.SigningKey.from_seed(b"s" * 32), keys.AgreementKey(b"a" * 32)
    for key, secret in ((signing, b"s" * 32), (agreement, b"a" * 32)):
        assert key.public.hex() in repr(key)
        assert secret.hex() not in repr(key)


def test_lengths_of_private_keys():
    for length in (0, 31, 33, 64):
        with pytest.raises(UsageError):
            keys.SigningKey.from_seed(bytes(length))
        with pytest.raises(UsageError):
            keys.AgreementKey(bytes(length))


def test_no_context_begins_another():
    assert len(set(keys.Context)) == len(keys.Context.__members__)
    for one, other in permutations(keys.Context, 2):
        assert not other.startswith(one)


def test_signed_bytes_are_as_written():
    body = keys.signed_bytes(keys.Context.LINK, b"network8", b"body")
    assert body == b"ratoon/1/link\x00network8body"


def test_signed_bytes_need_a_network_and_no_record():
    with pytest.raises(UsageError):
        keys.signed_bytes(keys.Context.LINK, b"network", b"8body")
    with pytest.raises(UsageError):
        keys.signed_bytes(keys.Context.RECORD, b"network8", b"header")


def test_records_use_the_contexts_of_the_table():
    assert record.RECORD_CONTEXT == keys.RECORD_PREFIX == b"ratoon/1/record\x00"
    assert keys.context_prefix(keys.Context.ACCOUNT) == record.ACCOUNT_CONTEXT
    assert keys.context_prefix(keys.Context.SLOT) == record.SLOT_CONTEXT
