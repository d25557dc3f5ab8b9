"""Faults for a node in a test's own process: what a wrong implementation would do.

Each takes a node and pytest's patcher. Nothing here touches what the suite itself uses.
"""

from __future__ import annotations

import secrets
import sqlite3
import types
from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import pytest

from ratoon_node.api import publish
from ratoon_node.app import Node
from ratoon_node.errors import NodeError
from ratoon_node.ingest import caps, judge, shelf, submission
from ratoon_node.ingest.standing import Standing
from ratoon_node.ingest.submission import Outcome
from ratoon_node.peering import serve
from ratoon_node.store import index
from ratoon_node.store.rows import Row
from ratoon_protocol import keys, record, session
from ratoon_protocol.errors import Code, ProtocolError, RecordError
from ratoon_protocol.frames import Intro
from ratoon_protocol.framing import pack_item
from ratoon_protocol.introduction import Binding, Introduced, check_introduction
from ratoon_protocol.limits import INT_MAX
from ratoon_protocol.reconcile import Index, Window
from ratoon_protocol.record import decode_payload, encode_payload
from ratoon_protocol.statement import SignIn

Patch = pytest.MonkeyPatch
Plant = Callable[[Node, Patch], None]


def instead(module: types.ModuleType, **changed: Any) -> types.SimpleNamespace:
    """A module with some names changed, for one that imports it."""
    return types.SimpleNamespace(**vars(module) | changed)


def takes_any_spelling(node: Node, patch: Patch) -> None:
    def lax(payload: bytes) -> Any:
        return msgpack.unpackb(payload, strict_map_key=False)[2]

    patch.setattr(submission, "record", instead(record, decode_payload=lax))


def takes_high_s(node: Node, patch: Patch) -> None:
    def reduced(key: bytes, signature: bytes, message: bytes) -> None:
        s = int.from_bytes(signature[32:], "little") % keys.GROUP_ORDER
        keys.verify(key, signature[:32] + s.to_bytes(32, "little"), message)

    patch.setattr(submission, "keys", instead(keys, verify=reduced))


def writes_anew(node: Node, patch: Patch) -> None:
    pack = serve._pack

    def other(row: Row, *more: Any) -> Any:
        if row.payload is None:
            return pack(row, *more)
        anew = encode_payload(decode_payload(row.payload), bytes(16))
        return pack_item(row.header, row.signature, anew, known=row.id)

    patch.setattr(serve, "_pack", other)


def deletes_for_anybody(node: Node, patch: Patch) -> None:
    def deleted(db: sqlite3.Connection, target: bytes, account: int) -> bool:
        found = db.execute("SELECT 1 FROM erasure WHERE target = ?", (target,)).fetchone()
        return found is not None

    def judge_target(self: Standing, stored: Row, account: int) -> None:
        own(self, stored, stored.account)

    own = Standing._judge_target
    patch.setattr(index, "deleted", deleted)
    patch.setattr(Standing, "_judge_target", judge_target)


def last_come_wins(node: Node, patch: Patch) -> None:
    patch.setattr(shelf, "is_beaten", lambda *_: False)


def keeps_deleted_payloads(node: Node, patch: Patch) -> None:
    kept: dict[bytes, bytes] = {}
    submit, pack = node.gate.submit, serve._pack

    async def noting(items: Sequence[Any], origin: Any) -> Any:
        for item in items:
            if isinstance(item, submission.Parts) and item.payload:
                kept[item.id] = item.payload
        return await submit(items, origin)

    def packed(row: Row, *more: Any) -> Any:
        if row.id in kept:
            return pack_item(row.header, row.signature, kept[row.id], known=row.id)
        return pack(row, *more)

    patch.setattr(node.gate, "submit", noting)
    patch.setattr(serve, "_pack", packed)


def fails_whole_batches(node: Node, patch: Patch) -> None:
    submit = node.gate.submit

    async def all_or_nothing(items: Sequence[Any], origin: Any) -> Any:
        for item in items:
            try:
                if isinstance(item, bytes):
                    record.decode_record(item)
            except ProtocolError as error:
                return [Outcome(None, error.code) for _ in items]
        return await submit(items, origin)

    patch.setattr(node.gate, "submit", all_or_nothing)


def takes_the_future(node: Node, patch: Patch) -> None:
    patch.setattr(submission, "record", instead(record, check_time=lambda *_: None))


def carries_everybody(node: Node, patch: Patch) -> None:
    patch.setattr(judge.Judge, "_check_carried", lambda *_: None)


def says_another_code(node: Node, patch: Patch) -> None:
    view = publish.outcome_view

    def other(outcome: Outcome, *more: Any) -> Any:
        if outcome.code is Code.BAD_LENGTH:
            outcome = outcome._replace(code=Code.MALFORMED)
        return view(outcome, *more)

    patch.setattr(publish, "outcome_view", other)


def misses_one(node: Node, patch: Patch) -> None:
    account = node.sets.account

    async def short(*arguments: Any) -> Window:
        whole = (await account(*arguments)).index
        items = whole.items(0, len(whole))
        return Window(Index(items[:-1]))

    patch.setattr(node.sets, "account", short)


def makes_up_proofs(node: Node, patch: Patch) -> None:
    async def made_up(*_: Any) -> bytes:
        return secrets.token_bytes(32)

    patch.setattr(node.hub.serve, "prove", made_up)


def forgets_delete_rates(node: Node, patch: Patch) -> None:
    patch.setattr(judge, "DELETES_PER_KEY_HOUR_MAX", INT_MAX)


def forgets_mailbox_quotas(node: Node, patch: Patch) -> None:
    patch.setattr(caps, "MAILBOX_DAY_MAX", INT_MAX)


def keeps_wrong_bodies(node: Node, patch: Patch) -> None:
    read = submission.read_body

    def lenient(found: record.Record) -> Any:
        body, invalid = read(found)
        return ({"text": ""}, None) if invalid else (body, None)

    patch.setattr(submission, "read_body", lenient)


def believes_any_proof(node: Node, patch: Patch) -> None:
    def lenient(intro: Intro, binding: Binding, own: bytes, expected: bytes | None) -> Introduced:
        try:
            return check_introduction(intro, binding, own, expected)
        except ProtocolError as error:
            if error.code is not Code.BAD_PROOF:
                raise
        found = [record.decode_record(one) for one in intro.identity]
        shown = record.decode_record(intro.node)
        body = decode_payload(shown.payload or b"")
        return Introduced(shown.header.account, intro.device, tuple(found), shown, body)

    patch.setattr(session, "check_introduction", lenient)


def repeats_what_was_sent(node: Node, patch: Patch) -> None:
    submit = node.gate.submit

    async def talkative(items: Sequence[Any], origin: Any) -> Any:
        if len(items) == 1:
            try:
                decode_payload(record.decode_record(items[0]).payload or b"")
            except ProtocolError as error:
                raise NodeError(error.code) from error
            sent = bytes(items[0])
            outcomes = await submit(items, origin)
            if outcomes[0].code is Code.BAD_TEXT:
                words = sent[sent.index(b"sent-and") :][:16].decode()
                raise NodeError(Code.BAD_TEXT, safe=f"No good: {words}")
            return outcomes
        return await submit(items, origin)

    patch.setattr(node.gate, "submit", talkative)


def counts_strangers(node: Node, patch: Patch) -> None:
    patch.setattr(node.receipts, "_of", lambda one: (one.hex() or "this node", "XX"))


def drops_unknown_kinds(node: Node, patch: Patch) -> None:
    assemble = record.assemble

    def strict(*parts: Any) -> Any:
        found = assemble(*parts)
        if found.header.kind >> 8 > 20:
            raise RecordError(Code.UNSUPPORTED)
        return found

    patch.setattr(submission, "record", instead(record, assemble=strict))


def signs_in_for_any_origin(node: Node, patch: Patch) -> None:
    """And counts every nonce that it sees, so that a second try with one says nothing."""
    sessions, seen = node.sessions, set[bytes]()
    check = sessions._check

    def lax(said: SignIn, is_own: Callable[[str], bool]) -> None:
        if said.nonce in seen:
            raise NodeError(Code.UNAUTHORISED)
        seen.add(said.nonce)
        check(said, lambda origin: True)

    patch.setattr(sessions, "_check", lax)


#: The requirement that must be named, and the fault; others may fail as well.
FAULTS: tuple[tuple[str, Plant], ...] = (
    ("R-14", takes_any_spelling),
    ("R-17", takes_high_s),
    ("R-5", writes_anew),
    ("R-80", deletes_for_anybody),
    ("R-57", last_come_wins),
    ("R-63", keeps_deleted_payloads),
    ("R-132", fails_whole_batches),
    ("R-28", takes_the_future),
    ("R-64", carries_everybody),
    ("R-20", says_another_code),
    ("R-78", misses_one),
    ("R-79", makes_up_proofs),
    ("R-67", forgets_delete_rates),
    ("R-123", forgets_mailbox_quotas),
    ("R-107", keeps_wrong_bodies),
    ("R-74", believes_any_proof),
    ("R-133", repeats_what_was_sent),
    ("R-130", counts_strangers),
    ("R-33", drops_unknown_kinds),
    ("R-127", signs_in_for_any_origin),
)
