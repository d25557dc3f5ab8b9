"""`Client`: one person's, or a bot's, way to the network."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgpack

from ratoon_client import keyfile
from ratoon_client.errors import ClientError, Refused, Unreachable, Untrue
from ratoon_client.keyfile import ACCEPTED, LATER, KeyFile
from ratoon_client.nodes import RECORD_TYPE, RECORDS_TYPE, Answer, Nodes
from ratoon_client.session import Sessions
from ratoon_client.stream import Follower, author_of
from ratoon_client.verify import Checked, Verifier
from ratoon_protocol import compose, kinds
from ratoon_protocol.identity import IdentityLog
from ratoon_protocol.record import Body, Record

# Answers of a node that is no home of the account; another of its homes may take the record.
ELSEWHERE = frozenset({"not_hosted", "not_home", "unknown_account", "not_found"})
# A publication has this long at each node, beside the time it waits for copies.
PUBLISH_S = 5.0


class Post(NamedTuple):
    """Something an account said, verified; `body` has the words of its newest edit.

    `id` and `account` are 32 bytes; `position` is the place in the timeline it came from at the
    node it came from, None outside timelines.
    """

    id: bytes
    account: bytes
    kind: str
    created_ms: int
    body: Body
    position: int | None
    record: Record
    edit: Record | None

    @property
    def text(self) -> str:
        """What it says, "" if it has no words."""
        return str(self.body.get("text", ""))


class Page(NamedTuple):
    """Verified posts. `next` goes on in the same direction (None: the end); `end` is where to go
    on with `since`; `untrue` counts what the node gave and did not verify.
    """

    posts: list[Post]
    next: int | None
    end: int
    untrue: int


class Client:
    """Reads from several nodes and, with a key file, signs and publishes.

    Use it as `async with Client(…) as client`. Reading needs no account. What is read is
    verified, or it is not given. Errors are `ClientError`s.
    """

    def __init__(
        self, nodes: Sequence[str] = (), *, account: str | None = None, read_only: bool = False
    ) -> None:
        """`nodes` are addresses; `account` names a key file of this machine (`ratoon account`).

        Without `nodes` the home named in the key file is asked.
        """
        self._file = None if read_only else keyfile.load(account)
        homes = [self._file.node] if self._file is not None else []
        self.nodes = Nodes([*nodes, *homes])
        self._verifier: Verifier | None = None
        self._sessions = Sessions(self.nodes)
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self.verifier()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.nodes.close()

    async def verifier(self) -> Verifier:
        """What checks all that nodes give; it is of the network that the key file or, for
        readers without one, the first node names.
        """
        if self._verifier is None:
            if self._file is not None:
                network = bytes.fromhex(self._file.network)
            else:
                found = (await self.nodes.ask("GET", "/v1/node")).json()
                try:
                    network = bytes.fromhex(found["network"])
                except (KeyError, TypeError, ValueError):
                    raise Untrue("a node does not say which network it is of") from None
            self._verifier = Verifier(self.nodes, network)
        return self._verifier

    # --- who -----------------------------------------------------------------------------

    @property
    def file(self) -> KeyFile:
        """The key file. Raises `ClientError` for a client that only reads."""
        if self._file is None:
            raise ClientError("this client only reads: it was made without an account")
        return self._file

    @property
    def account(self) -> bytes:
        """The account that signs here."""
        return bytes.fromhex(self.file.account)

    async def identity(self, account: bytes) -> IdentityLog:
        """The verified identity log of an account."""
        return await (await self.verifier()).log(account, fresh=True)

    async def find(self, name: str) -> bytes:
        """The account behind a handle (`name@domain`), as the node in use found it."""
        found = (await self.nodes.ask("GET", f"/v1/names/{name}")).json()
        try:
            return bytes.fromhex(found["account"])
        except (KeyError, TypeError, ValueError):
            raise Untrue("a node answers a name with what is no account") from None

    async def learn_homes(self) -> None:
        """Add the addresses of the account's homes, to go on with when this node is gone."""
        head = (await self.identity(self.account)).head
        homes = {home.hex() for home in head.homes} if head is not None else set()
        found = (await self.nodes.ask("GET", "/v1/peers")).json()
        for peer in found.get("peers", []):
            if peer.get("node") in homes:
                for address in peer.get("addresses", []):
                    self.nodes.add(_http(address))

    # --- saying --------------------------------------------------------------------------

    async def post(
        self, text: str, *, reply_to: Post | None = None, quote: Post | None = None, **more: Any
    ) -> Post:
        """Post. Links, tags and mentions are marked; `more` are fields of a post (R-107).

        What comes back can be answered, quoted and reacted to at once. Raises as `publish`.
        """
        accounts = {}
        for name in compose.mentioned(text):
            if "@" in name:
                try:
                    accounts[name] = await self.find(name)
                except Refused:
                    continue  # nobody by that name: it stays text
        body: Body = {"text": text, **more}
        if facets := compose.facets(text, accounts):
            body["facets"] = facets
        if reply_to is not None:
            body |= compose.answer_to(reply_to.id, reply_to.account, reply_to.body)
        if quote is not None:
            body |= {"quote": quote.id, "quote_account": quote.account}
        return _post_of(await self.publish(kinds.POST, body), body)

    async def follow(self, account: bytes, follow: bool = True) -> Record:
        """Follow an account, or with `follow=False` no longer."""
        return await self.publish(kinds.FOLLOW, {"state": int(follow)}, account)

    async def react(self, post: Post, emoji: str = "♥", on: bool = True) -> Record:
        """Put a reaction on a post, or take it back."""
        body: Body = {"emoji": emoji, "state": int(on), "target_account": post.account}
        return await self.publish(kinds.REACTION, body, post.id)

    async def repost(self, post: Post) -> Record:
        """Show a post to those who follow this account."""
        return await self.publish(kinds.REPOST, {"target": post.id, "target_account": post.account})

    async def delete(self, *ids: bytes) -> Record:
        """Delete own records; their content goes from every node that keeps the rules."""
        return await self.publish(kinds.DELETE, {"ids": list(ids)})

    async def publish(
        self, kind: int, body: Body, target: bytes | None = None, *, providers: int = 0
    ) -> Record:
        """Sign a record and have a home of the account store it.

        With `providers` it returns once so many providers hold it, or after ten seconds. Raises
        `Refused`; on `Unreachable`, or a code that time may cure, the record is kept in the key
        file and sent with the next one.
        """
        async with self._turn:
            holding: AbstractContextManager[KeyFile] = keyfile.held(self.file.name)
            file = await asyncio.to_thread(holding.__enter__)
            try:
                return await self._publish(file, kind, body, target, providers)
            finally:
                holding.__exit__(None, None, None)

    async def _publish(
        self, file: KeyFile, kind: int, body: Body, target: bytes | None, providers: int
    ) -> Record:
        file.check_own()
        await self._check_heads(file)
        waiting = file.unacknowledged()
        if waiting:
            await self._send(file, waiting, 0)
        author = file.author()
        signed = author.sign(
            kind, body, time.time_ns() // 1_000_000, secrets.token_bytes(16), target
        )
        file.keep(author, signed)
        await self._send(file, [signed], providers)
        self._file = file
        return signed

    async def _check_heads(self, file: KeyFile) -> None:
        try:
            found = await self.nodes.ask(
                "GET", f"/v1/accounts/{file.account}/heads", elsewhere=_is_elsewhere
            )
        except Unreachable:
            return  # what is signed now waits in the file; this is asked again before it leaves
        try:
            file.check_heads(found.json()["heads"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Untrue(f"{found.node} answers with what are no heads") from None

    async def _send(self, file: KeyFile, records: Sequence[Record], providers: int) -> None:
        """Send what is in the key file, and forget what is settled. Raises `Refused`."""
        query: dict[str, str | int | None] = {}
        if providers:
            query = {"wait": f"providers:{providers}", "timeout": 10_000}
        try:
            answer = await self.nodes.ask(
                "POST",
                "/v1/records",
                query=query,
                data=bytes(msgpack.packb([one.encode() for one in records])),
                headers={"Content-Type": RECORDS_TYPE},
                elsewhere=_is_elsewhere,
                wait_s=PUBLISH_S + (10 if providers else 0),
            )
            outcomes = _outcomes(answer, len(records))
        except Refused as error:
            if len(records) > 1 or error.code in LATER:
                raise
            outcomes = [{"code": error.code, "detail": error.words}]
        final = [
            one
            for one, outcome in zip(records, outcomes, strict=True)
            if outcome["code"] not in LATER
        ]
        file.forget(final)
        for outcome in outcomes:
            if outcome["code"] not in ACCEPTED:
                raise Refused(outcome["code"], outcome.get("detail") or "refused", 403)

    # --- reading -------------------------------------------------------------------------

    async def record(self, id_: bytes) -> Checked:
        """A record by its id, whatever node has it. Raises `Refused`, `Untrue`."""
        answer = await self.nodes.ask(
            "GET",
            f"/v1/records/{id_.hex()}",
            headers={"Accept": RECORD_TYPE},
            elsewhere=lambda error: error.status == 404,
        )
        return await (await self.verifier()).check(answer.data, id_)

    async def timeline(self, name: str = "home", **query: str | int | None) -> Page:
        """A page of a timeline: home, local, network, list, tag.

        `query`: `before` or `since`, `limit`, and what the timeline needs (`tag`, `list`,
        `account`, which for home is one's own if not given).
        """
        if name == "home" and "account" not in query:
            query["account"] = self.account.hex()
        return await self._page(f"/v1/timelines/{name}", query)

    async def page_of(self, node: str, topic: str, query: Mapping[str, str | int | None]) -> Page:
        """A page of what `stream` follows, from one node and no other."""
        path, author = f"/v1/timelines/{topic}", author_of(topic, query)
        if author is not None:
            query = {name: value for name, value in query.items() if name != "account"}
            path = f"/v1/accounts/{author.hex()}/posts"
        answer = await self.nodes.ask_one(node, "GET", path, query, None, {"Accept": RECORDS_TYPE})
        return await self._checked_page(answer, author)

    async def posts_of(self, account: bytes, **query: str | int | None) -> Page:
        """A page of what one account posted."""
        return await self._page(f"/v1/accounts/{account.hex()}/posts", query, account)

    async def thread(self, id_: bytes) -> dict[str, Any]:
        """The thread around a post, as the node tells it (JSON, see the node's API)."""
        return dict((await self.nodes.ask("GET", f"/v1/records/{id_.hex()}/thread")).json())

    async def search(self, words: str, **query: str | int | None) -> dict[str, Any]:
        """What the node finds, as it tells it (JSON, see the node's API)."""
        return dict((await self.nodes.ask("GET", "/v1/search", query={"q": words, **query})).json())

    async def notifications(self, **query: str | int | None) -> dict[str, Any]:
        """What concerns this account, as its home tells it; signs in by itself."""
        answer = await self._sessions.ask(self.file, "GET", "/v1/notifications", query)
        return dict(answer.json())

    async def _page(
        self, path: str, query: Mapping[str, str | int | None], author: bytes | None = None
    ) -> Page:
        answer = await self.nodes.ask("GET", path, query=query, headers={"Accept": RECORDS_TYPE})
        return await self._checked_page(answer, author)

    async def _checked_page(self, answer: Answer, author: bytes | None) -> Page:
        found = answer.unpacked()
        match found:
            case {"items": list(), "next": int() | None, "end": int()}:
                pass
            case _:
                raise Untrue(f"{answer.node} answers with what is not a page")
        posts: list[Post] = []
        untrue = 0
        for item in found["items"]:
            try:
                posts.append(await self.checked_post(item, author))
            except Untrue:
                untrue += 1
        return Page(posts, found["next"], found["end"], untrue)

    async def checked_post(self, item: Any, author: bytes | None = None) -> Post:
        """A post of a page or stream, [position, record, edit or nil]. Raises `Untrue`, with
        `author` also if it is somebody else's.
        """
        match item:
            case [int() as position, bytes() as data, bytes() | None as edited]:
                pass
            case _:
                raise Untrue("a node gives what is not a post")
        verifier = await self.verifier()
        first = await verifier.check(data)
        if author is not None and first.record.header.account != author:
            raise Untrue("a post of another account than the one asked for")
        post = _post_of(first.record, first.body, position)
        if edited is None:
            return post
        edit = await verifier.check(edited)
        fits = (
            edit.record.header.kind == kinds.EDIT
            and edit.record.header.account == post.account
            and edit.body["target"] == post.id
        )
        if not fits:
            raise Untrue("an edit of another post")
        return post._replace(
            body=compose.edited(first.body, edit.body),
            edit=edit.record,
        )

    def stream(self, topic: str = "home", **more: str) -> AsyncIterator[Post]:
        """New posts of a timeline for ever, each once, whatever happens to nodes and lines.

        It begins now. After a cut it goes on from the last post; if another node has to be
        asked, its newest pages are compared with what was given already. `more` as in
        `timeline`.
        """
        if topic == "home" and "account" not in more:
            more["account"] = self.account.hex()
        return Follower(self, topic, more).posts()


def _post_of(record: Record, body: Body, position: int | None = None) -> Post:
    """A record that is verified, or was signed here, as its readers see it."""
    header = record.header
    kind = kinds.name(header.kind)
    return Post(record.id, header.account, kind, header.created_ms, body, position, record, None)


def _outcomes(answer: Answer, count: int) -> list[dict[str, Any]]:
    """What became of each record. Raises `Untrue`."""
    match answer.json():
        case {"records": list() as outcomes} if len(outcomes) == count and all(
            isinstance(one, dict) and isinstance(one.get("code"), str) for one in outcomes
        ):
            return outcomes
        case _:
            raise Untrue(f"{answer.node} does not say what became of each record")


def _is_elsewhere(error: Refused) -> bool:
    return error.code in ELSEWHERE


def _http(address: str) -> str:
    """The HTTP address beside a node's WebSocket address."""
    return (
        address.replace("ws://", "http://", 1)
        .replace("wss://", "https://", 1)
        .removesuffix("/v1/link")
    )
