"""One post as people see it, whoever's page it is on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from ratoon_node.api.html import Content, Markup, element
from ratoon_node.api.words import account_path, clock, mark, moment, number, record_path, words
from ratoon_node.errors import ANSWERS
from ratoon_node.policy.verdict import Verdict
from ratoon_node.timeline.counts import Counts
from ratoon_node.timeline.faces import faces
from ratoon_node.timeline.naming import NameCard
from ratoon_node.timeline.tallies import tallies
from ratoon_node.timeline.thread import Placeholder, look
from ratoon_node.timeline.visibility import Item, Viewer
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from ratoon_protocol.record import Body

# A longer text is cut in a list of posts, where it would push all others away.
LISTED_CHARS_MAX = 1000
# Different emoji told beside a post; the others are counted together.
EMOJI_SHOWN = 6
# Colours of the signs beside names.
COLOURS = 8

#: Kinds that have a page.
CARDS = frozenset({kinds.POST, kinds.REPOST, kinds.SEALED_POST})


class Deck:
    """Some posts with all that their cards need: read at once, in one snapshot."""

    def __init__(self, db: sqlite3.Connection, viewer: Viewer, items: Iterable[Item]) -> None:
        items = list(items)
        shown = [id_ for item in items for id_ in (_shown_by(item),) if id_ is not None]
        self.now_ms = viewer.now_ms
        #: Posts that others show, as they may be read.
        self.inside = look(db, viewer, list(dict.fromkeys(shown))) if shown else {}
        told = [*items, *(one for one in self.inside.values() if isinstance(one, Item))]
        self._faces = faces(db, viewer, dict.fromkeys(_accounts(told)))
        self._tallies = tallies(db, viewer, told)

    def face(self, account: bytes) -> NameCard:
        """How an account is called."""
        found = self._faces.get(account)
        return found.card if found is not None else NameCard("", None, account[:4].hex(), False)

    def name(self, account: bytes) -> str:
        """The name people see, or the fingerprint of one who has none."""
        face = self.face(account)
        return face.name or face.handle or face.fingerprint

    def counts(self, item: Item) -> Counts:
        """What is counted of a post."""
        found = self._tallies.get(item.id)
        return found.counts if found is not None else Counts()

    # --- parts -------------------------------------------------------------------------------

    def who(self, account: bytes) -> Markup:
        """An account: a name can be anybody's, a handle is confirmed, a fingerprint its own."""
        face = self.face(account)
        return element(
            "span",
            element(
                "a",
                element("bdi", face.name or "Without a name", class_="who"),
                href=account_path(account),
            ),
            " ",
            handle(face),
            mark(account),
            alike(face),
            class_="names",
        )

    def card(
        self, item: Item, *, whole: bool = False, inner: bool = False, under: bytes | None = None
    ) -> Markup:
        """A post; `whole` on its own page, `inner` inside another one, `under` the post that it
        stands right below, so that nobody need say whom it answers.
        """
        long = not whole and len(item.body.get("text", "")) > LISTED_CHARS_MAX
        classes = ["card", *(["long"] if long else []), *(["inner"] if inner else [])]
        return element(
            "article",
            self._by(item),
            None if inner else self._answers(item, under),
            self._content(item, inner),
            element("p", element("a", "Read all of it", href=record_path(item.id)), class_="all")
            if long
            else None,
            None if inner else self._counted(item),
            class_=" ".join(classes),
            id=None if inner else f"p{item.id[:4].hex()}",
        )

    def _by(self, item: Item) -> Markup:
        header = item.record.header
        edited: Content = None
        if item.edit is not None:
            link = element(
                "a",
                "edited",
                href=f"{record_path(item.id)}/history",
                title=f"Edited {clock(item.edit.record().header.created_ms)}",
            )
            edited = (" · ", link)
        kind = " shared" if header.kind == kinds.REPOST else None
        when = element("a", moment(header.created_ms), href=record_path(item.id))
        return element(
            "div",
            sign(item.account, self.face(item.account).name),
            element(
                "div",
                self.who(item.account),
                element("span", kind, class_="quiet") if kind else None,
                " ",
                element("span", when, edited, class_="when"),
                class_="line",
            ),
            class_="by",
        )

    def _answers(self, item: Item, under: bytes | None) -> Content:
        """Whom a post answers."""
        parent = item.body.get("parent")
        if parent is None or parent == under:
            return None
        to = item.body.get("parent_account")
        whom: Content = "a post"
        if isinstance(to, bytes) and to in self._faces:
            whom = element("bdi", self.name(to))
        return element(
            "p", "In reply to ", element("a", whom, href=record_path(parent)), class_="meta"
        )

    def _content(self, item: Item, inner: bool) -> Content:
        kind, body = item.record.header.kind, item.body
        if kind == kinds.REPOST:
            return self._shown(body["target"], inner)
        if kind == kinds.SEALED_POST:
            return element("p", "For approved followers only.", class_="quiet")
        content: list[Content] = []
        if item.verdict is Verdict.LIMIT:
            content.append(element("p", "Limited by this node's rules.", class_="note"))
        inside: list[Content] = [words(body), list(_media(body)), self._poll(item), _origin(body)]
        if "quote" in body:
            inside.append(self._shown(body["quote"], inner))
        if body.get("warning"):
            summary = element("summary", "Content warning: ", element("bdi", body["warning"]))
            return [*content, element("details", summary, inside, class_="warned")]
        return [*content, *inside]

    def _shown(self, id_: bytes, inner: bool) -> Content:
        """A post inside another; inside an inner one it is a link."""
        found = self.inside.get(id_)
        if isinstance(found, Placeholder) and not inner:
            return element("blockquote", gone(found), class_="shown")
        if inner or not isinstance(found, Item) or found.record.header.kind not in CARDS:
            link = element("a", "another post", href=record_path(id_))
            return element("p", "Shows ", link, class_="meta")
        return element("blockquote", self.card(found, inner=True), class_="shown")

    def _poll(self, item: Item) -> Content:
        poll = item.body.get("poll")
        if poll is None:
            return None
        votes = self.counts(item).votes or [0] * len(poll["options"])
        rows = [
            element(
                "li",
                element("span", option, dir="auto"),
                " ",
                element("span", _share(count, sum(votes)), class_="quiet"),
                element(
                    "progress", value=str(count), max=str(max(sum(votes), 1)), aria_hidden="true"
                ),
            )
            for option, count in zip(poll["options"], votes, strict=False)
        ]
        over = poll["ends_ms"] <= self.now_ms
        when = (
            ("Ended ", moment(poll["ends_ms"]))
            if over
            else ("Open until ", moment(poll["ends_ms"]))
        )
        more = "; more than one answer allowed" if poll["many"] else ""
        return [
            element("ul", rows, class_="poll"),
            element("p", when, more, class_="meta"),
        ]

    def _counted(self, item: Item) -> Content:
        if item.record.header.kind != kinds.POST:
            return None
        found = self.counts(item)
        replies = number(found.replies, "reply", "replies", found.more)
        parts: list[Content] = []
        if found.replies:
            parts.append(element("a", replies, href=f"{record_path(item.id)}#replies"))
        parts += [
            number(count, one, many, found.more)
            for count, one, many in (
                (found.reposts, "share", "shares"),
                (found.quotes, "quote", "quotes"),
            )
            if count
        ]
        reactions = list(found.reactions.items())
        parts += [
            element("span", element("bdi", emoji), f" {count:,}", class_="emoji")
            for emoji, count in reactions[:EMOJI_SHOWN]
        ]
        rest = sum(count for _, count in reactions[EMOJI_SHOWN:])
        if rest:
            parts.append(number(rest, "other reaction", "other reactions"))
        if not parts:
            return None
        return element("p", list(between(parts, " · ")), class_="counts")


def between(parts: Sequence[Content], sign: str) -> Iterator[Content]:
    """Parts with a sign between each two."""
    for at, part in enumerate(parts):
        if at:
            yield sign
        yield part


def sign(account: bytes, name: str) -> Markup:
    """A round sign with the first letter of a name, in a colour of the account's own."""
    letter = name.strip()[:1].upper() or "·"
    colour = f"face c{account[0] % COLOURS}"
    return element("span", class_=colour, data_letter=letter, aria_hidden="true")


def handle(face: NameCard) -> Content:
    """A handle that its domain confirms."""
    if face.handle is None:
        return None
    return element(
        "span",
        element("bdi", f"@{face.handle}"),
        element("span", " ✓", title=f"{face.handle.partition('@')[2]} confirms it"),
        " ",
        class_="handle",
    )


def alike(face: NameCard) -> Content:
    """A clear mark on a name that somebody else here has too."""
    if not face.confusable:
        return None
    return [
        " ",
        element(
            "strong",
            "name in use twice",
            class_="alike",
            title="Another account here has a name that looks the same: compare the digits.",
        ),
    ]


def gone(one: Placeholder) -> Markup:
    """Something that cannot be read here, and why."""
    reason = one.masked.reason if one.masked is not None else ""
    words_ = "Not here yet." if one.code is Code.NOT_FOUND else ANSWERS[one.code].words
    if reason and reason != one.code.value:
        words_ = f"{words_} Reason: {reason}."
    return element("p", element("a", words_, href=record_path(one.id)), class_="gone")


def _shown_by(item: Item) -> bytes | None:
    body = item.body
    found = body.get("target") if item.record.header.kind == kinds.REPOST else body.get("quote")
    return found if isinstance(found, bytes) else None


def _accounts(items: Iterable[Item]) -> Iterator[bytes]:
    for item in items:
        yield item.account
        to = item.body.get("parent_account")
        if isinstance(to, bytes):
            yield to


def _media(body: Body) -> Iterator[Markup]:
    """Pictures by their descriptions: the files are not fetched yet."""
    for picture in body.get("media", ()):
        label = picture["type"].partition("/")[0].capitalize()
        said = picture["alt"] or "not described by its author"
        yield element(
            "p", element("span", f"{label}: ", class_="quiet"), element("bdi", said), class_="media"
        )


def _origin(body: Body) -> Content:
    if "origin" not in body:
        return None
    source = element("bdi", body["origin"]["source"])
    return element(
        "p", "First posted at ", source, ", ", moment(body["origin"]["created_ms"]), class_="meta"
    )


def _share(count: int, whole: int) -> str:
    votes = number(count, "vote", "votes")
    return f"{votes} ({100 * count / whole:.0f} %)" if whole else votes
