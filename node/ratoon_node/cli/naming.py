"""How accounts and posts are named at the command line, and finding them at a node."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from ratoon_node.cli import say

if TYPE_CHECKING:
    from ratoon_client.keyfile import KeyFile
    from ratoon_node.cli.client import Client
    from ratoon_protocol.record import Body

_ID = re.compile(r"[0-9a-f]{64}")
# What a node may answer in one go.
READ_IDS_MAX = 100


def id_in(text: str, what: str) -> bytes:
    """32 bytes from 64 hexadecimal digits. Raises `CommandError`."""
    if not _ID.fullmatch(text):
        say.fail(f"{what} has 64 hexadecimal digits", say.Exit.USAGE)
    return bytes.fromhex(text)


def account_in(text: str, client: Client) -> bytes:
    """An account by its id, by the name of one on this machine, or by a handle that `client`'s
    node finds. Raises `CommandError`.
    """
    from ratoon_client import keyfile

    if _ID.fullmatch(text):
        return bytes.fromhex(text)
    if text in keyfile.names():
        return bytes.fromhex(keyfile.load(text).account)
    if "@" in text.removeprefix("@"):
        return account_of(text, client)
    words = f"{text} is no account of this machine (`{say.called()} account list`); others are"
    words += " named by their 64 hexadecimal digits or as name@domain"
    raise say.CommandError(words, say.Exit.USAGE)


def account_of(handle: str, client: Client) -> bytes:
    """The account behind a handle, as the node finds it. Raises `Refused`, `Unreachable`."""
    found = client.get(f"/v1/names/{quote(handle, safe='')}")
    return bytes.fromhex(found["account"])


def author_of(id_: str, client: Client) -> bytes:
    """Who wrote a record that is there to be read. Raises `Refused`, `CommandError`."""
    id_in(id_, "a post")
    return bytes.fromhex(client.get(f"/v1/records/{id_}")["account"])


def body_of(id_: str, client: Client, file: KeyFile) -> Body:
    """The body of a record of one's own, with every field exactly as it was signed.

    Raises `CommandError` for a record of somebody else.
    """
    from ratoon_node.cli.client import RECORD_TYPE, Unreachable
    from ratoon_protocol import record
    from ratoon_protocol.errors import ProtocolError

    headers = {"Accept": RECORD_TYPE}
    answer = client.ask("GET", f"/v1/records/{id_}", headers=headers)
    try:
        found = record.decode_record(answer.data)
        if found.id != id_in(id_, "a record") or found.payload is None:
            raise Unreachable(f"{client.url} answers with another record than {id_}")
        body = record.decode_payload(found.payload)
    except ProtocolError as error:
        raise Unreachable(f"{client.url} answers with no record: {error}") from None
    if found.header.account.hex() != file.account:
        say.fail(f"{id_} is not of {file.name}: only its author can change it")
    return {name: value for name, value in body.items() if name not in ("slot_salt", "target")}


def check_own(ids: Sequence[str], client: Client, file: KeyFile) -> None:
    """Raises `CommandError` unless every id is of a record that the account has and can delete."""
    problems: list[str] = []
    for at in range(0, len(ids), READ_IDS_MAX):
        part = list(ids[at : at + READ_IDS_MAX])
        found = client.send("POST", "/v1/records/read", {"ids": part})
        missing = {one["id"]: one for one in found["missing"]}
        for id_, item in zip(part, found["items"], strict=True):
            known = item or missing.get(id_, {})
            if known.get("code") == "gone":
                problems.append(f"{id_} is deleted already")
            elif "account" not in known:
                problems.append(f"the node knows no record {id_}")
            elif known["account"] != file.account:
                problems.append(f"{id_} is not of {file.name}")
    if problems:
        say.fail(f"nothing was deleted: {'; '.join(problems)}", json_code="not_found")
