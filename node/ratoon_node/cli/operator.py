"""What the operator of a node does: peers, blocks, invitations, the rules.

Whoever may read the node's folder is its operator; the commands show its token to the running node.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ratoon_node.cli import say
from ratoon_node.cli.flags import DataDir, Json

peer = typer.Typer(help="Nodes that this one exchanges records with.", no_args_is_help=True)
invite = typer.Typer(help="Invitations to make this node a home.", no_args_is_help=True)
policy = typer.Typer(help="The rules at ingest.", no_args_is_help=True)


class Subject(StrEnum):
    """What a block is about."""

    ACCOUNT = "account"
    NODE = "node"
    DOMAIN = "domain"
    WORD = "word"
    MEDIA = "media"


class Verdict(StrEnum):
    """What a block does; `accept` is an exception from every other block."""

    ACCEPT = "accept"
    LIMIT = "limit"
    HOLD = "hold"
    WITHHOLD = "withhold"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(peer, name="peer")
    app.add_typer(invite, name="invite")
    app.add_typer(policy, name="policy")
    for command in (block, unblock, blocks):
        app.command()(command)


# --- peers -----------------------------------------------------------------------------------


@peer.command("add")
def peer_add(
    address: Annotated[str, typer.Argument(help="Where it is, such as https://node.example.")],
    provider: Annotated[
        str | None, typer.Option(help="Whose machines it runs on, as you confirm it.")
    ] = None,
    country: Annotated[str | None, typer.Option(help="Where, as two letters.")] = None,
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Meet a node and exchange records with it from now on.

    Its copies count towards another provider only with --provider: what nodes say of themselves
    counts for nothing.
    """
    from ratoon_node.cli.places import operator

    if not address.startswith(("http://", "https://")):
        say.fail(f"{address} is no address such as https://node.example", say.Exit.USAGE)
    body = {"address": address, "provider": provider, "country": country}
    given = {name: value for name, value in body.items() if value is not None}
    found = operator(data_dir).send("POST", "/v1/operator/peers", given)
    if json_:
        say.result(found)
    else:
        say.line(f"Added {found['node']}")
        if provider is None:
            say.line("  its copies do not count as another provider's: say --provider NAME")


@peer.command("list")
def peer_list(data_dir: DataDir = None, json_: Json = False) -> None:
    """The nodes this one knows, those you added first."""
    from ratoon_node.cli.places import operator

    found = operator(data_dir).get("/v1/operator/peers")
    if json_:
        say.result(found)
        return
    rows = [
        [
            one["node"][:16],
            one.get("address") or "",
            "added" if one.get("added") else "",
            "linked" if one.get("linked") else "",
            one.get("provider") or "not confirmed",
            one.get("country") or "",
        ]
        for one in found["peers"]
    ]
    if rows:
        say.table(["node", "address", "", "", "provider", "country"], rows)
    else:
        say.line("none yet: ratoon peer add ADDRESS")


@peer.command("remove")
def peer_remove(
    node: Annotated[str, typer.Argument(help="Its account, as `peer list --json` says it.")],
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Take a node off; what it brought stays. To refuse it, `ratoon block node`."""
    from ratoon_node.cli.places import operator

    operator(data_dir).send("DELETE", f"/v1/operator/peers/{node}")
    if json_:
        say.result({"removed": node})
    else:
        say.line(f"Removed {node}")


# --- blocks ----------------------------------------------------------------------------------


def block(
    subject: Annotated[Subject, typer.Argument(help="What it is about.")],
    entity: Annotated[str, typer.Argument(help="The account, node, domain or words.")],
    verdict: Annotated[
        Verdict, typer.Option(help="What happens to it; `accept` lets it pass every block.")
    ] = Verdict.WITHHOLD,
    reason: Annotated[str, typer.Option(help="A short word that people see.")] = "blocked",
    days: Annotated[int | None, typer.Option(min=1, help="For so many days only.")] = None,
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Block an account, a node, a domain linked to, or words.

    What is stored already of an account, a node or a domain is hidden too; words are looked for
    in what comes from now on.
    """
    from ratoon_node.cli.identity import now_ms
    from ratoon_node.cli.naming import account_in
    from ratoon_node.cli.places import operator
    from ratoon_protocol.limits import DAY_MS

    if subject is Subject.ACCOUNT:
        entity = account_in(entity, operator(data_dir)).hex()
    body: dict[str, Any] = {
        "subject": subject.value,
        "entity": entity,
        "verdict": verdict.value,
        "reason": reason,
    }
    if days is not None:
        body["expires_ms"] = now_ms() + days * DAY_MS
    operator(data_dir).send("POST", "/v1/operator/blocks", body)
    if json_:
        say.result(body)
    else:
        say.line(f"{verdict.value}: {subject.value} {entity} ({reason})")
        if subject is Subject.WORD:
            say.note("  from now on; what is stored already stays as it is")


def unblock(
    subject: Annotated[Subject, typer.Argument(help="What it is about.")],
    entity: Annotated[str, typer.Argument(help="As it was blocked.")],
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Take a block off.

    What it hid is asked of other nodes again.
    """
    from ratoon_node.cli.naming import account_in
    from ratoon_node.cli.places import operator

    if subject is Subject.ACCOUNT:
        entity = account_in(entity, operator(data_dir)).hex()
    body = {"subject": subject.value, "entity": entity}
    operator(data_dir).send("POST", "/v1/operator/unblock", body)
    if json_:
        say.result(body)
    else:
        say.line(f"unblocked: {subject.value} {entity}")


def blocks(data_dir: DataDir = None, json_: Json = False) -> None:
    """List what is blocked by command.

    The file of rules has lists of its own.
    """
    from ratoon_node.cli.places import operator

    found = operator(data_dir).get("/v1/operator/blocks")
    if json_:
        say.result(found)
        return
    rows = [[b["subject"], b["entity"], b["verdict"], b["reason"]] for b in found["blocks"]]
    if rows:
        say.table(["about", "entity", "verdict", "reason"], rows)
    else:
        say.line("nothing is blocked by command")


# --- invitations -----------------------------------------------------------------------------


@invite.command("new")
def invite_new(
    uses: Annotated[int, typer.Option(min=1, max=10_000, help="How many people it lets in.")] = 1,
    days: Annotated[int | None, typer.Option(min=1, help="For so many days only.")] = None,
    note: Annotated[str, typer.Option(help="For yourself: whom it is for.")] = "",
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Make an invitation."""
    from ratoon_node.cli.identity import now_ms
    from ratoon_node.cli.places import operator
    from ratoon_protocol.limits import DAY_MS

    body: dict[str, Any] = {"uses": uses, "note": note}
    if days is not None:
        body["expires_ms"] = now_ms() + days * DAY_MS
    client = operator(data_dir)
    found = client.send("POST", "/v1/operator/invites", body)
    if json_:
        say.result(found)
    else:
        say.line(found["code"])
        say.note(f"For: ratoon account new --node {client.url} --invite {found['code']}")


@invite.command("list")
def invite_list(data_dir: DataDir = None, json_: Json = False) -> None:
    """The invitations of this node."""
    from ratoon_node.cli.places import operator

    found = operator(data_dir).get("/v1/operator/invites")
    if json_:
        say.result(found)
        return
    rows = [
        [
            one["code"],
            "revoked" if one.get("revoked_ms") else str(one["uses"]),
            _day(one.get("expires_ms")),
            one.get("note", ""),
        ]
        for one in found["invites"]
    ]
    if rows:
        say.table(["code", "uses left", "until", "note"], rows)
    else:
        say.line("none: ratoon invite new")


@invite.command("who")
def invite_who(
    code: Annotated[str, typer.Argument(help="An invitation.")],
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Who came by an invitation."""
    from ratoon_node.cli.places import operator

    found = operator(data_dir).get(f"/v1/operator/invites/{_code(code)}/accounts")
    if json_:
        say.result(found)
        return
    for one in found["accounts"]:
        say.line(f"{_day(one['at_ms'])}  {one['account']}")
    if not found["accounts"]:
        say.line("nobody so far")


@invite.command("revoke")
def invite_revoke(
    code: Annotated[str, typer.Argument(help="An invitation.")],
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Let nobody in by an invitation any more; who came by it stays."""
    from ratoon_node.cli.places import operator

    found = operator(data_dir).send("DELETE", f"/v1/operator/invites/{_code(code)}")
    if json_:
        say.result(found)
    else:
        say.line(f"revoked: {found['code']}")


def _code(code: str) -> str:
    if not code.isalnum():
        say.fail("an invitation has letters and digits only", say.Exit.USAGE)
    return code


def _day(ms: int | None) -> str:
    return "" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")


# --- the rules -------------------------------------------------------------------------------


@policy.command("check")
def policy_check(
    file: Annotated[Path, typer.Argument(help="A policy.toml.")], json_: Json = False
) -> None:
    """Say everything that is wrong with a file of rules.

    Changes nothing.
    """
    from ratoon_node.operate.policyfolder import read_policy
    from ratoon_node.policy.document import PolicyFileError

    if not file.is_file():
        say.fail(f"{file} cannot be read: there is no such file")
    problems: list[str] = []
    version = ""
    try:
        version = read_policy(file).version
    except PolicyFileError as error:
        problems = [str(problem) for problem in error.problems]
    if json_:
        say.result({"ok": not problems, "version": version, "problems": problems})
    elif problems:
        for problem in problems:
            say.line(f"{file}: {problem}")
    else:
        say.line(f"{file}: good, version {version}")
    if problems:
        raise typer.Exit(say.Exit.FAILED)


@policy.command("reload")
def policy_reload(data_dir: DataDir = None, json_: Json = False) -> None:
    """Have the running node read its rules anew.

    All of them or, if one is wrong, none.
    """
    from ratoon_node.cli.places import operator

    found = operator(data_dir).send("POST", "/v1/operator/policy")
    if json_:
        say.result(found)
    else:
        say.line(f"in force: version {found['policy']}")
