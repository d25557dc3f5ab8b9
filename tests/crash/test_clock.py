"""A clock that jumps under the real program: days ahead, days back, to before there was time."""

from __future__ import annotations

import base64
import re
import signal
from pathlib import Path

import pytest

from ratoon_protocol.statement import SignIn, sign_in
from tests.crash.nursery import Nursery
from tests.crash.people import NETWORK
from tests.crash.shims import MovedClock, Shims
from tests.crash.town import Town, until

DAY_SECONDS = 86_400
# From now to 1960.
LONG_AGO_SECONDS = 70 * 365 * DAY_SECONDS
#: What a node says of records that are ahead of its clock, or that it cannot take just then.
REFUSED = frozenset({"future", "busy", "clock"})
JUMPS = {
    "a day ahead": DAY_SECONDS,
    "a day back": -DAY_SECONDS,
    "a month ahead": 30 * DAY_SECONDS,
    "before the epoch": -LONG_AGO_SECONDS,
}


@pytest.mark.parametrize("jump", JUMPS.values(), ids=[name.replace(" ", "-") for name in JUMPS])
async def test_a_clock_that_jumps_under_load_loses_nothing_and_stops_nothing(
    nursery: Nursery, tmp_path: Path, jump: int
) -> None:
    town, clock = Town(nursery, tmp_path, abs(jump)), MovedClock(tmp_path / "clock")
    async with town.open():
        await town.start(Shims(clock=str(clock.path)))
        for writer in town.writers:
            writer.later = REFUSED
        token = await signed_in(town)
        await town.load()
        await town.until_all(lambda writer: writer.taken)
        clock.move(jump)
        # The reader of the load goes on all the while: every page is answered.
        if jump > 0:
            await town.until_all(lambda writer: writer.taken)
        else:
            await town.until_all(lambda writer: writer.refused)
        await until(lambda: _answers(town))
        await signed_in(town)  # whose challenge and session are of this moment
        clock.move(0)
        if abs(jump) <= DAY_SECONDS:  # a longer one ends sessions, as time does
            assert await is_signed_in(town, token)
        await signed_in(town)
        await town.until_all(lambda writer: writer.taken)
        await town.kill()
        town.check_left()
        await town.start(Shims(clock=str(clock.path)))
        await town.check_all()
        assert await town.program.end(signal.SIGTERM) == 0
    lines = bytes(town.program.output).decode()
    assert not re.search("Traceback|task_crashed|request_failed|digest_skipped", lines), lines


async def signed_in(town: Town) -> str:
    """A new session of somebody; its token."""
    url, who = town.program.url, town.writers[0].account
    form = {"account": who.account.hex()}
    async with town.http.post(url + "/v1/session/challenge", json=form) as response:
        found = await response.json()
    said = SignIn(
        who.account,
        bytes.fromhex(found["audience"]),
        url,
        bytes.fromhex(found["nonce"]),
        found["expires_ms"],
    )
    statement = base64.b64encode(sign_in(NETWORK, said, who.author.key)).decode()
    async with town.http.post(url + "/v1/session", json={"statement": statement}) as response:
        answer = await response.json()
        assert response.status == 201, answer
    return str(answer["token"])


async def is_signed_in(town: Town, token: str) -> bool:
    """Whether the token still speaks for somebody."""
    headers = {"Authorization": f"Bearer {token}"}
    async with town.http.get(town.program.url + "/v1/session", headers=headers) as response:
        return response.status == 200


async def _answers(town: Town) -> bool:
    """Whether the node is ready, and its numbers can be read."""
    async with town.http.get(town.program.url + "/metrics") as response:
        assert response.status == 200
    async with town.http.get(town.program.url + "/readyz") as response:
        assert response.status in (200, 503), await response.text()
        return response.status == 200


@pytest.mark.parametrize("jump", [-DAY_SECONDS, -LONG_AGO_SECONDS])
async def test_a_start_with_a_wrong_clock_serves_and_comes_right_with_it(
    nursery: Nursery, tmp_path: Path, jump: int
) -> None:
    town, clock = Town(nursery, tmp_path, 5), MovedClock(tmp_path / "clock")
    async with town.open():
        await town.start(Shims(clock=str(clock.path)))
        await town.write(3)
        await town.kill()
        clock.move(jump)
        await town.program.start(Shims(clock=str(clock.path)))
        await town.check_new()
        await until(lambda: _answers(town))
        clock.move(0)
        await town.write(3)
        await town.check_all()
    lines = bytes(town.program.output).decode()
    assert not re.search("Traceback|task_crashed|request_failed|digest_skipped", lines), lines
