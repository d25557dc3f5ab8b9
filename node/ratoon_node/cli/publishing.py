"""What all commands that publish share: sign one record with an account of this machine, say it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ratoon_node.cli import say

if TYPE_CHECKING:
    from ratoon_client.keyfile import KeyFile
    from ratoon_node.cli.client import Client
    from ratoon_node.cli.signing import Published
    from ratoon_protocol.record import Body

_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}

#: A post that a command is about.
PostId = Annotated[str, typer.Argument(metavar="ID", help="The post: its 64 hexadecimal digits.")]
#: Somebody a command is about.
Who = Annotated[str, typer.Argument(help="Its id, name@domain, or a name on this machine.")]
Wait = Annotated[
    int,
    typer.Option("--wait", metavar="N", min=0, max=16, help="Wait until N providers hold it."),
]
WaitTimeout = Annotated[int, typer.Option("--timeout", help="Seconds to wait.", min=1, max=600)]


def signer(account: str | None, node: str | None) -> tuple[KeyFile, Client]:
    """The account that will sign, and a client of the node that is asked."""
    from ratoon_client import keyfile
    from ratoon_node.cli.places import client_of

    file = keyfile.load(account)
    return file, client_of(file, node)


def sign(
    account: str | None,
    node: str | None,
    kind: int,
    body: Body,
    target: bytes | None = None,
    providers: int = 0,
    timeout_s: int = 0,
) -> Published:
    """Sign one record with an account of this machine and publish it."""
    from ratoon_client import keyfile
    from ratoon_node.cli import signing
    from ratoon_node.cli.places import client_of

    with keyfile.held(account) as file:
        client = client_of(file, node)
        return signing.publish(
            file, client, kind, body, target, providers=providers, timeout_s=timeout_s
        )


def said(published: Published, words: str, json_: bool) -> None:
    """Tell what became of a record; ends with exit code 1 if fewer hold it than were asked for."""
    outcome: dict[str, Any] = dict(published.outcome)
    if published.location:
        outcome["location"] = published.location
    if json_:
        say.result(outcome)
    else:
        _told(published, outcome, words)
    if published.location:
        raise typer.Exit(say.Exit.FAILED)


def _told(published: Published, outcome: dict[str, Any], words: str) -> None:
    say.line(f"{words} {outcome['id']}")
    if outcome["code"] == "held":
        say.line("  it waits for this node's moderators")
    if "providers" in outcome:
        say.line(
            f"  held by {_count(outcome['nodes'], 'node', 'nodes')}"
            f" at {_count(outcome['providers'], 'provider', 'providers')}"
            f" in {_count(outcome['countries'], 'known country', 'known countries')}"
        )
        if published.location:
            say.line("  fewer than asked for, so far; who held it is counted at")
            say.line(f"  {published.node}{published.location}")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def span_ms(text: str) -> int:
    """Milliseconds of a time such as 30m, 12h, 1d or 2w. Raises `CommandError`."""
    found = re.fullmatch(r"([1-9][0-9]{0,3})([mhdw])", text)
    if found is None:
        say.fail(f"{text} is no time such as 30m, 12h, 1d or 2w", say.Exit.USAGE)
    return int(found[1]) * _MS[found[2]]
