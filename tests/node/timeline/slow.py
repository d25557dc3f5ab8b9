"""What timelines, threads and counts must be, by looking at every record there is."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any, NamedTuple

from ratoon_node.policy import fold
from ratoon_node.store import listed, read
from ratoon_node.timeline.visibility import HIDDEN_FROM, PUBLIC_HIDDEN_FROM, Item, Viewer
from ratoon_protocol import bodies, kinds


class Whole(NamedTuple):
    """Every record of the node as it may be read; items in the order of their positions."""

    items: list[Item]
    others: list[Item]
    hosts: dict[bytes, tuple[bytes, ...]]
    hidden: set[bytes]


def whole(db: sqlite3.Connection, viewer: Viewer) -> Whole:
    found = [viewer.look(one) for one in listed.listed_all(db, 0, 10**6)]
    items = [one for one in found if isinstance(one, Item)]
    accounts = [id_ for (id_,) in db.execute("SELECT id FROM account")]
    decisions = {account: viewer.of_account(account) for account in accounts}
    return Whole(
        sorted(
            (one for one in items if one.position is not None), key=lambda one: one.position or 0
        ),
        [one for one in items if one.position is None],
        {account: read.hosts(db, account) for account in accounts},
        {a for a, one in decisions.items() if one is not None and one.verdict >= HIDDEN_FROM},
    )


def public(items: list[Item]) -> list[Item]:
    return [one for one in items if one.verdict < PUBLIC_HIDDEN_FROM]


def local(all_: Whole, own: bytes) -> list[Item]:
    return [one for one in public(all_.items) if own in all_.hosts[one.account]]


def tag(all_: Whole, name: str) -> list[Item]:
    return [
        one
        for one in public(posts(all_.items))
        if fold.tag(name) in map(fold.tag, bodies.tags(kinds.POST, one.body))
    ]


def posts(items: list[Item]) -> list[Item]:
    return [one for one in items if one.record.header.kind == kinds.POST]


def by(all_: Whole, account: bytes, only: str | None = None) -> list[Item]:
    wanted = {
        None: lambda body: True,
        "posts": lambda body: "parent" not in body,
        "replies": lambda body: "parent" in body,
        "media": lambda body: body.get("media"),
    }[only]
    return [one for one in all_.items if one.account == account and wanted(one.body)]


def among(all_: Whole, accounts: set[bytes]) -> list[Item]:
    return [one for one in all_.items if one.account in accounts]


def follows(all_: Whole, account: bytes) -> set[bytes]:
    values = [
        one.body
        for one in all_.others
        if one.record.header.kind == kinds.FOLLOW and one.account == account
    ]
    return {body["target"] for body in values if body["state"]}


def referring(all_: Whole, name: str, id_: bytes) -> list[Item]:
    if name == "target":
        found = [one for one in all_.items if one.record.header.kind == kinds.REPOST]
    else:
        found = posts(all_.items)
    return [one for one in found if one.body.get(name) == id_]


def counts(all_: Whole, post: Item) -> dict[str, Any]:
    """Counts of one post; nobody in this life salts a slot twice."""
    reacted = [one for one in all_.others if one.body.get("target") == post.id]
    reactions = Counter(
        one.body["emoji"]
        for one in reacted
        if one.record.header.kind == kinds.REACTION and one.body["state"]
    )
    found: dict[str, Any] = {
        "replies": len(referring(all_, "parent", post.id)),
        "quotes": len(referring(all_, "quote", post.id)),
        "reposts": len({one.account for one in referring(all_, "target", post.id)}),
        "reactions": dict(reactions),
        "votes": None,
    }
    if "poll" in post.body:
        poll = post.body["poll"]
        found["votes"] = [0] * len(poll["options"])
        for one in reacted:
            choices = one.body.get("choices") or [99]
            if one.record.header.created_ms > poll["ends_ms"] or max(choices) >= 3:
                continue
            if len(choices) > 1 and not poll["many"]:
                continue
            for choice in choices:
                found["votes"][choice] += 1
    return found
