"""A whole conversation around one post: what it answers, and everything in its thread.

What is gone, hidden or not here yet leaves a placeholder, so that a reader sees that something is
missing and where. A reply that the root's author did not invite (R-107) is in the thread and named
as such: who reads decides, since the wish is the author's and the record is its own author's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from ratoon_node.store import digested, references
from ratoon_node.store.references import Reply
from ratoon_node.timeline.tables import in_place
from ratoon_node.timeline.visibility import Item, Masked, Viewer, snapshot
from ratoon_node.timeline.walk import FOLLOWS_MAX
from ratoon_protocol import kinds
from ratoon_protocol.bodies import FACET_MENTION
from ratoon_protocol.errors import Code
from ratoon_protocol.kinds import Scope

# Posts above the focus that are told; the root is told besides.
ANCESTORS_MAX = 100
#: Replies of one answer.
REPLIES_MAX = 1000

# Values of a post's `replies`.
_FOLLOWED, _MENTIONED, _NOBODY = 1, 2, 3


class Placeholder(NamedTuple):
    """Something of the thread that cannot be read here; `masked` is None if it is not here."""

    id: bytes
    masked: Masked | None
    parent: bytes | None

    @property
    def code(self) -> Code:
        """Why."""
        return self.masked.code if self.masked is not None else Code.NOT_FOUND


class Thread(NamedTuple):
    """A page of a thread. `ancestors` begin with the root; `replies` are all posts of the thread
    but the root, the focus and the ancestors, by position; `uninvited` some of them.

    `next` is the position to go on after, None at the end; `end` how far the table reaches.
    """

    focus: Item | Placeholder
    ancestors: list[Item]
    replies: list[Item]
    missing: list[Placeholder]
    uninvited: list[bytes]
    next: int | None
    end: int

    @property
    def absent(self) -> list[bytes]:
        """What other nodes may have."""
        found = [self.focus, *self.missing]
        return [
            one.id
            for one in found
            if isinstance(one, Placeholder) and one.code in (Code.NOT_FOUND, Code.WANTED)
        ]


class _Above(NamedTuple):
    ancestors: list[Item]
    missing: list[Placeholder]
    root: Item | None
    root_id: bytes


def thread(
    db: sqlite3.Connection, viewer: Viewer, id_: bytes, after: int, limit: int
) -> Thread | None:
    """The thread of a post, and its replies above a position; None if nothing is known of it."""
    with snapshot(db):
        end = digested.position(db)
        focus = look(db, viewer, [id_])[id_]
        above = _above(db, viewer, id_, focus)
        rows = references.thread_since(db, above.root_id, after, limit)
        places = [place for place in rows if place.position <= end]
        if not isinstance(focus, Item) and not _known(db, focus, above, places):
            return None
        told = [focus, *above.ancestors]
        replies, hidden = _replies(viewer, places, {one.id for one in told})
        shown = [*told, *replies, *hidden, *above.missing]
        lost = _lost(db, viewer, places, {one.id for one in shown})
        return Thread(
            focus,
            above.ancestors,
            replies,
            [*above.missing, *hidden, *lost],
            _uninvited(db, viewer, above.root, [*above.ancestors, focus, *replies]),
            places[-1].position if len(places) == limit else None,
            end,
        )


def look(
    db: sqlite3.Connection, viewer: Viewer, ids: Sequence[bytes]
) -> dict[bytes, Item | Placeholder]:
    """Public records by id, each as it may be read or with the reason why not."""
    numbers = references.numbers_by_id(db, ids)
    here = list(numbers)
    seen = dict(zip(here, viewer.look_at([numbers[id_] for id_ in here]), strict=True))
    return {id_: _public(id_, seen.get(id_)) for id_ in ids}


def _public(id_: bytes, found: Item | Masked | None) -> Item | Placeholder:
    record = found.record if found is not None else None
    if record is not None and record.header.kind_class.scope is Scope.PRIVATE:
        return Placeholder(id_, None, None)
    return found if isinstance(found, Item) else Placeholder(id_, found, None)


def _known(
    db: sqlite3.Connection, focus: Placeholder, above: _Above, places: Sequence[Reply]
) -> bool:
    """Whether there is anything to show around a post that cannot be read."""
    return focus.masked is not None or bool(places) or above.root_id != focus.id


def _above(db: sqlite3.Connection, viewer: Viewer, id_: bytes, focus: Item | Placeholder) -> _Above:
    """From the focus up to the root, as far as it is here."""
    if isinstance(focus, Item):
        body = focus.body if focus.record.header.kind == kinds.POST else {}
        parent, root_id = body.get("parent"), body.get("root", id_)
    else:
        parent, root_id = None, references.root_of(db, id_) or id_
    ancestors: list[Item] = []
    missing: list[Placeholder] = []
    while parent is not None and parent != root_id and len(ancestors) < ANCESTORS_MAX:
        one = look(db, viewer, [parent])[parent]
        if isinstance(one, Placeholder):
            missing.append(one)
            break
        ancestors.append(one)
        parent = one.body.get("parent")
    if root_id == id_:
        return _Above([], [], focus if isinstance(focus, Item) else None, root_id)
    root = look(db, viewer, [root_id])[root_id]
    if isinstance(root, Item):
        ancestors.append(root)
        return _Above(ancestors[::-1], missing, root, root_id)
    return _Above(ancestors[::-1], [root, *missing], None, root_id)


def _replies(
    viewer: Viewer, places: Sequence[Reply], told: Collection[bytes]
) -> tuple[list[Item], list[Placeholder]]:
    """What can be read at these places, and what cannot, but for what is told already."""
    items: list[Item] = []
    hidden: list[Placeholder] = []
    for place, one in zip(places, viewer.look_at([place.n for place in places]), strict=True):
        if isinstance(one, Item):
            if one.id not in told and in_place(one, place):
                items.append(one)
        elif one is not None and one.record is not None and one.record.id not in told:
            hidden.append(Placeholder(one.record.id, one, place.parent))
    return items, hidden


def _lost(
    db: sqlite3.Connection, viewer: Viewer, places: Iterable[Reply], here: Collection[bytes]
) -> list[Placeholder]:
    """What these replies answer and nobody can read here."""
    wanted = [id_ for id_ in dict.fromkeys(place.parent for place in places) if id_ not in here]
    found = look(db, viewer, references.unlisted(db, wanted))
    return [one for one in found.values() if isinstance(one, Placeholder)]


def _uninvited(
    db: sqlite3.Connection, viewer: Viewer, root: Item | None, shown: Iterable[Item | Placeholder]
) -> list[bytes]:
    """Replies by whom the root's author did not ask."""
    invited = _invited(db, viewer, root) if root is not None else None
    if root is None or invited is None:
        return []
    return [
        one.id
        for one in shown
        if isinstance(one, Item)
        and one.id != root.id
        and one.account != root.account
        and not invited(one.account)
    ]


def _invited(db: sqlite3.Connection, viewer: Viewer, root: Item) -> Callable[[bytes], bool] | None:
    """Who may answer; None: everybody."""
    asked = root.body.get("replies", 0)
    if asked == _NOBODY:
        return lambda account: False
    if asked == _MENTIONED:
        facets = root.body.get("facets", ())
        mentioned = {facet[3] for facet in facets if facet[2] == FACET_MENTION}
        return lambda account: account in mentioned
    if asked == _FOLLOWED:
        own = viewer.known(root.account)
        followed = frozenset(
            viewer.cards.home(db, own.n, viewer.end, FOLLOWS_MAX) if own is not None else ()
        )
        return lambda account: (one := viewer.known(account)) is not None and one.n in followed
    return None
