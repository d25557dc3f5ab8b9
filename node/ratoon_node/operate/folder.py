"""The folder of one node: one process at a time, its keys, and its recovery words.

keys.json           what the server signs with; never the key on paper
recovery-words.txt  only if there was no terminal to show the words on; `ratoon init` shows
                    them and takes the file away
ratoon.sqlite       the store
lock                held by the process that uses the folder
serving.json        where that process answers, for the commands of its operator
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ratoon_node.operate.disk import sync_folder, write_private
from ratoon_node.operate.keys import KeyFileError, Keys, make_keys
from ratoon_protocol import phrase
from ratoon_protocol.errors import RatoonError

KEYS = "keys.json"
WORDS = "recovery-words.txt"
STORE = "ratoon.sqlite"
TOKEN = "operator-token"
LOCK = "lock"
SERVING = "serving.json"
# A line or two; anything longer was not written by this program.
SMALL_FILE_BYTES_MAX = 4096


class FolderError(RatoonError):
    """The folder cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Serving:
    """Where the node of a folder answers."""

    url: str
    pid: int
    account: str


@dataclass
class Folder:
    """A node's folder. `claim` it before anything in it is changed."""

    path: Path
    _lock: TextIO | None = None

    @property
    def store(self) -> Path:
        """The database."""
        return self.path / STORE

    @property
    def words_file(self) -> Path:
        """Where the words wait for their owner if no terminal was there."""
        return self.path / WORDS

    def claim(self) -> None:
        """Make the folder if need be and keep other processes out until this one ends.

        Raises `FolderError`. The lock is the kernel's: a crash leaves none behind.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            lock = os.fdopen(handle, "r+")
        except OSError as error:
            raise FolderError(
                f"{self.path} cannot be used: {error.strerror}. Choose another with --data-dir."
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = lock.read(32).strip()
            lock.close()
            raise FolderError(
                f"another process{f' ({pid})' if pid else ''} runs the node in {self.path}."
                " Stop it, or choose another folder with --data-dir."
            ) from None
        with contextlib.suppress(OSError):  # the number only helps whoever is refused
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock

    def release(self) -> None:
        """Let others use the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # --- keys ----------------------------------------------------------------------------

    def keys(self, network: bytes) -> Keys | None:
        """The keys of this node, or None if it has none yet.

        Raises `FolderError` if they cannot be read or belong to another network.
        """
        path = self.path / KEYS
        if not path.exists():
            return None
        try:
            keys = Keys.load(path)
        except KeyFileError as error:
            raise FolderError(f"{error}. Put back the file, or rebuild from the words.") from None
        if keys.network != network:
            raise FolderError(
                f"{path} is for the network {keys.network.hex()}, the settings say {network.hex()}."
                " Set network_id, or choose another folder with --data-dir."
            )
        return keys

    def make_keys(self, network: bytes, entropy: bytes, rng: random.Random, now_ms: int) -> Keys:
        """New keys for a new node, saved before anything uses them."""
        keys = make_keys(network, entropy, rng, now_ms)
        keys.save(self.path / KEYS)
        return keys

    def leave_words(self, entropy: bytes) -> None:
        """Keep the words for their owner to fetch, because nobody is there to read them."""
        write_private(self.words_file, phrase.words_from_entropy(entropy) + "\n")

    def waiting_words(self) -> str | None:
        """The words that wait to be fetched, or None."""
        try:
            with self.words_file.open(encoding="ascii") as file:
                return file.read(SMALL_FILE_BYTES_MAX).strip()
        except FileNotFoundError:
            return None

    def forget_words(self) -> None:
        """Take the file of words away; its owner has them on paper."""
        size = self.words_file.stat().st_size
        with self.words_file.open("r+b") as file:
            file.write(bytes(size))
            file.flush()
            os.fsync(file.fileno())
        self.words_file.unlink()
        sync_folder(self.path)

    # --- the operator ----------------------------------------------------------------------

    def operator_token(self) -> str | None:
        """What proves that somebody may read this folder; None if it never ran."""
        try:
            with (self.path / TOKEN).open(encoding="ascii") as file:
                return file.read(SMALL_FILE_BYTES_MAX).strip()
        except (OSError, UnicodeDecodeError):
            return None

    def make_operator_token(self) -> str:
        """The token, drawn at the first start and kept."""
        found = self.operator_token()
        if not found:
            found = secrets.token_hex(32)
            write_private(self.path / TOKEN, found + "\n")
        return found

    # --- where it answers ----------------------------------------------------------------

    def note_serving(self, url: str, account: bytes) -> None:
        """Say where this process answers, and for which node, for commands on this machine.

        Where the disk has no room for it they do not find the node; others do.
        """
        found = {"url": url, "pid": os.getpid(), "account": account.hex()}
        try:
            write_private(self.path / SERVING, json.dumps(found) + "\n")
        except OSError as error:
            import structlog  # for the node alone: commands start without it

            structlog.get_logger().warning("serving_not_noted", error=error.strerror)

    def stopped(self) -> None:
        """This process answers no more."""
        (self.path / SERVING).unlink(missing_ok=True)

    def serving(self) -> Serving | None:
        """Where the node of this folder said it answers; None if it does not run or never did."""
        try:
            with (self.path / SERVING).open(encoding="utf-8") as file:
                found = json.loads(file.read(SMALL_FILE_BYTES_MAX))
            return Serving(str(found["url"]), int(found["pid"]), str(found["account"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
