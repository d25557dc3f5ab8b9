"""What people of a made-up network do day by day: they write, answer, share, react and regret."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate
from typing import NamedTuple, TypeVar

from ratoon_node.operate.seed.people import Made, Person, Plan, readers
from ratoon_node.operate.seed.speech import REACTIONS, Speech, zipf
from ratoon_protocol import kinds
from ratoon_protocol.limits import DAY_MS, RECORDS_PER_KEY_LANE_DAY_MAX, SALT_BYTES
from ratoon_protocol.record import Body

# Of a day's records how many fall into each hour (UTC): the world sleeps a little.
RHYTHM = (3, 2, 2, 2, 2, 3, 4, 6, 7, 7, 6, 6, 7, 7, 6, 6, 6, 7, 8, 9, 10, 9, 7, 5)
HOUR_MS = DAY_MS // 24
# Replies of the thread whose size is known.
THREAD_REPLIES = 1000
# Posts that people talk about now: each takes places by how much it appeals, at most half of them.
PLACES = 4096
# Own posts that are still changed or taken back.
CHANGED = 4096
POLLS = 256
# Of so many records so many are deletes, all at once: a store cuts its log after each.
CLEARED_EVERY = 2000
CLEARED = 8
# One person's records of one day, well below the cap of a lane.
DAY_RECORDS_MAX = RECORDS_PER_KEY_LANE_DAY_MAX // 2


#: What somebody does at a time; None if there is nothing to do it to.
Act = Callable[[Person, int], Made | None]
T = TypeVar("T")


class Post(NamedTuple):
    """A post that others may answer."""

    id: bytes
    author: bytes
    root: bytes
    root_author: bytes


class Written(NamedTuple):
    """A post that its author may change or take back."""

    author: Person
    id: bytes


class Poll(NamedTuple):
    """A poll and how many options it has."""

    id: bytes
    options: int


class Thread:
    """The thread with exactly `THREAD_REPLIES` replies: it grows a reply at a time, and nobody
    else finds it.
    """

    def __init__(self, acts: int) -> None:
        self.start = acts // 2
        self.step = max(1, acts // 4 // THREAD_REPLIES)
        self.posts: list[Post] = []
        #: Whether there is time for all replies.
        self.fits = acts - self.start > THREAD_REPLIES * 11 // 10

    def due(self, act: int) -> bool:
        """Whether its next post is written now."""
        return (
            self.fits
            and len(self.posts) <= THREAD_REPLIES
            and act >= self.start
            and (act - self.start) % self.step == 0
        )


class Days:
    """The life of a network, record by record in the order of time; bounded in memory."""

    def __init__(self, plan: Plan, people: list[Person]) -> None:
        self._plan = plan
        self._people = people
        self._rng = plan.chance("days")
        self._speech = Speech(plan.chance("days' words"))
        self._busy = zipf(len(people), 0.8, flat=10)
        self._talk: list[Post] = []
        self._written: list[Written] = []
        self._polls: list[Poll] = []
        self._day = 0
        self._today: dict[int, int] = {}
        exact = readers(people)
        self._settled = frozenset(one.number for one in exact) if exact else frozenset[int]()
        acts: list[tuple[int, Act]] = [
            (295, self._post),
            (240, self._reply),
            (270, self._react),
            (80, self._repost),
            (40, self._quote),
            (30, self._vote),
            (20, self._edit),
            (25, self._follow),
        ]
        self._acts = [act for _, act in acts]
        self._odds = list(accumulate(odds for odds, _ in acts))
        #: The first post of the thread with a known number of replies, once it is written.
        self.thread: bytes | None = None

    def records(self, count: int) -> Iterator[Made]:
        """So many records."""
        thread = Thread(count)
        for number, at_ms in enumerate(self._times(count)):
            person = self._somebody(at_ms)
            act = self._next(number, thread)
            yield act(person, at_ms) or self._post(person, at_ms)

    def _next(self, number: int, thread: Thread) -> Act:
        """What is done in the place `number`."""
        if number % CLEARED_EVERY >= CLEARED_EVERY - CLEARED:
            return self._delete
        if thread.due(number):
            return partial(self._grow, thread)
        return self._acts[bisect(self._odds, self._rng.random() * self._odds[-1])]

    def _times(self, count: int) -> Iterator[int]:
        """The times of so many records, in order: more by day than by night."""
        first, hours = self._plan.start_ms // HOUR_MS, self._plan.days * 24
        busy = [RHYTHM[(first + hour) % 24] for hour in range(hours)]
        ends = list(accumulate(busy))
        for number in range(count):
            wanted = (number + 1) / count * ends[-1]
            hour = min(bisect(ends, wanted), hours - 1)
            inside = (wanted - ends[hour]) / busy[hour] + 1
            yield self._plan.start_ms + int((hour + inside) * HOUR_MS)

    def _somebody(self, at_ms: int) -> Person:
        """Who does the next thing; nobody too often a day."""
        if at_ms // DAY_MS != self._day:
            self._day = at_ms // DAY_MS
            self._today.clear()
        number = bisect(self._busy, self._rng.random() * self._busy[-1])
        while self._today.get(number, 0) >= DAY_RECORDS_MAX:
            number = self._rng.randrange(len(self._people))
        self._today[number] = self._today.get(number, 0) + 1
        return self._people[number]

    def _sign(
        self, person: Person, kind: int, body: Body, at_ms: int, target: bytes | None = None
    ) -> Made:
        salt = self._rng.randbytes(SALT_BYTES)
        return Made(person.home == 0, person.author.sign(kind, body, at_ms, salt, target))

    # --- what others talk about ----------------------------------------------------------

    def _place(self, post: Post, places: int) -> None:
        """Let others find a post: the more places, the more often; new posts push out old ones."""
        for _ in range(places):
            if len(self._talk) < PLACES:
                self._talk.append(post)
            else:
                self._talk[int(self._rng.random() * PLACES)] = post

    def _found(self) -> Post | None:
        """A post that somebody comes across; the talked about far more often."""
        return self._talk[int(self._rng.random() * len(self._talk))] if self._talk else None

    def _answerable(self, person: Person, made: Made, under: Post | None) -> Post:
        id_ = made.record.id
        root, root_author = (under.root, under.root_author) if under else (id_, person.account)
        return Post(id_, person.account, root, root_author)

    def _words(self, person: Person) -> Body:
        mentioned = None
        if person.follows and self._rng.random() < 0.08:
            other = self._people[self._rng.choice(person.follows)]
            mentioned = (other.name.split()[0], other.account)
        return self._speech.post(person.tongue, mentioned)

    # --- acts ----------------------------------------------------------------------------

    def _post(self, person: Person, at_ms: int) -> Made:
        body = self._words(person)
        if self._rng.random() < 0.012:
            options = self._speech.options(person.tongue)
            many = int(self._rng.random() < 0.3)
            body["poll"] = {"ends_ms": at_ms + 2 * DAY_MS, "many": many, "options": options}
        made = self._sign(person, kinds.POST, body, at_ms)
        if "poll" in body:
            _put(self._polls, POLLS, Poll(made.record.id, len(options)), self._rng)
        else:
            _put(self._written, CHANGED, Written(person, made.record.id), self._rng)
        places = min(int(self._rng.paretovariate(1)), PLACES // 2)
        self._place(self._answerable(person, made, None), places)
        return made

    def _reply(self, person: Person, at_ms: int) -> Made | None:
        parent = self._found()
        if parent is None:
            return None
        made = self._answer(person, parent, at_ms)
        self._place(self._answerable(person, made, parent), 1)
        return made

    def _answer(self, person: Person, parent: Post, at_ms: int) -> Made:
        body = self._words(person) | {
            "parent": parent.id,
            "parent_account": parent.author,
            "root": parent.root,
            "root_account": parent.root_author,
        }
        return self._sign(person, kinds.POST, body, at_ms)

    def _grow(self, thread: Thread, person: Person, at_ms: int) -> Made:
        """The next post of the thread with a known number of replies."""
        if not thread.posts:
            made = self._sign(person, kinds.POST, self._words(person), at_ms)
            self.thread = made.record.id
            thread.posts.append(self._answerable(person, made, None))
            return made
        parent = thread.posts[int(self._rng.random() ** 2 * len(thread.posts))]
        made = self._answer(person, parent, at_ms)
        thread.posts.append(self._answerable(person, made, parent))
        return made

    def _react(self, person: Person, at_ms: int) -> Made | None:
        post = self._found()
        if post is None:
            return None
        emoji = REACTIONS[int(self._rng.random() ** 2 * len(REACTIONS))]
        body: Body = {"emoji": emoji, "state": 1, "target_account": post.author}
        return self._sign(person, kinds.REACTION, body, at_ms, post.id)

    def _repost(self, person: Person, at_ms: int) -> Made | None:
        post = self._found()
        if post is None:
            return None
        body: Body = {"target": post.id, "target_account": post.author}
        return self._sign(person, kinds.REPOST, body, at_ms)

    def _quote(self, person: Person, at_ms: int) -> Made | None:
        post = self._found()
        if post is None:
            return None
        body = self._words(person) | {"quote": post.id, "quote_account": post.author}
        made = self._sign(person, kinds.POST, body, at_ms)
        self._place(self._answerable(person, made, None), 1)
        return made

    def _vote(self, person: Person, at_ms: int) -> Made | None:
        if not self._polls:
            return None
        poll = self._rng.choice(self._polls)
        body: Body = {"choices": [self._rng.randrange(poll.options)]}
        return self._sign(person, kinds.VOTE, body, at_ms, poll.id)

    def _follow(self, person: Person, at_ms: int) -> Made | None:
        """Somebody follows one more, or one less."""
        if person.number in self._settled:
            return None
        if person.follows and self._rng.random() < 0.3:
            other, state = self._rng.choice(person.follows), 0
        else:
            other, state = self._rng.randrange(len(self._people)), 1
        if other == person.number:
            return None
        target = self._people[other].account
        return self._sign(person, kinds.FOLLOW, {"state": state}, at_ms, target)

    def _edit(self, _: Person, at_ms: int) -> Made | None:
        """An author says it better; it is one of the posts of the last days."""
        if not self._written:
            return None
        old = self._rng.choice(self._written)
        return self._sign(old.author, kinds.EDIT, self._words(old.author), at_ms, old.id)

    def _delete(self, _: Person, at_ms: int) -> Made | None:
        """An author takes a post back, with whatever hangs on it."""
        if not self._written:
            return None
        old = self._written.pop(self._rng.randrange(len(self._written)))
        return self._sign(old.author, kinds.DELETE, {"ids": [old.id]}, at_ms)


def _put(into: list[T], most: int, one: T, rng: random.Random) -> None:
    """Add one to a list of at most so many; one by chance goes for it."""
    if len(into) < most:
        into.append(one)
    else:
        into[rng.randrange(most)] = one
