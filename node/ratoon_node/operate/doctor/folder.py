"""Checks of a node's folder: who can read it, its keys, its rules, the room there is."""

from __future__ import annotations

import os
import re
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

from ratoon_node.config import Settings
from ratoon_node.operate.doctor.finding import Finding, fail, ok, sized, warn
from ratoon_node.operate.folder import KEYS, TOKEN, Folder, FolderError
from ratoon_node.operate.policyfolder import read_policy
from ratoon_node.policy.document import PolicyFileError

# Group and others.
_OTHERS = 0o077
# Below it the node says that it is not ready: the log alone can grow by so much.
FREE_BYTES_MIN = 64 * 1024 * 1024
FREE_DAYS_FAIL = 2
FREE_DAYS_WARN = 30
# Database, its log, listening socket, log file, libraries.
FILES_OWN = 64
_FILES_LINE = re.compile(r"^Max open files +(\d+|unlimited)", re.MULTILINE)


def check_folder(folder: Folder, network: bytes) -> list[Finding]:
    """Folder, key, token and recovery words."""
    if not folder.path.is_dir():
        return [
            fail(
                "folder",
                f"there is no folder {folder.path}: no node was ever made there",
                "start one with `ratoon run`, or say where it is with --data-dir",
            )
        ]
    return [_folder(folder), _keys(folder, network), *_token(folder), _words(folder)]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _folder(folder: Folder) -> Finding:
    if not os.access(folder.path, os.R_OK | os.W_OK | os.X_OK):
        do = "run this as the user that the node runs as"
        return fail("folder", f"{folder.path} cannot be read and written by this user", do)
    if _mode(folder.path) & _OTHERS:
        do = f"chmod 700 {folder.path}"
        return fail("folder", f"{folder.path} is open to other users of this machine", do)
    return ok("folder", f"{folder.path} is its owner's alone")


def _private(check: str, path: Path, holds: str) -> Finding | None:
    if _mode(path) & _OTHERS:
        return fail(
            check,
            f"{path.name} can be read by other users of this machine: {holds}",
            f"chmod 600 {path}",
        )
    return None


def _keys(folder: Folder, network: bytes) -> Finding:
    path = folder.path / KEYS
    if not path.exists():
        if folder.store.exists():
            return fail(
                "keys",
                f"{KEYS} is missing: this database would go on under a new account",
                f"put {path} back from a backup before the node starts",
            )
        return warn("keys", "the node has no keys yet", "start it with `ratoon run`")
    try:
        found = folder.keys(network)
    except FolderError as error:
        return fail("keys", str(error), "put back the file that belongs to this node")
    assert found is not None, "it exists"
    holds = "whoever reads it can speak as this node"
    said = f"{KEYS} is whole and private: node {found.account.hex()[:16]}"
    return _private("keys", path, holds) or ok("keys", said)


def _token(folder: Folder) -> Iterator[Finding]:
    path = folder.path / TOKEN
    if path.exists():
        holds = "whoever reads it can do all that the operator can"
        yield _private("token", path, holds) or ok("token", f"{TOKEN} is private")


def _words(folder: Folder) -> Finding:
    path = folder.words_file
    if not path.exists():
        return ok("words", "the recovery words lie in no file: they belong on paper")
    holds = "whoever reads them owns the node for good"
    return _private("words", path, holds) or warn(
        "words",
        f"the recovery words still lie in {path.name}, where every backup and intruder finds them",
        "run `ratoon init` on a terminal, write them down, and let it remove the file",
    )


# --- rules and people ------------------------------------------------------------------------


def check_policy(settings: Settings, in_force: str | None) -> Finding:
    """The file of rules; `in_force` is the version that the running node has, None if stopped."""
    path = settings.policy_path
    if not path.exists():
        return ok("policy", f"there is no {path.name}: no rules but those of the standard")
    try:
        policy = read_policy(path)
    except PolicyFileError as error:
        first = str(error.problems[0]) if error.problems else str(error)
        more = f" (and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
        return fail(
            "policy",
            f"{path.name} is wrong: {first}{more}. The node would not start with it",
            f"`ratoon policy check {path}` says everything that is wrong",
        )
    if in_force is not None and in_force != policy.version:
        words = f"{path.name} was changed and is not in force: the node runs with older rules"
        return warn("policy", words, "`ratoon policy reload`")
    return ok("policy", f"{path.name} is valid, version {policy.version}")


def check_registration(settings: Settings) -> Finding:
    """Whether who may come in fits what stands at the door."""
    if settings.registration != "open":
        return ok("registration", f"new people: {settings.registration}")
    if settings.entries_per_minute_max == 0:
        return fail(
            "registration",
            "anybody may sign up, any number of times: one program can fill this node",
            "set entries_per_minute_max, or registration to invite",
        )
    if not settings.policy_path.exists():
        return warn(
            "registration",
            "anybody may sign up, and there are no rules for what they post",
            f"write {settings.policy_path.name} (deploy/policy.example.toml), or set registration"
            " to invite",
        )
    return ok("registration", "anybody may sign up, at a bounded rate and under your rules")


# --- the machine -----------------------------------------------------------------------------


def check_disk(folder: Folder, growth_bytes_per_day: float) -> Finding:
    """Free room, and how long it lasts at `growth_bytes_per_day`."""
    room = os.statvfs(folder.path)
    free = room.f_bavail * room.f_frsize
    if free < FREE_BYTES_MIN:
        return fail(
            "disk",
            f"{sized(free)} are free: the node refuses to store anything, and can lose nothing",
            "free some room, or move the folder to a larger disk while the node is stopped",
        )
    if growth_bytes_per_day <= 0:
        return ok("disk", f"{sized(free)} are free; it has not grown enough to say how long")
    days = free / growth_bytes_per_day
    grows = f"{sized(free)} are free; at {sized(growth_bytes_per_day)} a day that lasts"
    do = "plan for a larger disk, or set horizon_days so that old posts of strangers go"
    if days < FREE_DAYS_FAIL:
        return fail("disk", f"{grows} {days * 24:.0f} hours", do)
    if days < FREE_DAYS_WARN:
        return warn("disk", f"{grows} {days:.0f} days", do)
    return ok("disk", f"{grows} {f'{days:.0f} days' if days < 3650 else 'for years'}")


def check_files(settings: Settings, pid: int | None) -> Finding:
    """The limit of open files of the node's process, or of one started from here."""
    need = settings.links_max + settings.streams_max + settings.requests_active_max
    need += settings.readers + FILES_OWN
    has = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if pid is not None:
        try:
            found = _FILES_LINE.search(Path(f"/proc/{pid}/limits").read_text(encoding="ascii"))
        except OSError:
            found = None
        if found:
            has = resource.RLIM_INFINITY if found[1] == "unlimited" else int(found[1])
    if has != resource.RLIM_INFINITY and has < need:
        return warn(
            "files",
            f"the process may open {has} files, its settings allow {need} connections and files:"
            " at a rush it refuses people",
            f"LimitNOFILE={need * 2} in the service, `ulimit -n {need * 2}` in a shell, or lower"
            " streams_max",
        )
    return ok("files", f"{'any number of' if has < 0 else has} open files allowed, {need} needed")
