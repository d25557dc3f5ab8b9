"""The operator's routes: only with the token, and in force at once."""

from __future__ import annotations

from pathlib import Path

import msgpack

from ratoon_node.api.answers import RECORDS_TYPE
from ratoon_node.api.batch import join
from ratoon_protocol import kinds
from tests.node.api.site import TOKEN, Site, site

PELICANS = """
[[rule]]
id = "p"
when = { word = "pelican" }
then = "withhold"
reason = "spam"
"""


async def public(place: Site) -> list[str]:
    _, body = await place.get("/v1/timelines/network")
    return [item["body"].get("text", "repost") for item in body["items"]]


async def test_nobody_commands_without_the_token(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}):
            status, body = await place.get("/v1/operator/blocks", **header)
            assert (status, body["error"]["code"]) == (401, "unauthorised")
            status, body = await place.post("/v1/operator/policy", b"{}", "text/json", **header)
            assert status == 401


async def test_a_block_hides_what_was_stored_and_who_shows_it(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        post = ben.post("from ben")
        repost = ann.sign(kinds.REPOST, {"target": post.id, "target_account": ben.account})
        quote = ann.post("see this", quote=post.id, quote_account=ben.account)
        await place.publish(post, repost, quote, ann.post("from ann"))
        assert await public(place) == ["from ann", "see this", "repost", "from ben"]
        entry = {"subject": "account", "entity": ben.account.hex()}
        status, _ = await place.operate("POST", "/blocks", entry)
        assert status == 201
        assert await public(place) == ["from ann"]
        status, body = await place.get(f"/v1/records/{post.id.hex()}")
        assert (status, body["error"]["code"], body["record"]["reason"]) == (
            403,
            "withheld",
            "blocked",
        )
        _, listed = await place.operate("GET", "/blocks")
        assert [row["entity"] for row in listed["blocks"]] == [ben.account.hex()]
        assert (await place.operate("POST", "/unblock", entry))[0] == 200
        assert (await place.operate("POST", "/unblock", entry))[0] == 404
        assert await public(place) == ["from ann", "see this", "repost", "from ben"]
        status, _ = await place.operate("POST", "/blocks", entry | {"verdict": "limit"})
        assert await public(place) == ["from ann"]
        _, body = await place.get(f"/v1/accounts/{ben.account.hex()}/posts")
        assert [item["verdict"] for item in body["items"]] == ["limit"]


async def test_a_policy_with_an_error_changes_nothing(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        path = place.node.settings.policy_path
        path.write_text(PELICANS)
        status, body = await place.operate("POST", "/policy")
        assert (status, body["policy"]) == (200, place.node.gate.policy.version)
        _, body = await place.publish(ann.post("a pelican"))
        assert body["records"][0]["code"] == "withheld"
        path.write_text('[[rule]]\nid = "p"\nthen = "explode"\n')
        status, body = await place.operate("POST", "/policy")
        assert (status, body["error"]["code"]) == (400, "bad_request")
        assert body["problems"][0]["line"] >= 1
        assert f"line {body['problems'][0]['line']}" in body["error"]["message"]
        _, body = await place.publish(ann.post("another pelican"))
        assert body["error"]["code"] == "withheld"


async def test_a_peer_is_added_by_its_account(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        other = place.person(9).account.hex()
        form = {"node": other, "provider": "North", "country": "NO"}
        status, body = await place.operate("POST", "/peers", form)
        assert (status, body["provider"], body["added"]) == (201, "North", True)
        assert bytes.fromhex(other) in place.node.gate.admission.nodes
        _, body = await place.get("/v1/peers")
        assert [peer["node"] for peer in body["peers"]] == [other]
        assert (await place.operate("DELETE", f"/peers/{other}"))[0] == 200
        assert bytes.fromhex(other) not in place.node.roster.peers


async def test_what_a_node_says_of_itself(tmp_path: Path) -> None:
    async with site(tmp_path, name="Heron") as place:
        status, body = await place.get("/v1/node")
        assert (status, body["account"], body["name"]) == (
            200,
            place.node.own.account.hex(),
            "Heron",
        )
        status, body = await place.get("/v1/replication")
        assert [scope["scope"] for scope in body["scopes"]] == ["log", "state", "window"]
        assert (await place.get("/livez"))[0] == (await place.get("/readyz"))[0] == 200
        async with place.http.get(place.url + "/metrics") as response:
            assert "ratoon_requests_total" in await response.text()
        headers = {"X-Forwarded-For": "203.0.113.9"}
        async with place.http.get(place.url + "/metrics", headers=headers) as response:
            assert response.status == 401


async def test_a_bundle_leaves_one_node_and_enters_another(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with site(tmp_path / "a") as first, site(tmp_path / "b", seed=7) as second:
        ann = await first.resident(2)
        kept, gone = ann.post("kept"), ann.post("gone")
        secret = ann.sign(kinds.SETTING, {"data": b"s"}, target=bytes(16))
        await first.publish(kept, gone, secret, ann.sign(kinds.DELETE, {"ids": [gone.id]}))
        ben = await first.resident(3)
        hidden = ben.post("hidden")
        await first.publish(hidden)
        await first.operate("POST", "/blocks", {"subject": "account", "entity": ben.account.hex()})
        other = {"node": first.node.own.account.hex()}
        assert (await second.operate("POST", "/peers", other))[0] == 201
        headers = {"Authorization": f"Bearer {TOKEN}"}
        after, codes = 0, []
        while True:
            path = f"{first.url}/v1/operator/bundle?limit=2&after={after}"
            async with first.http.get(path, headers=headers) as response:
                items, last = msgpack.unpackb(await response.read())
            if last is None:
                break
            after = last
            if items:
                status, body = await second.post(
                    "/v1/operator/bundle", join(items), RECORDS_TYPE, **headers
                )
                assert status == 200
                codes += body["codes"]
        assert set(codes) == {"stored"}
        assert await public(second) == ["kept"]
        for left_out in (secret, hidden):
            assert (await second.get(f"/v1/records/{left_out.id.hex()}"))[0] == 404
        assert (await second.get("/v1/operator/bundle"))[0] == 401
