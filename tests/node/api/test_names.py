"""Names from registration to WebFinger, as people and other servers meet them."""

from __future__ import annotations

import asyncio
import base64
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ratoon_node.api.answers import to_json
from ratoon_node.ingest.registry import KEPT_MAX, KEPT_MS, Wish
from ratoon_node.store import names, read
from ratoon_node.timeline.naming import VERIFIED_MS_MAX, Named, name_cards
from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import Author, Chain, Draft, device_row, new_account
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.kinds import Lane
from ratoon_protocol.operation import parse_operation
from ratoon_protocol.record import Record, decode_payload
from tests.node.api.site import Site, site
from tests.node.world import EVERYTHING, running

HOST = "node.example"


@dataclass
class Newcomer:
    """An account that lists handles and the site's node as its home."""

    place: Site
    author: Author
    paper: SigningKey
    genesis: Record

    @property
    def account(self) -> str:
        return self.author.account.hex()

    def sign(self, kind: int, body: dict[str, Any], target: bytes | None = None) -> Record:
        return self.author.sign(kind, body, self.place.clock.now_ms(), bytes(16), target)

    def changed(self, handles: list[str]) -> Record:
        """The next identity operation, with other handles."""
        assert self.genesis.payload is not None
        body = decode_payload(self.genesis.payload)
        draft = Draft.after(parse_operation(self.genesis.id, self.genesis.header, body))
        draft.handles = handles
        chain = Chain(1, self.genesis.id, self.genesis.header.created_ms)
        author = Author(
            self.author.network, self.author.account, self.paper, None, {Lane.LOG: chain}
        )
        return author.sign(kinds.IDENTITY, draft.body(), self.place.clock.now_ms() + 1, bytes(16))


def newcomer(place: Site, seed: int, *handles: str) -> Newcomer:
    network, rng = place.node.settings.network_bytes, random.Random(seed)
    entropy = rng.randbytes(32)
    paper, device = phrase.account_key(entropy), SigningKey.from_seed(rng.randbytes(32))
    agreement = AgreementKey(rng.randbytes(32)).public
    row = device_row(network, paper.public, device, agreement, EVERYTHING)
    draft = Draft(devices=[row], homes=[place.node.own.account], handles=list(handles))
    account, genesis = new_account(network, paper, draft, place.clock.now_ms(), rng.randbytes(16))
    author = Author(network, account, device, phrase.slot_key(entropy))
    return Newcomer(place, author, paper, genesis)


async def register(
    who: Newcomer, name: str = "", invite: str = "", *more: Record
) -> tuple[int, Any]:
    records = [who.genesis, *more]
    body = {"records": [base64.b64encode(one.encode()).decode() for one in records]}
    body |= {"name": name, "invite": invite}  # type: ignore[dict-item]
    return await who.place.post("/v1/accounts", to_json(body), "application/json")


def open_site(folder: Path, **settings: Any) -> Any:
    settings = {"registration": "open", "public_addresses": (f"https://{HOST}",)} | settings
    return site(folder, **settings)


async def digested(place: Site) -> None:
    """Return when everything that was written is in the derived tables."""
    end = await place.node.db.read(read.journal_end)
    await place.node.digest.reached(end)


async def test_a_name_is_given_out_and_found_everywhere(tmp_path: Path) -> None:
    async with open_site(tmp_path) as place:
        ann = newcomer(place, 1, f"ann@{HOST}")
        status, body = await register(ann, "ann")
        assert (status, body["handle"]) == (201, f"ann@{HOST}")
        found = {"handle": f"ann@{HOST}", "account": ann.account}
        own = place.node.own.account.hex()
        assert await place.get("/.well-known/ratoon/ann") == (
            200,
            found | {"node": own, "addresses": [f"https://{HOST}"]},
        )
        assert await place.get(f"/v1/names/@Ann@{HOST}") == (200, found | {"hosts": [own]})
        async with place.http.get(
            place.url + f"/.well-known/webfinger?resource=acct:ann@{HOST}"
        ) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert response.content_type == "application/jrd+json"
            finger = await response.json()
        assert finger["subject"] == f"acct:ann@{HOST}"
        page = f"https://{HOST}/@{ann.account}"
        assert finger["aliases"] == [page]
        for alias in (page, f"https://{HOST}/@ann"):
            found = place.http.get(place.url + "/.well-known/webfinger", params={"resource": alias})
            async with found as response:
                assert (response.status, await response.json()) == (200, finger)
        for nobody in (f"https://other.example/@{ann.account}", f"https://{HOST}/@{'0' * 64}"):
            assert (await place.get(f"/.well-known/webfinger?resource={nobody}"))[0] == 404
        assert [link["href"] for link in finger["links"]] == [
            page,
            f"https://{HOST}/v1/accounts/{ann.account}",
        ]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?resource=", 400),
        ("?resource=ann", 400),
        ("?resource=mailto:ann@node.example", 400),
        ("?resource=acct:ann", 400),
        ("?resource=https://[x/@ann", 400),
        ("?resource=acct:ben@node.example", 404),
        ("?resource=acct:ann@other.example", 404),
        ("?resource=https://node.example/@ann", 200),
        ("?resource=acct%3Aann%40node.example&unknown=1", 200),
        ("?resource=acct:ann@node.example&rel=a&rel=self", 200),
    ],
)
async def test_webfinger_answers_as_its_rfc_says(tmp_path: Path, query: str, status: int) -> None:
    async with open_site(tmp_path) as place:
        assert (await register(newcomer(place, 1, f"ann@{HOST}"), "ann"))[0] == 201
        url = place.url + "/.well-known/webfinger" + query
        async with place.http.get(url) as response:
            body = await response.json(content_type=None)
        assert response.status == status, body
        if "rel=self" in query:
            assert [link["rel"] for link in body["links"]] == ["self"]


@pytest.mark.parametrize(
    ("handles", "name", "code"),
    [
        ([], "ann", "bad_request"),  # the account does not say so itself
        (["ann@other.example"], "ann", "bad_request"),
        ([f"Ann@{HOST}".lower()], "Ann", "bad_request"),
        ([f"admin@{HOST}"], "admin", "bad_request"),
        ([f"a..b@{HOST}"], "a..b", "bad_request"),
    ],
)
async def test_names_that_are_refused(
    tmp_path: Path, handles: list[str], name: str, code: str
) -> None:
    async with open_site(tmp_path) as place:
        ann = newcomer(place, 1, *handles)
        status, body = await register(ann, name)
        assert (status, body["error"]["code"]) == (400, code)
        assert (await place.get(f"/v1/accounts/{ann.account}"))[0] != 200


async def test_a_node_without_a_domain_gives_out_no_names(tmp_path: Path) -> None:
    async with open_site(tmp_path, public_addresses=()) as place:
        status, body = await register(newcomer(place, 1, f"ann@{HOST}"), "ann")
        assert (status, body["error"]["code"]) == (400, "bad_request")
        assert (await place.get("/.well-known/ratoon/ann"))[0] == 404


async def test_of_two_who_want_one_name_one_gets_it(tmp_path: Path) -> None:
    async with open_site(tmp_path) as place:
        people = [newcomer(place, 1, f"ann@{HOST}"), newcomer(place, 2, f"ann@{HOST}")]
        answers = await asyncio.gather(*(register(one, "ann") for one in people))
        assert sorted(status for status, _ in answers) == [201, 409]
        loser = people[[status for status, _ in answers].index(409)]
        assert (await register(loser, "ann"))[1]["error"]["code"] == "name_taken"
        alike = newcomer(place, 3, f"4nn@{HOST}", f"a.n.n@{HOST}")
        assert (await register(alike, "a.n.n"))[1]["error"]["code"] == "name_taken"
        assert (await register(alike, "4nn"))[0] == 201
        assert (await register(alike, "4nn"))[0] == 200


async def test_a_name_that_is_no_longer_listed_is_kept_a_while_then_free(tmp_path: Path) -> None:
    async with open_site(tmp_path) as place:
        ann, ben = newcomer(place, 1, f"ann@{HOST}"), newcomer(place, 2, f"ann@{HOST}")
        assert (await register(ann, "ann"))[0] == 201
        place.clock.offset_ms += 120_000
        assert (await register(ben, "ann"))[0] == 409
        assert (await place.publish(ann.changed(handles=[])))[0] == 201
        assert (await place.get("/.well-known/ratoon/ann"))[0] == 404
        assert (await register(ben, "ann"))[0] == 409
        place.clock.offset_ms += KEPT_MS - 1000
        assert (await register(ben, "ann"))[0] == 409
        place.clock.offset_ms += 1000
        assert (await register(ben, "ann"))[0] == 201
        assert (await place.get("/.well-known/ratoon/ann"))[1]["account"] == ben.account


@pytest.mark.parametrize("leaves", ["home", "name"])
async def test_whoever_comes_next_gets_nobodys_handle(tmp_path: Path, leaves: str) -> None:
    async with open_site(tmp_path) as place:
        ann, eve = newcomer(place, 1, f"ann@{HOST}"), newcomer(place, 2, f"ann@{HOST}")
        assert (await register(ann, "ann"))[0] == 201
        place.clock.offset_ms += 120_000
        if leaves == "home":
            await place.node.own.host(bytes.fromhex(ann.account), hosting=False)
        else:
            assert (await register(ann, "anna", "", ann.changed([f"anna@{HOST}"])))[0] == 200
        for _ in range(2):
            assert (await register(eve, "ann"))[1]["error"]["code"] == "name_taken"
            assert (await register(eve, ""))[0] in (200, 201)
        if leaves == "home":
            assert (await register(ann, "ann"))[0] == 201
            place.clock.offset_ms += 2 * KEPT_MS
            assert (await register(eve, "ann"))[0] == 409


async def test_nobody_hoards_names_by_changing_them(tmp_path: Path) -> None:
    async with running(tmp_path, domain=HOST) as node:
        registry, account = node.registry, bytes(32)
        for at in range(3 * KEPT_MAX):
            wish = Wish(account, (f"b{at}b@{HOST}",), f"b{at}b", None)
            assert await registry.admit(wish)
        held = await node.db.read(lambda db: names.held_by(db, account))
        assert len(held) == KEPT_MAX


async def test_a_name_goes_with_its_home(tmp_path: Path) -> None:
    async with open_site(tmp_path) as place:
        ann = newcomer(place, 1, f"ann@{HOST}")
        assert (await register(ann, "ann"))[0] == 201
        await place.node.own.host(bytes.fromhex(ann.account), hosting=False)
        assert (await place.get("/.well-known/ratoon/ann"))[0] == 404
        assert (await place.get(f"/v1/names/ann@{HOST}"))[0] == 404


async def test_names_here_are_verified_and_expire(tmp_path: Path) -> None:
    async with open_site(tmp_path) as place:
        ann = newcomer(place, 1, f"ann@{HOST}")
        await register(ann, "ann")
        await place.publish(ann.sign(kinds.PROFILE, {"name": "Ann", "bio": ""}, b""))
        await digested(place)
        assert await place.node.names.check_due() == 1
        assert await place.node.names.check_due() == 0

        async def handle(later_ms: int) -> str | None:
            def look(db: Any) -> str | None:
                number = read.account(db, bytes.fromhex(ann.account))
                assert number is not None
                shown = {number.n: Named(number.id, "Ann")}
                now_ms = place.clock.now_ms() + later_ms
                return name_cards(db, shown, now_ms)[number.n].handle

            return await place.node.db.read(look)

        assert await handle(0) == f"ann@{HOST}"
        assert await handle(VERIFIED_MS_MAX + 1000) is None
        assert (await place.publish(ann.changed(handles=[])))[0] == 201
        await digested(place)
        assert await handle(0) is None


async def test_names_that_look_alike_are_marked(tmp_path: Path) -> None:
    async with open_site(tmp_path) as place:
        people = [newcomer(place, seed) for seed in (1, 2, 3)]
        for one, shown in zip(people, ("Paypal", "PаypaI", "Carla"), strict=True):
            assert (await register(one))[0] == 201
            await place.publish(one.sign(kinds.PROFILE, {"name": shown, "bio": ""}, b""))
        await digested(place)

        def look(db: Any) -> list[tuple[str, bool]]:
            shown = {}
            for one, name in zip(people, ("Paypal", "PаypaI", "Carla"), strict=True):
                row = read.account(db, bytes.fromhex(one.account))
                assert row is not None
                shown[row.n] = Named(row.id, name)
            cards = name_cards(db, shown, place.clock.now_ms()).values()
            return [(card.fingerprint, card.confusable) for card in cards]

        marks = [True, True, False]
        assert await place.node.db.read(look) == [
            (one.account[:8], mark) for one, mark in zip(people, marks, strict=True)
        ]
        again = people[1].sign(kinds.PROFILE, {"name": "Paula", "bio": ""}, b"")
        assert (await place.publish(again))[0] == 201
        await digested(place)
        assert [mark for _, mark in await place.node.db.read(look)] == [False, True, False]


async def test_nodeinfo_counts_what_is_kept(tmp_path: Path) -> None:
    async with open_site(tmp_path) as place:
        ann = newcomer(place, 1)
        await register(ann)
        posts = [ann.sign(kinds.POST, {"text": text}) for text in ("one", "two")]
        await place.publish(*posts)
        await digested(place)
        _, links = await place.get("/.well-known/nodeinfo")
        assert links["links"][0]["href"] == f"https://{HOST}/nodeinfo/2.1"
        _, info = await place.get("/nodeinfo/2.1")
        assert (info["version"], info["openRegistrations"]) == ("2.1", True)
        assert info["usage"] == {"users": {"total": 1}, "localPosts": 2}
        await place.publish(ann.sign(kinds.DELETE, {"ids": [posts[0].id]}))
        await digested(place)
        _, info = await place.get("/nodeinfo/2.1")
        assert info["usage"] == {"users": {"total": 1}, "localPosts": 1}
        await place.node.own.host(bytes.fromhex(ann.account), hosting=False)
        await digested(place)
        while await place.node.digest._sweep():
            pass
        _, info = await place.get("/nodeinfo/2.1")
        assert info["usage"] == {"users": {"total": 0}, "localPosts": 0}


async def test_the_statements_about_names_use_indexes(tmp_path: Path) -> None:
    async with open_site(tmp_path) as place:
        plans: list[str] = []

        def look(db: Any) -> None:
            seen: list[str] = []
            db.set_trace_callback(seen.append)
            names.holder(db, "ann")
            names.held_like(db, "ann")
            names.held_by(db, b"a")
            names.due(db, 1, 5)
            names.listed_as(db, b"a", "x@y")
            names.verified_account(db, "x@y", 0)
            names.verified_handles(db, [1, 2], 0)
            names.others_like(db, {1: "ann"})
            db.set_trace_callback(None)
            for sql in seen:
                plans.extend(row[3] for row in db.execute("EXPLAIN QUERY PLAN " + sql))

        await place.node.db.read(look)
        assert plans
        scans = [plan for plan in plans if plan.startswith("SCAN")]
        assert [plan for plan in scans if "wanted VIRTUAL TABLE" not in plan] == []
