"""The signing side: what it signs, everybody accepts; chains never go back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_protocol import author, keys, kinds
from ratoon_protocol.author import (
    Author,
    Chain,
    Draft,
    account_key_row,
    capability_set,
    device_row,
    new_account,
    restored_chains,
    sign_envelope,
    slot_salt,
)
from ratoon_protocol.bodies import check_body
from ratoon_protocol.errors import Code, DecodeError, RecordError, UsageError
from ratoon_protocol.identity import Added, IdentityLog
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.kinds import Capability, Lane
from ratoon_protocol.operation import parse_operation
from ratoon_protocol.record import decode_payload, decode_record, signed_message, slot_id

NETWORK = b"testing\x00"
NOW_MS = 1_760_000_000_000
SALT = bytes(16)
SLOT_KEY = bytes(range(32))
PAPER, FRIEND, PHONE, LAPTOP, ONE_TIME = (
    SigningKey.from_seed(bytes([number]) * 32) for number in range(1, 6)
)
AGREEMENT = AgreementKey(bytes([7]) * 32).public
EVERYDAY = capability_set(
    (Capability.WRITE, Capability.PROFILE, Capability.ERASE, Capability.PRIVATE)
)
OTHER = bytes([9]) * 32


def accepted(record):
    """The record as a stranger gets it, checked by everything but authority."""
    found = decode_record(record.encode())
    assert found == record
    keys.verify(found.header.key, found.signature, signed_message(found.header_bytes))
    assert found.payload is not None
    check_body(found.header, decode_payload(found.payload))
    return found


def genesis():
    draft = Draft(
        keys=[account_key_row(NETWORK, PAPER.public, 1, FRIEND)],
        devices=[device_row(NETWORK, PAPER.public, PHONE, AGREEMENT, EVERYDAY)],
        homes=[OTHER],
        handles=["cane@example.org"],
    )
    return new_account(NETWORK, PAPER, draft, NOW_MS, SALT)


def operation(record):
    return parse_operation(record.id, record.header, decode_payload(record.payload))


def after_head(log):
    return Draft.after(log.head)


def test_a_new_account_and_what_it_becomes():
    account, first = genesis()
    log = IdentityLog(account, NETWORK)
    assert log.add(operation(accepted(first))) is Added.HEAD
    paper = Author(NETWORK, account, PAPER, chains={Lane.LOG: Chain(1, first.id, NOW_MS)})

    draft = after_head(log)
    draft.devices.append(device_row(NETWORK, PAPER.public, LAPTOP, AGREEMENT, EVERYDAY))
    draft.retire(PHONE.public, NOW_MS, deletes=[Chain(3, OTHER, NOW_MS)])
    second = paper.sign(kinds.IDENTITY, draft.body(), NOW_MS + 1, SALT)
    assert (second.header.seq, second.header.prev) == (2, first.id)
    assert log.add(operation(accepted(second))) is Added.HEAD
    assert [row.key for row in log.state.devices] == [LAPTOP.public]
    assert log.authority(PHONE.public).retired_at_ms == NOW_MS

    draft = after_head(log)
    draft.stolen(LAPTOP.public, NOW_MS, {Lane.PUBLIC: [Chain(7, OTHER, NOW_MS)]})
    draft.stolen(FRIEND.public, NOW_MS, {})
    third = paper.sign(kinds.IDENTITY, draft.body(), NOW_MS + 2, SALT)
    assert log.add(operation(accepted(third))) is Added.HEAD
    assert log.authority(LAPTOP.public).stolen
    assert [row.key for row in log.state.keys] == [PAPER.public]

    draft = after_head(log)
    draft.vanish = True
    fourth = paper.sign(kinds.IDENTITY, draft.body(), NOW_MS + 3, SALT)
    assert log.add(operation(accepted(fourth))) is Added.HEAD
    assert log.vanished


def test_an_account_on_paper_alone():
    account, first = new_account(NETWORK, PAPER, Draft(), NOW_MS, SALT)
    assert operation(accepted(first)).keys == (account_key_row(NETWORK, PAPER.public, 0, PAPER),)
    row = account_key_row(NETWORK, PAPER.public, 0, PAPER)
    assert new_account(NETWORK, PAPER, Draft(keys=[row]), NOW_MS, SALT) == (account, first)


def test_the_account_is_named_by_its_first_operation():
    assert genesis()[0] == genesis()[0]
    assert new_account(NETWORK, PAPER, Draft(), NOW_MS, SALT)[0] != genesis()[0]
    assert new_account(b"another\x00", PAPER, Draft(), NOW_MS, SALT)[0] != genesis()[0]


def test_rows_stand_in_one_order():
    rows = [device_row(NETWORK, PAPER.public, key, AGREEMENT, 2) for key in (PHONE, LAPTOP)]
    assert Draft(devices=rows).body() == Draft(devices=rows[::-1]).body()


def test_held_keys_name_their_node():
    row = device_row(NETWORK, PAPER.public, PHONE, AGREEMENT, 2, held_by=OTHER)
    account, first = new_account(NETWORK, PAPER, Draft(devices=[row]), NOW_MS, SALT)
    log = IdentityLog(account, NETWORK)
    assert log.add(operation(accepted(first))) is Added.HEAD
    assert log.state.devices == (row,)


def phone(slot_key=SLOT_KEY, chains=None):
    return Author(NETWORK, OTHER, PHONE, slot_key, chains)


def test_each_lane_has_its_chain():
    signer = phone()
    posts = [signer.sign(kinds.POST, {"text": "a"}, NOW_MS, SALT) for _ in range(3)]
    follow = signer.sign(kinds.FOLLOW, {"state": 1}, NOW_MS, SALT, target=OTHER)
    assert [accepted(post).header.seq for post in posts] == [1, 2, 3]
    assert [post.header.prev for post in posts] == [None, posts[0].id, posts[1].id]
    assert (accepted(follow).header.seq, follow.header.prev) == (1, None)


@given(st.lists(st.integers(NOW_MS - 10**9, NOW_MS + 10**9), min_size=2, max_size=8))
def test_time_never_goes_back_along_a_chain(times):
    signer = phone()
    made = [signer.sign(kinds.POST, {"text": "a"}, at, SALT).header.created_ms for at in times]
    assert made == sorted(made)
    assert all(found >= wanted for found, wanted in zip(made, times, strict=True))


def test_a_slot_is_the_same_for_a_target_and_another_for_another():
    signer = phone()
    on, off, else_ = (
        signer.sign(kinds.FOLLOW, {"state": state}, NOW_MS, SALT, target=target)
        for state, target in ((1, OTHER), (0, OTHER), (1, bytes(32)))
    )
    salt = slot_salt(SLOT_KEY, kinds.FOLLOW, OTHER)
    assert on.header.slot == off.header.slot == slot_id(OTHER, kinds.FOLLOW, salt, OTHER)
    assert on.header.slot != else_.header.slot
    assert slot_salt(SLOT_KEY, kinds.REACTION, OTHER) != salt
    assert slot_salt(bytes(32), kinds.FOLLOW, OTHER) != salt


def test_chains_go_through_json():
    signer = phone()
    signer.sign(kinds.POST, {"text": "a"}, NOW_MS, SALT)
    signer.sign(kinds.SETTING, {"data": b""}, NOW_MS, SALT, target=bytes(16))
    saved = json.loads(json.dumps(signer.saved_chains()))
    again = phone(chains=restored_chains(saved))
    assert again.chains == signer.chains
    following = again.sign(kinds.POST, {"text": "b"}, NOW_MS, SALT)
    assert following.header.prev == signer.chains[Lane.PUBLIC].id


@pytest.mark.parametrize(
    "saved", [[], {"nowhere": [1, "00", 1]}, {"log": [1]}, {"log": [1, "zz", 1]}, {"log": 1}]
)
def test_other_things_are_no_chains(saved):
    with pytest.raises(UsageError):
        restored_chains(saved)


def test_a_refused_body_leaves_the_chain_where_it_was():
    signer = phone()
    first = signer.sign(kinds.POST, {"text": "a"}, NOW_MS, SALT)
    for body in ({"text": ""}, {"text": "a" * 9000}, {"text": "\x1b"}):
        with pytest.raises(DecodeError):
            signer.sign(kinds.POST, body, NOW_MS, SALT)
    assert signer.sign(kinds.POST, {"text": "b"}, NOW_MS, SALT).header.prev == first.id


def test_usage():
    signer = phone(slot_key=None)
    with pytest.raises(UsageError, match="slot key"):
        signer.sign(kinds.FOLLOW, {"state": 1}, NOW_MS, SALT, target=OTHER)
    with pytest.raises(UsageError, match="target"):
        signer.sign(kinds.FOLLOW, {"state": 1}, NOW_MS, SALT)
    with pytest.raises(UsageError, match="target"):
        signer.sign(kinds.POST, {"text": "a"}, NOW_MS, SALT, target=OTHER)
    with pytest.raises(UsageError, match="one-time"):
        signer.sign(kinds.MESSAGE, {"data": b""}, NOW_MS, SALT)
    with pytest.raises(RecordError) as caught:
        signer.sign(200 << 8 | 0x32, {}, NOW_MS, SALT)
    assert caught.value.code is Code.UNSUPPORTED
    with pytest.raises(UsageError, match="envelope"):
        sign_envelope(NETWORK, kinds.POST, OTHER, ONE_TIME, {}, NOW_MS, SALT)


def test_envelopes_have_no_chain():
    body = {"data": b"sealed", "token": b"let me in"}
    record = sign_envelope(NETWORK, kinds.MESSAGE, OTHER, ONE_TIME, body, NOW_MS, SALT)
    header = accepted(record).header
    assert (header.account, header.key) == (OTHER, ONE_TIME.public)
    assert (header.seq, header.prev, header.slot) == (0, None, None)


def test_kinds_of_a_later_version_can_be_signed():
    record = phone().sign(200 << 8 | 0x2A, {"new": 1}, NOW_MS, SALT, target=b"x")
    assert accepted(record).header.slot is not None
    assert author.capability_set(()) == 0
