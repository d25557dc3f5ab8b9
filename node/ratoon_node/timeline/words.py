"""The chapter of the digest that keeps the words of posts and people, and who cleans up behind it.

Of a post its texts as they are read now are kept (text, warning, descriptions of pictures, options
of a poll) and marks (see `terms`); of a person the name and the bio of the profile and the handles.
What is limited is not kept. Words whose record was deleted must leave the files too: the chapter
marks their table, and `Cleaner` makes it anew.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from functools import partial

from ratoon_node.policy.verdict import Verdict
from ratoon_node.runtime import Clock, Spawn
from ratoon_node.store import read, words
from ratoon_node.store.db import Db
from ratoon_node.store.failing import Outage
from ratoon_node.store.rows import Bytes, Row
from ratoon_node.store.words import Shard, Texts, Words
from ratoon_node.timeline import terms
from ratoon_node.timeline.digest import Digest, Seen, body_of
from ratoon_protocol import bodies, kinds
from ratoon_protocol.record import Body
from ratoon_protocol.status import Status

# Pause before the log is cut again while a reader still needs it.
RETRY_MS = 200
# Pause between two rounds, and after the disk refused: what goes meanwhile shares a copy.
PAUSE_MS = 1000
# What says how somebody is called.
_NAMING_KINDS = frozenset({kinds.PROFILE, kinds.IDENTITY})


class WordChapter:
    """See `digest.Chapter`."""

    def take(self, db: sqlite3.Connection, seen: Sequence[Seen], now_ms: int) -> None:
        """Replace the words of these records."""
        rows = [(one.n, _of_post(one)) for one in seen]
        gone = words.replace(db, Words.POSTS, rows, {one.n for one in seen if one.fresh})
        # Words that others follow stay: the version they are of is still here. With the last
        # version, or with an edit whose bytes went, the table is made anew, and all of them go.
        left = {n for n, texts in rows if texts is None} & gone
        if marked := left | _lost_edits(seen):
            words.note_erased(db, Words.POSTS, marked)
        self._take_people(db, seen)

    def _take_people(self, db: sqlite3.Connection, seen: Sequence[Seen]) -> None:
        """Whoever's profile or head is among what changed, as both are now."""
        changed = {
            one.row.account for one in seen if one.row is not None and one.row.kind in _NAMING_KINDS
        }
        numbers = [one.n for one in seen if one.row is None or one.row.kind == kinds.PROFILE]
        if numbers:
            changed |= words.people_of_profiles(db, numbers)
        if not changed:
            return
        gone = words.replace(db, Words.PEOPLE, [(n, _keep_person(db, n)) for n in sorted(changed)])
        # An older profile's bytes are erased with its successor; a handle given up is nobody's.
        words.note_erased(db, Words.PEOPLE, gone)


def _lost_edits(seen: Iterable[Seen]) -> set[int]:
    """Posts of accounts that lost the bytes of an edit: the digest hands over what it was of."""
    losers = {
        one.row.account
        for one in seen
        if one.row is not None
        and one.row.kind == kinds.EDIT
        and one.row.bytes_state not in (Bytes.HERE, Bytes.WANTED)
    }
    return {
        one.n
        for one in seen
        if one.row is not None and one.row.kind == kinds.POST and one.row.account in losers
    }


def _of_post(one: Seen) -> Texts:
    row, body = one.row, one.body
    if row is None or body is None or row.kind != kinds.POST:
        return None
    if row.disposition >= Verdict.LIMIT:
        return None
    text = post_document(row.account, row.created_ms, body)
    return (text,) if text else None


def post_document(account: int, created_ms: int, body: Body) -> str:
    """What is kept of a post to be searched; `account` is this store's number."""
    marks = [terms.author_mark(account), terms.day_mark(created_ms)]
    marks += dict.fromkeys(terms.tag_mark(tag) for tag in bodies.tags(kinds.POST, body))
    if "lang" in body:
        marks += terms.language_marks(body["lang"])
    texts = [body["text"], body.get("warning", "")]
    texts += [picture["alt"] for picture in bodies.media(kinds.POST, body)]
    texts += body.get("poll", {}).get("options", ())
    return terms.document(texts, marks)


def _keep_person(db: sqlite3.Connection, n: int) -> Texts:
    """The words of an account as it is now; notes whether it has any, and from which profile."""
    id_ = read.account_id(db, n)
    profile = read.current(db, n, kinds.PROFILE)
    body = _shown_profile(profile)
    names, lines = [*read.handles(db, id_)], []
    if body is not None:
        names.insert(0, body["name"])
        lines = [body["bio"], *(part for row in body.get("fields", ()) for part in row)]
    name, bio = terms.document(names), terms.document(lines)
    account = read.account(db, id_)
    if account is None or account.vanished_ms is not None or not (name or bio):
        words.forget_person(db, n)
        return None
    words.keep_person(db, n, profile.n if profile is not None and body is not None else None)
    return name, bio


def _shown_profile(profile: Row | None) -> Body | None:
    if profile is None or profile.status is not Status.LIVE or profile.disposition >= Verdict.LIMIT:
        return None
    return body_of(profile) if profile.bytes_state is Bytes.HERE else None


class Cleaner:
    """Makes tables anew that still have words which are gone everywhere else, then cuts the log.

    While one table is copied the digest stands still; everybody else writes between the slices.
    """

    def __init__(self, db: Db, digest: Digest, clock: Clock, spawn: Spawn) -> None:
        self._db = db
        self._digest = digest
        self._clock = clock
        self._spawn = spawn
        self._turn = asyncio.Lock()
        #: What the digest took out that is cut out of the log (see `Digest.taken_out`). A start
        #: has cut the log, whatever was in it.
        self._cut = 0

    def start(self) -> None:
        """Begin with what an earlier run has left."""
        self._spawn(self._run(), "timeline.cleaner")

    async def _run(self) -> None:
        outage = Outage("cleaner_waits")
        while True:
            position, cut = self._digest.position, self._cut
            try:
                if await self.clean() or cut != self._cut:
                    await self._clock.sleep_ms(PAUSE_MS)  # what goes meanwhile shares the next cut
            except sqlite3.Error as error:  # a full disk: the words wait, and nothing else does
                outage.failed(error)
                await self._clock.sleep_ms(PAUSE_MS)
            else:
                outage.over()
                await self._digest.reached(position + 1)

    async def clean(self) -> int:
        """Return once no file has a word that was to be gone when this was called; how many
        tables were made anew.
        """
        async with self._turn:
            shards = await self._db.read(words.erased)
            for shard in shards:
                async with self._digest.still:
                    await self._make_anew(shard)
            while self._cut != self._digest.taken_out or await self._db.read(words.uncut):
                taken_out = self._digest.taken_out
                if await self._db.checkpoint():
                    await self._db.write(words.note_cut)
                    self._cut = taken_out
                else:
                    await self._clock.sleep_ms(RETRY_MS)
            return len(shards)

    async def _make_anew(self, shard: Shard) -> None:
        fresh = await self._db.write(partial(words.begin_anew, shard=shard))
        after: int | None = -1
        while after is not None:
            copy = partial(words.copy_slice, shard=shard, fresh=fresh, after=after)
            after = await self._db.write(copy)
            await self._clock.sleep_ms(0)
        await self._db.write(partial(words.finish_anew, shard=shard, fresh=fresh))
