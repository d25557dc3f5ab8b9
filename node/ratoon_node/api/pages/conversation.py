"""A post with everything around it: what it answers above, its answers below as a tree."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ratoon_node.api.html import Content, Markup, element
from ratoon_node.api.pages.card import CARDS, Deck, gone
from ratoon_node.api.pages.frame import Head, absent, page
from ratoon_node.api.pages.shelf import Sheet
from ratoon_node.api.words import cut, moment, number, record_path, rfc3339, words
from ratoon_node.config import Settings
from ratoon_node.errors import ANSWERS, NodeError
from ratoon_node.store import references
from ratoon_node.timeline.thread import REPLIES_MAX, Placeholder, Thread, look, thread
from ratoon_node.timeline.visibility import PUBLIC_HIDDEN_FROM, Item, Viewer
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code

# Answers of one page; whoever wants more follows a link.
REPLIES_SHOWN = 100
# Steps to the side; what is deeper stays below the last step and says whom it answers.
DEPTH_MAX = 5
# Letters of a text in a preview, and in a title.
ABOUT_CHARS_MAX = 200
TITLE_CHARS_MAX = 60


class Branch(NamedTuple):
    """An answer, or what is left of one, and the answers to it."""

    one: Item | Placeholder
    below: list[Branch]


class Made(NamedTuple):
    """A page, and what peers may have of what is missing on it."""

    sheet: Sheet
    missing: Sequence[bytes]


def conversation(
    settings: Settings, id_: bytes, after: int, db: sqlite3.Connection, viewer: Viewer
) -> Made:
    """The page of a post. A post that cannot be read has one too, with what is around it."""
    focus = look(db, viewer, [id_])[id_]
    if isinstance(focus, Item) and focus.record.header.kind not in CARDS:
        raise NodeError(Code.NOT_FOUND)
    # Below a single answer only its own branch is shown; where that is, the thread's rows tell.
    first = not isinstance(focus, Item) or "root" not in focus.body
    found = thread(db, viewer, id_, after, REPLIES_SHOWN if first else REPLIES_MAX)
    if found is None:
        return Made(_nothing(settings, focus), [id_] if _fetched(focus) else [])
    branches = grown(found)
    if not first:
        branches = _below(branches, id_)
    items = [one for one in _some(branches, REPLIES_SHOWN) if isinstance(one, Item)]
    told = [focus] if isinstance(focus, Item) else []
    deck = Deck(db, viewer, [*found.ancestors, *told, *items])
    body = _body(deck, found, branches, after, first)
    if not isinstance(focus, Item):
        return Made(_nothing(settings, focus, body), found.absent)
    sheet = Sheet(page(settings, _head(deck, focus), body), len(items) + 1)
    return Made(sheet, found.absent)


def _fetched(focus: Item | Placeholder) -> bool:
    return not isinstance(focus, Item) and focus.code in (Code.NOT_FOUND, Code.WANTED)


def _nothing(settings: Settings, focus: Item | Placeholder, around: Content = None) -> Sheet:
    """A page in place of a post that is not shown."""
    assert isinstance(focus, Placeholder), "a post that can be read is known"
    code, status = focus.code, ANSWERS[focus.code].status
    reason = focus.masked.reason if focus.masked is not None else ""
    data = absent(settings, code, ANSWERS[code].words, reason, around)
    return Sheet(data, 0, status=status if status >= 400 else 404)


# --- the tree ----------------------------------------------------------------------------------


def grown(found: Thread) -> list[Branch]:
    """The answers as trees. What answers something that is not among them begins a tree."""
    nodes: dict[bytes, tuple[Branch, bytes | None]] = {}
    for lost in found.missing:
        nodes[lost.id] = (Branch(lost, []), lost.parent)
    for item in found.replies:
        nodes[item.id] = (Branch(item, []), item.body.get("parent"))
    above = {found.focus.id, *(one.id for one in found.ancestors)}
    # What is missing above the focus is told there.
    missing = {one.id for one in found.missing[: _missing_above(found)]}
    tops: list[Branch] = []
    for id_, (branch, parent) in nodes.items():
        if id_ in above or id_ in missing:
            continue
        over = nodes.get(parent) if parent is not None and parent not in missing else None
        (over[0].below if over is not None else tops).append(branch)
    return tops


def _missing_above(found: Thread) -> int:
    """How many of the missing ones stand above the focus: they come first."""
    told = [one.body for one in (found.focus, *found.ancestors) if isinstance(one, Item)]
    named = {body.get(name) for body in told for name in ("parent", "root")}
    return next(
        (at for at, one in enumerate(found.missing) if one.id not in named), len(found.missing)
    )


def _below(branches: Sequence[Branch], id_: bytes) -> list[Branch]:
    """Those that answer one post."""
    return [
        one for one in branches if isinstance(one.one, Item) and one.one.body.get("parent") == id_
    ]


def _some(branches: Sequence[Branch], most: int) -> Iterator[Item | Placeholder]:
    """What a page shows of trees, in the order of reading."""
    waiting = list(reversed(branches))
    while waiting and most:
        branch = waiting.pop()
        most -= 1
        yield branch.one
        waiting += reversed(branch.below)


class Tree:
    """Draws trees as nested lists, at most `REPLIES_SHOWN` answers of them."""

    def __init__(self, deck: Deck, uninvited: Sequence[bytes]) -> None:
        self._deck = deck
        self._uninvited = frozenset(uninvited)
        self.left = REPLIES_SHOWN

    def draw(self, branches: Sequence[Branch], under: bytes, depth: int = 0) -> Markup:
        """A list of answers, with theirs inside; it stands below the post `under`."""
        rows: list[Markup] = []
        waiting = list(reversed(branches))
        while waiting and self.left > 0:
            branch = waiting.pop()
            self.left -= 1
            if depth < DEPTH_MAX:
                below = self.draw(branch.below, branch.one.id, depth + 1)
                rows.append(self._row(branch, below, under))
            else:
                rows.append(self._row(branch, None, under))
                waiting += reversed(branch.below)
        return element("ul", rows, class_="replies") if rows else Markup()

    def _row(self, branch: Branch, below: Content, under: bytes) -> Markup:
        one = branch.one
        if isinstance(one, Placeholder):
            return element("li", gone(one), below)
        card = self._deck.card(one, under=under)
        if one.id not in self._uninvited:
            return element("li", card, below)
        summary = element("summary", "An answer that the author did not ask for")
        return element("li", element("details", summary, card, below, class_="uninvited"))


# --- the page ----------------------------------------------------------------------------------


def _body(
    deck: Deck, found: Thread, branches: Sequence[Branch], after: int, first: bool
) -> list[Content]:
    focus = found.focus
    above = _above(deck, found)
    answers = deck.counts(focus).replies if isinstance(focus, Item) else 0
    tree = Tree(deck, found.uninvited)
    drawn = tree.draw(branches, focus.id)
    replies: Content = None
    if drawn or found.next is not None or after:
        label = number(answers, "reply", "replies") if answers else "Replies"
        replies = [element("h2", label, id="replies"), drawn]
    here: Content = None
    if isinstance(focus, Item):
        here = element("div", deck.card(focus, whole=True), class_="focus")
    title = element("h1", "Conversation" if above else "Post", class_="title")
    return [
        None if here is None else title,
        element("div", above, class_="above") if above else None,
        here,
        replies,
        _onward(found, tree.left <= 0, first),
        element("p", "Record ", element("span", focus.id.hex(), class_="mark"), class_="meta"),
    ]


def _above(deck: Deck, found: Thread) -> list[Content]:
    """What the focus answers, from the root down, and what is missing where the way breaks off."""
    lost: list[Content] = [gone(one) for one in found.missing[: _missing_above(found)]]
    told: list[Content] = [deck.card(one) for one in found.ancestors]
    focus = found.focus
    root = focus.body.get("root") if isinstance(focus, Item) else None
    if found.ancestors and found.ancestors[0].id == root:
        return [told[0], *lost, *told[1:]]
    return [*lost, *told]


def _onward(found: Thread, cut_off: bool, first: bool) -> Content:
    """The way to what this page does not show."""
    links: list[Markup] = []
    if not first and isinstance(found.focus, Item):
        root = record_path(found.focus.body["root"])
        words_ = "More in the whole conversation" if cut_off else "The whole conversation"
        links.append(element("a", words_, href=root))
    elif found.next is not None:
        path = f"{record_path(found.focus.id)}?after={found.next}"
        links.append(element("a", "More replies →", href=path, rel="next"))
    return element("nav", links, class_="turn", aria_label="More replies") if links else None


def _head(deck: Deck, focus: Item) -> Head:
    body, header = focus.body, focus.record.header
    edited = focus.edit.record().header.created_ms if focus.edit is not None else None
    path = record_path(focus.id)
    return Head(
        f"{deck.name(focus.account)}: {title_of(focus, TITLE_CHARS_MAX)}",
        path,
        about_of(body),
        "article",
        rfc3339(header.created_ms),
        rfc3339(edited) if edited is not None else "",
        f"{path}/feed",
        indexed=focus.verdict < PUBLIC_HIDDEN_FROM,
    )


def title_of(item: Item, chars: int) -> str:
    """A post in one line: its warning if it has one, never what stands behind that."""
    body, kind = item.body, item.record.header.kind
    if kind == kinds.REPOST:
        return "shared a post"
    if kind == kinds.SEALED_POST:
        return "a post for approved followers"
    if body.get("warning"):
        return cut(f"Content warning: {body['warning']}", chars)
    return cut(body["text"], chars) or _untitled(body)


def _untitled(body: Mapping[str, object]) -> str:
    if body.get("media"):
        return "a picture"
    return "a poll" if body.get("poll") else "a post"


def about_of(body: Mapping[str, object]) -> str:
    """What a preview may say of a post."""
    if body.get("warning"):
        return cut(f"Content warning: {body['warning']}", ABOUT_CHARS_MAX)
    return cut(str(body.get("text", "")), ABOUT_CHARS_MAX)


# --- history -----------------------------------------------------------------------------------


def history(settings: Settings, id_: bytes, db: sqlite3.Connection, viewer: Viewer) -> Sheet:
    """A post as it was first written, and each edit that can be read (R-85)."""
    post = look(db, viewer, [id_])[id_]
    if not isinstance(post, Item):
        return _nothing(settings, post)
    if post.record.header.kind != kinds.POST:
        raise NodeError(Code.NOT_FOUND)
    edits = viewer.look_at(references.versions(db, post.card.n, id_))
    found = [Item(post.card, post.verdict, None), *(e for e in edits if isinstance(e, Item))]
    rows = [
        element(
            "li",
            element("h2", "First version" if at == 0 else f"Edit {at}"),
            element("p", moment(one.record.header.created_ms), class_="meta"),
            _version(one),
        )
        for at, one in enumerate(found)
    ]
    back = element("p", element("a", "← To the post", href=record_path(id_)))
    body = [element("h1", "History of a post"), back, element("ol", rows, class_="versions")]
    head = Head("History of a post", f"{record_path(id_)}/history", indexed=False)
    return Sheet(page(settings, head, body), len(found))


def _version(one: Item) -> Markup:
    text = words(one.body)
    if not one.body.get("warning"):
        return text
    summary = element("summary", "Content warning: ", element("bdi", one.body["warning"]))
    return element("details", summary, text, class_="warned")
