"""Who may say on a link that it is which node."""

from __future__ import annotations

import pytest

from ratoon_protocol import framing, kinds
from ratoon_protocol.author import Author, Chain, Draft, device_row
from ratoon_protocol.errors import Code, UsageError
from ratoon_protocol.events import Closed
from ratoon_protocol.identity import parse_operation
from ratoon_protocol.introduction import Binding, Introduced, Own, Side, introduce
from ratoon_protocol.kinds import Capability, Lane
from ratoon_protocol.record import decode_payload, decode_record
from tests.protocol.hostile import Hostile, closed, code_of
from tests.protocol.linked import (
    ANNA,
    BORIS,
    NETWORK,
    NOW,
    SERVE,
    acceptor,
    carry,
    dialer,
    key,
    node,
    node_record,
    seed,
)


# ----------------------------------------------------------------------------- introductions
def judged(own=ANNA, say=None, **changed):
    """How an acceptor ends that is shown this introduction."""
    hostile = Hostile(acceptor())
    hostile.say(say or hostile.introduction(own, **changed))
    return hostile.victim


def test_the_hostile_peer_of_these_tests_could_be_welcome():
    (event,) = judged().events()
    assert type(event) is Introduced


@pytest.mark.parametrize(
    "changed",
    [
        {"static": bytes(32)},
        {"handshake_hash": bytes(32)},
        {"side": Side.ACCEPTOR},
        {"network": b"another!"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_proof_is_good_for_one_side_of_one_link(changed):
    assert code_of(judged(**changed)) == Code.BAD_PROOF


def test_another_device_proves_nothing():
    assert code_of(judged(ANNA._replace(key=key("stranger")))) == Code.UNKNOWN_KEY


def test_a_device_must_be_allowed_to_serve():
    assert code_of(judged(node("carl", 1 << Capability.WRITE))) == Code.UNKNOWN_KEY


def test_nobody_links_to_itself():
    assert closed(judged(BORIS)) == Closed(Code.SELF_LINK)


def test_another_node_at_the_address_is_not_its_fault():
    one, other = dialer(expected=ANNA.account), acceptor()
    carry(one, other)
    assert one.events() == [Closed(Code.WRONG_ACCOUNT)]


def test_another_network_is_told():
    other = node("anna", network=b"another!")
    session = judged(other)
    assert code_of(session) == Code.WRONG_NETWORK


def next_of_anna(change, word="paper"):
    """ANNA's second operation: what `change` makes of the first."""
    genesis = decode_record(ANNA.identity[0])
    body = decode_payload(genesis.payload or b"")
    draft = Draft.after(parse_operation(genesis.id, genesis.header, body))
    change(draft)
    chains = {Lane.LOG: Chain(1, genesis.id, genesis.header.created_ms)}
    author = Author(NETWORK, ANNA.account, key(f"anna {word}"), chains=chains)
    return author.sign(kinds.IDENTITY, draft.body(), NOW, bytes(16)).encode()


NEW = key("anna new device")


def stolen(draft):
    """The owner revokes the device and lists another."""
    draft.stolen(ANNA.key.public, NOW, {})
    paper = key("anna paper").public
    draft.devices = [device_row(NETWORK, paper, NEW, seed("new"), SERVE)]


def test_a_revoked_device_may_not_introduce_its_node():
    log = (*ANNA.identity, next_of_anna(stolen))
    assert code_of(judged(ANNA._replace(identity=log))) == Code.UNKNOWN_KEY
    moved = Own(ANNA.account, log, node_record(ANNA.account, NEW), NEW)
    assert type(judged(moved).events()[0]) is Introduced
    old_record = moved._replace(node=ANNA.node)
    assert code_of(judged(old_record)) == Code.UNKNOWN_KEY


def test_a_log_without_its_beginning_proves_nothing():
    own = Own(ANNA.account, (next_of_anna(stolen),), node_record(ANNA.account, NEW), NEW)
    assert code_of(judged(own)) == Code.UNKNOWN_KEY
    short = introduce(ANNA, Binding(NETWORK, bytes(32), bytes(32), Side.DIALER))
    with pytest.raises(UsageError):
        framing.encode(short._replace(identity=()))


def altered(data, **fields):
    record = decode_record(data)
    return record._replace(**fields).encode()


def bad_introductions():
    genesis = decode_record(ANNA.identity[0])
    post = Author(NETWORK, ANNA.account, ANNA.key, slot_key=bytes(32))
    profile = post.sign(
        kinds.PROFILE, {"name": "a", "bio": ""}, NOW, bytes(16), target=b""
    ).encode()
    forged = altered(ANNA.identity[0], signature=genesis.signature[:63] + b"\x00")
    vanished = next_of_anna(lambda draft: setattr(draft, "vanish", True))
    stranger = next_of_anna(stolen, "device")
    yield "a vanished node", {"identity": (*ANNA.identity, vanished)}, Code.GONE
    yield "an operation by a device", {"identity": (*ANNA.identity, stranger)}, Code.BAD_OPERATION
    yield "a log with noise", {"identity": (b"\xc1",)}, Code.MALFORMED
    yield "a forged log", {"identity": (forged,)}, Code.BAD_SIGNATURE
    yield (
        "a log without payload",
        {"identity": (altered(ANNA.identity[0], payload=None),)},
        Code.BAD_BODY,
    )
    yield "a log of two accounts", {"identity": ANNA.identity + BORIS.identity}, Code.BAD_OPERATION
    yield "a log of other records", {"identity": (*ANNA.identity, ANNA.node)}, Code.BAD_OPERATION
    yield "a node record of another kind", {"node": profile}, Code.BAD_TARGET
    yield "a node record of another", {"node": node("carl").node}, Code.BAD_TARGET
    yield "a node record without payload", {"node": altered(ANNA.node, payload=None)}, Code.BAD_BODY
    yield "noise for a node record", {"node": b"\xc1"}, Code.MALFORMED


@pytest.mark.parametrize(
    ("about", "changed", "code"), list(bad_introductions()), ids=lambda value: str(value)[:40]
)
def test_bad_introductions(about, changed, code):
    session = judged(ANNA._replace(**changed))
    assert closed(session)[:3] == (code, False, True)
