"""A kind's number says how it is handled, also by those who have never heard of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_protocol import kinds
from ratoon_protocol.errors import Code, RecordError
from ratoon_protocol.kinds import Capability, Lane, Scope, kind_class

# From the spec's table, by hand: lane, slot, critical, capability, scope.
LOG, STATE, PUBLIC, SELF, NONE = Lane
TABLE = {
    "identity": (272, LOG, False, True, Capability.ACCOUNT, Scope.LOG),
    "delete": (624, LOG, False, True, Capability.ERASE, Scope.LOG),
    "node": (952, LOG, True, True, Capability.SERVE, Scope.LOG),
    "hosting": (1208, LOG, True, True, Capability.SERVE, Scope.LOG),
    "profile": (1353, STATE, True, False, Capability.PROFILE, Scope.STATE),
    "follow": (1577, STATE, True, False, Capability.WRITE, Scope.STATE),
    "list": (1833, STATE, True, False, Capability.WRITE, Scope.STATE),
    "prekey": (2185, STATE, True, False, Capability.PRIVATE, Scope.STATE),
    "advisory": (2505, STATE, True, False, Capability.MODERATE, Scope.STATE),
    "post": (2594, PUBLIC, False, False, Capability.WRITE, Scope.WINDOW),
    "repost": (2850, PUBLIC, False, False, Capability.WRITE, Scope.WINDOW),
    "sealed_post": (3106, PUBLIC, False, False, Capability.WRITE, Scope.WINDOW),
    "edit": (3370, PUBLIC, True, False, Capability.WRITE, Scope.WINDOW),
    "reaction": (3626, PUBLIC, True, False, Capability.WRITE, Scope.WINDOW),
    "vote": (3882, PUBLIC, True, False, Capability.WRITE, Scope.WINDOW),
    "label": (4298, PUBLIC, True, False, Capability.MODERATE, Scope.WINDOW),
    "setting": (4491, SELF, True, False, Capability.PRIVATE, Scope.PRIVATE),
    "message": (4836, NONE, False, False, Capability.NONE, Scope.PRIVATE),
    "report": (5092, NONE, False, False, Capability.NONE, Scope.PRIVATE),
    "follower_keys": (5348, NONE, False, False, Capability.NONE, Scope.PRIVATE),
}


def test_the_table_is_whole():
    assert {name: kind for kind, name in kinds.NAMES.items()} == {
        name: row[0] for name, row in TABLE.items()
    }


@pytest.mark.parametrize("name", TABLE)
def test_known_kinds(name):
    kind, lane, slot, critical, capability, scope = TABLE[name]
    assert kind_class(kind) == (lane, slot, critical, capability, scope)
    assert kinds.name(kind) == name


def test_unknown_kinds_go_by_their_class():
    assert kind_class(200 << 8 | 0x2A) == (PUBLIC, True, False, Capability.WRITE, Scope.WINDOW)
    assert kind_class(201 << 8 | 0xE4) == (NONE, False, False, Capability.NONE, Scope.PRIVATE)
    assert kinds.name(200 << 8 | 0x2A) == str(200 << 8 | 0x2A)


@pytest.mark.parametrize(
    "kind",
    [
        200 << 8 | 0x25,  # a reserved lane
        200 << 8 | 0x27,
        1 << 16 | 0x22,  # more than 16 bits
        200 << 8 | 0x32,  # critical and unknown
        200 << 8 | 0x02,  # account keys sign identity operations alone
        200 << 8,
        200 << 8 | 0xE2,  # a one-time key in a chain
        200 << 8 | 0x24,  # an envelope with a lasting key
        200 << 8 | 0xEC,  # an envelope with a slot
        200 << 8 | 0xF4,  # an unknown critical envelope
    ],
)
def test_classes_nobody_may_use(kind):
    with pytest.raises(RecordError) as caught:
        kind_class(kind)
    assert caught.value.code is Code.UNSUPPORTED


@given(st.integers(0, (1 << 16) - 1))
def test_no_unknown_kind_gains_what_its_class_forbids(kind):
    try:
        found = kind_class(kind)
    except RecordError:
        return
    if kind not in kinds.NAMES:
        assert not found.critical
        assert found.capability is not Capability.ACCOUNT
    assert (found.capability is Capability.NONE) == (found.lane is Lane.NONE)
