"""What the gate remembers of an account while strangers try to make it forget."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ratoon_node.ingest.gate import Gate
from ratoon_node.ingest.submission import Origin, Parts, Way
from ratoon_protocol import kinds
from ratoon_protocol.author import Author, Draft, account_key_row
from ratoon_protocol.errors import Code
from ratoon_protocol.identity import parse_operation
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.record import Record, decode_payload
from tests.node.ingest.test_erasure import vanish
from tests.node.review.test_strangers import say_of_itself, someone
from tests.node.world import Person, join, running

API = Origin(Way.API)
LINK = Origin(Way.LINK)


def strangers_operation(ann: Person, rng: random.Random) -> Record:
    """An operation of ann's account by somebody's key, on an operation that nobody has."""
    key = SigningKey.from_seed(rng.randbytes(32))
    row = account_key_row(ann.author.network, key.public, 0, key)
    author = Author(ann.author.network, ann.account, key)
    body = Draft(rng.randbytes(32), [row]).body()
    return author.sign(kinds.IDENTITY, body, ann.clock.now_ms(), bytes(16))


async def test_rates_outlive_operations_that_hang_in_the_air(tmp_path: Path) -> None:
    rng = random.Random(7)
    async with running(tmp_path) as node:
        ann = someone(node, 3)
        await join(node, ann)
        codes = []
        for _ in range(4):
            ids = [rng.randbytes(32) for _ in range(128)]
            erase = ann.sign(kinds.DELETE, {"ids": ids})
            codes.append((await node.gate.submit([erase.encode()], API))[0].code)
            pending = strangers_operation(ann, rng)
            found = await node.gate.submit([pending.encode()], LINK)
            assert found[0].code is Code.PENDING
        assert codes == [Code.STORED, Code.STORED, Code.STORED, Code.RATE]


async def test_a_header_that_goes_in_this_commit_is_not_judged_unchecked(tmp_path: Path) -> None:
    """Its signature was not looked at, because it was here when the batch was checked."""
    async with running(tmp_path) as node:
        ann = someone(node, 3)
        await join(node, ann)
        post = ann.post("known")
        assert (await node.gate.submit([post.encode()], API))[0].code is Code.STORED
        forged = Parts(post.header_bytes, bytes(64), post.payload, None, post.id)
        found = await node.gate.submit([vanish(ann).encode(), forged], LINK)
        assert [one.code for one in found] == [Code.STORED, Code.BUSY]
        found = await node.gate.submit([post.encode()], LINK)
        assert found[0].code is Code.GONE


async def test_a_log_longer_than_a_budget_takes_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It once crashed the batch, which was then halved until each item stood alone."""
    for name in ("here", "other"):
        (tmp_path / name).mkdir()
    commits = []
    commit = Gate._commit

    async def counted(self: Gate, *given):
        commits.append(self)
        return await commit(self, *given)

    async with (
        running(tmp_path / "here", policy="[admission]\nheaders_per_day = 5\n") as here,
        running(tmp_path / "other", seed=2) as other,
    ):
        await here.ledger.note_link(other.own.account, None)
        await here.roster.load()
        bob = someone(here, 5)
        said = await say_of_itself(other, bob.account)
        assert {one.code for one in await here.gate.submit(said, LINK)} == {Code.STORED}
        log, paper = [bob.genesis], bob.paper_author()
        for number in range(4):
            last = log[-1]
            operation = parse_operation(last.id, last.header, decode_payload(last.payload or b""))
            draft = Draft.after(operation)
            draft.handles = [f"bob{number}@example.org"]
            log.append(paper.sign(kinds.IDENTITY, draft.body(), bob.clock.now_ms(), bytes(16)))
        monkeypatch.setattr(Gate, "_commit", counted)
        found = await here.gate.submit([one.encode() for one in log], LINK)
        stored = 5 - len(said)
        assert [one.code for one in found] == [Code.STORED] * stored + [Code.RATE] * (5 - stored)
        assert len(commits) == 1
