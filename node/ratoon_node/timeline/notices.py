"""The chapter of notifications: whom of those at home here a record concerns, told once.

Whoever reads asks `Viewer` about each record, so a block hides what somebody was told. What is
taken back (a reaction, a follow, a mention that an edit removes) is gone; given again it stands
at its old place, so nobody can ring twice with one thing.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

import structlog

from ratoon_node.runtime import Clock, Spawn
from ratoon_node.store import digested, notices
from ratoon_node.store.db import Db
from ratoon_node.store.notices import Notice, Place, Told
from ratoon_node.store.rows import Row
from ratoon_node.timeline.digest import FLOOD_SLICE_LINES, Seen, body_of, kept
from ratoon_protocol import kinds
from ratoon_protocol.bodies import FACET_MENTION
from ratoon_protocol.record import Body

# What one account keeps; the oldest go.
NOTICES_PER_ACCOUNT_MAX = 2000
# Of these one author has so many: who shouts pushes out nobody but themselves.
NOTICES_PER_AUTHOR_MAX = 200
# And how long. What was made before that is news to nobody.
NOTICE_MS_MAX = 90 * 86_400_000
# Old ones let go of with each slice: more than a slice of ordinary life brings.
EXPIRED_PER_SLICE = 500
# Records about a post that came before it: whoever answers has read it, so there are few.
EARLY_MAX = 200
# Polls whose end is awaited, those that end first.
POLLS_MAX = 100_000
# No poll is awaited for longer.
POLL_MS_MAX = 366 * 86_400_000
# How late people hear of the end of a poll.
POLL_CHECK_MS = 5000
# Voters of one poll who are told in one transaction: some 30 ms, which publishing waits for.
VOTERS_PER_STEP = 200

log = structlog.get_logger()


class Bells:
    """Wakes those who wait for notifications, once the commit that has them is on disk."""

    def __init__(self) -> None:
        self._waiting: dict[int, dict[asyncio.Event, None]] = {}
        self._told: set[int] = set()

    def listen(self, account: int) -> asyncio.Event:
        """An event that is set when the account (by this store's number) was told something."""
        event = asyncio.Event()
        self._waiting.setdefault(account, {})[event] = None
        return event

    def leave(self, account: int, event: asyncio.Event) -> None:
        """Wake it no more."""
        waiting = self._waiting.get(account, {})
        waiting.pop(event, None)
        if not waiting:
            self._waiting.pop(account, None)

    def note(self, accounts: Iterable[int]) -> None:
        """These are told something by the transaction under way."""
        self._told.update(accounts)

    def ring(self) -> None:
        """The transaction is on disk."""
        told, self._told = self._told, set()
        for account in told:
            for event in self._waiting.get(account, ()):
                event.set()


class Notices:
    """Keeps `notice` and `poll_due`."""

    def __init__(self, own: bytes, bells: Bells) -> None:
        self._own = own
        self._bells = bells

    def take(self, db: sqlite3.Connection, seen: Sequence[Seen], now_ms: int) -> None:
        """See `digest.Chapter`."""
        own = notices.number_of(db, self._own)
        if own is None:
            return
        notices.forget(db, [one.n for one in seen if one.row is None])
        notices.take_back(db, kept(seen))
        finder = _Finder(db, own, now_ms - NOTICE_MS_MAX)
        told = [found for one in seen for found in finder.concerned(one)]
        told += [found for one in _early(db, seen) for found in finder.concerned(one)]
        self._bells.note(_write(db, told, now_ms))
        notices.expire(db, now_ms - NOTICE_MS_MAX, EXPIRED_PER_SLICE)
        self._await_polls(db, seen, now_ms)

    def _await_polls(self, db: sqlite3.Connection, seen: Sequence[Seen], now_ms: int) -> None:
        """Remember when polls end; one that had ended before it was seen is no news."""
        fresh = False
        for one in seen:
            if one.row is not None and one.row.kind != kinds.POST:
                continue
            poll = one.body.get("poll") if one.body is not None else None
            if poll is None or poll["ends_ms"] > now_ms + POLL_MS_MAX:
                if not one.fresh:
                    notices.drop_poll(db, one.n)
            elif poll["ends_ms"] > now_ms:
                notices.await_poll(db, one.n, poll["ends_ms"])
                fresh = True
            else:
                notices.move_poll(db, one.n, poll["ends_ms"])
        if fresh:
            notices.bound_polls(db, POLLS_MAX)


class _Finder:
    """Who is concerned by records of one slice; hosts and authors looked up once."""

    def __init__(self, db: sqlite3.Connection, own: int, made_after_ms: int) -> None:
        self._db = db
        self._own = own
        self._made_after_ms = made_after_ms
        self._hosted: dict[bytes, bool] = {}

    def hosts(self, account: bytes) -> bool:
        """Whether this node hosts the account."""
        if account not in self._hosted:
            self._hosted[account] = notices.hosts(self._db, self._own, account)
        return self._hosted[account]

    def concerned(self, one: Seen) -> Iterator[Told]:
        """What a readable record tells people at home here; never its own author."""
        if one.row is None or one.body is None or one.row.created_ms < self._made_after_ms:
            return
        for told in self._of(one.row, one.body):
            if told.account != one.row.account:
                yield told

    def _of(self, row: Row, body: Body) -> Iterator[Told]:
        if row.kind == kinds.POST:
            yield from self._of_post(row, body)
        elif row.kind == kinds.REPOST:
            yield from self._about(row, Notice.REPOST, body["target"])
        elif row.kind == kinds.REACTION and body["state"]:
            yield from self._about(row, Notice.REACTION, body["target"])
        elif row.kind == kinds.FOLLOW and body["state"]:
            yield from self._to(row, Notice.FOLLOW, body["target"], 0)

    def _of_post(self, row: Row, body: Body) -> Iterator[Told]:
        """A reply that also mentions is a reply: each is told one thing of one post."""
        told: set[int] = set()
        mentioned = [facet[3] for facet in body.get("facets", ()) if facet[2] == FACET_MENTION]
        found = [
            *self._about(row, Notice.REPLY, body.get("parent")),
            *self._about(row, Notice.QUOTE, body.get("quote")),
            *(told for account in mentioned for told in self._to(row, Notice.MENTION, account)),
        ]
        for one in found:
            if one.account not in told:
                told.add(one.account)
                yield one

    def _about(self, row: Row, what: Notice, id_: bytes | None) -> Iterator[Told]:
        """Told to the author of a record, as the record here says, whatever is claimed."""
        target = notices.place_of(self._db, id_) if id_ is not None else None
        if target is not None and self.hosts(target.account):
            subject = row.n if what in (Notice.REPLY, Notice.QUOTE) else target.n
            yield Told(target.author, what, row.account, subject, row.n, target.n)

    def _to(
        self, row: Row, what: Notice, account: bytes, subject: int | None = None
    ) -> Iterator[Told]:
        """Told to an account that is named."""
        number = notices.number_of(self._db, account) if self.hosts(account) else None
        if number is not None:
            yield Told(number, what, row.account, row.n if subject is None else subject, row.n)


def _early(db: sqlite3.Connection, seen: Sequence[Seen]) -> list[Seen]:
    """What came before the post it is about, where that post has just become readable."""
    new = [
        one.row.id
        for one in seen
        if one.row is not None
        and one.body is not None
        and one.row.shown is not None
        and one.row.shown > one.position - FLOOD_SLICE_LINES
        and one.local
    ]
    numbers = {n for id_ in notices.answered(db, new) for n in notices.about(db, id_, EARLY_MAX)}
    numbers -= {one.n for one in seen}
    return [
        Seen(taken.row.n, taken.row, taken.account, body_of(taken.row), 0, False, False)
        for _, taken in sorted(digested.taken(db, sorted(numbers)).items())
        if taken.readable
    ]


class Happenings:
    """What people are told by time or by decision: ends of polls, outcomes of reports."""

    def __init__(self, own: bytes, db: Db, clock: Clock, spawn: Spawn, bells: Bells) -> None:
        self._own = own
        self._db = db
        self._clock = clock
        self._spawn = spawn
        self._bells = bells
        #: The poll whose voters are being told, and the last of them who was.
        self._told_upto: dict[int, int] = {}

    def start(self) -> None:
        """Watch for polls that end."""
        self._spawn(self._run(), "timeline.polls")

    async def _run(self) -> None:
        while True:
            try:
                while await self.step():
                    pass
            except sqlite3.Error as error:  # a full disk, a lock: in a moment
                log.warning("polls_wait", error=type(error).__name__)
            await self._clock.sleep_ms(POLL_CHECK_MS)

    async def step(self) -> bool:
        """Tell some of those concerned that a poll has ended; whether there may be more."""
        now_ms = self._clock.now_ms()
        due = await self._db.read(lambda db: notices.polls_due(db, now_ms, 1))
        if not due:
            return False
        (poll,) = due
        after = self._told_upto.get(poll, 0)
        upto = await self._db.write(lambda db: self._end_poll(db, poll, after, now_ms))
        self._told_upto = {} if upto is None else {poll: upto}
        self._bells.ring()
        return True

    def _end_poll(self, db: sqlite3.Connection, n: int, after: int, now_ms: int) -> int | None:
        """Tell the next voters; the last one told, None once all are. Told twice is told once."""
        own = notices.number_of(db, self._own)
        poll = digested.taken(db, [n]).get(n)
        if own is None or poll is None or not poll.readable:
            notices.drop_poll(db, n)
            return None
        row, account = poll.row, poll.account
        voters = notices.voters(db, own, row.id, after, VOTERS_PER_STEP)
        told = set(voters)
        if notices.hosts(db, own, account):
            told.add(row.account)
        self._tell(db, [Told(one, Notice.POLL, row.account, n, n) for one in told], now_ms)
        if len(voters) == VOTERS_PER_STEP:
            return voters[-1]
        notices.drop_poll(db, n)
        return None

    async def report_ended(self, reporter: bytes, record: bytes, outcome: str) -> bool:
        """Tell somebody at home here what became of their report about a record.

        `outcome` is one word for people's clients. False if there is nobody to tell.
        """
        now_ms = self._clock.now_ms()

        def run(db: sqlite3.Connection) -> bool:
            own, about = notices.number_of(db, self._own), notices.place_of(db, record)
            account = notices.number_of(db, reporter)
            if own is None or about is None or account is None:
                return False
            if not notices.hosts(db, own, reporter):
                return False
            self._tell(db, [_outcome(account, about, outcome)], now_ms)
            return True

        done = await self._db.write(run)
        self._bells.ring()
        return done

    def _tell(self, db: sqlite3.Connection, told: Sequence[Told], now_ms: int) -> None:
        self._bells.note(_write(db, told, now_ms))


def _write(db: sqlite3.Connection, told: Sequence[Told], now_ms: int) -> set[int]:
    """Write down what people are told; the accounts that hear something new."""
    fresh = {(one.account, one.author) for one in told if notices.tell(db, one, now_ms)}
    notices.prune(db, fresh, NOTICES_PER_ACCOUNT_MAX, NOTICES_PER_AUTHOR_MAX)
    return {account for account, _ in fresh}


def _outcome(account: int, about: Place, outcome: str) -> Told:
    return Told(account, Notice.REPORT, about.author, about.n, about.n, None, outcome)
