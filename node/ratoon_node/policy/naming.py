"""Which names this node gives out, how handles are spelt, and what looks alike."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from ratoon_node.policy.fold import tokens

# A name is read out and typed: shorter than what a handle may have.
NAME_CHARS_MAX = 32
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_HANDLE = re.compile(r"([a-z0-9_][a-z0-9_.-]{0,63})@([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)")
# Who has one of these is taken for the node, its operator, or mail that domains must answer.
RESERVED = frozenset(
    (
        "abuse",
        "account",
        "accounts",
        "admin",
        "administrator",
        "all",
        "anonymous",
        "api",
        "everyone",
        "help",
        "here",
        "home",
        "hostmaster",
        "info",
        "legal",
        "link",
        "local",
        "mail",
        "me",
        "mod",
        "moderation",
        "moderator",
        "network",
        "news",
        "nobody",
        "node",
        "nodeinfo",
        "noreply",
        "official",
        "operator",
        "owner",
        "postmaster",
        "privacy",
        "public",
        "ratoon",
        "root",
        "security",
        "service",
        "staff",
        "support",
        "system",
        "team",
        "trust",
        "verified",
        "webfinger",
        "webmaster",
        "well-known",
    )
)
# What fold leaves apart because words differ by it, and eyes do not: compared for names alone.
_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "_": None})
_PAIRS = (("rn", "m"), ("vv", "w"))


class Handle(NamedTuple):
    """`name@domain`."""

    name: str
    domain: str

    def __str__(self) -> str:
        return f"{self.name}@{self.domain}"


def parse_handle(text: str) -> Handle | None:
    """A handle, with or without a sign in front, whatever its case; None if it is none."""
    found = _HANDLE.fullmatch(text.strip().removeprefix("@").lower())
    return Handle(found[1], found[2]) if found else None


def name_fault(name: str) -> str:
    """Why this node does not give out a name, in words; "" if it may."""
    if len(name) > NAME_CHARS_MAX:
        return f"A name has at most {NAME_CHARS_MAX} characters."
    if not _NAME.fullmatch(name):
        return (
            "A name has small letters, digits, and single . - or _ between them; it begins and"
            " ends with a letter or digit."
        )
    if likeness(name) in _RESERVED_LIKENESSES:
        return "This name is kept for the node itself."
    return ""


def likeness(text: str) -> str:
    """What a name looks like at a glance: equal for names that people take for one another."""
    found = "".join(tokens(text)).translate(_ALIKE)
    for pair, letter in _PAIRS:
        found = found.replace(pair, letter)
    return found


_RESERVED_LIKENESSES = frozenset(map(likeness, RESERVED))


def is_public_domain(domain: str) -> bool:
    """Whether a domain is one that anybody can ask: a name with a dot that is no IP address."""
    last = domain.rpartition(".")[2]
    if "." not in domain or last.isdigit() or last in ("local", "localhost", "internal", "onion"):
        return False
    try:
        ipaddress.ip_address(domain)
    except ValueError:
        return True
    return False
