"""Signing in with a device key: who may, what is refused, and when it ends."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ratoon_node.api.sessions import is_own
from ratoon_node.ingest import sessions as sessions_module
from ratoon_node.ingest.sessions import IDLE_MS_MAX, SESSION_MS_MAX, Challenges
from ratoon_node.store import sessions as stored
from ratoon_protocol.author import capability_set, device_row
from ratoon_protocol.keys import AgreementKey, Context, SigningKey
from ratoon_protocol.kinds import Capability
from ratoon_protocol.statement import sign_statement
from tests.node.api.members import (
    ask,
    challenge,
    enter,
    member,
    operation,
    post,
    publish,
    signed_in,
    signed_operation,
)
from tests.node.api.site import TOKEN, Site, site

DAY_MS = 86_400_000


def code(answer: tuple[int, dict]) -> tuple[int, str]:
    status, found = answer
    return status, found["error"]["code"]


async def whoami(place: Site, token: str) -> tuple[int, dict]:
    return await ask(place, "GET", "/v1/session", token)


async def test_a_device_signs_in_and_out(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await member(place.node, 2)
        token = await signed_in(place, ann)
        status, found = await whoami(place, token)
        assert status == 200
        assert (found["account"], found["roles"]) == (ann.account.hex(), [])
        assert abs(found["expires_ms"] - ann.clock.now_ms() - IDLE_MS_MAX) < 60_000
        status, found = await ask(place, "DELETE", "/v1/session", token)
        assert (status, found) == (200, {"account": ann.account.hex()})
        assert code(await whoami(place, token)) == (401, "unauthorised")


async def test_messagepack_is_taken_too(tmp_path: Path) -> None:
    import msgspec

    from ratoon_protocol.statement import sign_in

    async with site(tmp_path) as place:
        ann = await member(place.node, 2)
        said = await challenge(place, ann)
        data = sign_in(place.node.settings.network_bytes, said, ann.author.key)
        packed = msgspec.msgpack.encode({"statement": data})
        status, found = await place.post("/v1/session", packed, "application/msgpack")
        assert (status, found["account"]) == (201, ann.account.hex())
        refused = await place.post("/v1/session", packed[:-1], "application/msgpack")
        assert code(refused) == (400, "malformed")


async def test_one_or_all_sessions_end(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, bob = await member(place.node, 2), await member(place.node, 3)
        first, second, third = [await signed_in(place, ann) for _ in range(3)]
        other = await signed_in(place, bob)
        await ask(place, "DELETE", "/v1/session", first)
        assert [(await whoami(place, one))[0] for one in (first, second)] == [401, 200]
        await ask(place, "DELETE", "/v1/session?all=true", second)
        assert [(await whoami(place, one))[0] for one in (second, third, other)] == [401, 401, 200]


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_sessions_survive_a_restart_and_no_token_is_on_disk(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        token = await signed_in(place, await member(place.node, 2))
    files = everything(tmp_path)
    assert token.encode() not in files
    assert bytes.fromhex(token) not in files
    async with site(tmp_path) as place:
        assert (await whoami(place, token))[0] == 200


# --- what is refused -----------------------------------------------------------------------


async def test_a_nonce_counts_once(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await member(place.node, 2)
        said = await challenge(place, ann)
        assert (await enter(place, said, ann.author.key))[0] == 201
        assert code(await enter(place, said, ann.author.key)) == (401, "unauthorised")


async def test_a_statement_for_somebody_else_is_refused(tmp_path: Path) -> None:
    async with site(tmp_path, public_addresses=("https://node.example",)) as place:
        ann, bob = await member(place.node, 2), await member(place.node, 3)
        said, key = await challenge(place, ann), ann.author.key
        for change, expected in (
            ({"audience": bytes(32)}, (409, "wrong_account")),
            ({"origin": "https://evil.example"}, (401, "unauthorised")),
            ({"origin": "https://node.example:444"}, (401, "unauthorised")),
            ({"origin": "http://node.example"}, (401, "unauthorised")),
            ({"origin": "https://NODE.example"}, (401, "unauthorised")),
            ({"origin": "https://node.example/"}, (401, "unauthorised")),
            ({"origin": "https://localhost.evil.example"}, (401, "unauthorised")),
            ({"nonce": bytes(16)}, (401, "unauthorised")),
            ({"expires_ms": ann.clock.now_ms()}, (401, "unauthorised")),
            ({"account": bob.account}, (401, "unauthorised")),
        ):
            assert code(await enter(place, said._replace(**change), key)) == expected, change
        for origin in ("https://node.example", "http://localhost:7420", "http://[::1]:1"):
            fresh = await challenge(place, ann)
            assert (await enter(place, fresh._replace(origin=origin), key))[0] == 201, origin


@pytest.mark.parametrize(
    ("socket", "origin", "own"),
    [
        (("192.0.2.5", 7420), "http://192.0.2.5:7420", True),
        (("192.0.2.5", 80), "http://192.0.2.5", True),
        (("::ffff:192.0.2.5", 7420, 0, 0), "http://192.0.2.5:7420", True),
        (("2001:db8::5", 7420, 0, 0), "http://[2001:db8::5]:7420", True),
        (("192.0.2.5", 7420), "http://192.0.2.5:9999", False),  # whose port that is nobody knows
        (("192.0.2.5", 7420), "http://192.0.2.6:7420", False),
        ("/run/ratoon.sock", "http://192.0.2.5:7420", False),
        ("/run/ratoon.sock", "http://127.0.0.1", True),
        (None, "http://192.0.2.5", False),
    ],
)
def test_where_a_connection_ends_is_an_address_of_the_node(
    socket: Any, origin: str, own: bool
) -> None:
    transport = SimpleNamespace(get_extra_info=lambda name: socket)
    request = SimpleNamespace(transport=transport)
    assert is_own(frozenset(), request)(origin) is own  # type: ignore[arg-type]


async def test_another_accounts_key_and_a_forged_signature(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, bob = await member(place.node, 2), await member(place.node, 3)
        said = await challenge(place, ann)
        assert code(await enter(place, said, bob.author.key)) == (403, "unknown_key")
        network = place.node.settings.network_bytes
        good = sign_statement(Context.SESSION, network, tuple(said), ann.author.key)
        forged = good[:-1] + bytes([good[-1] ^ 1])
        status, found = await place.post(
            "/v1/session", b'{"statement": "%s"}' % _base64(forged), "application/json"
        )
        assert code((status, found)) == (400, "bad_signature")
        # Neither used the nonce up.
        assert (await enter(place, said, ann.author.key))[0] == 201


def _base64(data: bytes) -> bytes:
    import base64

    return base64.b64encode(data)


async def test_paper_and_keys_without_write_do_not_sign_in(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        eve = await member(place.node, 4, capability_set([Capability.PROFILE, Capability.ERASE]))
        said = await challenge(place, eve)
        assert code(await enter(place, said, eve.author.key)) == (401, "unauthorised")
        assert code(await enter(place, said, eve.paper)) == (403, "unknown_key")


async def test_only_accounts_at_home_here_sign_in(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        known = place.person(5)
        said = await challenge(place, known)
        assert code(await enter(place, said, known.author.key)) == (404, "unknown_account")
        guest = await place.resident(6)  # hosted here, but its own operation names no home
        said = await challenge(place, guest)
        assert code(await enter(place, said, guest.author.key)) == (403, "not_home")


async def test_a_challenge_ends(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await member(place.node, 2)
        said = await challenge(place, ann)
        ann.clock.offset_ms += 121_000
        assert code(await enter(place, said, ann.author.key)) == (401, "unauthorised")


class Ticking:
    """Monotonic time by hand."""

    def __init__(self) -> None:
        self.ms = 0

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return self.ms


def test_nonces_are_of_one_account_one_process_and_two_minutes() -> None:
    import random

    clock = Ticking()
    made = Challenges(clock, random.Random(1))  # type: ignore[arg-type]
    other = Challenges(clock, random.Random(2))  # type: ignore[arg-type]
    ann, bob = b"a" * 32, b"b" * 32
    nonces = {made.make(ann) for _ in range(1000)}
    assert len(nonces) == 1000
    nonce = nonces.pop()
    assert made.fits(ann, nonce)
    assert not made.fits(bob, nonce)
    assert not other.fits(ann, nonce)
    flipped = [nonce[:at] + bytes([nonce[at] ^ 1]) + nonce[at + 1 :] for at in range(16)]
    assert not any(made.fits(ann, one) for one in flipped)
    clock.ms = 120_000
    assert made.fits(ann, nonce)
    clock.ms = 121_000
    assert not made.fits(ann, nonce)


def test_what_was_spent_is_bounded_and_never_forgotten_too_early(monkeypatch) -> None:
    import random

    from ratoon_node.errors import NodeError

    monkeypatch.setattr(sessions_module, "SPENT_MAX", 10)
    clock = Ticking()
    made = Challenges(clock, random.Random(1))  # type: ignore[arg-type]
    nonces = [made.make(b"a" * 32) for _ in range(11)]
    assert all(made.spend(nonce) for nonce in nonces[:10])
    assert not made.spend(nonces[0])
    with pytest.raises(NodeError):
        made.spend(nonces[10])
    clock.ms = 120_999
    assert not any(made.fits(b"a" * 32, nonce) for nonce in nonces[:10])
    clock.ms = 121_001
    assert made.spend(made.make(b"a" * 32))


# --- when it ends --------------------------------------------------------------------------


async def test_it_ends_with_its_device(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await member(place.node, 2)
        token = await signed_in(place, ann)
        draft = operation(ann)
        draft.retire(ann.author.key.public, ann.clock.now_ms())
        await publish(place.node, signed_operation(ann, draft))
        assert code(await whoami(place, token)) == (401, "unauthorised")
        assert await count(place) == 0


async def test_a_second_device_stays(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await member(place.node, 2)
        network = place.node.settings.network_bytes
        second = SigningKey.from_seed(bytes([7] * 32))
        agreement = AgreementKey(bytes([8] * 32)).public
        draft = operation(ann)
        write = capability_set([Capability.WRITE])
        draft.devices.append(device_row(network, ann.paper.public, second, agreement, write))
        first = await signed_in(place, ann)
        draft.stolen(ann.author.key.public, ann.clock.now_ms(), {})
        await publish(place.node, signed_operation(ann, draft))
        status, found = await enter(place, await challenge(place, ann), second)
        assert status == 201
        assert [(await whoami(place, one))[0] for one in (first, found["token"])] == [401, 200]


async def test_it_ends_when_the_account_vanishes_or_moves(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, bob = await member(place.node, 2), await member(place.node, 3)
        tokens = [await signed_in(place, ann), await signed_in(place, bob)]
        vanish, move = operation(ann), operation(bob)
        vanish.vanish = True
        move.homes = [bytes(32)]
        await publish(place.node, signed_operation(ann, vanish), signed_operation(bob, move))
        assert [code(await whoami(place, one))[0] for one in tokens] == [401, 401]
        said = await challenge(place, ann)
        assert code(await enter(place, said, ann.author.key)) == (410, "gone")


async def test_it_ends_with_a_block(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await member(place.node, 2)
        token = await signed_in(place, ann)
        entry = {"subject": "account", "entity": ann.account.hex(), "verdict": "withhold"}
        assert (await place.operate("POST", "/blocks", entry | {"reason": "spam"}))[0] == 201
        assert code(await whoami(place, token)) == (401, "unauthorised")
        said = await challenge(place, ann)
        assert code(await enter(place, said, ann.author.key)) == (403, "blocked")


async def test_use_keeps_it_and_silence_ends_it(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await member(place.node, 2)
        used, idle = await signed_in(place, ann), await signed_in(place, ann)
        start_ms, clock = ann.clock.now_ms(), ann.clock
        for _ in range(SESSION_MS_MAX // (20 * DAY_MS)):
            status, found = await whoami(place, used)
            assert status == 200
            assert found["expires_ms"] <= start_ms + SESSION_MS_MAX + 60_000
            clock.offset_ms += 20 * DAY_MS
        assert (await whoami(place, idle))[0] == 401
        clock.offset_ms += DAY_MS
        assert (await whoami(place, used))[0] == 401


# --- bounds --------------------------------------------------------------------------------


async def count(place: Site) -> int:
    return await place.node.db.read(
        lambda db: db.execute("SELECT count(*) FROM session").fetchone()[0]
    )


async def test_an_account_and_a_node_have_so_many_and_the_oldest_go(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(sessions_module, "SESSIONS_PER_ACCOUNT_MAX", 3)
    monkeypatch.setattr(sessions_module, "SESSIONS_MAX", 5)
    async with site(tmp_path, entries_per_minute_max=0) as place:
        place.clock.stop()
        people = [await member(place.node, seed) for seed in (2, 3, 4)]
        tokens = []
        for _ in range(4):
            tokens.append(await signed_in(place, people[0]))
            people[0].clock.offset_ms += 1000
        assert [(await whoami(place, one))[0] for one in tokens] == [401, 200, 200, 200]
        for who in (people[1], people[1], people[2]):
            tokens.append(await signed_in(place, who))
            people[0].clock.offset_ms += 1000
        assert [(await whoami(place, one))[0] for one in tokens[1:]] == [
            401,
            200,
            200,
            200,
            200,
            200,
        ]
        assert await count(place) == 5


async def test_asking_for_challenges_keeps_nothing_and_is_rated(tmp_path: Path) -> None:
    async with site(tmp_path, entries_per_minute_max=30) as place:
        place.clock.stop()
        answers = [
            await post(place, "/v1/session/challenge", {"account": "ab" * 32}) for _ in range(40)
        ]
        assert {status for status, _ in answers} == {200, 429}
        assert sum(status == 200 for status, _ in answers) <= 31


async def test_forged_and_absent_tokens(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        await signed_in(place, await member(place.node, 2))
        for token in ("", "x", "ab" * 32, TOKEN, "é" * 64, "ab" * 2000):
            assert code(await whoami(place, token)) == (401, "unauthorised")
        status, found = await place.get("/v1/session", Authorization="Basic " + "ab" * 32)
        assert code((status, found)) == (401, "unauthorised")


# --- operators, marks ----------------------------------------------------------------------


async def test_an_operator_signs_in_wherever_its_home_is(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        boss = await place.resident(6)  # names no home
        said = await challenge(place, boss)
        assert code(await enter(place, said, boss.author.key)) == (403, "not_home")
    async with site(tmp_path, operators=(boss.account.hex(),)) as place:
        tokens = [await signed_in(place, who) for who in (boss, await member(place.node, 3))]
        assert (await whoami(place, tokens[0]))[1]["roles"] == ["operator"]
        found = [await ask(place, "GET", "/v1/operator/blocks", one) for one in tokens]
        assert [status for status, _ in found] == [200, 401]


async def test_marks_move_forwards_unless_told(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        token = await signed_in(place, await member(place.node, 2))
        other = await signed_in(place, await member(place.node, 3))

        async def put(marks: dict, **more: object) -> tuple[int, dict]:
            return await ask(place, "PUT", "/v1/read-marks", token, {"marks": marks, **more})

        def positions(found: dict) -> dict:
            return {name: mark["position"] for name, mark in found["marks"].items()}

        assert positions((await put({"home": 7, "tag:rain": 3}))[1]) == {"home": 7, "tag:rain": 3}
        assert positions((await put({"home": 5, "tag:rain": 4}))[1]) == {"home": 7, "tag:rain": 4}
        assert positions((await put({"home": 5}, back=True))[1]) == {"home": 5, "tag:rain": 4}
        status, found = await ask(place, "GET", "/v1/read-marks", token)
        assert (status, positions(found)) == (200, {"home": 5, "tag:rain": 4})
        assert (await ask(place, "GET", "/v1/read-marks", other))[1] == {"marks": {}}
        assert (await put({f"list:{n}": 1 for n in range(254)}))[0] == 200
        assert code(await put({"one": 1})) == (400, "too_many")
        assert code(await put({"": 1}))[0] == 400
        assert code(await put({"x" * 129: 1}))[0] == 400
        assert code(await put({"home": -1}))[0] == 400
        assert len((await ask(place, "GET", "/v1/read-marks", token))[1]["marks"]) == 256


async def test_no_statement_scans(tmp_path: Path) -> None:
    seen: set[str] = set()
    async with site(tmp_path) as place:
        ann = await member(place.node, 2)
        for run in (place.node.db.write, place.node.db.read):
            await run(lambda db: db.set_trace_callback(seen.add))
        for _ in range(3):
            token = await signed_in(place, ann)
            await whoami(place, token)
            await ask(place, "PUT", "/v1/read-marks", token, {"marks": {"home": 1}})
            await ask(place, "GET", "/v1/read-marks", token)
        await ask(place, "DELETE", "/v1/session", token)
        await ask(place, "DELETE", "/v1/session?all=true", await signed_in(place, ann))
    db = sqlite3.connect(tmp_path / "ratoon.sqlite")
    asked = [sql for sql in seen if " session" in sql or "read_mark" in sql]
    assert len(asked) >= 8
    for sql in asked:
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
        assert not [step for step in plan if step.startswith("SCAN") or "B-TREE" in step], (
            sql,
            plan,
        )
    db.close()
    assert stored.Session._fields[0] == "token"
