"""What the API needs of the node. The layers beside and above it fit these shapes by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ratoon_node.api.rate import Allowances, Places, Room
from ratoon_node.config import Settings
from ratoon_node.fanout import Fanout
from ratoon_node.ingest.gate import Gate
from ratoon_node.ingest.ledger import Ledger
from ratoon_node.ingest.registry import Registry
from ratoon_node.ingest.sessions import ReadMarks, Sessions
from ratoon_node.operate.own import OwnAccount
from ratoon_node.policy.naming import Handle
from ratoon_node.runtime import Runtime
from ratoon_node.store.db import Db
from ratoon_node.telemetry import Metrics
from ratoon_node.timeline.digest import Digest
from ratoon_node.timeline.feed import Feed
from ratoon_node.timeline.notices import Bells
from ratoon_node.timeline.trends import Trends
from ratoon_node.timeline.visibility import Sight
from ratoon_protocol.introduction import Side
from ratoon_protocol.kinds import Scope
from ratoon_protocol.record import Body


class PeerLike(Protocol):
    """A node as this operator knows it; provider and country only if confirmed."""

    @property
    def node(self) -> bytes:
        """Its account."""
        ...

    @property
    def address(self) -> str | None:
        """Where it was found last."""
        ...

    @property
    def added(self) -> bool:
        """The operator added it."""
        ...

    @property
    def linked_ms(self) -> int | None:
        """When it last proved itself on a link."""
        ...

    @property
    def provider(self) -> str | None:
        """Whose machine it is, if confirmed."""
        ...

    @property
    def country(self) -> str | None:
        """Where it is, if confirmed."""
        ...

    @property
    def useful(self) -> int:
        """Records it brought first."""
        ...

    @property
    def faults(self) -> int:
        """What it did wrong."""
        ...


class NodeRecordLike(Protocol):
    """What a node says of itself."""

    @property
    def node(self) -> bytes:
        """Its account."""
        ...

    @property
    def body(self) -> Body:
        """The body of its node record."""
        ...


class RosterLike(Protocol):
    """Whom this node knows; `load` makes it anew after peers or blocks changed."""

    @property
    def peers(self) -> Mapping[bytes, PeerLike]:
        """By account."""
        ...

    @property
    def nodes(self) -> Mapping[bytes, NodeRecordLike]:
        """Node records by account."""
        ...

    async def load(self) -> None:
        """Make it anew from the store."""
        ...


class CountsLike(Protocol):
    """Who holds a record: this node counted, unconfirmed nodes apart."""

    @property
    def nodes(self) -> int:
        """Nodes that hold it."""
        ...

    @property
    def providers(self) -> int:
        """Different confirmed providers among them."""
        ...

    @property
    def countries(self) -> int:
        """Different confirmed countries among them."""
        ...

    @property
    def unconfirmed(self) -> int:
        """Nodes whose provider nobody confirmed."""
        ...


class ReceiptsLike(Protocol):
    """What other nodes said they hold."""

    async def wait(
        self, ids: Sequence[bytes], providers: int, wait_ms: int
    ) -> Mapping[bytes, CountsLike]:
        """Counts once every record is at `providers` providers, or when the time is over."""
        ...

    async def counts(self, ids: Sequence[bytes]) -> Mapping[bytes, CountsLike]:
        """Counts now; all 0 for a record that is not here."""
        ...


class SetsLike(Protocol):
    """The sets that nodes compare."""

    @property
    def loaded(self) -> asyncio.Event:
        """Set once everything is read."""
        ...

    def state(self) -> Mapping[Scope, tuple[int, bytes]]:
        """Count and fingerprint of every public scope."""
        ...


class SessionLike(Protocol):
    """What is agreed on a link."""

    @property
    def side(self) -> Side:
        """Who dialled."""
        ...


class LinkLike(Protocol):
    """An open link."""

    @property
    def address(self) -> str | None:
        """What was dialled; None for a link that the other side opened."""
        ...

    @property
    def session(self) -> SessionLike:
        """Its session."""
        ...


class ExchangeLike(Protocol):
    """What went over a link."""

    @property
    def useful(self) -> int:
        """Records it brought that were new."""
        ...

    @property
    def faults(self) -> int:
        """What the peer did wrong."""
        ...


class NeighbourLike(Protocol):
    """A peer with an open link."""

    @property
    def link(self) -> LinkLike:
        """The link."""
        ...

    @property
    def exchange(self) -> ExchangeLike:
        """What went over it."""
        ...


class ErrandsLike(Protocol):
    """Fetching single records and accounts from peers."""

    def due(self, ids: Iterable[bytes]) -> list[bytes]:
        """Those of `ids` that may be asked for now."""
        ...

    async def fetch(self, ids: Sequence[bytes]) -> None:
        """Ask for records; returns when they are here, nobody has them, or time is up."""
        ...

    async def find(self, by: int, name: bytes) -> None:
        """Ask every peer for an account's log; returns when it is here or nobody has it."""
        ...


class HubLike(Protocol):
    """The links of this node."""

    @property
    def errands(self) -> ErrandsLike:
        """Fetches what readers miss."""
        ...

    @property
    def neighbours(self) -> Mapping[bytes, NeighbourLike]:
        """Open links by the peer's account."""
        ...

    async def meet(self, address: str) -> bytes:
        """The account of the node at an address. Raises `NodeError` with why there is none."""
        ...


class FoundLike(Protocol):
    """Whose handle it is."""

    @property
    def account(self) -> bytes:
        """The account that lists it and that its domain names."""
        ...


class NamesLike(Protocol):
    """Whose handles are whose."""

    @property
    def domain(self) -> str:
        """Of the names given out here; "" if there are none."""
        ...

    async def resolve(self, handle: Handle) -> FoundLike:
        """Whose handle it is. Raises `NodeError`."""
        ...


class NodeParts(Protocol):
    """The parts of a node that requests reach."""

    @property
    def settings(self) -> Settings:
        """What the operator chose."""
        ...

    @property
    def stopping(self) -> bool:
        """Told to end: nothing new is begun."""
        ...

    async def take_settings(self, settings: Settings) -> None:
        """Live by other settings from now on."""
        ...

    @property
    def runtime(self) -> Runtime:
        """Time, tasks and threads."""
        ...

    @property
    def db(self) -> Db:
        """Where readers ask."""
        ...

    @property
    def gate(self) -> Gate:
        """The one way in."""
        ...

    @property
    def ledger(self) -> Ledger:
        """What is written down beside records."""
        ...

    @property
    def registry(self) -> Registry:
        """Names and invites of this node."""
        ...

    @property
    def names(self) -> NamesLike:
        """Whose handles are whose."""
        ...

    @property
    def sessions(self) -> Sessions:
        """Who is signed in."""
        ...

    @property
    def bells(self) -> Bells:
        """Who waits for notifications."""
        ...

    @property
    def read_marks(self) -> ReadMarks:
        """How far people have read."""
        ...

    @property
    def fanout(self) -> Fanout:
        """Who hears of commits."""
        ...

    @property
    def own(self) -> OwnAccount:
        """The node's own account."""
        ...

    @property
    def roster(self) -> RosterLike:
        """Whom it knows."""
        ...

    @property
    def metrics(self) -> Metrics:
        """What it counts."""
        ...

    @property
    def digest(self) -> Digest:
        """What keeps the derived tables."""
        ...

    @property
    def receipts(self) -> ReceiptsLike:
        """Who holds what was published here."""
        ...

    @property
    def sets(self) -> SetsLike:
        """What nodes compare."""
        ...

    @property
    def hub(self) -> HubLike:
        """Its links."""
        ...

    @property
    def trends(self) -> Trends:
        """What many speak of now."""
        ...

    async def peers_changed(self) -> None:
        """Whom the operator added is another list now."""
        ...


@dataclass(frozen=True)
class Services:
    """Everything a group of routes may use."""

    node: NodeParts
    sight: Sight
    feed: Feed
    rates: Allowances
    bodies: Room
    operator_token: str
    streams: Places = field(default_factory=Places)
