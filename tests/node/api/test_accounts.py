"""Registration and what a node tells of an account."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import msgpack

from ratoon_node.api.answers import RECORDS_TYPE, to_json
from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import Author, Draft, capability_set, device_row, new_account
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.kinds import Capability
from ratoon_protocol.record import decode_record
from tests.node.api.site import Site, site


def newcomer(place: Site, seed: int, home: bytes | None = None):
    """An account that names a home, its genesis, its paper key and its author."""
    network = place.node.settings.network_bytes
    rng = random.Random(seed)
    entropy = rng.randbytes(32)
    paper, device = phrase.account_key(entropy), SigningKey.from_seed(rng.randbytes(32))
    agreement = AgreementKey(rng.randbytes(32)).public
    row = device_row(network, paper.public, device, agreement, capability_set([Capability.WRITE]))
    homes = [home or place.node.own.account]
    draft = Draft(devices=[row], homes=homes)
    account, genesis = new_account(network, paper, draft, place.clock.now_ms(), rng.randbytes(16))
    return genesis, paper, Author(network, account, device, phrase.slot_key(entropy))


def form(*records: bytes, invite: str = "") -> bytes:
    encoded = [base64.b64encode(one).decode() for one in records]
    return to_json({"records": encoded, "invite": invite})


async def register(place: Site, data: bytes) -> tuple[int, dict]:
    return await place.post("/v1/accounts", data, "application/json")


async def test_an_open_node_hosts_who_names_it_and_asking_again_is_the_same(tmp_path: Path) -> None:
    async with site(tmp_path, registration="open") as place:
        genesis, paper, author = newcomer(place, 5)
        status, body = await register(place, form(genesis.encode()))
        assert (status, body["account"]) == (201, author.account.hex())
        status, again = await register(place, form(genesis.encode()))
        assert (status, again["hosting"]) == (200, body["hosting"])
        post = author.sign(kinds.POST, {"text": "I live here"}, place.clock.now_ms(), bytes(16))
        assert (await place.publish(post))[0] == 201
        status, found = await place.get(f"/v1/accounts?key={paper.public.hex()}")
        assert found == {"accounts": [author.account.hex()]}
        status, found = await place.get(f"/v1/accounts/{author.account.hex()}")
        assert (status, found["homes"]) == (200, [place.node.own.account.hex()])
        assert found["hosts"] == [place.node.own.account.hex()]


async def test_msgpack_registers_too(tmp_path: Path) -> None:
    async with site(tmp_path, registration="open") as place:
        genesis, _, _ = newcomer(place, 5)
        data = msgpack.packb({"records": [genesis.encode()]})
        status, _ = await place.post("/v1/accounts", data, "application/msgpack")
        assert status == 201


async def test_invites_let_in_as_many_as_they_say(tmp_path: Path) -> None:
    async with site(tmp_path, registration="invite") as place:
        first, second = newcomer(place, 5)[0].encode(), newcomer(place, 6)[0].encode()
        status, body = await register(place, form(first))
        assert (status, body["error"]["code"]) == (403, "invite_needed")
        _, made = await place.operate("POST", "/invites", {"uses": 1})
        assert (await register(place, form(first, invite=made["code"])))[0] == 201
        assert (await register(place, form(first, invite=made["code"])))[0] == 200
        status, body = await register(place, form(second, invite=made["code"]))
        assert (status, body["error"]["code"]) == (403, "invite_needed")


async def test_nobody_registers_an_account_that_did_not_ask(tmp_path: Path) -> None:
    async with site(tmp_path, registration="open") as place:
        elsewhere = newcomer(place, 5, home=b"h" * 32)[0]
        genesis = newcomer(place, 6)[0]
        forged = genesis._replace(signature=bytes(64))
        post = newcomer(place, 7)[2].sign(
            kinds.POST, {"text": "x"}, place.clock.now_ms(), bytes(16)
        )
        for data, code in (
            (form(elsewhere.encode()), "not_home"),
            (form(forged.encode()), "bad_signature"),
            (form(post.encode()), "bad_request"),
            (form(b"junk"), "trailing"),
            (form(genesis.encode(), elsewhere.encode()), "bad_request"),
            (form(), "empty"),
            (form(*[b"x"] * 257), "too_many"),
            (b"{", "bad_request"),
            (b'{"records": [], "more": 1}', "bad_request"),
        ):
            _, body = await register(place, data)
            assert body["error"]["code"] == code, (code, body)
        hosted = await place.node.db.read(
            lambda db: db.execute(
                "SELECT count(*) FROM pointer WHERE kind = ?", (kinds.HOSTING,)
            ).fetchone()
        )
        assert hosted == (0,)


async def test_a_closed_node_takes_nobody(tmp_path: Path) -> None:
    async with site(tmp_path, registration="closed") as place:
        status, body = await register(place, form(newcomer(place, 5)[0].encode()))
        assert (status, body["error"]["code"]) == (403, "not_hosted")


async def test_records_by_cursor_tell_of_what_is_withheld(tmp_path: Path) -> None:
    policy = '[[rule]]\nid = "w"\nwhen = { word = "pelican" }\nthen = "withhold"\nreason = "spam"\n'
    async with site(tmp_path, policy=policy) as place:
        ann = await place.resident(2)
        posts = [ann.post(text) for text in ("one", "a pelican", "three")]
        secret = ann.sign(kinds.SETTING, {"data": b"s"}, target=bytes(16))
        await place.publish(*posts, secret)
        path = f"/v1/accounts/{ann.account.hex()}/records"
        seen, after = [], 0
        while True:
            url = f"{place.url}{path}?limit=2&after={after}"
            async with place.http.get(url, headers={"Accept": RECORDS_TYPE}) as response:
                rows, last = msgpack.unpackb(await response.read())
            if last is None:
                break
            seen += rows
            after = last
        assert [row[0] for row in seen] == [one.header_bytes for one in (ann.genesis, *posts)]
        assert [row[3] for row in seen] == ["stored", "stored", "withheld", "stored"]
        assert [row[2] is None for row in seen] == [False, False, True, False]
        status, body = await place.get(f"/v1/records/{posts[1].id.hex()}")
        assert (status, body["record"]["reason"]) == (403, "spam")
        status, body = await place.get(f"/v1/records/{secret.id.hex()}")
        assert (status, body["error"]["code"]) == (404, "not_found")
        _, heads = await place.get(f"/v1/accounts/{ann.account.hex()}/heads")
        assert [(head["lane"], head["seq"]) for head in heads["heads"]].count((2, 3)) == 1
        assert all(head["lane"] < 3 for head in heads["heads"])
        url = f"{place.url}/v1/accounts/{ann.account.hex()}/log"
        async with place.http.get(url) as response:
            log = msgpack.unpackb(await response.read())
        assert [decode_record(one).id for one in log] == [ann.genesis.id]
