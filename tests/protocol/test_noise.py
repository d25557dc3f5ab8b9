import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_protocol.errors import Code, LinkError, UsageError
from ratoon_protocol.keys import AgreementKey
from ratoon_protocol.limits import NOISE_MESSAGE_BYTES_MAX
from ratoon_protocol.noise import NONCE_MAX, Cipher, Handshake
from tests.protocol.vectors_keys import VECTORS, noise, spelled

DOCUMENT = json.loads((VECTORS / "noise.json").read_text(encoding="utf-8"))


def ids(case):
    return case["name"]


def side(case, role, prologue=None):
    return Handshake(
        role == "initiator",
        bytes.fromhex(case[f"{role}_static"]),
        bytes.fromhex(case[f"{role}_ephemeral"]),
        bytes.fromhex(case["prologue"]) if prologue is None else prologue,
    )


def pair():
    return (
        Handshake(True, b"s" * 32, b"e" * 32, b"test"),
        Handshake(False, b"S" * 32, b"E" * 32, b"test"),
    )


def linked():
    """Both ends of a finished handshake: (send, receive) of each."""
    initiator, responder = pair()
    responder.read(initiator.write())
    initiator.read(responder.write())
    responder.read(initiator.write())
    return initiator.split(), responder.split()


def test_vectors_are_those_the_generator_makes():
    assert (VECTORS / "noise.json").read_text(encoding="utf-8") == spelled(noise())


@pytest.mark.parametrize("case", DOCUMENT["valid"], ids=ids)
def test_published_transcripts(case):
    initiator, responder = side(case, "initiator"), side(case, "responder")
    messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["sent"])) for m in case["messages"]]
    assert len(messages) > 4
    for turn, (payload, sent) in enumerate(messages[:3]):
        writer, reader = (initiator, responder) if turn % 2 == 0 else (responder, initiator)
        assert not writer.finished
        assert writer.remote_static == reader.remote_static == b""
        assert writer.write(payload) == sent
        assert reader.read(sent) == payload
    assert initiator.finished
    assert responder.finished
    assert initiator.handshake_hash == responder.handshake_hash
    assert initiator.handshake_hash.hex() == case.get(
        "handshake_hash", initiator.handshake_hash.hex()
    )
    ends = {0: initiator.split(), 1: responder.split()}
    for turn, (payload, sent) in enumerate(messages[3:], 3):
        assert ends[turn % 2][0].encrypt(payload) == sent
        assert ends[1 - turn % 2][1].decrypt(sent) == payload


@pytest.mark.parametrize("case", DOCUMENT["invalid"], ids=ids)
def test_what_must_end_a_link(case):
    handshake = Handshake(
        case["role"] == "initiator",
        bytes.fromhex(case["static"]),
        bytes.fromhex(case["ephemeral"]),
        bytes.fromhex(case["prologue"]),
    )
    verbs: dict[str, Callable[[bytes], bytes]] = {
        "write": handshake.write,
        "read": handshake.read,
    }
    for number, (verb, data) in enumerate(case["steps"], 1):
        if verb == "split":
            verbs["decrypt"] = handshake.split()[1].decrypt
        elif number < len(case["steps"]):
            verbs[verb](bytes.fromhex(data))
        else:
            with pytest.raises(LinkError) as caught:
                verbs[verb](bytes.fromhex(data))
            assert caught.value.code == case["expect"]
    if case["expect"] == "bad_handshake":
        assert not handshake.finished
        for dead in (handshake.write, lambda: handshake.read(b""), handshake.split):
            with pytest.raises(UsageError):
                dead()


def test_each_side_learns_the_others_static_key():
    initiator, responder = pair()
    responder.read(initiator.write())
    initiator.read(responder.write())
    assert responder.remote_static == b""  # not before it is authenticated
    responder.read(initiator.write())
    initiator.split()
    assert initiator.remote_static == side_public(b"S")
    assert responder.remote_static == side_public(b"s")
    assert initiator.handshake_hash == responder.handshake_hash


def side_public(letter):
    return AgreementKey(letter * 32).public


def test_another_prologue_fails():
    case = DOCUMENT["valid"][0]
    initiator, responder = side(case, "initiator"), side(case, "responder", b"another")
    responder.read(initiator.write())
    with pytest.raises(LinkError) as caught:
        initiator.read(responder.write())
    assert caught.value.code is Code.BAD_HANDSHAKE


def test_out_of_turn():
    initiator, responder = pair()
    for wrong in (responder.write, initiator.split, lambda: initiator.read(b"")):
        with pytest.raises(UsageError):
            wrong()
    with pytest.raises(UsageError):
        _ = initiator.handshake_hash
    responder.read(initiator.write())
    with pytest.raises(UsageError):
        initiator.write()
    with pytest.raises(UsageError):
        responder.read(b"")


def test_split_only_once():
    initiator, responder = pair()
    responder.read(initiator.write())
    initiator.read(responder.write())
    initiator.write()
    initiator.split()
    with pytest.raises(UsageError):
        initiator.split()
    with pytest.raises(UsageError):
        initiator.write()


def test_the_largest_payloads():
    initiator, responder = pair()
    largest = NOISE_MESSAGE_BYTES_MAX - 96
    with pytest.raises(UsageError):
        initiator.write(bytes(largest + 1))
    assert responder.read(initiator.write(bytes(largest))) == bytes(largest)
    answer = responder.write(bytes(largest))
    assert len(answer) == NOISE_MESSAGE_BYTES_MAX
    assert initiator.read(answer) == bytes(largest)


def test_a_message_too_long_ends_the_handshake():
    responder = pair()[1]
    with pytest.raises(LinkError) as caught:
        responder.read(bytes(NOISE_MESSAGE_BYTES_MAX + 1))
    assert caught.value.code is Code.BAD_HANDSHAKE


def test_the_largest_transport_message():
    (send, _), (_, receive) = linked()
    largest = bytes(NOISE_MESSAGE_BYTES_MAX - 16)
    message = send.encrypt(largest)
    assert len(message) == NOISE_MESSAGE_BYTES_MAX
    assert receive.decrypt(message) == largest
    with pytest.raises(UsageError):
        send.encrypt(largest + b"\0")
    with pytest.raises(LinkError) as caught:
        receive.decrypt(message + b"\0")
    assert caught.value.code is Code.BAD_FRAME


def test_nonces_run_out_rather_than_repeat():
    key = b"k" * 32
    send, receive = Cipher(key, NONCE_MAX), Cipher(key, NONCE_MAX)
    assert receive.decrypt(send.encrypt(b"last")) == b"last"
    with pytest.raises(LinkError, match="used up"):
        send.encrypt(b"one more")
    with pytest.raises(LinkError, match="used up"):
        receive.decrypt(bytes(16))


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=300)), max_size=12))
def test_both_directions_are_independent(sent):
    ends = linked()
    for from_initiator, plain in sent:
        writer, reader = ends if from_initiator else ends[::-1]
        assert reader[1].decrypt(writer[0].encrypt(plain)) == plain


def answer_to(garbage):
    """Take `garbage` for a first message and answer it."""
    responder = pair()[1]
    responder.read(garbage)
    return responder.write()


@given(st.binary(max_size=31))
def test_a_short_first_message_ends_a_handshake(garbage):
    with pytest.raises(LinkError) as caught:
        answer_to(garbage)
    assert caught.value.code is Code.BAD_HANDSHAKE


@given(st.binary(max_size=200), st.booleans())
def test_garbage_ends_a_handshake_in_one_way(garbage, last):
    """Whatever comes instead of a message: `bad_handshake`, never another error."""
    initiator, responder = pair()
    responder.read(initiator.write())
    answer = responder.write()
    reader = initiator
    if last:
        initiator.read(answer)
        reader = responder
    with pytest.raises(LinkError) as caught:
        reader.read(garbage)
    assert caught.value.code is Code.BAD_HANDSHAKE
