"""`protocol/vectors/reconcile.json`: transcripts that other implementations agreed with."""

import json
from typing import Any

import pytest

from ratoon_protocol.errors import SyncError
from ratoon_protocol.reconcile import Index, Reconciler
from tests.protocol.vectors_reconcile import VECTORS, side, spelled, transcript

TEXT = (VECTORS / "reconcile.json").read_text(encoding="utf-8")
VALID = json.loads(TEXT)["valid"]
INVALID = json.loads(TEXT)["invalid"]


def named(case: dict[str, Any]) -> str:
    return str(case["name"])


def test_the_file_is_what_the_generator_makes():
    assert spelled() == TEXT


@pytest.mark.parametrize("case", [case for case in VALID if "client" in case], ids=named)
def test_session(case: dict[str, Any]):
    session = transcript(side(case["client"]), side(case["server"]))
    assert session == {key: case[key] for key in ("messages", "have", "need")}


@pytest.mark.parametrize("case", [case for case in VALID if "client" not in case], ids=named)
def test_answer(case: dict[str, Any]):
    message, answer = map(bytes.fromhex, case["messages"])
    assert side(case["server"]).respond(message) == answer


@pytest.mark.parametrize("case", INVALID, ids=named)
def test_refused(case: dict[str, Any]):
    reconciler = Reconciler(Index([(12345, b"\xee" * 32)]), 4096)
    take: Any = reconciler.respond
    if case["role"] == "client":
        reconciler.initiate()
        take = reconciler.proceed
    with pytest.raises(SyncError) as caught:
        take(bytes.fromhex(case["message"]))
    assert caught.value.code == case["expect"]
