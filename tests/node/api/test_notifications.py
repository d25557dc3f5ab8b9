"""Notifications over HTTP: pages, kinds, what is unread, and who may ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from ratoon_node.store import read
from ratoon_protocol import kinds
from ratoon_protocol.record import Record
from tests.node.api.members import ask, member, publish, signed_in
from tests.node.api.site import Site, site


async def told(place: Site, token: str, **query: Any) -> dict[str, Any]:
    path = "/v1/notifications" + ("?" + urlencode(query) if query else "")
    status, found = await ask(place, "GET", path, token)
    assert status == 200, found
    return found


async def tell(place: Site, *records: Record) -> None:
    await publish(place.node, *records)
    await place.node.digest.reached(await place.node.db.read(read.journal_end))


async def test_pages_kinds_and_what_is_unread(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, bob = await member(place.node, 2), await member(place.node, 3)
        token = await signed_in(place, ann)
        empty = await told(place, token)
        assert (empty["items"], empty["next"], empty["unread"]) == ([], None, {})
        post = ann.post("hello")
        answers = [bob.post(f"answer {n}", parent=post.id, root=post.id) for n in range(5)]
        like = bob.sign(kinds.REACTION, {"emoji": "♥", "state": 1}, post.id)
        await tell(place, post, *answers, like)
        page = await told(place, token)
        assert [one["what"] for one in page["items"]] == ["reaction"] + ["reply"] * 5
        assert page["unread"] == {"reply": 5, "reaction": 1}
        assert page["unread_more"] is False
        newest = page["items"][0]
        assert newest["target"] == post.id.hex()
        assert newest["account"] == bob.account.hex()
        assert newest["record"]["id"] == like.id.hex()
        assert list(page["accounts"]) == [bob.account.hex()]
        assert page["end"] == newest["n"]

        walked: list[str] = []
        cursor: dict[str, int] = {}
        while True:
            part = await told(place, token, limit=2, only="reply,mention", **cursor)
            walked += [one["record"]["id"] for one in part["items"]]
            if part["next"] is None:
                break
            cursor = {"before": part["next"]}
        assert walked == [one.id.hex() for one in answers[::-1]]

        await ask(place, "PUT", "/v1/read-marks", token, {"marks": {"notifications": page["end"]}})
        assert (await told(place, token))["unread"] == {}
        await tell(place, bob.sign(kinds.FOLLOW, {"state": 1}, ann.account))
        since = await told(place, token, since=page["end"])
        assert [one["what"] for one in since["items"]] == ["follow"]
        assert since["unread"] == {"follow": 1}


async def test_each_reads_their_own_and_nobody_without_a_session(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, bob = await member(place.node, 2), await member(place.node, 3)
        await tell(place, bob.sign(kinds.FOLLOW, {"state": 1}, ann.account))
        assert len((await told(place, await signed_in(place, ann)))["items"]) == 1
        assert (await told(place, await signed_in(place, bob)))["items"] == []
        status, found = await place.get("/v1/notifications")
        assert (status, found["error"]["code"]) == (401, "unauthorised")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("only=likes", "bad_request"),
        ("only=reply,", "bad_request"),
        ("limit=0", "out_of_range"),
        ("limit=201", "out_of_range"),
        ("before=1&since=1", "bad_request"),
        ("before=-1", "bad_request"),
        ("account=x", "bad_request"),
    ],
)
async def test_wrong_questions(tmp_path: Path, query: str, code: str) -> None:
    async with site(tmp_path) as place:
        token = await signed_in(place, await member(place.node, 2))
        status, found = await ask(place, "GET", f"/v1/notifications?{query}", token)
        assert (status, found["error"]["code"]) == (400, code)


async def test_the_outcome_of_a_report(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, bob = await member(place.node, 2), await member(place.node, 3)
        bad = bob.post("awful")
        await tell(place, bad)
        await place.node.happenings.report_ended(ann.account, bad.id, "withheld")
        entry = {"subject": "account", "entity": bob.account.hex(), "verdict": "withhold"}
        await place.operate("POST", "/blocks", entry | {"reason": "abuse"})
        (one,) = (await told(place, await signed_in(place, ann)))["items"]
        assert (one["what"], one["outcome"]) == ("report", "withheld")
        assert (one["record"]["id"], one["record"]["code"]) == (bad.id.hex(), "withheld")
        assert "body" not in one["record"]
