"""What the pure engine is told about a record beside its header. The gate fills it in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from ratoon_node.policy.verdict import Verdict
from ratoon_protocol import bodies, kinds
from ratoon_protocol.limits import FACETS_MAX
from ratoon_protocol.record import Body


class Referenced(NamedTuple):
    """An account whose record is shown inside this one, and the nodes that host it."""

    account: bytes
    nodes: tuple[bytes, ...] = ()


class Given(NamedTuple):
    """A label that a trusted labeler gave, and the most that this labeler may bring about."""

    value: str
    ceiling: Verdict


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
    #: Where a reader could go: `links_of`.
    links: tuple[str, ...] = ()
    #: `bodies.tags`, without the sign.
    tags: tuple[str, ...] = ()
    #: Accounts mentioned.
    mentions: int = 0
    #: Of the text, as the author says; "" if he does not.
    language: str = ""
    #: Domains of the account's handles, listed or verified.
    handle_domains: tuple[str, ...] = ()
    #: Pictures and films that the record shows, and the SHA-256 of their files and previews.
    attachments: int = 0
    media: tuple[bytes, ...] = ()
    #: Perceptual hashes of these files, as far as they were looked into (`imagehash`).
    pictures: tuple[int, ...] = ()
    #: Labels by trusted labelers on the record and on the account.
    labels: tuple[Given, ...] = ()
    #: It answers somebody who does not follow the author.
    reply_to_stranger: bool = False
    #: See `likeness.Alike`; 0 for whom this node knows.
    near_duplicates: int = 0
    near_duplicate_accounts: int = 0
    #: See `nodecounts`: of the quietest of `nodes`.
    node_posts_last_hour: int = 0
    node_new_accounts_today: int = 0
    #: It comes in now; else it is judged again, and rules about the moment do not apply.
    arriving: bool = True


# Addresses taken from the words of one record: as many as it may mark.
PLAIN_LINKS_MAX = FACETS_MAX
_PLAIN_LINK = re.compile(r"(?:https?://|www\.)[^\s<>\"]+", re.IGNORECASE)

# Signs that end a sentence or a bracket, and so no address.
_ENDINGS = ".,;:!?)]}'»”’。、"


def may_link(payload: bytes) -> bool:
    """Whether a payload can have a link at all: both kinds of them begin with one of these."""
    return b"://" in payload or b"www." in payload.lower()


def links_of(kind: int, body: Body) -> tuple[str, ...]:
    """Where a reader could go: links that are marked, and addresses that only stand in the words.

    A client that marks nothing must not slip past a block of the domain: readers see an address
    all the same, and many clients make it a link.
    """
    return links_in(bodies.texts(kind, body), bodies.links(kind, body))


def links_in(texts: Iterable[str], marked: Iterable[str] = ()) -> tuple[str, ...]:
    """As `links_of`, of texts and the links that are marked."""
    found = dict.fromkeys(marked)
    for text in texts:
        if "://" not in text and "www." not in text.lower():
            continue
        for match in islice(_PLAIN_LINK.finditer(text), PLAIN_LINKS_MAX):
            address = match[0].rstrip(_ENDINGS)
            found[address if "//" in address else f"http://{address}"] = None
    return tuple(found)


def shown_accounts(kind: int, body: Body) -> tuple[bytes, ...]:
    """The accounts whose records are shown inside this one: what is reposted or quoted.

    A reply does not show its parent, and a mention shows nobody.
    """
    name = "target_account" if kind == kinds.REPOST else "quote_account"
    if kind not in (kinds.REPOST, kinds.POST, kinds.EDIT) or name not in body:
        return ()
    return (body[name],)


def files_of(pictures: Iterable[Body]) -> tuple[bytes, ...]:
    """SHA-256 of every file that media manifests name, and of their previews."""
    names = ("hash", "preview")
    found = (one[name] for one in pictures for name in names if name in one)
    return tuple(dict.fromkeys(found))
