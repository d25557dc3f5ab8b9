"""Signing on this machine and publishing through a node, without ever forking a chain.

Before anything is signed the file is compared with what the node holds. A file that is behind, or
that was made for another installation, came from a backup or a copy: its chains stay as they are
and the device gets a new key (R-36). What was signed and not yet acknowledged is kept in the file
and sent again first, so a lost answer leaves no hole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ratoon_client.keyfile import ACCEPTED, LATER, PENDING_MAX, KeyFile
from ratoon_node.cli.client import Client, Refused, Unreachable
from ratoon_node.cli.identity import fresh_salt, now_ms
from ratoon_node.cli.say import fail
from ratoon_protocol.record import Body, Record

# Said with a refusal that is not for good: who posts once more would say it twice.
KEPT = "What was signed is kept; it is sent with what you sign next"


@dataclass(frozen=True)
class Published:
    """What became of a record: the node's answer for it, with counts if they were asked for."""

    record: Record
    outcome: dict[str, Any]
    node: str
    location: str | None


def check_chains(file: KeyFile, client: Client) -> None:
    """Refuse a key file that is behind what the node holds of this device's key."""
    try:
        heads = client.get(f"/v1/accounts/{file.account}/heads")["heads"]
    except Refused as error:
        if error.json_code != "not_found":
            raise
        fail(
            f"the node at {client.url} does not know this account: make it a home with"
            " `ratoon account add-home`"
        )
    file.check_heads(heads)


def publish(
    file: KeyFile,
    client: Client,
    kind: int,
    body: Body,
    target: bytes | None = None,
    *,
    providers: int = 0,
    timeout_s: int = 0,
) -> Published:
    """Sign one record and have the node store it. Raises `CommandError`.

    With `providers` the node answers once that many providers hold it, or after `timeout_s`.
    """
    file.check_own()
    check_chains(file, client)
    _send_pending(file, client)
    author = file.author()
    signed = author.sign(kind, body, now_ms(), fresh_salt(), target)
    file.keep(author, signed)
    query: dict[str, str | int] = {}
    if providers:
        query = {"wait": f"providers:{providers}", "timeout": timeout_s * 1000}
    try:
        found = client.post_records("/v1/records", [signed.encode()], timeout_s, **query)
    except Refused as error:
        if error.json_code not in LATER:
            file.forget([signed])
            raise
        raise Refused(error.json_code, f"{error}. {KEPT}", error.status) from None
    except Unreachable as error:
        raise Unreachable(f"{error}. {KEPT}") from None
    outcome = found["records"][0]
    _settle(file, [signed], [outcome])
    return Published(signed, outcome, client.url, found.get("location"))


def _send_pending(file: KeyFile, client: Client) -> None:
    waiting = file.unacknowledged()
    if not waiting:
        return
    if len(waiting) >= PENDING_MAX:
        waiting = waiting[:PENDING_MAX]
    try:
        found = client.post_records("/v1/records", [item.encode() for item in waiting])
        outcomes = found["records"]
    except Refused as error:
        if error.json_code in LATER or len(waiting) > 1:
            raise
        outcomes = [{"code": error.json_code}]
    _settle(file, waiting, outcomes)


def _settle(file: KeyFile, sent: Sequence[Record], outcomes: Sequence[dict[str, Any]]) -> None:
    """Forget what the node has or will never take. Raises `CommandError` for a refusal."""
    final = [
        item for item, outcome in zip(sent, outcomes, strict=True) if outcome["code"] not in LATER
    ]
    file.forget(final)
    for outcome in outcomes:
        if outcome["code"] not in ACCEPTED:
            words = f"{outcome['code']}: {outcome.get('detail') or 'the node refused it'}"
            if outcome["code"] in LATER:
                words += f". {KEPT}"
            raise Refused(outcome["code"], words, 403)
