"""What is derived from records: one consumer of the journal that keeps every derived table.

Threads, tags, counts, notifications, words to search for, trends: each is a *chapter*. The
digest reads the journal's lines in slices, looks at each record that changed as it is now, and
hands it to all chapters in one transaction, which also saves how far it came. A chapter replaces
what it keeps of a record, so going over a line twice changes nothing, and setting the position
back to 0 makes everything anew.

It lags behind the gate by a moment (longer under a flood) and decides nothing: whoever reads a
derived table asks `Viewer` about every record it names.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import structlog

from ratoon_node.fanout import Fanout
from ratoon_node.runtime import Clock, Spawn
from ratoon_node.store import digested, listed, read
from ratoon_node.store.arrivals import Arrivals, Taken
from ratoon_node.store.db import Db, Replayable
from ratoon_node.store.failing import Outage, passes
from ratoon_node.store.read import Line
from ratoon_node.store.rows import Row
from ratoon_protocol import bodies, compose, kinds, record
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.record import Body

#: Journal lines of one transaction: some 25 ms of the writer, which publishing waits for.
SLICE_LINES = 500
# And where more comes in than that between two of them: as many as the gate commits at once, or it
# would fall behind the gate for as long as a flood lasts.
FLOOD_SLICE_LINES = 3000
# What comes within this time is one slice; and in a flood, where a slice has more than usual.
GATHER_MS, FLOOD_GATHER_MS = 100, 400
# After the disk refused.
RETRY_MS = 1000
# Of what the chapters keep words and names: tags, marks, how somebody is called.
_WORDED = frozenset({kinds.POST, kinds.EDIT, kinds.PROFILE})
log = structlog.get_logger()


class Seen(NamedTuple):
    """A record that changed, as it is now.

    `row` is None and `account` empty if the header is gone. `body` is there if the record is
    readable: live, its bytes here, not held or worse; a post's is that of its newest edit. What
    hides a whole account (a block, a vanish) is no part of it: readers ask for that. `position`
    is the journal line that led here.
    """

    n: int
    row: Row | None
    account: bytes
    body: Body | None
    position: int
    #: Nothing was ever kept of it, so there is nothing to replace.
    fresh: bool
    #: This node hosts its author now.
    local: bool

    @property
    def readable(self) -> bool:
        """Whether there is anything to keep of it."""
        return self.body is not None


def kept(seen: Iterable[Seen]) -> list[int]:
    """The numbers of those of which something may be kept."""
    return [one.n for one in seen if not one.fresh]


class Chapter(Protocol):
    """One family of derived tables."""

    def take(self, db: sqlite3.Connection, seen: Sequence[Seen], now_ms: int) -> None:
        """Replace what is kept of these records; nothing is kept of one that is not readable."""
        ...


@runtime_checkable
class Sweeper(Protocol):
    """A chapter in which one record may concern thousands of others: it goes over them later."""

    def waits(self, db: sqlite3.Connection) -> bool:
        """Whether there is something to go over."""
        ...

    def sweep(self, db: sqlite3.Connection) -> None:
        """Go over some of it, and write down how far that came."""
        ...


class Digest:
    """Follows the journal and keeps the chapters' tables. `own` is the node's account."""

    def __init__(
        self,
        db: Db,
        fanout: Fanout,
        clock: Clock,
        spawn: Spawn,
        own: bytes,
        chapters: Sequence[Chapter],
        arrivals: Arrivals | None = None,
    ) -> None:
        self._db = db
        self._own = own
        self._clock = clock
        self._spawn = spawn
        self._chapters = chapters
        #: What the gate has just stored, so that it need not be read; whatever is not there is.
        self._arrivals = arrivals if arrivals is not None else Arrivals()
        self._commits = fanout.subscribe()
        self._moved = asyncio.Event()
        self._outage = Outage("digest_waits")
        #: The journal's end when the last slice was taken.
        self._end = 0
        #: How long more was waited for since then, and whether much comes in.
        self._gathered_ms = GATHER_MS
        self._flood = False
        #: Held by whoever needs the derived tables to stay as they are for a moment.
        self.still = asyncio.Lock()
        #: Called after each slice that is on disk.
        self.observers: list[Callable[[], None]] = []
        #: Everything up to this line is in the derived tables.
        self.position = 0
        #: Slices that took words out of derived tables: the log still has them, until it is cut.
        self.taken_out = 0

    async def start(self) -> None:
        """Go on where the last run stopped."""
        self.position = await self._db.read(digested.position)
        self._spawn(self._run(), "timeline.digest")

    async def reached(self, position: int) -> None:
        """Return once everything up to a journal line is in the derived tables."""
        while self.position < position:
            self._moved.clear()
            await self._moved.wait()

    async def _run(self) -> None:
        """Follow the journal for ever; what was missed is read from it like everything else."""
        while True:
            self._commits.drop()  # the journal has it
            if await self._advance(await self._lines()) or await self._sweep():
                self._gathered_ms = 0
            else:
                await self._commits.next()
                self._gathered_ms = FLOOD_GATHER_MS if self._flood else GATHER_MS
            await self._clock.sleep_ms(self._gathered_ms)

    async def _lines(self) -> int:
        """How many lines the next slice may have. In a flood few large slices write far less than
        many small ones (the full-text index merges less), so then more is waited for.
        """
        try:
            end = await self._db.read(read.journal_end)
        except sqlite3.Error:
            return SLICE_LINES  # taking them will find the same, and say so
        arrived, self._end = end - self._end, end
        if self._gathered_ms:
            self._flood = arrived * GATHER_MS >= SLICE_LINES * self._gathered_ms
        elif arrived >= SLICE_LINES:
            self._flood = True
        return FLOOD_SLICE_LINES if self._flood else SLICE_LINES

    async def _advance(self, most: int) -> bool:
        """Whether there is more to take at once. No record and no full disk stops the digest."""
        try:
            more = await self._take(most)
        except Exception as error:
            if passes(error):
                self._outage.failed(error)
                await self._clock.sleep_ms(RETRY_MS)
            else:
                await self._take_singly(most)
            return True
        self._outage.over()
        return more

    async def _take(self, most: int, skip: bool = False) -> bool:
        """One slice of at most so many lines; False if the journal's end was reached.

        With `skip` the position moves on and nothing is taken.
        """
        since, now_ms = self.position, self._clock.now_ms()

        def take(db: sqlite3.Connection) -> tuple[int, bool, bool]:
            lines = read.journal(db, since, most)
            if not lines:
                return since, False, False
            seen: list[Seen] = []
            if not skip:
                seen = look(db, lines, self._own, self._arrivals)
                for chapter in self._chapters:
                    chapter.take(db, seen, now_ms)
                _note_highest(db, seen)
            digested.save_position(db, lines[-1].n)
            return lines[-1].n, len(lines) == most, any(map(_took_words, seen))

        if not await self._db.read(lambda db: bool(read.journal(db, since, 1))):
            return False  # nothing to write is nothing to sync
        async with self.still:
            self.position, more, words = await self._db.write(Replayable(take))
        self.taken_out += words
        self._moved.set()
        for observer in self.observers:
            observer()
        return more

    async def _sweep(self) -> bool:
        """Whether a chapter went over something of what waits."""
        for chapter in self._chapters:
            if not isinstance(chapter, Sweeper):
                continue
            try:
                if await self._db.read(chapter.waits):
                    async with self.still:
                        await self._db.write(chapter.sweep)
                    return True
            except sqlite3.Error as error:  # a full disk: with the next commit
                log.warning("sweep_waits", error=type(error).__name__)
            except Exception:  # a bug costs one chapter's sweep, and not all that follow
                log.exception("sweep_failed", chapter=type(chapter).__name__)
        return False

    async def _take_singly(self, lines: int) -> None:
        """A slice in which something crashed, line by line: a bug costs one record, no more."""
        for _ in range(lines):
            try:
                if not await self._take(1):
                    return
            except Exception as error:
                if passes(error):
                    return  # tried again like any other slice
                log.exception("digest_skipped", line=self.position + 1)
                try:
                    await self._take(1, skip=True)
                except sqlite3.Error as refused:  # no bug in a chapter: the store takes nothing
                    self._outage.failed(refused)
                    await self._clock.sleep_ms(RETRY_MS)
                    return


def look(
    db: sqlite3.Connection, lines: Iterable[Line], own: bytes, arrivals: Arrivals
) -> list[Seen]:
    """Every record that the lines name, once, as it is now; and the posts that edits are of."""
    positions = {line.record: line.n for line in lines if line.record is not None}
    taken = digested.taken(db, list(positions), arrivals)
    authors = {one.account for one in taken.values()}
    local = read.hosted_among(db, own, list(authors)) if authors else set()
    highest = digested.highest(db)

    def seen(n: int, taken: Taken | None, position: int) -> Seen:
        if taken is None:
            return Seen(n, None, b"", None, position, fresh=False, local=False)
        body = _body(taken) if taken.readable else None
        here = taken.account in local
        return Seen(n, taken.row, taken.account, body, position, n > highest, here)

    found = {n: seen(n, taken.get(n), position) for n, position in positions.items()}
    for edit in [one for one in found.values() if _kind(one) == kinds.EDIT]:
        for post in digested.edited_by(db, edit.n):  # of the same author
            if post.row.n not in found or found[post.row.n].readable:
                found[post.row.n] = seen(post.row.n, post, edit.position)
    return as_edited(db, list(found.values()))


def _took_words(one: Seen) -> bool:
    """Whether words of a record may have been in derived tables that are not to be there now."""
    worded = one.row is None or one.row.kind in _WORDED
    return worded and not one.fresh and not one.readable


def _note_highest(db: sqlite3.Connection, seen: Sequence[Seen]) -> None:
    fresh = [one.n for one in seen if one.fresh]
    if fresh:
        digested.save_highest(db, max(fresh))


def as_edited(db: sqlite3.Connection, found: Sequence[Seen]) -> list[Seen]:
    """Posts with the words of their newest edits, as far as these can be read."""
    posts = [one.n for one in found if one.body is not None and _kind(one) == kinds.POST]
    newest = listed.edits_of(db, posts) if posts else {}
    edits = digested.taken(db, list(newest.values()))
    return [_edited(one, edits.get(newest.get(one.n, 0))) for one in found]


def _edited(one: Seen, edit: Taken | None) -> Seen:
    if one.body is None or edit is None or not edit.readable:
        return one
    body = body_of(edit.row)
    return one if body is None else one._replace(body=compose.edited(one.body, body))


def _body(taken: Taken) -> Body | None:
    if taken.body is not None:
        return bodies.own(taken.row.kind, taken.body)
    return body_of(taken.row)


def body_of(row: Row) -> Body | None:
    """The body of a stored record; None if a disk has changed it."""
    if row.payload is None:
        return None
    try:
        return bodies.own(row.kind, record.decode_payload(row.payload))
    except ProtocolError:
        return None


def _kind(one: Seen) -> int:
    return one.row.kind if one.row is not None else 0
