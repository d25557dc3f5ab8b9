"""The accounts of the person at this machine: one private file each, and who may use it.

    $XDG_DATA_HOME/ratoon/accounts/<name>.json    device key, slot key, how far its chains are
    $XDG_STATE_HOME/ratoon/instance               which installation this is; not for backups

The key on paper is in neither. A file that came from a backup or another machine names another
instance, or is behind what nodes know: its chains are never continued (R-36).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ratoon_node.cli.say import Exit, fail
from ratoon_node.operate.folder import write_private
from ratoon_protocol.author import Author, restored_chains
from ratoon_protocol.keys import SigningKey

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
DEFAULT_NAME = "me"
# A key file with its unsent records; whatever is larger is not one.
FILE_BYTES_MAX = 1024 * 1024
# Records signed and not yet acknowledged: above it the node must come back first.
PENDING_MAX = 8


def _xdg(variable: str, fallback: str) -> Path:
    """A folder by the XDG base directory specification."""
    return Path(os.environ.get(variable) or Path.home() / fallback) / "ratoon"


def accounts_folder() -> Path:
    """Where key files are."""
    return _xdg("XDG_DATA_HOME", ".local/share") / "accounts"


def state_folder() -> Path:
    """Where this installation notes what is its own and belongs into no backup."""
    return _xdg("XDG_STATE_HOME", ".local/state")


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

    def save(self) -> None:
        """Keep it for its owner alone, on disk before anything it signed leaves."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.path, json.dumps(asdict(self), indent=1) + "\n")


def check_name(name: str) -> str:
    """A name that can be a file's. Raises `CommandError`."""
    if not NAME.fullmatch(name):
        fail("a name has small letters, digits and - _ . only, at most 64", Exit.USAGE)
    return name


def names() -> list[str]:
    """The accounts on this machine."""
    folder = accounts_folder()
    return sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []


def load(name: str | None) -> KeyFile:
    """The account called `name`; without a name the only one, or `me`. Raises `CommandError`."""
    known = names()
    if name is None:
        if not known:
            fail("there is no account on this machine: make one with `ratoon account new`")
        if len(known) > 1 and DEFAULT_NAME not in known:
            fail(f"say which account with --account: {', '.join(known)}", Exit.USAGE)
        name = DEFAULT_NAME if DEFAULT_NAME in known else known[0]
    elif check_name(name) not in known:
        fail(f"there is no account {name} on this machine; there are: {', '.join(known) or 'none'}")
    path = accounts_folder() / f"{name}.json"
    try:
        with path.open(encoding="utf-8") as file:
            found = json.loads(file.read(FILE_BYTES_MAX))
        return KeyFile(**found | {"name": name})
    except (OSError, ValueError, TypeError) as error:
        fail(f"{path} cannot be read ({error}): come back with `ratoon account recover`")


@contextmanager
def held(name: str | None) -> Iterator[KeyFile]:
    """`load`, and keep other commands from signing with it meanwhile: a chain has one writer."""
    folder = accounts_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield load(name)
