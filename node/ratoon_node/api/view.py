"""Records and pages as JSON and as MessagePack. What is asked for again is not made again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import msgpack
import msgspec
from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.answers import JSON_TYPE, RECORDS_TYPE, binary, plain, to_json
from ratoon_node.api.ports import Services
from ratoon_node.api.types import Count, Id, Ms, Position
from ratoon_node.policy.verdict import Verdict
from ratoon_node.timeline.counts import NOTHING
from ratoon_node.timeline.counts import Counts as Counted
from ratoon_node.timeline.faces import Face, faces
from ratoon_node.timeline.tallies import Tally, tallies
from ratoon_node.timeline.visibility import Item, Masked, Viewer
from ratoon_node.timeline.walk import Page
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from ratoon_protocol.record import Record


class Edited(msgspec.Struct):
    """The edit whose words an item shows."""

    id: Id
    created_ms: Ms


class Counts(msgspec.Struct, omit_defaults=True):
    """How many answer a post and what people think of it; `votes` are those for each option of a
    poll. With `more` some of it is only "at least so many".
    """

    replies: Count
    reposts: Count
    quotes: Count
    reactions: dict[str, Count]
    votes: list[Count] | None = None
    more: bool = False


class Shown(msgspec.Struct, omit_defaults=True):
    """A record that can be read: what its header says, and its body with bytes as hexadecimal.

    `position` is its place in timelines; `verdict` what this node's policy says, if not to accept,
    and `labels` what it calls the record. Media that a rule drops is not in the body.
    """

    id: Id
    account: Id
    kind: str
    key: Id
    seq: Count
    prev: Id | None
    created_ms: Ms
    code: str
    body: dict[str, Any]
    position: Position | None = None
    verdict: str | None = None
    labels: list[str] | None = None
    edited: Edited | None = None
    counts: Counts | None = None


class Named(msgspec.Struct, omit_defaults=True):
    """How an account is called. `handle` is there if its domain confirms it; `confusable`: another
    account here looks the same, so the fingerprint matters.
    """

    name: str
    fingerprint: str
    handle: str | None = None
    confusable: bool = False


class Timeline(msgspec.Struct):
    """A page: `next` goes on in the same direction (null: the end), `end` is where to go on with
    `since` for what comes from now on, `accounts` are the authors.
    """

    items: list[Shown]
    next: Position | None
    end: Position
    accounts: dict[str, Named]


# --- single records ----------------------------------------------------------------------------


def header_view(found: Record) -> dict[str, Any]:
    """What the header says."""
    header = found.header
    return {
        "id": found.id.hex(),
        "account": header.account.hex(),
        "kind": kinds.name(header.kind),
        "key": header.key.hex(),
        "seq": header.seq,
        "prev": plain(header.prev),
        "created_ms": header.created_ms,
    }


def item_view(item: Item) -> dict[str, Any]:
    """A readable record; `position` is its place in timelines."""
    view = _fixed_view(item)
    if item.verdict is not Verdict.ACCEPT:
        view["verdict"] = item.verdict.word
    return view


def _fixed_view(item: Item) -> dict[str, Any]:
    """All of an item that depends on nothing but its records."""
    view = header_view(item.record)
    view["code"] = Code.STORED.value
    view["position"] = item.position
    view["body"] = {k: plain(v) for k, v in item.body.items() if k != "slot_salt"}
    if item.labels:
        view["labels"] = list(item.labels)
    if item.edit is not None:
        edit = item.edit.record()
        view["edited"] = {"id": edit.id.hex(), "created_ms": edit.header.created_ms}
    return view


def masked_view(id_: bytes, masked: Masked) -> dict[str, Any]:
    """A record without its content: what is true of it, and the class of the reason."""
    view = header_view(masked.record) if masked.record else {"id": id_.hex()}
    view["code"] = masked.code.value
    if masked.reason:
        view["reason"] = masked.reason
    return view


def item_json(item: Item, tally: Tally | None = None) -> bytes:
    """`item_view` in JSON, with what is counted if that is known."""
    card = item.card
    if item.edit is not card.edit:  # the newest edit is hidden: nobody keeps what is rarely shown
        text = to_json(_fixed_view(item))[:-1]
    else:
        text = card.json or _keep_json(item)
    if item.verdict is not Verdict.ACCEPT:
        text += b',"verdict":"' + item.verdict.word.encode() + b'"'
    return text + b"}" if tally is None else text + _tally_json(tally)


def _keep_json(item: Item) -> bytes:
    """The item's JSON but for its end, remembered with its card."""
    text = item.card.json = to_json(_fixed_view(item))[:-1]
    return text


def items_json(db: sqlite3.Connection, viewer: Viewer, items: Sequence[Item]) -> list[bytes]:
    """Items in JSON, posts with what is counted of them."""
    counted = tallies(db, viewer, items)
    return [item_json(item, counted.get(item.id)) for item in items]


def _tally_json(tally: Tally) -> bytes:
    """The end of an item's JSON, remembered with the tally."""
    if tally.counts is NOTHING:
        return _NOTHING_JSON
    if not tally.json:
        tally.json = _counts_json(tally.counts)
    return tally.json


def _counts_json(found: Counted) -> bytes:
    return b',"counts":%b}' % to_json(counts_view(found))


def counts_view(found: Counted) -> Counts:
    """What is counted of a post."""
    votes = list(found.votes) if found.votes is not None else None
    reactions = dict(found.reactions)
    return Counts(found.replies, found.reposts, found.quotes, reactions, votes, found.more)


_NOTHING_JSON = _counts_json(NOTHING)


# --- pages -------------------------------------------------------------------------------------

#: Composes a page on a reader: what `Sight.read` takes.
Compose = Callable[[sqlite3.Connection, Viewer], Page]


async def answer_page(request: web.Request, services: Services, compose: Compose) -> web.Response:
    """A page as the client wants it; all of it is made on the reader, in one hop."""
    as_records = "Accept" in request.headers and asked.wants(request, RECORDS_TYPE)
    make = page_records if as_records else page_json
    data, items = await services.sight.read(partial(_composed, compose, make))
    return binary(data, RECORDS_TYPE if as_records else JSON_TYPE, items)


def _composed(
    compose: Compose,
    make: Callable[[sqlite3.Connection, Viewer, Page], bytes],
    db: sqlite3.Connection,
    viewer: Viewer,
) -> tuple[bytes, int]:
    page = compose(db, viewer)
    return make(db, viewer, page), len(page.items)


def page_json(db: sqlite3.Connection, viewer: Viewer, page: Page) -> bytes:
    """A page as `Timeline` says, put together from what each item and account already is."""
    accounts = faces_json(db, viewer, dict.fromkeys(item.account for item in page.items))
    items = b",".join(items_json(db, viewer, page.items))
    following = b"null" if page.next is None else b"%d" % page.next
    return b'{"items":[%b],"next":%b,"end":%d,"accounts":{%b}}' % (
        items,
        following,
        page.end,
        accounts,
    )


def faces_json(db: sqlite3.Connection, viewer: Viewer, accounts: Iterable[bytes]) -> bytes:
    """What stands between the braces of `accounts`: each as `Named` says."""
    return b",".join(map(_face_json, faces(db, viewer, accounts).values()))


def _face_json(face: Face) -> bytes:
    """`"account": {…}`, remembered with the face."""
    if not face.json:
        card = face.card
        named = Named(card.name, card.fingerprint, card.handle, card.confusable)
        face.json = b'"%b":%b' % (face.account.hex().encode(), to_json(named))
    return face.json


def page_records(db: sqlite3.Connection, viewer: Viewer, page: Page) -> bytes:
    """A page with the signed bytes: {"items": [[position, record, edit | nil] …], "next", "end"},
    so that clients can verify.
    """
    items = [[item.position, item.card.raw, edit_bytes(item)] for item in page.items]
    return bytes(msgpack.packb({"items": items, "next": page.next, "end": page.end}))


def edit_bytes(item: Item) -> bytes | None:
    """The signed bytes of the edit that an item shows."""
    return item.edit.raw if item.edit is not None else None
