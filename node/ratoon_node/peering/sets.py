"""The sets that nodes compare: one index a scope, kept by the journal (R-60 to R-63).

The index of what this node admits follows every commit. A peer that admits other nodes is
compared over what both admit: an index made for that pair of lists, kept while it is used. It is
made from this node's own by taking out what few more than both let in, and shares the rest.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import structlog

from ratoon_node.fanout import Committed, Fanout, Subscription
from ratoon_node.runtime import Clock, Spawn
from ratoon_node.store import linked, read
from ratoon_node.store.db import Db
from ratoon_node.store.failing import Outage
from ratoon_node.store.rows import Change, What
from ratoon_protocol.kinds import Scope, kind_class
from ratoon_protocol.limits import EPOCH_MS
from ratoon_protocol.reconcile import Index, Window

#: Scopes that every node holds the same of.
PUBLIC_SCOPES = (Scope.LOG, Scope.STATE, Scope.WINDOW)
# Accounts that come in or go out one by one; for more the whole store is read.
ACCOUNTS_TURNED_MAX = 1000
# What is read at once when a view is loaded: some 50 ms, for which other readers may have to wait.
SLICE_HEADERS = 16_384
SLICE_ACCOUNTS = 64
# Indexes kept for peers that admit other nodes than this one does.
OTHER_VIEWS_MAX = 8
# After the store could not be read.
RETRY_MS = 1000

log = structlog.get_logger()


def seconds(created_ms: int) -> int:
    """The timestamp that reconciliation sorts by: seconds since 2020-01-01."""
    return (created_ms - EPOCH_MS) // 1000


class View:
    """The indexes over the accounts that one set of nodes stands for."""

    def __init__(self) -> None:
        self.indexes: dict[Scope, Index] = {scope: Index() for scope in PUBLIC_SCOPES}
        #: Those that are carried, and those known here that are not.
        self.accounts: set[bytes] = set()
        self._others: set[bytes] = set()

    def fork(self) -> View:
        """A view that begins as this one is, and shares what neither changes."""
        twin = View()
        twin.indexes = {scope: index.fork() for scope, index in self.indexes.items()}
        twin.accounts, twin._others = set(self.accounts), set(self._others)
        return twin

    def knows(self, account: bytes) -> bool:
        """Whether it is settled if the account belongs here."""
        return account in self.accounts or account in self._others

    def place(self, account: bytes, carried: bool) -> None:
        """Settle whether an account belongs here."""
        (self.accounts if carried else self._others).add(account)
        (self._others if carried else self.accounts).discard(account)

    def put(self, changes: Iterable[Change]) -> None:
        """Follow journal lines of accounts in this view, in their order."""
        fresh: dict[Scope, dict[bytes, int]] = {}
        for change in changes:
            scope = kind_class(change.kind).scope
            if change.member:
                fresh.setdefault(scope, {})[change.id] = change.created_ms
            elif scope in self.indexes:
                fresh.get(scope, {}).pop(change.id, None)
                self.indexes[scope].erase(seconds(change.created_ms), change.id)
        for scope, found in fresh.items():
            if scope in self.indexes:
                times = ((seconds(created_ms), id_) for id_, created_ms in found.items())
                self.indexes[scope].bulk(times)


class _Loading:
    """A view that is read from the store a slice at a time, so that no reader waits for all of it.

    What changes meanwhile stands in the journal, which whoever loads follows from before the start.
    """

    def __init__(self, nodes: frozenset[bytes]) -> None:
        self.view = View()
        self._nodes = nodes
        #: Numbers of the accounts that are carried; None: all of those here.
        self._chosen: list[int] | None = None
        self._top = 0

    def begin(self, db: sqlite3.Connection) -> int:
        """See which accounts are carried; how many slices there are."""
        numbers, hosts = read.account_numbers(db), read.all_hosts(db)
        for account in numbers:
            standing = hosts.get(account, ())
            self.view.place(account, account in self._nodes or not self._nodes.isdisjoint(standing))
        # Who comes from now on has higher numbers, and is told of in the journal.
        self._top = read.last_number(db)
        if len(self.view.accounts) == len(numbers):
            return -(-self._top // SLICE_HEADERS)
        self._chosen = [numbers[account] for account in self.view.accounts]
        return -(-len(self._chosen) // SLICE_ACCOUNTS)

    def take(self, db: sqlite3.Connection, part: int) -> None:
        """Read one slice."""
        found: Iterable[tuple[int, int, bytes]]
        if self._chosen is None:
            first = part * SLICE_HEADERS
            found = read.members_between(db, first, min(first + SLICE_HEADERS, self._top))
        else:
            first = part * SLICE_ACCOUNTS
            found = read.members(db, self._chosen[first : first + SLICE_ACCOUNTS])
        items: dict[Scope, list[tuple[int, bytes]]] = {scope: [] for scope in Scope}
        keepers: dict[int, Callable[[tuple[int, bytes]], None]] = {}
        for kind, created_ms, id_ in found:
            keep = keepers.get(kind)
            if keep is None:
                keep = keepers[kind] = items[kind_class(kind).scope].append
            keep(((created_ms - EPOCH_MS) // 1000, id_))
        for scope, index in self.view.indexes.items():
            index.bulk(items[scope])


async def load_view(db: Db, nodes: frozenset[bytes]) -> View:
    """Read the view of `nodes`: accounts they host, and their own."""
    loading = _Loading(nodes)
    for part in range(await db.read(loading.begin)):
        await db.read(partial(loading.take, part=part))
    return loading.view


async def part_of(db: Db, whole: View, nodes: frozenset[bytes]) -> View:
    """The view of `nodes`, all of which `whole` is about too; nobody may change that meanwhile.

    Only what is left out is read from the store, or only what stays if that is less: a peer that
    lets in one node fewer must not make this one read everything.
    """

    def left_out(db: sqlite3.Connection) -> list[bytes]:
        hosts = read.all_hosts(db)
        return [
            account
            for account in whole.accounts - nodes
            if nodes.isdisjoint(hosts.get(account, ()))
        ]

    accounts = await db.read(left_out)
    if 2 * len(accounts) > len(whole.accounts):
        return await load_view(db, nodes)
    view = whole.fork()

    def take_out(db: sqlite3.Connection, some: Sequence[bytes]) -> None:
        rows = [row for account in some if (row := read.account(db, account)) is not None]
        for kind, created_ms, id_ in read.members(db, [row.n for row in rows]):
            index = view.indexes.get(kind_class(kind).scope)
            if index is not None:
                index.erase(seconds(created_ms), id_)

    for at in range(0, len(accounts), SLICE_ACCOUNTS):
        await db.read(partial(take_out, some=accounts[at : at + SLICE_ACCOUNTS]))
    for account in accounts:
        view.place(account, False)
    return view


def _stood_for(db: sqlite3.Connection, nodes: Sequence[bytes]) -> set[bytes]:
    """Nodes, and the accounts they say they host; stops at one too many."""
    found = set(nodes)
    for node in nodes:
        left = ACCOUNTS_TURNED_MAX + 1 - len(found)
        if left <= 0:
            break
        found.update(read.hosted(db, node, b"", left))
    return found


class Sets:
    """The views of one node. `nodes` are those it admits."""

    def __init__(self, db: Db, fanout: Fanout, clock: Clock, spawn: Spawn) -> None:
        self._db = db
        self._fanout = fanout
        self._clock = clock
        self._spawn = spawn
        self._nodes: frozenset[bytes] = frozenset()
        self._own = View()
        self._others: OrderedDict[frozenset[bytes], View] = OrderedDict()
        self._loading = asyncio.Lock()
        #: Set once everything is read: links wait for it, and nobody else does.
        self.loaded = asyncio.Event()

    def start(self, nodes: Iterable[bytes]) -> None:
        """Load from the store, which takes seconds, and follow the journal from there."""
        changes = self._fanout.subscribe()
        self._spawn(self._run(frozenset(nodes), changes), "sets.follow")

    async def _run(self, nodes: frozenset[bytes], changes: Subscription) -> None:
        self._nodes = nodes
        await self._load_again()
        self.loaded.set()
        await self._follow(changes)

    async def admit(self, nodes: Iterable[bytes]) -> None:
        """Other nodes are admitted now: the accounts they stand for come in or go out.

        A stranger that links stands for few, and must not make this node read its whole store.
        """
        admitted = frozenset(nodes)
        await self.loaded.wait()
        try:
            await self._turn(admitted)
        except sqlite3.Error as error:  # half of the accounts may have turned
            log.error("sets_missed", error=repr(error))
            await self._load_again(admitted)

    async def _turn(self, admitted: frozenset[bytes]) -> None:
        turned = sorted(admitted ^ self._nodes)
        accounts = await self._db.read(partial(_stood_for, nodes=turned))
        if len(accounts) > ACCOUNTS_TURNED_MAX:
            await self._load(admitted)
            return
        async with self._loading:
            view = self._own.fork()
            for account in sorted(accounts):
                await self._load_account(account, [(admitted, view)])
            self._change(admitted, view)

    async def _load(self, nodes: frozenset[bytes] | None) -> None:
        """Read everything again, for other nodes or those that are admitted when it begins."""
        async with self._loading:
            chosen = self._nodes if nodes is None else nodes
            self._change(chosen, await load_view(self._db, chosen))

    def _change(self, nodes: frozenset[bytes], view: View) -> None:
        """Have other nodes and their view together: who compares in between would take one for
        the other.
        """
        self._nodes, self._own = nodes, view
        self._others.clear()

    async def window(self, scope: Scope, nodes: Iterable[bytes], since_ms: int) -> Window:
        """The set of a scope over what `nodes` and this node admit, from `since_ms` on."""
        await self.loaded.wait()
        since_s = max(0, seconds(since_ms)) if since_ms else 0
        return Window((await self._view(frozenset(nodes))).indexes[scope], since_s)

    async def private(self, account: bytes) -> Window:
        """The private set of one account, read from the store."""

        def load(db: sqlite3.Connection) -> Index:
            row = read.account(db, account)
            index = Index()
            for member in read.members(db, [row.n] if row else []):
                if kind_class(member.kind).scope is Scope.PRIVATE:
                    index.insert(seconds(member.created_ms), member.id)
            return index

        return Window(await self._db.read(load))

    async def account(self, account: bytes, nodes: Iterable[bytes]) -> Window:
        """All public headers of one account, if both this node and `nodes` carry it."""
        await self.loaded.wait()
        common = self._nodes & frozenset(nodes)

        def load(db: sqlite3.Connection) -> Index:
            row = read.account(db, account)
            carried = not common.isdisjoint(linked.hosts_of(db, [account])[account])
            return Index(
                (seconds(member.created_ms), member.id)
                for member in read.members(db, [row.n] if row and carried else [])
                if kind_class(member.kind).scope is not Scope.PRIVATE
            )

        return Window(await self._db.read(load))

    @property
    def nodes(self) -> frozenset[bytes]:
        """The nodes whose accounts these sets hold."""
        return self._nodes

    def state(self) -> dict[Scope, tuple[int, bytes]]:
        """Count and fingerprint of every public scope, as this node admits; once it is loaded."""
        return {scope: (len(index), index.digest()) for scope, index in self._own.indexes.items()}

    async def _view(self, nodes: frozenset[bytes]) -> View:
        """The view of what `nodes` and this node admit."""
        while (common := self._nodes & nodes) != self._nodes:
            found = self._others.get(common)
            if found is not None:
                self._others.move_to_end(common)
                return found
            async with self._loading:  # while one waits for its turn, other nodes may be let in
                await self._make(self._nodes & nodes)
        return self._own

    async def _make(self, common: frozenset[bytes]) -> None:
        if common not in self._others:  # else made while this one waited for its turn
            self._others[common] = await part_of(self._db, self._own, common)
            while len(self._others) > OTHER_VIEWS_MAX:
                self._others.popitem(last=False)

    async def _follow(self, changes: Subscription) -> None:
        while True:
            commit = await changes.next()
            try:
                if commit is not None:
                    await self._take(commit)
                    continue
            except Exception as error:  # whatever it was: the store has what was not taken
                bug = not isinstance(error, sqlite3.Error)
                log.error("sets_missed", error=repr(error), exc_info=bug)
            await self._load_again()

    async def _load_again(self, nodes: frozenset[bytes] | None = None) -> None:
        """Read everything, however long the store cannot do it."""
        outage = Outage("sets_wait")
        while True:
            try:
                await self._load(nodes)
            except sqlite3.Error as error:
                outage.failed(error)
                await self._clock.sleep_ms(RETRY_MS)
            else:
                outage.over()
                return

    async def _take(self, commit: Committed) -> None:
        async with self._loading:
            again: set[bytes] = set()
            records: list[Change] = []
            for change in commit.changes:
                if change.what is What.ACCOUNT:
                    again.add(change.account)
                elif change.what is not What.NODES:
                    records.append(change)
            await self._place({change.account for change in records})
            for _, view in self._views():
                view.put(
                    change
                    for change in records
                    # What goes is taken out of every view: one may have been made while it went.
                    if change.account in view.accounts or not change.member
                )
            for account in sorted(again):
                await self._load_account(account, self._views())

    def _views(self) -> list[tuple[frozenset[bytes], View]]:
        return [(self._nodes, self._own), *self._others.items()]

    async def _place(self, accounts: set[bytes]) -> None:
        """New accounts: whose they are, the store knows."""
        new = {
            account for _, view in self._views() for account in accounts if not view.knows(account)
        }
        if new:
            hosts = await self._db.read(partial(linked.hosts_of, accounts=sorted(new)))
            for nodes, view in self._views():
                for account, standing in hosts.items():
                    view.place(account, not nodes.isdisjoint(standing))

    async def _load_account(
        self, account: bytes, views: Sequence[tuple[frozenset[bytes], View]]
    ) -> None:
        """Hosting of an account changed: its headers come in or go out."""

        def load(db: sqlite3.Connection) -> tuple[frozenset[bytes], list[read.Member]]:
            row = read.account(db, account)
            standing = linked.hosts_of(db, [account])[account]
            return standing, list(read.members(db, [row.n] if row else []))

        standing, members = await self._db.read(load)
        for nodes, view in views:
            carried = not nodes.isdisjoint(standing)
            view.place(account, carried)
            view.put(
                Change(0, What.STATUS, id_, account, kind, created_ms, carried, shown=False)
                for kind, created_ms, id_ in members
            )
