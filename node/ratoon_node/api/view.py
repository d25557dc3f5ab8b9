"""A record as JSON."""

from __future__ import annotations

from typing import Any

from ratoon_node.api.answers import plain
from ratoon_node.policy.verdict import Verdict
from ratoon_node.timeline.visibility import Item, Masked
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from ratoon_protocol.record import Record


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
    view = header_view(item.record)
    view["code"] = Code.STORED.value
    view["position"] = item.position
    if item.verdict is not Verdict.ACCEPT:
        view["verdict"] = item.verdict.word
    view["body"] = plain({k: v for k, v in item.body.items() if k != "slot_salt"})
    return view


def masked_view(id_: bytes, masked: Masked) -> dict[str, Any]:
    """A record without its content: what is true of it, and the class of the reason."""
    view = header_view(masked.record) if masked.record else {"id": id_.hex()}
    view["code"] = masked.code.value
    if masked.reason:
        view["reason"] = masked.reason
    return view
