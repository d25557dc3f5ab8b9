"""One node, wired: the only place that knows all parts.

`Node` is the core that production, the demonstration and the simulation share; what differs
between them (clock, threads, disk, network) comes in through the constructor.
"""

from __future__ import annotations

from dataclasses import dataclass

from ratoon_node import __version__
from ratoon_node.config import Settings
from ratoon_node.fanout import Fanout
from ratoon_node.ingest.accounts import Accounts
from ratoon_node.ingest.gate import Gate
from ratoon_node.ingest.intake import GateLimits
from ratoon_node.ingest.ledger import Ledger
from ratoon_node.ingest.registry import Registry
from ratoon_node.ingest.sessions import ReadMarks, Sessions
from ratoon_node.ingest.verifier import ProcessVerifier, ThreadVerifier, Verifier
from ratoon_node.operate.keys import Keys
from ratoon_node.operate.own import Description, OwnAccount
from ratoon_node.peering.dialer import Dialer
from ratoon_node.peering.heads import Heads
from ratoon_node.peering.hub import Hub, HubLimits
from ratoon_node.peering.lookup import Lookup
from ratoon_node.peering.names import Names
from ratoon_node.peering.receipts import Place, Receipts
from ratoon_node.peering.roster import Roster
from ratoon_node.peering.sets import Sets
from ratoon_node.peering.wire import Transport
from ratoon_node.policy.engine import Policy
from ratoon_node.runtime import Runtime
from ratoon_node.store.arrivals import Arrivals
from ratoon_node.store.db import Db
from ratoon_node.telemetry import Metrics
from ratoon_node.timeline.digest import Chapter, Digest
from ratoon_node.timeline.listings import Listings
from ratoon_node.timeline.naming import Names as NameChapter
from ratoon_node.timeline.notices import Bells, Happenings, Notices
from ratoon_node.timeline.references import References
from ratoon_node.timeline.trends import TrendChapter, Trends
from ratoon_node.timeline.words import Cleaner, WordChapter
from ratoon_protocol.limits import VOUCHED_MAX

_HOME_OPEN = {"closed": 0, "invite": 1, "open": 2}


@dataclass
class Node:
    """The parts of one node, made by `assemble` and started by `start`."""

    settings: Settings
    runtime: Runtime
    db: Db
    gate: Gate
    ledger: Ledger
    registry: Registry
    sessions: Sessions
    read_marks: ReadMarks
    fanout: Fanout
    own: OwnAccount
    roster: Roster
    sets: Sets
    receipts: Receipts
    heads: Heads
    hub: Hub
    dialer: Dialer
    names: Names
    transport: Transport
    digest: Digest
    bells: Bells
    happenings: Happenings
    cleaner: Cleaner
    trends: Trends
    metrics: Metrics
    #: Told to end: nothing new is begun.
    stopping: bool = False

    async def start(self) -> None:
        """Bring the node up: the gate first, then its own account, then whom it knows."""
        await self.roster.load()
        self.gate.start()
        await self.own.start()
        self.own.follow(self.fanout, self.runtime.spawn)
        self.heads.start()
        await self.peers_changed()
        self.roster.start()
        await self.digest.start()
        self.happenings.start()
        self.cleaner.start()
        self.trends.start()
        self.receipts.start()
        self.hub.start()
        self.sets.start(self.gate.admission.nodes)
        self.dialer.start()
        self.names.start()

    async def peers_changed(self) -> None:
        """Whom the operator added is another list now: let them in, and vouch for them."""
        await self.roster.load()
        await self.own.describe(self.description(self.settings))

    async def take_settings(self, settings: Settings) -> None:
        """Live by other settings from now on; only those that are live may differ.

        Raises `NodeError` if the node cannot say now what it is: then nothing has changed.
        """
        await self.own.describe(self.description(settings))
        self.settings = settings
        self.registry.domain = settings.name_domain
        self.sessions.operators = settings.operator_accounts

    def description(self, settings: Settings) -> Description:
        """What this node's own record says with these settings."""
        return Description(
            name=settings.name,
            addresses=settings.public_addresses,
            provider=settings.provider,
            country=settings.country,
            network=settings.network,
            software=f"ratoon/{__version__}",
            home_open=_HOME_OPEN[settings.registration],
            admits=self.roster.added()[:VOUCHED_MAX],
        )

    async def close(self) -> None:
        """Say goodbye, stop every task, then the threads, then the store."""
        if not self.stopping:  # whoever said so has said goodbye
            await self.hub.close()
        await self.runtime.spawner.cancel_all()
        await self.gate.close()
        await self.transport.close()
        await self.names.close()
        await self.runtime.close()
        await self.db.close()


def _hub_limits(settings: Settings) -> HubLimits:
    return HubLimits(
        settings.links_max,
        settings.push_links,
        settings.link_queue_bytes_max,
        settings.horizon_days,
        settings.strangers_bytes_per_second_max,
    )


def _chapters(own: bytes, bells: Bells) -> list[Chapter]:
    """Every family of derived tables."""
    return [
        References(),
        Listings(own),
        WordChapter(),
        TrendChapter(),
        NameChapter(own),
        Notices(own, bells),
    ]


def _metrics(runtime: Runtime) -> Metrics:
    """What is counted, crashes of tasks among it."""
    metrics = Metrics(__version__)
    tell = runtime.spawner.crashed

    def crashed(task: str, error: BaseException) -> None:
        metrics.task_crashes.labels(task).inc()
        tell(task, error)

    runtime.spawner.crashed = crashed
    return metrics


def _sessions(settings: Settings, runtime: Runtime, db: Db, node: bytes, gate: Gate) -> Sessions:
    return Sessions(
        db,
        runtime.clock,
        runtime.random,
        settings.network_bytes,
        node,
        settings.operator_accounts,
        lambda: gate.policy,
    )


def _digest(
    runtime: Runtime, db: Db, fanout: Fanout, node: bytes, bells: Bells, arrivals: Arrivals
) -> Digest:
    chapters = _chapters(node, bells)
    digest = Digest(db, fanout, runtime.clock, runtime.spawn, node, chapters, arrivals)
    digest.observers.append(bells.ring)
    return digest


def _gate(
    settings: Settings,
    runtime: Runtime,
    db: Db,
    keys: Keys,
    policy: Policy,
    fanout: Fanout,
    arrivals: Arrivals,
    metrics: Metrics,
    verifier: Verifier | None,
) -> Gate:
    return Gate(
        db=db,
        clock=runtime.clock,
        spawn=runtime.spawn,
        verifier=verifier or ThreadVerifier(runtime.threads, settings.signature_threads),
        network=settings.network_bytes,
        node=keys.account,
        policy=policy,
        accounts=Accounts(settings.network_bytes, keys.slot_key, arrivals),
        fanout=fanout,
        metrics=metrics,
        limits=GateLimits.of(settings),
    )


def _receipts(
    settings: Settings, runtime: Runtime, db: Db, node: bytes, ledger: Ledger, roster: Roster
) -> Receipts:
    place = Place(settings.provider, settings.country)
    return Receipts(node, place, db, ledger, roster, runtime.clock, runtime.spawn)


def verifier_of(settings: Settings, runtime: Runtime) -> Verifier:
    """Who checks signatures, as the operator set it."""
    threads = ThreadVerifier(runtime.threads, settings.signature_threads)
    count = settings.signature_processes
    return ProcessVerifier(count, threads, runtime.clock) if count else threads


def assemble(
    settings: Settings,
    runtime: Runtime,
    db: Db,
    keys: Keys,
    policy: Policy,
    transport: Transport,
    lookup: Lookup | None = None,
    verifier: Verifier | None = None,
) -> Node:
    """Wire a node on an open store; `lookup` asks about names, `verifier` checks what comes in."""
    clock, spawn, rng = runtime.clock, runtime.spawn, runtime.random
    metrics, fanout, arrivals, bells = _metrics(runtime), Fanout(), Arrivals(), Bells()
    gate = _gate(settings, runtime, db, keys, policy, fanout, arrivals, metrics, verifier)
    ledger = Ledger(db, gate, clock)
    registry = Registry(db, clock, keys.account, settings.name_domain)
    sessions = _sessions(settings, runtime, db, keys.account, gate)
    own, sets = OwnAccount(keys, gate, db, clock, rng), Sets(db, fanout, clock, spawn)
    roster = Roster(keys.account, db, gate, ledger, fanout, clock, spawn)
    receipts = _receipts(settings, runtime, db, keys.account, ledger, roster)
    heads = Heads(own, bool(settings.peers), db, gate, sets, clock, spawn)
    hub = Hub(
        own=own,
        db=db,
        gate=gate,
        ledger=ledger,
        roster=roster,
        sets=sets,
        receipts=receipts,
        heads=heads,
        fanout=fanout,
        transport=transport,
        clock=clock,
        spawn=spawn,
        rng=rng,
        metrics=metrics,
        limits=_hub_limits(settings),
    )
    dialer = Dialer(
        keys.account, settings.peers, hub, roster, gate, clock, spawn, rng, settings.links_max
    )
    private = settings.accept_private_addresses
    names = Names(keys.account, db, registry, roster, hub, lookup, clock, spawn, rng, private)
    digest = _digest(runtime, db, fanout, keys.account, bells, arrivals)
    return Node(
        settings,
        runtime,
        db,
        gate,
        ledger,
        registry,
        sessions,
        ReadMarks(db, clock),
        fanout,
        own,
        roster,
        sets,
        receipts,
        heads,
        hub,
        dialer,
        names,
        transport,
        digest,
        bells,
        Happenings(keys.account, db, clock, spawn, bells),
        Cleaner(db, digest, clock, spawn),
        Trends(db, clock, spawn, lambda: gate.policy),
        metrics,
    )
