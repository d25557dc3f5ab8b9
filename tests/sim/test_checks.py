"""What checkers of simulated worlds demand, and what they do not."""

from __future__ import annotations

import random

from ratoon_node.store.rows import Bytes, Row
from ratoon_protocol import kinds
from ratoon_protocol.record import Record
from ratoon_protocol.status import Status
from tests.node.world import Clock, person
from tests.sim import checks
from tests.sim.notes import Notes, Promise

NETWORK = b"ratoon\0\1"


def held(signed: Record, bytes_state: Bytes) -> Row:
    header = signed.header
    kept = signed.payload if bytes_state is Bytes.HERE else None
    of_record = (header.kind, header.seq, header.created_ms, header.slot)
    rest = (signed.header_bytes, signed.signature, kept)
    return Row(1, signed.id, 1, 1, *of_record, Status.LIVE, 0, 0, bytes_state, None, *rest)


def test_private_bytes_are_asked_of_present_homes_alone() -> None:
    """Of a home that was left they are due to nobody, and nobody gives it what it refused once."""
    ann = person(NETWORK, random.Random(1), Clock())
    signed = ann.sign(kinds.SETTING, {"data": b"x"}, bytes(16))
    post = ann.post("words")
    notes = Notes(blocking={"n1"})
    for one, private in ((signed, True), (post, False)):
        machines = {"n1": 1.0}
        promise = Promise(one.id, ann.account, one.header.kind, private, machines)
        notes.promises[one.id] = promise
    lost = {
        name: {one.id: held(one, state) for one in (signed, post)}
        for name, state in (("n1", Bytes.WANTED), ("n2", Bytes.HERE))
    }
    for left, due in (({"n3"}, True), ({"n1"}, False), ({"n2"}, True)):
        notes.left[ann.account] = left
        given = checks._gives("n2", lost["n2"][signed.id], notes, "n1")
        assert given is (left == {"n3"})
        assert checks._may_lack("n1", signed.id, lost, notes) is not due
        assert checks._gives("n2", lost["n2"][post.id], notes, "n1")
        assert not checks._may_lack("n1", post.id, lost, notes)
