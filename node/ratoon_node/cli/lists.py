"""`ratoon list`: lists of accounts, each a timeline of its own. Lists are public."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ratoon_node.cli import say
from ratoon_node.cli.flags import Json
from ratoon_node.cli.naming import account_in, body_of
from ratoon_node.cli.places import AccountName, NodeUrl
from ratoon_node.cli.publishing import said, sign, signer

if TYPE_CHECKING:
    from ratoon_client.keyfile import KeyFile
    from ratoon_node.cli.client import Client
    from ratoon_protocol.record import Body

group = typer.Typer(
    help="Lists of accounts; `timeline --list NAME` reads one.", no_args_is_help=True
)

# The target of a list's record: what tells it from the others.
SLOT_BYTES = 16
_SLOT = re.compile(r"[0-9a-f]{32}")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Its title, or its 32 digits.")]
Members = Annotated[
    list[str],
    typer.Argument(metavar="WHO", help="Accounts: id, name@domain, or a name on this machine."),
]


def all_lists(client: Client, account: str) -> list[dict[str, Any]]:
    """The records of an account's lists. Raises `Refused`."""
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = client.get(f"/v1/accounts/{account}/lists", after=after)
        found += page["items"]
        after = page["next"]
        if after is None:
            return found


def find_list(client: Client, account: str, name: str) -> dict[str, Any]:
    """The record of one list, by its title or its 32 digits. Raises `CommandError`."""
    known = all_lists(client, account)
    if _SLOT.fullmatch(name):
        found = [one for one in known if one["body"]["target"] == name]
    else:
        found = [one for one in known if one["body"]["title"].casefold() == name.casefold()]
    if not found:
        say.fail(f"there is no list {name}: see `{say.called()} list show`")
    if len(found) > 1:
        which = ", ".join(one["body"]["target"] for one in found)
        say.fail(f"several lists are called {name}: say which by its digits: {which}")
    return found[0]


@group.command()
def make(
    title: Annotated[str, typer.Argument(help="What it is called.")],
    who: Annotated[
        list[str] | None,
        typer.Argument(metavar="WHO", help="Accounts to put on it."),
    ] = None,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Make a list."""
    from ratoon_protocol import kinds

    file, client = signer(account, node)
    if not title.strip():
        say.fail("a list needs a title", say.Exit.USAGE)
    if any(one["body"]["title"].casefold() == title.casefold() for one in _own(client, file)):
        say.fail(f"there is a list {title} already: `{say.called()} list add` puts accounts on it")
    members = list(dict.fromkeys(account_in(one, client) for one in who or []))
    body: Body = {"members": members, "state": 1, "title": title}
    target = secrets.token_bytes(SLOT_BYTES)
    said(sign(account, node, kinds.LIST, body, target), f"Made {title}, says record", json_)


def _own(client: Client, file: KeyFile) -> list[dict[str, Any]]:
    from ratoon_node.cli.client import Refused

    try:
        return all_lists(client, file.account)
    except Refused as error:
        if error.json_code not in ("not_found", "unknown_account"):
            raise
        return []


@group.command()
def show(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Its title or digits; all if not given.")
    ] = None,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Show your lists, or who is on one."""
    file, client = signer(account, node)
    if name is not None:
        body = find_list(client, file.account, name)["body"]
        if json_:
            say.result(body)
            return
        say.line(f"{body['title']}  {body['target']}")
        for one in body["members"]:
            say.line(f"  {one}")
        return
    found = [one["body"] for one in _own(client, file)]
    if json_:
        say.result(found)
    elif found:
        rows = [[one["title"], str(len(one["members"])), one["target"]] for one in found]
        say.table(["title", "accounts", "list"], rows)
    else:
        say.line(f"none yet: {say.called()} list make TITLE WHO...")


@group.command()
def add(
    name: Name,
    who: Members,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Put accounts on a list."""
    _change(name, who, True, account, node, json_)


@group.command()
def remove(
    name: Name,
    who: Members,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Take accounts off a list."""
    _change(name, who, False, account, node, json_)


def _change(
    name: str, who: list[str], on: bool, account: str | None, node: str | None, json_: bool
) -> None:
    from ratoon_protocol import kinds

    file, client = signer(account, node)
    item = find_list(client, file.account, name)
    body = body_of(item["id"], client, file)
    named = dict.fromkeys(account_in(one, client) for one in who)
    kept = [one for one in body["members"] if one not in named]
    if not on and len(kept) + len(named) > len(body["members"]):
        say.fail(f"not all of them are on {name}: see `{say.called()} list show {name}`")
    body["members"] = [*body["members"], *(one for one in named if one not in body["members"])]
    if not on:
        body["members"] = kept
    target = bytes.fromhex(item["body"]["target"])
    words = f"{item['body']['title']} has {len(body['members'])} accounts, says record"
    said(sign(account, node, kinds.LIST, body, target), words, json_)


@group.command()
def delete(
    name: Name,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Take a list away."""
    from ratoon_protocol import kinds

    file, client = signer(account, node)
    item = find_list(client, file.account, name)
    body: Body = {"members": [], "state": 0, "title": ""}
    target = bytes.fromhex(item["body"]["target"])
    words = f"Deleted {item['body']['title']}, says record"
    said(sign(account, node, kinds.LIST, body, target), words, json_)
