"""Commands that must know who asks sign in by themselves, with the device key of the key file."""

from __future__ import annotations

import base64

from ratoon_client.keyfile import KeyFile
from ratoon_node.cli.client import Client, Unreachable
from ratoon_protocol.statement import SignIn, origin_of, sign_in


def signed_in(client: Client, file: KeyFile) -> Client:
    """The client, signed in at its node as the account of a key file.

    Where the file names its home, only that node is told: an answer for another is refused.
    Raises `Refused` or `Unreachable`.
    """
    found = client.send("POST", "/v1/session/challenge", {"account": file.account})
    try:
        audience, nonce = bytes.fromhex(found["audience"]), bytes.fromhex(found["nonce"])
        expires_ms = int(found["expires_ms"])
    except (KeyError, TypeError, ValueError):
        raise Unreachable("what answers there is not a Ratoon node") from None
    if file.home and audience.hex() != file.home:
        raise Unreachable(f"another node answers at {client.url} than the home of {file.name}")
    said = SignIn(bytes.fromhex(file.account), audience, origin_of(client.url), nonce, expires_ms)
    statement = sign_in(bytes.fromhex(file.network), said, file.device)
    body = {"statement": base64.b64encode(statement).decode()}
    client.bear(client.send("POST", "/v1/session", body)["token"])
    return client
