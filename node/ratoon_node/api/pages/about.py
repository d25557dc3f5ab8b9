"""What a node is: its rules, its numbers, whom it exchanges with, how to come in."""

from __future__ import annotations

from collections.abc import Sequence

from ratoon_node.api.html import Content, Markup, element
from ratoon_node.api.pages.frame import Head, brand, page
from ratoon_node.api.pages.shelf import Sheet
from ratoon_node.api.peers import NodeView, PeerView, node_view, peer_view
from ratoon_node.api.ports import Services
from ratoon_node.store import names
from ratoon_node.store.names import Tally

# Nodes named; those that are linked and those that the operator added come first.
PEERS_SHOWN = 50

_REGISTRATION = {
    "closed": "This node takes no new accounts.",
    "invite": "This node takes new accounts by invitation.",
    "open": "This node is open to new accounts.",
}
#: What a verdict means for a reader.
_VERDICTS = {
    "accept": "let in",
    "label": "labelled",
    "limit": "kept out of public timelines",
    "hold": "waits for a moderator",
    "withhold": "not kept here",
    "quarantine": "kept away from everybody",
    "purge": "removed for good",
}


async def about(services: Services) -> Sheet:
    """The page of the node."""
    node, settings = await node_view(services), services.node.settings
    counts = await services.node.db.read(names.tallies)
    peers = _peers(services)
    body: list[Content] = [
        element("h1", element("bdi", brand(settings))),
        element(
            "p",
            "A node of the Ratoon network. Accounts are keys that people hold themselves; what"
            " they post is signed, and copied between independent nodes. Each node's operator"
            " decides what it keeps and shows, by the rules below.",
            class_="lead",
        ),
        element("h2", "New people"),
        element("p", _REGISTRATION[node.registration]),
        element("h2", "Rules"),
        _rules(node),
        element("h2", "In numbers"),
        _numbers(node, counts[Tally.RESIDENTS], counts[Tally.LOCAL_POSTS]),
        element("h2", "Where it is"),
        _place(node),
        element("h2", "Nodes it knows"),
        _nodes(peers),
    ]
    words = f"Rules, numbers and neighbours of {brand(settings)}, a node of the Ratoon network."
    return Sheet(page(settings, Head("About", "/about", words), body, "/about"))


def _peers(services: Services) -> list[PeerView]:
    roster = services.node.roster
    known = {*roster.peers, *roster.nodes} - {services.node.own.account}
    views = [peer_view(services, account) for account in known]
    views.sort(key=lambda one: (not one.linked, not one.added, one.node))
    return views[:PEERS_SHOWN]


def _rules(node: NodeView) -> Markup:
    """The rules by name; their conditions would be a manual for those they are meant for."""
    if not node.rules:
        words = "No rules of content are set. The operator may block accounts, nodes and words."
        return element("p", words)
    rows = [
        (
            rule.id,
            f"{_VERDICTS[rule.then]} ({rule.reason})" if rule.reason else _VERDICTS[rule.then],
        )
        for rule in node.rules
    ]
    return facts([*rows, ("Version", element("span", node.policy, class_="mark"))])


def _numbers(node: NodeView, residents: int, posts: int) -> Markup:
    return facts(
        [
            ("People at home", f"{residents:,}"),
            ("Their posts", f"{posts:,}"),
            ("Accounts known", f"{node.accounts:,}"),
            ("Records held", f"{node.records:,}"),
            ("Open links", f"{node.peers:,}"),
            ("Keeps posts", f"{node.horizon_days:,} days" if node.horizon_days else "for ever"),
        ]
    )


def _place(node: NodeView) -> Markup:
    return facts(
        [
            ("Account", element("span", node.account, class_="mark", dir="ltr")),
            ("Addresses", ", ".join(node.addresses) or "not stated"),
            ("Names end in", f"@{node.domain}" if node.domain else "none are given out"),
            ("Provider", node.provider or "not stated"),
            ("Country", node.country or "not stated"),
            ("Software", node.software),
        ]
    )


def _nodes(peers: Sequence[PeerView]) -> Markup:
    if not peers:
        return element("p", "None yet.")
    rows = []
    for one in peers:
        where = ", ".join(part for part in (one.provider, one.country) if part)
        said = [
            *one.addresses[:1],
            where or "place not confirmed",
            *(["linked now"] if one.linked else []),
        ]
        name = element("bdi", one.name or "Without a name")
        mark = element("span", one.node[:8], class_="mark", dir="ltr")
        rows.append(
            element("li", name, " ", mark, element("span", " · ", " · ".join(said), class_="quiet"))
        )
    return element("ul", rows, class_="nodes")


def facts(rows: Sequence[tuple[str, Content]]) -> Markup:
    """Terms and what they are here."""
    pairs = [
        element("div", element("dt", key, dir="auto"), element("dd", value, dir="auto"))
        for key, value in rows
    ]
    return element("dl", pairs, class_="facts")
