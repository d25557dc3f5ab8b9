"""Invitations: uses, expiry, revocation, who came by which, and two who come at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ratoon_node.store import invites, read
from ratoon_protocol.limits import FUTURE_SKEW_MS_MAX
from tests.node.api.site import Site, site
from tests.node.api.test_names import HOST, newcomer, register


async def made(place: Site, **fields: Any) -> str:
    status, body = await place.operate("POST", "/invites", fields)
    assert status == 201, body
    return str(body["code"])


async def left(place: Site) -> list[int]:
    _, body = await place.operate("GET", "/invites")
    return [one["uses"] for one in body["invites"]]


async def test_of_two_who_come_at_once_by_one_use_one_comes_in(tmp_path: Path) -> None:
    async with site(tmp_path, registration="invite") as place:
        code = await made(place)
        people = [newcomer(place, 1), newcomer(place, 2)]
        answers = await asyncio.gather(*(register(one, "", code) for one in people))
        assert sorted(status for status, _ in answers) == [201, 403]
        winner = people[[status for status, _ in answers].index(201)]
        _, guests = await place.operate("GET", f"/invites/{code}/accounts")
        assert [one["account"] for one in guests["accounts"]] == [winner.account]
        assert (
            await place.node.db.read(lambda db: invites.came_by(db, bytes.fromhex(winner.account)))
            == code
        )
        assert await left(place) == [0]


async def test_asking_twice_at_once_takes_one_use(tmp_path: Path) -> None:
    async with site(tmp_path, registration="invite") as place:
        code = await made(place, uses=2)
        ann = newcomer(place, 1)
        answers = await asyncio.gather(*(register(ann, "", code) for _ in range(2)))
        assert {status for status, _ in answers} <= {200, 201, 503}
        assert (await register(ann, "", code))[0] == 200
        assert await left(place) == [1]


async def test_a_clock_that_is_ahead_takes_no_use_and_no_place(tmp_path: Path) -> None:
    async with site(tmp_path, registration="invite") as place:
        code = await made(place)
        place.clock.offset_ms += FUTURE_SKEW_MS_MAX + 60_000
        ann = newcomer(place, 1)
        place.clock.offset_ms = 0
        assert (await register(ann, "", code))[1]["error"]["code"] == "future"
        assert await left(place) == [1]
        hosts = await place.node.db.read(lambda db: read.hosts(db, bytes.fromhex(ann.account)))
        assert not hosts
        assert (await register(newcomer(place, 1), "", code))[0] == 201


async def test_a_name_that_is_taken_takes_no_use(tmp_path: Path) -> None:
    async with site(
        tmp_path, registration="invite", public_addresses=(f"https://{HOST}",)
    ) as place:
        code = await made(place, uses=2)
        first, second = newcomer(place, 1, f"ann@{HOST}"), newcomer(place, 2, f"ann@{HOST}")
        assert (await register(first, "ann", code))[0] == 201
        assert (await register(second, "ann", code))[1]["error"]["code"] == "name_taken"
        assert await left(place) == [1]


@pytest.mark.parametrize("end", ["revoked", "expired", "unknown"])
async def test_invites_end(tmp_path: Path, end: str) -> None:
    async with site(tmp_path, registration="invite") as place:
        code = await made(place, uses=5, expires_ms=place.clock.now_ms() + 1000, note="friends")
        assert (await register(newcomer(place, 1), "", code))[0] == 201
        if end == "revoked":
            assert (await place.operate("DELETE", f"/invites/{code}"))[0] == 200
            assert (await place.operate("DELETE", f"/invites/{code}"))[0] == 200
        elif end == "expired":
            place.clock.offset_ms += 1000
        else:
            assert (await place.operate("DELETE", "/invites/no"))[0] == 404
            code = "no"
        status, body = await register(newcomer(place, 2), "", code)
        assert (status, body["error"]["code"]) == (403, "invite_needed")
        _, listed = await place.operate("GET", "/invites")
        assert (listed["invites"][0]["note"], listed["invites"][0]["uses"]) == ("friends", 4)
        assert (listed["invites"][0]["revoked_ms"] is not None) is (end == "revoked")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"uses": 0}, "out_of_range"),
        ({"uses": 10_001}, "out_of_range"),
        ({"uses": "1"}, "bad_request"),
        ({"note": "x" * 257}, "too_long"),
        ({"more": 1}, "bad_request"),
        ({"expires_ms": 1}, "out_of_range"),
    ],
)
async def test_bad_invites_are_not_made(tmp_path: Path, body: dict[str, Any], code: str) -> None:
    async with site(tmp_path) as place:
        status, found = await place.operate("POST", "/invites", body)
        assert (status, found["error"]["code"]) == (400, code)
        assert await left(place) == []


async def test_an_invite_that_nobody_made_has_no_guests(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        code = await made(place)
        assert (await place.operate("GET", f"/invites/{code}/accounts"))[1]["accounts"] == []
        status, found = await place.operate("GET", "/invites/no/accounts")
        assert (status, found["error"]["code"]) == (404, "not_found")


async def test_a_registration_that_fails_gives_everything_back(tmp_path: Path) -> None:
    async with site(
        tmp_path, registration="invite", public_addresses=(f"https://{HOST}",)
    ) as place:
        code = await made(place)
        place.node.own.clock_sound = lambda: False
        ann = newcomer(place, 1, f"ann@{HOST}")
        assert (await register(ann, "ann", code))[1]["error"]["code"] == "clock"
        assert await left(place) == [1]
        _, guests = await place.operate("GET", f"/invites/{code}/accounts")
        assert guests["accounts"] == []
        place.node.own.clock_sound = lambda: True
        assert (await register(ann, "ann", code))[0] == 201


async def test_the_statements_about_invites_use_indexes(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        code = await made(place)

        def look(db: Any) -> list[str]:
            seen: list[str] = []
            db.set_trace_callback(seen.append)
            invites.newest(db, 5)
            invites.come_by(db, code, 5)
            invites.came_by(db, b"x")
            db.set_trace_callback(None)
            return [row[3] for sql in seen for row in db.execute("EXPLAIN QUERY PLAN " + sql)]

        plans = await place.node.db.read(look)
        assert plans
        # In the order of an index, and no more than are asked for.
        assert [plan for plan in plans if "SCAN" in plan] == ["SCAN invite USING INDEX invite_made"]
        assert not [plan for plan in plans if "TEMP" in plan]
