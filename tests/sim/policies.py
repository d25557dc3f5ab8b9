"""What operators of simulated nodes block, and what must follow from it."""

from __future__ import annotations

from typing import Protocol

from ratoon_node.policy.lists import ListEntry, Subject, spell_entity


class Somebody(Protocol):
    """A person whom an operator does not want."""

    name: str
    account: bytes


#: What of a person can be blocked: the account, the word that all its posts have, the domain to
#: which some of them link.
BLOCKS = ("account", "word", "domain")


def domain_of(name: str) -> str:
    """Where a person's links go."""
    return f"{name}.example.org"


def block(what: str, person: Somebody) -> ListEntry:
    """An entry of an operator's list."""
    subject = Subject(what)
    entities = {
        Subject.ACCOUNT: person.account.hex(),
        Subject.WORD: f"{person.name} says",
        Subject.DOMAIN: domain_of(person.name),
    }
    return ListEntry(subject, spell_entity(subject, entities[subject]))
