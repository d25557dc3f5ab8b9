"""`ratoon account`: the accounts of the people at this machine, and their 24 words."""

from __future__ import annotations

import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ratoon_node.cli import say
from ratoon_node.cli.flags import Json
from ratoon_node.cli.naming import id_in
from ratoon_node.cli.places import AccountName, NodeUrl

if TYPE_CHECKING:
    from ratoon_client.keyfile import KeyFile
    from ratoon_node.cli.client import Client
    from ratoon_node.cli.identity import Known

group = typer.Typer(help="Accounts: keys, devices, homes, recovery.", no_args_is_help=True)

Words = Annotated[
    str | None,
    typer.Option(help="The 24 words; - reads them from standard input. [asks for them]"),
]
WordsFile = Annotated[
    Path | None,
    typer.Option(help="Write the words to this new file instead of showing them."),
]
Invite = Annotated[str | None, typer.Option(help="Invitation to a node that asks for one.")]
Also = Annotated[
    list[str] | None,
    typer.Option("--also", metavar="URL", help="Other nodes to ask what they know; repeatable."),
]


def read_words(given: str | None) -> bytes:
    """The entropy of the words that were given, or asked for at the terminal."""
    from ratoon_protocol import phrase

    if given is None:
        if not sys.stdin.isatty():
            say.fail("give the 24 words with --words - on standard input", say.Exit.USAGE)
        print("The 24 words: ", end="", file=sys.stderr, flush=True)
    text = sys.stdin.readline(4096) if given in (None, "-") else given
    return phrase.entropy_from_words(text or "")


def hand_over_words(entropy: bytes, file: Path | None) -> None:
    """Give the words to their owner: in a file of theirs, or on a terminal; nowhere else."""
    from ratoon_client.keyfile import write_private
    from ratoon_protocol import phrase

    words = phrase.words_from_entropy(entropy)
    screen = say.terminal()
    if file is not None:
        if file.exists():
            say.fail(f"{file} is there already; words are never written over a file")
        write_private(file, words + "\n")
        return
    if screen is None:
        say.fail("there is no terminal to show the words on: name a file with --words-file")
    print(
        "Write down these 24 words: they alone bring the account back, on any node; they are\n"
        f"shown once, and whoever has them owns the account.\n\n{say.words_grid(words)}\n",
        file=screen,
        flush=True,
    )


def register_with_invite(
    client: Client, path: list[bytes], invite: str | None, handle: str = ""
) -> None:
    """Register; whoever operates the node on this machine needs no invitation of another's."""
    from ratoon_node.cli import identity
    from ratoon_node.cli.client import Refused
    from ratoon_node.cli.places import operator_of

    try:
        identity.register(client, path, invite, handle)
    except Refused as error:
        if error.json_code != "invite_needed":
            raise
        if invite is not None:
            raise Refused(
                error.json_code,
                f"{client.url} does not take this invitation: it is used up, too old or mistyped",
                error.status,
            ) from None
        operator = operator_of(client)
        if operator is None:
            raise Refused(
                error.json_code,
                f"{client.url} takes new accounts by invitation: ask its operator for one and add"
                " --invite CODE",
                error.status,
            ) from None
        made = operator.send("POST", "/v1/operator/invites", {"uses": 1, "note": "own account"})
        identity.register(client, path, made["code"], handle)


@group.command()
def new(
    name: Annotated[str, typer.Argument(help="What this machine calls it.")] = "me",
    node: NodeUrl = None,
    handle: Annotated[
        str,
        typer.Option(metavar="NAME", help="A name at the node's domain."),
    ] = "",
    invite: Invite = None,
    words_file: WordsFile = None,
    json_: Json = False,
) -> None:
    """Make an account.

    Its keys are kept on this machine; you get the 24 words that bring it back; a node is its home.
    """
    from ratoon_client import keyfile
    from ratoon_node.cli import identity
    from ratoon_node.cli.client import Client, Refused
    from ratoon_node.cli.places import node_here
    from ratoon_protocol import phrase

    if keyfile.check_name(name) in keyfile.names():
        say.fail(f"there is an account {name} on this machine already: say another name")
    client = Client(node or node_here())
    entropy = secrets.token_bytes(phrase.ENTROPY_BYTES)
    info = identity.ask_node(client)
    handles = [info.handle(handle)] if handle else []
    file, genesis = identity.create(name, info, client.url, entropy, handles)
    file.home = info.account.hex()
    hand_over_words(entropy, words_file)
    try:
        register_with_invite(client, [genesis.encode()], invite, handle)
    except Refused:
        if words_file is not None:
            words_file.unlink()
        say.note("No account was made: throw the words away.")
        raise
    file.save()
    if json_:
        made = {"name": name, "account": file.account, "node": client.url, "handles": handles}
        say.result(made)
    else:
        say.line(f"Account {name} is at home at {client.url}: {file.account}")
        for one in handles:
            say.line(f"  handle   {one}")
        say.line(f'Next: {say.called()} post "Hello"{"" if name == "me" else f" --account {name}"}')


@group.command("list")
def list_(json_: Json = False) -> None:
    """The accounts on this machine."""
    from ratoon_client import keyfile

    files = [keyfile.load(name) for name in keyfile.names()]
    if json_:
        say.result([{"name": f.name, "account": f.account, "node": f.node} for f in files])
    elif files:
        say.table(["name", "account", "node"], [[f.name, f.account, f.node] for f in files])
    else:
        say.line(f"none yet: {say.called()} account new")


@group.command()
def show(account: AccountName = None, node: NodeUrl = None, json_: Json = False) -> None:
    """What the node knows of an account: devices, homes, revoked keys."""
    from ratoon_client import keyfile
    from ratoon_node.cli import identity
    from ratoon_node.cli.places import client_of

    file = keyfile.load(account)
    client = client_of(file, node)
    known = identity.gather([client], bytes.fromhex(file.network), bytes.fromhex(file.account))
    state = known.log.state
    devices = [(row.key.hex(), row.key == file.device.public) for row in state.devices]
    if json_:
        say.result(
            {
                "name": file.name,
                "account": file.account,
                "node": client.url,
                "devices": [{"key": key, "here": here} for key, here in devices],
                "homes": [home.hex() for home in state.homes],
                "handles": list(state.handles),
                "revoked": [key.hex() for key in state.revoked],
                "contested": known.log.contested,
                "unsent": len(file.pending),
            }
        )
        return
    say.line(f"{file.name}  {file.account}")
    for key, here in devices:
        say.line(f"  device   {key}{'  (this one)' if here else ''}")
    for home in state.homes:
        say.line(f"  home     {home.hex()}")
    for handle in state.handles:
        say.line(f"  handle   {handle}")
    for key_bytes in state.revoked:
        say.line(f"  revoked  {key_bytes.hex()}")
    if file.pending:
        say.line(f"  {len(file.pending)} records are signed and not sent yet")


@group.command()
def rotate(
    account: AccountName = None,
    words: Words = None,
    node: NodeUrl = None,
    also: Also = None,
    json_: Json = False,
) -> None:
    """Give this machine a new device key.

    The old one is retired; what it signed stays.
    """
    from ratoon_client import keyfile
    from ratoon_node.cli import identity
    from ratoon_protocol.author import Draft

    with keyfile.held(account) as file:
        entropy, client, known = _open(file, words, node, also)
        old = file.device.public
        seeds, draft = identity.Seeds(), Draft.after(known.head)
        if any(row.key == old for row in draft.devices):
            identity.retire(known, draft, [old], stolen=False)
        draft.devices.append(seeds.row(known.network, known.anchor))
        identity.change(client, known, entropy, draft)
        fresh = identity.key_file(seeds, file.name, known, client.url, entropy)
        fresh.home = file.home
        fresh.save()
    _said(json_, fresh, "This machine signs with a new key", {"retired": [old.hex()]})


@group.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The device's key, as `account show` says it.")],
    retired: Annotated[
        bool, typer.Option("--retired", help="It was not stolen: keep all it signed up to now.")
    ] = False,
    account: AccountName = None,
    words: Words = None,
    node: NodeUrl = None,
    also: Also = None,
    json_: Json = False,
) -> None:
    """Revoke a device that was stolen or is used no more.

    Stolen: only what nodes hold of it now stays, whatever comes later.
    """
    from ratoon_client import keyfile
    from ratoon_node.cli import identity
    from ratoon_protocol.author import Draft

    with keyfile.held(account) as file:
        if key == file.device.public.hex():
            say.fail("this is the key of this machine: use `ratoon account rotate`")
        entropy, client, known = _open(file, words, node, also)
        found = [row.key for row in known.head.devices if row.key.hex() == key]
        if not found:
            say.fail("the account lists no such device: see `ratoon account show`")
        draft = Draft.after(known.head)
        identity.retire(known, draft, found, stolen=not retired)
        identity.change(client, known, entropy, draft)
    _said(json_, file, "Revoked", {"retired" if retired else "stolen": [key]})


@group.command("add-home")
def add_home(
    url: Annotated[str, typer.Argument(help="Address of the node.")],
    invite: Invite = None,
    first: Annotated[
        bool, typer.Option("--first", help="Make it the first home: commands ask it.")
    ] = False,
    account: AccountName = None,
    words: Words = None,
    also: Also = None,
    json_: Json = False,
) -> None:
    """Make another node a home.

    It serves the account and takes its posts.
    """
    from ratoon_client import keyfile
    from ratoon_node.cli import identity
    from ratoon_node.cli.client import Client
    from ratoon_protocol.author import Draft

    with keyfile.held(account) as file:
        entropy, client, known = _open(file, words, None, also)
        home = Client(url)
        draft = Draft.after(known.head)
        info = identity.ask_node(home)
        identity.add_home(draft, info.account, first)
        changed = identity.amend(known, identity.paper_of(entropy), draft).encode()
        register_with_invite(home, [*known.path(), changed], invite)
        identity.tell(client, changed)
        if first:
            file.node, file.home = home.url, info.account.hex()
            file.save()
    _said(json_, file, f"{home.url} is a home now", {"homes": [h.hex() for h in draft.homes]})


@group.command("handle")
def set_handle(
    handle: Annotated[
        str, typer.Argument(help="A name at your node's domain, or a handle of your own domain.")
    ],
    remove: Annotated[bool, typer.Option("--remove", help="List it no longer.")] = False,
    account: AccountName = None,
    words: Words = None,
    node: NodeUrl = None,
    also: Also = None,
    json_: Json = False,
) -> None:
    """Take a name by which others find you, or give it up.

    A name at the node's domain (`ann`) is asked of the node. A handle of another domain
    (`ann@own.example`) counts once that domain names this account, at
    https://own.example/.well-known/ratoon/ann or in DNS.
    """
    from ratoon_client import keyfile
    from ratoon_node.cli import identity
    from ratoon_protocol.author import Draft

    with keyfile.held(account) as file:
        entropy, client, known = _open(file, words, node, also)
        info = identity.ask_node(client)
        full = handle.lower() if "@" in handle else info.handle(handle)
        draft = Draft.after(known.head)
        draft.handles = [one for one in draft.handles if one != full]
        if not remove:
            draft.handles.insert(0, full)
        changed = identity.amend(known, identity.paper_of(entropy), draft).encode()
        name, _, domain = full.partition("@")
        if domain == info.domain and not remove:
            identity.register(client, [*known.path(), changed], None, name)
        else:
            identity.tell(client, changed)
    _said(json_, file, "Handles", {"handles": draft.handles})


@group.command()
def recover(
    name: Annotated[str, typer.Argument(help="What this machine calls it.")] = "me",
    words: Words = None,
    node: NodeUrl = None,
    also: Also = None,
    invite: Invite = None,
    retired: Annotated[
        bool,
        typer.Option("--retired", help="The old devices were not stolen: keep all they signed."),
    ] = False,
    on: Annotated[
        str | None,
        typer.Option(metavar="ID", help="If it is contested: the last change that was yours."),
    ] = None,
    id_: Annotated[
        str | None,
        typer.Option("--id", metavar="ACCOUNT", help="If the words are for several accounts."),
    ] = None,
    json_: Json = False,
) -> None:
    """Come back with 24 words alone.

    At any node that knows the account; it becomes the first home and this machine a new device.
    All other devices are lost: they are revoked as stolen, and of them stays what the nodes in
    reach hold. Where somebody else changed the account too, the command lists the changes and you
    say which is yours.
    """
    from ratoon_client import keyfile
    from ratoon_node.cli import identity
    from ratoon_node.cli.client import Client
    from ratoon_node.cli.places import node_here
    from ratoon_protocol.author import Draft

    if keyfile.check_name(name) in keyfile.names():
        say.fail(f"there is an account {name} on this machine already: say another name")
    entropy = read_words(words)
    client = Client(node or node_here())
    info = identity.ask_node(client)
    clients = identity.reach(client, also or ())
    found = identity.find_account(clients, identity.paper_of(entropy).public, id_)
    known = identity.gather(clients, info.network, found)
    if on is not None:
        known.build_on(id_in(on, "a change of an account"))
    elif known.log.contested:
        _choose(known)
    seeds, draft = identity.Seeds(), Draft.after(known.head)
    lost = [row.key for row in draft.devices if row.held_by is None]
    identity.retire(known, draft, lost, stolen=not retired)
    draft.devices.append(seeds.row(known.network, known.anchor))
    identity.add_home(draft, info.account, first=True)
    path = [*known.path(), identity.amend(known, identity.paper_of(entropy), draft).encode()]
    if not known.wins(path[-1]):
        say.fail(
            "the other change was signed with these words too, and nodes follow it for good:"
            " say that one with --on",
            json_code="contested",
        )
    register_with_invite(client, path, invite)
    file = identity.key_file(seeds, name, known, client.url, entropy)
    file.home = info.account.hex()
    file.save()
    form = "retired" if retired else "stolen"
    _said(json_, file, f"Account {name} is back at {client.url}", {form: [k.hex() for k in lost]})


def _choose(known: Known) -> NoReturn:
    """List what the account could go on from, because only its owner knows which is right."""
    rows = []
    for op in known.ends():
        when = datetime.fromtimestamp(op.created_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
        said = f"{len(op.devices)} devices, {len(op.homes)} homes"
        handles = "".join(f", {handle}" for handle in op.handles)
        follows = "; nodes follow it now" if op is known.log.head else ""
        rows.append(f"  {op.id.hex()}  {when}  {said}{handles}{follows}")
    say.fail(
        "somebody else changed this account with one of its keys. Say the last change that was"
        " yours with --on ID; everything else is undone:\n" + "\n".join(rows),
        json_code="contested",
    )


def _open(
    file: KeyFile, words: str | None, node: str | None, also: list[str] | None
) -> tuple[bytes, Client, Known]:
    """What every change of an account begins with: the words, a node, and all that is known."""
    from ratoon_node.cli import identity
    from ratoon_node.cli.places import client_of

    entropy = read_words(words)
    client = client_of(file, node)
    clients = identity.reach(client, also or ())
    account = bytes.fromhex(file.account)
    return entropy, client, identity.gather(clients, bytes.fromhex(file.network), account)


def _said(json_: bool, file: KeyFile, words: str, more: dict[str, list[str]]) -> None:
    if json_:
        say.result({"name": file.name, "account": file.account, "node": file.node, **more})
        return
    say.line(f"{words}: {file.account}")
    for what, items in more.items():
        for item in items:
            say.line(f"  {what}  {item}")
