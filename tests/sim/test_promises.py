"""What checks of a world call lost, and what hidden: rows of two nodes, without any world."""

from __future__ import annotations

import random

import pytest

from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.store.rows import Bytes, Row
from ratoon_protocol.record import Record
from ratoon_protocol.status import Status
from tests.node.world import Clock, person
from tests.sim import checks
from tests.sim.notes import Broken, Notes, Promise

ANN = person(b"network.", random.Random(1), Clock())
POST = ANN.post("words")


def stored(one: Record, state: Bytes) -> Row:
    header = one.header
    payload = one.payload if state is Bytes.HERE else None
    place = (1, one.id, 1, 1, header.kind, header.seq, header.created_ms, header.slot)
    bytes_ = (one.header_bytes, one.signature, payload)
    return Row(*place, Status.LIVE, 0, 0, state, None, *bytes_)


def held(first: Bytes, second: Bytes) -> dict[str, dict[bytes, Row]]:
    """What two nodes have of a post."""
    return {name: {POST.id: stored(POST, at)} for name, at in (("n1", first), ("n2", second))}


def promised(*machines: str, blocking: str = "", forgetful: str = "") -> Notes:
    """A post that machines said they stored, as did two providers."""
    notes = Notes(forgetful={forgetful})
    promise = Promise(POST.id, ANN.account, POST.header.kind, private=False, two_providers=True)
    promise.machines.update(dict.fromkeys(machines, 0.0))
    notes.promises[POST.id] = promise
    if blocking:
        notes.blocked[blocking] = {ListEntry(Subject.ACCOUNT, ANN.account.hex()): None}
    return notes


LOST = [
    (promised("n1", "n2"), Bytes.HERE, Bytes.WANTED),
    (promised("n2"), Bytes.WANTED, Bytes.HERE),
    (promised(), Bytes.WANTED, Bytes.WANTED),
    (promised("n1", "n2", blocking="n2"), Bytes.WANTED, Bytes.HERE),
    (promised("n2", blocking="n2"), Bytes.WANTED, Bytes.WANTED),
    (promised("n2", forgetful="n1"), Bytes.WANTED, Bytes.HERE),
]
KEPT = [
    (promised("n1", "n2"), Bytes.HERE, Bytes.HERE),
    (promised("n2", blocking="n2"), Bytes.WANTED, Bytes.HERE),
    (promised("n1", "n2", blocking="n2", forgetful="n1"), Bytes.WANTED, Bytes.HERE),
]


@pytest.mark.parametrize(("notes", "first", "second"), LOST)
def test_bytes_that_somebody_could_give_or_promised_are_lost(
    notes: Notes, first: Bytes, second: Bytes
) -> None:
    with pytest.raises(Broken, match="lost the bytes"):
        checks._check_promises([], held(first, second), notes)


@pytest.mark.parametrize(("notes", "first", "second"), KEPT)
def test_bytes_that_a_blocking_operator_alone_has_are_hidden_and_not_lost(
    notes: Notes, first: Bytes, second: Bytes
) -> None:
    checks._check_promises([], held(first, second), notes)


def test_what_only_a_copy_had_beside_a_disk_that_forgot_is_nobodys_promise() -> None:
    """Two nodes with one key are one provider more in the count than there are disks."""
    notes = promised(forgetful="n2")
    with pytest.raises(Broken, match="lost post"):
        checks._check_promises([], {"n1": {}, "n2": {}}, notes)
    notes.taken_along.add(POST.id)
    checks._check_promises([], {"n1": {}, "n2": {}}, notes)
    notes.promises[POST.id].machines["n1"] = 0.0
    with pytest.raises(Broken, match="lost post"):
        checks._check_promises([], {"n1": {}, "n2": {}}, notes)


def test_bytes_that_their_author_had_erased_are_not_lost() -> None:
    """The delete may count no longer: what led to it was lost, and its device is retired."""
    notes = promised("n1")
    notes.deletes[bytes(32)] = (POST.id,)
    checks._check_promises([], held(Bytes.WANTED, Bytes.WANTED), notes)
