"""Whom people follow, and what they say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ratoon_node.cli import say
from ratoon_node.cli.flags import Json
from ratoon_node.cli.naming import account_in, body_of
from ratoon_node.cli.places import AccountName, NodeUrl
from ratoon_node.cli.publishing import Who, said, sign, signer

if TYPE_CHECKING:
    from ratoon_client.keyfile import KeyFile
    from ratoon_node.cli.client import Client
    from ratoon_protocol.codec import Value
    from ratoon_protocol.record import Body

profile = typer.Typer(help="What an account says of itself.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(follow)
    app.command()(unfollow)
    app.add_typer(profile, name="profile")


def follow(
    who: Who,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Follow an account: its posts are in your home timeline."""
    _follow(who, 1, account, node, json_)


def unfollow(
    who: Who,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Follow an account no longer."""
    _follow(who, 0, account, node, json_)


def _follow(who: str, state: int, account: str | None, node: str | None, json_: bool) -> None:
    from ratoon_protocol import kinds

    _, client = signer(account, node)
    target = account_in(who, client)
    published = sign(account, node, kinds.FOLLOW, {"state": state}, target)
    said(published, "Followed, says record" if state else "Unfollowed, says record", json_)


@profile.callback()
def _profile() -> None:
    """What an account says of itself."""


@profile.command("set")
def set_profile(
    name: Annotated[str | None, typer.Option(help="Shown name.")] = None,
    bio: Annotated[str | None, typer.Option(help="A few words.")] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field", metavar="NAME=VALUE", help="A line such as site=https://a.example."
        ),
    ] = None,
    clear_fields: Annotated[
        bool, typer.Option("--clear-fields", help="Take off the lines there are.")
    ] = False,
    account: AccountName = None,
    node: NodeUrl = None,
    json_: Json = False,
) -> None:
    """Say who you are; what is not given stays."""
    from ratoon_protocol import kinds

    if name is None and bio is None and not field and not clear_fields:
        say.fail("say --name, --bio, --field or --clear-fields", say.Exit.USAGE)
    given = [_field(one) for one in field or []]
    file, client = signer(account, node)
    body: Body = {"name": "", "bio": ""} | _said_before(client, file)
    body |= {key: text for key, text in (("name", name), ("bio", bio)) if text is not None}
    rows = {} if clear_fields else dict(body.get("fields", ()))
    fields: list[Value] = [[key, text] for key, text in (rows | dict(given)).items()]
    body.pop("fields", None)
    if fields:
        body["fields"] = fields
    said(sign(account, node, kinds.PROFILE, body, b""), "Profile set, says record", json_)


def _field(text: str) -> tuple[str, str]:
    name, sign_, value = text.partition("=")
    if not sign_ or not name.strip():
        say.fail(f"--field {text}: say it as NAME=VALUE", say.Exit.USAGE)
    return name.strip(), value.strip()


def _said_before(client: Client, file: KeyFile) -> Body:
    """The profile there is, with pictures and all; nothing if there is none."""
    from ratoon_node.cli.client import Refused

    try:
        id_ = client.get(f"/v1/accounts/{file.account}").get("profile_id")
    except Refused as error:
        if error.json_code not in ("not_found", "unknown_account"):
            raise
        id_ = None
    return body_of(id_, client, file) if id_ else {}
