"""What a link learns of its own worth from what its peer tells and asks."""

from __future__ import annotations

from ratoon_node.peering import ways
from ratoon_node.peering.ways import OFFER_MS, WORTH_MIN, Way
from ratoon_protocol.introduction import Side

IDS = [bytes([n]) * 32 for n in range(40)]


def test_pushes_that_the_peer_had_from_elsewhere_end_pushing():
    way = Way(Side.DIALER)
    assert way.worth >= WORTH_MIN
    for id_ in IDS[:3]:
        way.push([id_], 0)
        assert way.settle({id_}, OFFER_MS) == []
    assert way.worth < WORTH_MIN
    assert way.idle


def test_pushes_of_use_keep_it_up_whatever_came_before():
    way = Way(Side.DIALER)
    way.push(IDS, 0)
    way.settle(set(IDS), OFFER_MS)
    assert way.worth < 0.01
    for id_ in IDS[:5]:
        way.push([id_], 0)
        way.settle(set(), OFFER_MS)
    assert way.worth >= WORTH_MIN


def test_questions_for_what_was_only_offered_begin_pushing_anew():
    way = Way(Side.DIALER)
    way.push(IDS, 0)
    way.settle(set(IDS), OFFER_MS)
    assert way.offer_later(IDS[:5], 0, certain=False)
    assert way.settle(set(), OFFER_MS) == IDS[:5]
    way.asked(IDS[5:])  # these were not offered: a comparison found them
    assert way.worth < WORTH_MIN
    way.asked(IDS[:5])
    before = way.worth
    assert before >= WORTH_MIN
    way.asked(IDS[:5])  # twice is once
    assert way.worth == before


def test_an_offer_waits_and_is_left_out_if_the_peer_told_of_it_meanwhile():
    way = Way(Side.DIALER)
    way.offer_later(IDS[:2], 0, certain=False)
    way.offer_later(IDS[2:4], 10, certain=True)
    assert way.settle(set(), OFFER_MS - 1) == []
    assert way.settle({IDS[0], IDS[2]}, OFFER_MS) == [IDS[1]]
    assert not way.idle
    assert way.settle({IDS[0], IDS[2]}, OFFER_MS + 10) == IDS[2:4]
    assert way.idle


def test_the_two_ends_of_a_link_do_not_offer_at_one_time():
    dialer, acceptor = Way(Side.DIALER), Way(Side.ACCEPTOR)
    for way in (dialer, acceptor):
        way.offer_later(IDS[:1], 0, certain=False)
    (told,) = dialer.settle(set(), OFFER_MS)
    assert acceptor.settle(set(), OFFER_MS) == []
    assert acceptor.settle({told}, 2 * OFFER_MS) == []
    assert acceptor.idle


def test_too_many_offers_are_none():
    way = Way(Side.DIALER)
    many = [n.to_bytes(32) for n in range(ways.IDS_MAX + 1)]
    assert way.offer_later(many[:-1], 0, certain=True)
    assert not way.offer_later(many[-1:], 0, certain=True)
    assert way.settle(set(), OFFER_MS) == []


def test_what_is_remembered_of_a_link_is_bounded():
    way = Way(Side.DIALER)
    for n in range(ways.IDS_MAX + 10):
        way.push([n.to_bytes(32)], n)
    assert len(way._pushed) == ways.IDS_MAX
    for n in range(0, 3 * ways.IDS_MAX, 1000):
        ids = [(n + m).to_bytes(32) for m in range(1000)]
        way.offer_later(ids, 0, certain=True)
        way.settle(set(), OFFER_MS)
    assert len(way._offered) == ways.IDS_MAX
