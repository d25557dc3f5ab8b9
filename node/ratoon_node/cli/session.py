"""Commands that must know who asks sign in by themselves, with the device key of the key file."""

from __future__ import annotations

from ratoon_client.keyfile import KeyFile
from ratoon_node.cli.client import Client, Unreachable


def signed_in(client: Client, file: KeyFile) -> Client:
    """The client, signed in at its node as the account of a key file.

    Where the file names its home, only that node is told: an answer for another is refused.
    Raises `Refused` or `Unreachable`.
    """
    found = client.send("POST", "/v1/session/challenge", {"account": file.account})
    try:
        audience, answer = found["audience"].lower(), file.sign_in(client.url, found)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Unreachable("what answers there is not a Ratoon node") from None
    if file.home and audience != file.home:
        raise Unreachable(f"another node answers at {client.url} than the home of {file.name}")
    client.bear(client.send("POST", "/v1/session", answer)["token"])
    return client
