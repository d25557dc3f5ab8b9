"""What a client writes into a post beside its text: facets, and the place of an answer.

Pure, for every client alike: two apps mark the same links, tags and mentions in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ratoon_protocol.bodies import FACET_LINK, FACET_MENTION, FACET_TAG
from ratoon_protocol.codec import Value
from ratoon_protocol.errors import DecodeError
from ratoon_protocol.limits import FACETS_MAX
from ratoon_protocol.record import Body
from ratoon_protocol.text import link, tag

# A link; a tag after a space or bracket (letters, digits and marks of any script); a mention by
# handle or by the account itself. A link comes first: its fragment is no tag.
_PARTS = re.compile(
    r"(?P<link>https?://[^\s<>\"]+)"
    r"|(?<![\w&/#])[#＃](?P<tag>\w[\w\u200c\u200d·-]*)"
    r"|(?<![\w@/])@(?P<mention>[0-9a-f]{64}\b|[a-z0-9._-]+@[a-z0-9.-]+[a-z0-9])",
    re.IGNORECASE,
)
# Signs that end a sentence and no address.
_AFTER_ADDRESS = ".,;:!?'*_…»”’،。、"


def mentioned(text: str) -> tuple[str, ...]:
    """Whom a text names with `@`: handles or accounts, in lower case, each once.

    The caller finds the accounts of handles and gives them to `facets`.
    """
    found = [match["mention"].lower() for match in _PARTS.finditer(text) if match["mention"]]
    return tuple(dict.fromkeys(found))


def facets(text: str, accounts: Mapping[str, bytes] | None = None) -> list[Value]:
    """The facets (R-93) of a text: links, tags, and mentions of those in `accounts`.

    `accounts` has the 32 bytes for what `mentioned` gave; a name that is not in it stays text.
    """
    found: list[Value] = []
    for match in _PARTS.finditer(text):
        row = _facet(match, accounts or {})
        if row is not None:
            words, kind, value = row
            start = len(text[: match.start()].encode())
            found.append([start, start + len(words.encode()), kind, value])
    return found[:FACETS_MAX]


def _facet(match: re.Match[str], accounts: Mapping[str, bytes]) -> tuple[str, int, Value] | None:
    """(words, type, value) of what was found, None if no node would take it."""
    try:
        if match["link"]:
            address = _address(match["link"])
            link(address)
            return address, FACET_LINK, address
        if match["tag"]:
            name = match["tag"].rstrip("-·")
            if name.isdecimal():
                return None  # "#1" is a number, not a subject
            tag(name)
            return match[0][: len(name) + 1], FACET_TAG, name
    except DecodeError:
        return None
    named = match["mention"].lower()
    account = bytes.fromhex(named) if "@" not in named else accounts.get(named)
    return None if account is None else (match[0], FACET_MENTION, account)


def _address(text: str) -> str:
    """An address without the signs of the sentence around it."""
    text = text.rstrip(_AFTER_ADDRESS)
    while text.endswith(")") and text.count(")") > text.count("("):
        text = text[:-1].rstrip(_AFTER_ADDRESS)
    return text


def answer_to(id_: bytes, account: bytes, body: Body) -> Body:
    """The fields that make a post an answer to another (R-107): its id, author and body."""
    return {
        "parent": id_,
        "parent_account": account,
        "root": body.get("root", id_),
        "root_account": body.get("root_account", account) if "root" in body else account,
    }


# An edit changes what is said, not where in a conversation it stands.
_PLACE = ("parent", "parent_account", "root", "root_account", "quote", "quote_account")
# What makes an edit the one of its post, and is no field of a post.
_SLOT = ("target", "slot_salt")


def edited(first: Body, edit: Body) -> Body:
    """A post's body as it is read now: an edit's fields (R-108) at the first version's place."""
    kept = {name: value for name, value in edit.items() if name not in (*_PLACE, *_SLOT)}
    return kept | {name: first[name] for name in _PLACE if name in first}
