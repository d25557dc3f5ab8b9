"""What the pure engine is told about a record beside its header. The gate fills it in."""

from __future__ import annotations

from typing import NamedTuple

from ratoon_protocol import kinds
from ratoon_protocol.record import Body


class Referenced(NamedTuple):
    """An account whose record is shown inside this one, and the nodes that host it."""

    account: bytes
    nodes: tuple[bytes, ...] = ()


class Facts(NamedTuple):
    """Everything known about one record. Accounts and nodes are ids of 32 bytes, times are ms."""

    now_ms: int
    #: Nodes with a current hosting record for the account; a node's own account names itself.
    nodes: tuple[bytes, ...] = ()
    #: The node on whose link the record came; None for what people here publish and for bundles.
    peer: bytes | None = None
    #: The account's home is this node.
    local: bool = False
    #: When this node first saw the account; None if this is the first sight.
    account_first_seen_ms: int | None = None
    #: Posts of the account that arrived within the last hour, this one not counted.
    posts_last_hour: int = 0
    #: No post of the account has been stored here before.
    first_post: bool = False
    #: Somebody whose home is this node follows the account.
    followed_locally: bool = False
    #: Accounts whose records this one shows (`shown_accounts`).
    referenced_accounts: tuple[Referenced, ...] = ()
    #: What a reader would read: `bodies.texts`.
    texts: tuple[str, ...] = ()
    #: Where a reader could go: `bodies.links`.
    links: tuple[str, ...] = ()
    #: `bodies.tags`, without the sign.
    tags: tuple[str, ...] = ()
    #: Accounts mentioned.
    mentions: int = 0


def shown_accounts(kind: int, body: Body) -> tuple[bytes, ...]:
    """The accounts whose records are shown inside this one: what is reposted or quoted.

    A reply does not show its parent, and a mention shows nobody.
    """
    name = "target_account" if kind == kinds.REPOST else "quote_account"
    if kind not in (kinds.REPOST, kinds.POST, kinds.EDIT) or name not in body:
        return ()
    return (body[name],)
