"""Which node a command talks to, and with what right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ratoon_client.keyfile import KeyFile
from ratoon_node.cli.client import DEFAULT_NODE, Client
from ratoon_node.cli.flags import folder_flag, settings_of
from ratoon_node.cli.say import called, fail
from ratoon_node.operate.folder import Folder

#: The node that a person's command asks.
NodeUrl = Annotated[
    str | None,
    typer.Option("--node", metavar="URL", help="Address of the node. [the account's own]"),
]
#: Whose keys sign.
AccountName = Annotated[
    str | None, typer.Option("--account", metavar="NAME", help="Which account of this machine.")
]


def node_here() -> str:
    """The address of the node of this machine's folder, or the usual one."""
    serving = Folder(settings_of(None).settings.data_dir).serving()
    return serving.url if serving else DEFAULT_NODE


def client_of(file: KeyFile, node: str | None) -> Client:
    """A client of the node that was named, else of the one the account was last at home at."""
    if node is None and file.home:
        serving = Folder(settings_of(None).settings.data_dir).serving()
        if serving is not None and serving.account == file.home:
            return Client(serving.url)
    return Client(node or file.node)


def operator(data_dir: Path | None) -> Client:
    """A client with the rights of the operator: whoever may read the node's folder."""
    folder = Folder(settings_of(data_dir).settings.data_dir)
    token, serving = folder.operator_token(), folder.serving()
    start = f"start it with `{called()} run{folder_flag(folder.path)}`"
    if token is None:
        fail(f"no node was ever run in {folder.path}: {start}")
    if serving is None:
        fail(f"the node in {folder.path} does not run: {start}")
    return Client(serving.url, token)


def operator_of(client: Client) -> Client | None:
    """The operator's client for the same node, if its folder is on this machine and readable."""
    folder = Folder(settings_of(None).settings.data_dir)
    token, serving = folder.operator_token(), folder.serving()
    if token is None or serving is None or serving.url.rstrip("/") != client.url:
        return None
    return Client(serving.url, token)
