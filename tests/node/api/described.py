"""A node with a little of everything on it, and the calls that its own list of routes shows."""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from ratoon_node.api.answers import RECORD_TYPE, RECORDS_TYPE
from ratoon_node.api.batch import join
from ratoon_node.api.openapi import DOCUMENT_PATH, filled
from ratoon_node.api.route import Access, Route
from ratoon_node.api.server import ROUTES
from ratoon_protocol import kinds
from ratoon_protocol.author import Author, Draft, device_row, new_account
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.record import Record
from ratoon_protocol.statement import sign_in
from tests.node.api.members import challenge, publish, signed_in
from tests.node.api.site import TOKEN, Site, site
from tests.node.world import EVERYTHING, Person, movable

DOMAIN = "node.test"
#: Limits of their own, so that what is tried is not the rate.
FREE: dict[str, Any] = {
    "requests_per_minute_max": 0,
    "records_per_minute_max": 0,
    "entries_per_minute_max": 0,
    "registration": "open",
    "domain": DOMAIN,
    "public_addresses": (f"http://{DOMAIN}",),
}


@dataclass
class Little:
    """The place, who lives there, and what they wrote."""

    place: Site
    ann: Person
    ben: Person
    post: Record
    chosen: Record
    seeds: random.Random

    @property
    def routes(self) -> list[Route]:
        """What the node says it answers."""
        return [route for route in self.place.app[ROUTES] if route.described and route.summary]

    async def document(self) -> dict[str, Any]:
        """Its description."""
        status, found = await self.place.get(DOCUMENT_PATH)
        assert status == 200
        return dict(found)

    async def headers(self, route: Route) -> dict[str, str]:
        """What opens a route."""
        if route.access is Access.OPERATOR:
            return {"Authorization": f"Bearer {TOKEN}"}
        if route.access is Access.PERSON:
            return {"Authorization": f"Bearer {await signed_in(self.place, self.ann)}"}
        return {}

    async def words(self, route: Route) -> dict[str, str]:
        """What stands for the words in braces of a route's example; things that a call uses up
        are made for it.
        """
        shown, seeds = repr(route.example), self.seeds
        found = {
            "post": self.post.id.hex(),
            "account": self.ann.account.hex(),
            "other": self.ben.account.hex(),
            "key": self.ann.paper.public.hex(),
            "list": bytes(16).hex(),
            "tag": "herons",
            "name": "ann",
            "handle": f"ann@{DOMAIN}",
            "word": "heron",
            "node": seeds.randbytes(32).hex(),
        }
        if "{peer}" in shown:
            found["peer"] = seeds.randbytes(32).hex()
            await self.place.operate("POST", "/peers", {"node": found["peer"]})
        if "{blocked}" in shown:
            found["blocked"] = "bad.example"
            entry = {"subject": "domain", "entity": found["blocked"]}
            await self.place.operate("POST", "/blocks", entry)
        if "{invite}" in shown:
            _, made = await self.place.operate("POST", "/invites", {"uses": 1})
            found["invite"] = made["code"]
        if "{genesis}" in shown:
            newcomer = newcomer_of(self.place, seeds.randrange(1 << 30), "zoe")
            found["genesis"] = base64.b64encode(newcomer.genesis.encode()).decode()
        if "{statement}" in shown:
            said = await challenge(self.place, self.ann)
            data = sign_in(self.place.node.settings.network_bytes, said, self.ann.author.key)
            found["statement"] = base64.b64encode(data).decode()
        return found

    async def address(
        self, route: Route, words: dict[str, str] | None = None
    ) -> tuple[str, dict[str, str]]:
        """Where the example of a route is called, and its parameters."""
        words = words or await self.words(route)
        path = route.path
        for name, value in filled(route.example.path, words).items():
            path = path.replace(f"{{{name}}}", value)
        params = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in filled(route.example.query, words).items()
        }
        return self.place.url + path, params

    async def call(self, route: Route) -> aiohttp.ClientResponse:
        """The example of a route, called."""
        words = await self.words(route)
        url, params = await self.address(route, words)
        headers, data, body = await self.headers(route), None, route.example.body
        if body == "{record}":
            headers["Content-Type"], data = RECORD_TYPE, self.ann.post("one more").encode()
        elif body == "{records}":
            more = [self.ann.post("two more").encode()]
            headers["Content-Type"], data = RECORDS_TYPE, join(more)
        json = filled(body, words) if body is not None and data is None else None
        return await self.place.http.request(
            route.method,
            url,
            params=params,
            headers=headers,
            data=data,
            json=json,
        )


def newcomer_of(place: Site, seed: int, name: str) -> Person:
    """An account that names the place as its home, not yet known there."""
    rng, clock = random.Random(seed), movable(place.node.runtime.clock)
    network = place.node.settings.network_bytes
    paper, device = SigningKey.from_seed(rng.randbytes(32)), SigningKey.from_seed(rng.randbytes(32))
    agreement = AgreementKey(rng.randbytes(32)).public
    row = device_row(network, paper.public, device, agreement, EVERYTHING)
    draft = Draft(devices=[row], homes=[place.node.own.account], handles=[f"{name}@{DOMAIN}"])
    account, genesis = new_account(network, paper, draft, clock.now_ms(), rng.randbytes(16))
    author = Author(network, account, device, rng.randbytes(32))
    return Person(account, genesis, paper, author, rng, clock)


@asynccontextmanager
async def little(folder: Path, **settings: Any) -> AsyncIterator[Little]:
    """A node where two people wrote to each other."""
    async with site(folder, **(FREE | settings)) as place:
        people = []
        for seed, name in ((21, "ann"), (22, "ben")):
            who = newcomer_of(place, seed, name)
            form = {"records": [base64.b64encode(who.genesis.encode()).decode()], "name": name}
            async with place.http.post(place.url + "/v1/accounts", json=form) as response:
                assert response.status == 201, await response.text()
            people.append(who)
        ann, ben = people
        text = "a heron among #herons"
        post = ann.post(text, facets=[[14, 21, 2, "herons"]])
        about = {"target": post.id, "target_account": ann.account}
        answer = {"parent": post.id, "parent_account": ann.account}
        root = {"root": post.id, "root_account": ann.account}
        chosen = ann.sign(
            kinds.LIST, {"members": [ben.account], "state": 1, "title": "Birds"}, bytes(16)
        )
        await publish(
            place.node,
            post,
            chosen,
            ann.sign(kinds.PROFILE, {"name": "Ann", "bio": "Herons."}, b""),
            ann.sign(kinds.FOLLOW, {"state": 1}, ben.account),
            ben.post("so it is", **answer, **root),
            ben.post("look", quote=post.id, quote_account=ann.account),
            ben.sign(kinds.REPOST, about),
            ben.sign(kinds.REACTION, {"emoji": "👍", "state": 1}, post.id),
        )
        yield Little(place, ann, ben, post, chosen, random.Random(5))
