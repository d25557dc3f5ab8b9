"""What people do: post, delete, follow, react, say who they are."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ratoon_node.cli import say
from ratoon_node.cli.flags import Json
from ratoon_node.cli.places import AccountName, NodeUrl

if TYPE_CHECKING:
    from ratoon_node.cli.client import Client
    from ratoon_node.cli.signing import Published
    from ratoon_protocol.codec import Value
    from ratoon_protocol.record import Body

profile = typer.Typer(help="What an account says of itself.", no_args_is_help=True)
_ID = re.compile(r"[0-9a-f]{64}")

Wait = Annotated[
    int,
    typer.Option("--wait", metavar="N", min=0, max=16, help="Wait until N providers hold it."),
]
WaitTimeout = Annotated[int, typer.Option("--timeout", help="Seconds to wait.", min=1, max=600)]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (post, delete, follow, unfollow, react, repost):
        app.command()(command)


def id_in(text: str, what: str) -> bytes:
    """32 bytes from 64 hexadecimal digits. Raises `CommandError`."""
    if not _ID.fullmatch(text):
        say.fail(f"{what} has 64 hexadecimal digits", say.Exit.USAGE)
    return bytes.fromhex(text)


def account_in(text: str, client: Client | None = None) -> bytes:
    """An account by its id, by the name of one on this machine, or by a handle that `client`'s
    node finds.
    """
    from ratoon_client import keyfile

    if _ID.fullmatch(text):
        return bytes.fromhex(text)
    if text in keyfile.names():
        return bytes.fromhex(keyfile.load(text).account)
    if "@" in text.removeprefix("@") and client is not None:
        from urllib.parse import quote

        found = client.get(f"/v1/names/{quote(text, safe='')}")
        return bytes.fromhex(found["account"])
    words = f"{text} is no account of this machine (`{say.called()} account list`); others are"
    words += " named by their 64 hexadecimal digits or as name@domain"
    raise say.CommandError(words, say.Exit.USAGE)


@profile.callback()
def _profile() -> None:
    """What an account says of itself."""


def _sign(
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


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _said(published: Published, words: str, json_: bool) -> None:
    outcome: dict[str, Any] = dict(published.outcome)
    if published.location:
        outcome["location"] = published.location
    if json_:
        say.result(outcome)
        return
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


def post(
    text: Annotated[str, typer.Argument(help="What to say; - reads it from standard input.")],
    reply_to: Annotated[
        str | None, typer.Option("--reply-to", metavar="ID", help="The post this answers.")
    ] = None,
    lang: Annotated[str | None, typer.Option(help="Its language, such as en.")] = None,
    warning: Annotated[str | None, typer.Option(help="Shown instead, until it is opened.")] = None,
    wait: Wait = 0,
    timeout: WaitTimeout = 30,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Post. With --wait it says how many providers hold the post before it returns."""
    from ratoon_client import keyfile
    from ratoon_node.cli.places import client_of
    from ratoon_protocol import compose, kinds

    body: Body = {"text": sys.stdin.read().rstrip("\n") if text == "-" else text}
    body |= {name: value for name, value in (("lang", lang), ("warning", warning)) if value}
    if found := compose.facets(body["text"]):
        body["facets"] = found
    if reply_to is not None:
        id_in(reply_to, "a post")
        body |= _reply(client_of(keyfile.load(account), node), reply_to)
    published = _sign(account, node, kinds.POST, body, None, wait, timeout if wait else 0)
    _said(published, "Posted", json_)


def _reply(client: Client, id_: str) -> Body:
    """The fields that make a post an answer."""
    from ratoon_protocol import compose

    parent = client.get(f"/v1/records/{id_}")
    names = ("root", "root_account")
    body: Body = {
        name: bytes.fromhex(parent["body"][name]) for name in names if name in parent["body"]
    }
    return compose.answer_to(bytes.fromhex(id_), bytes.fromhex(parent["account"]), body)


def delete(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Posts of yours.")],
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Delete posts: every node that follows the rules erases their content."""
    from ratoon_protocol import kinds

    targets: list[Value] = [id_in(item, "a post") for item in dict.fromkeys(ids)]
    _said(_sign(account, node, kinds.DELETE, {"ids": targets}), "Deleted, says record", json_)


def follow(
    who: Annotated[str, typer.Argument(help="Its id, name@domain, or a name on this machine.")],
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Follow an account: its posts are in your home timeline."""
    _follow(who, 1, account, node, json_)


def unfollow(
    who: Annotated[str, typer.Argument(help="Its id, name@domain, or a name on this machine.")],
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Follow an account no longer."""
    _follow(who, 0, account, node, json_)


def react(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The post.")],
    emoji: Annotated[str, typer.Argument(help="What to put on it.")] = "♥",
    off: Annotated[bool, typer.Option("--off", help="Take it back.")] = False,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Put a reaction on a post, in place of the one you put there before."""
    from ratoon_protocol import kinds

    target, author = _target(id_, account, node)
    body: Body = {"emoji": emoji, "state": int(not off), "target_account": author}
    words = "No longer reacting" if off else "Reacted"
    _said(_sign(account, node, kinds.REACTION, body, target), words, json_)


def repost(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The post.")],
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Show a post to those who follow you; `delete` takes it back."""
    from ratoon_protocol import kinds

    target, author = _target(id_, account, node)
    body: Body = {"target": target, "target_account": author}
    _said(_sign(account, node, kinds.REPOST, body), "Reposted", json_)


def _target(id_: str, account: str | None, node: str | None) -> tuple[bytes, bytes]:
    """A post that is there to be read, and who wrote it."""
    from ratoon_client import keyfile
    from ratoon_node.cli.places import client_of

    target = id_in(id_, "a post")
    found = client_of(keyfile.load(account), node).get(f"/v1/records/{id_}")
    return target, bytes.fromhex(found["account"])


def _follow(who: str, state: int, account: str | None, node: str | None, json_: bool) -> None:
    from ratoon_client import keyfile
    from ratoon_node.cli.places import client_of
    from ratoon_protocol import kinds

    client = client_of(keyfile.load(account), node)
    target = account_in(who, client)
    published = _sign(account, node, kinds.FOLLOW, {"state": state}, target)
    _said(published, "Followed, says record" if state else "Unfollowed, says record", json_)


@profile.command("set")
def set_profile(
    name: Annotated[str | None, typer.Option(help="Shown name.")] = None,
    bio: Annotated[str | None, typer.Option(help="A few words.")] = None,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Say who you are; what is not given stays."""
    from ratoon_client import keyfile
    from ratoon_node.cli.client import Refused
    from ratoon_node.cli.places import client_of
    from ratoon_protocol import kinds

    if name is None and bio is None:
        say.fail("say --name or --bio", say.Exit.USAGE)
    file = keyfile.load(account)
    before: dict[str, Any] = {}
    try:
        found = client_of(file, node).get(f"/v1/accounts/{file.account}")
        before = found.get("profile") or {}
    except Refused as error:
        if error.json_code != "not_found":
            raise
    body: Body = {
        "name": before.get("name", "") if name is None else name,
        "bio": before.get("bio", "") if bio is None else bio,
    }
    _said(_sign(account, node, kinds.PROFILE, body, b""), "Profile set, says record", json_)
