"""The accounts of the person at this machine: one private file each, and who may use it.

    $XDG_DATA_HOME/ratoon/accounts/<name>.json    device key, slot key, how far its chains are
    $XDG_STATE_HOME/ratoon/instance               which installation this is; not for backups

The key on paper is in neither. A file that came from a backup or another machine names another
instance, or is behind what nodes know: its chains are never continued (R-36). What was signed and
not yet acknowledged is kept in the file and sent again first, so a lost answer leaves no hole.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ratoon_client.errors import BadKeyFile
from ratoon_protocol import record
from ratoon_protocol.author import Author, Chain, restored_chains
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.kinds import Lane
from ratoon_protocol.record import Record
from ratoon_protocol.statement import SignIn, origin_of, sign_in

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
DEFAULT_NAME = "me"
# A key file with its unsent records; whatever is larger is not one.
FILE_BYTES_MAX = 1024 * 1024
# Records signed and not yet acknowledged: above it the node must come back first.
PENDING_MAX = 8
#: What a node may answer for a record that it now has.
ACCEPTED = frozenset({"stored", "duplicate", "superseded", "held", "wanted"})
#: What a later attempt may change: the record stays in the key file.
LATER = frozenset({"busy", "rate", "future", "shutdown", "internal"})
#: What to do about a device key that may not go on.
NEW_KEY = "give this device a new key with `ratoon account rotate`; nothing that was posted is lost"


def _xdg(variable: str, fallback: str) -> Path:
    """A folder by the XDG base directory specification."""
    return Path(os.environ.get(variable) or Path.home() / fallback) / "ratoon"


def accounts_folder() -> Path:
    """Where key files are."""
    return _xdg("XDG_DATA_HOME", ".local/share") / "accounts"


def state_folder() -> Path:
    """Where this installation notes what is its own and belongs into no backup."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def write_private(path: Path, text: str) -> None:
    """Write a file for its owner alone, whole or not at all, and have it on disk."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def instance() -> str:
    """The id of this installation, drawn when it is first asked for."""
    path = state_folder() / "instance"
    try:
        found = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        found = ""
    if not found:
        found = secrets.token_hex(16)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, found + "\n")
    return found


@dataclass
class KeyFile:
    """One account on this machine. Keys and ids are hexadecimal; seeds are 32 bytes.

    `home` is the account of the node at `node`, "" where it is not known: a node of this machine
    is found again when its address changes. `pending`: records signed whose acknowledgement has
    not come; they are sent again first.
    """

    name: str
    network: str
    account: str
    anchor: str
    node: str
    device_seed: str
    agreement_seed: str
    slot_key: str
    instance: str
    home: str = ""
    chains: dict[str, list[int | str]] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return accounts_folder() / f"{self.name}.json"

    @property
    def device(self) -> SigningKey:
        """The key that signs here."""
        return SigningKey.from_seed(bytes.fromhex(self.device_seed))

    def author(self) -> Author:
        """Signs for this account with this device."""
        return Author(
            bytes.fromhex(self.network),
            bytes.fromhex(self.account),
            self.device,
            bytes.fromhex(self.slot_key),
            restored_chains(self.chains),
        )

    def sign_in(self, url: str, challenge: Mapping[str, Any]) -> dict[str, str]:
        """What answers a challenge of the node at `url`, as its API gives and takes them (R-127).

        Raises KeyError, TypeError or ValueError for what is no challenge.
        """
        said = SignIn(
            bytes.fromhex(self.account),
            bytes.fromhex(challenge["audience"]),
            origin_of(url),
            bytes.fromhex(challenge["nonce"]),
            int(challenge["expires_ms"]),
        )
        signed = sign_in(bytes.fromhex(self.network), said, self.device)
        return {"statement": base64.b64encode(signed).decode()}

    def save(self) -> None:
        """Keep it for its owner alone, on disk before anything it signed leaves."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.path, json.dumps(asdict(self), indent=1) + "\n")

    # --- never forking a chain -----------------------------------------------------------

    def check_own(self) -> None:
        """Refuse a file that belongs to another installation. Raises `BadKeyFile`."""
        if self.instance != instance():
            raise BadKeyFile(
                f"the key file of {self.name} comes from a backup or another machine; its chain"
                f" must not go on here: {NEW_KEY}",
                "copied",
            )

    def check_heads(self, heads: Iterable[Mapping[str, Any]]) -> None:
        """Refuse a file that is behind what a node holds of this device's key.

        `heads` as `/v1/accounts/{id}/heads` gives them. Raises `BadKeyFile`.
        """
        chains = restored_chains(self.chains)
        sent = {
            (one.header.kind_class.lane, one.header.seq, one.id) for one in self.unacknowledged()
        }
        for head in heads:
            if head["key"] != self.device.public.hex():
                continue
            lane = Lane(head["lane"])
            known = Chain(head["seq"], bytes.fromhex(head["id"]), head["created_ms"])
            ours = chains.get(lane)
            same = ours is not None and (
                ours.seq > known.seq or (ours.seq, ours.id) == (known.seq, known.id)
            )
            if not same and (lane, known.seq, known.id) not in sent:
                raise BadKeyFile(
                    f"the node knows more of this device than the key file of {self.name}: the"
                    f" file was restored or is used elsewhere. {NEW_KEY[0].upper()}{NEW_KEY[1:]}",
                    "behind",
                )

    # --- what was signed and not acknowledged --------------------------------------------

    def unacknowledged(self) -> list[Record]:
        """What was signed and has to be sent again first, oldest first."""
        return [record.decode_record(bytes.fromhex(item)) for item in self.pending]

    def keep(self, author: Author, signed: Record) -> None:
        """Have a record that was just signed on disk before it leaves."""
        self.chains = author.saved_chains()
        self.pending.append(signed.encode().hex())
        self.save()

    def forget(self, settled: Iterable[Record]) -> None:
        """A node has these, or no node will ever take them."""
        gone = {item.encode().hex() for item in settled}
        self.pending = [item for item in self.pending if item not in gone]
        self.save()


def check_name(name: str) -> str:
    """A name that can be a file's. Raises `BadKeyFile`."""
    if not NAME.fullmatch(name):
        raise BadKeyFile("a name has small letters, digits and - _ . only, at most 64", "usage")
    return name


def names() -> list[str]:
    """The accounts on this machine."""
    folder = accounts_folder()
    return sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []


def load(name: str | None = None) -> KeyFile:
    """The account called `name`; without a name the only one, or `me`. Raises `BadKeyFile`."""
    known = names()
    if name is None:
        if not known:
            raise BadKeyFile(
                "there is no account on this machine: make one with `ratoon account new`"
            )
        if len(known) > 1 and DEFAULT_NAME not in known:
            raise BadKeyFile(f"say which account with --account: {', '.join(known)}", "usage")
        name = DEFAULT_NAME if DEFAULT_NAME in known else known[0]
    elif check_name(name) not in known:
        raise BadKeyFile(
            f"there is no account {name} on this machine; there are: {', '.join(known) or 'none'}"
        )
    path = accounts_folder() / f"{name}.json"
    try:
        with path.open(encoding="utf-8") as file:
            found = json.loads(file.read(FILE_BYTES_MAX))
        return KeyFile(**found | {"name": name})
    except (OSError, ValueError, TypeError) as error:
        raise BadKeyFile(
            f"{path} cannot be read ({error}): come back with `ratoon account recover`"
        ) from None


@contextmanager
def held(name: str | None = None) -> Iterator[KeyFile]:
    """`load`, and keep others from signing with it meanwhile: a chain has one writer."""
    folder = accounts_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield load(name)
