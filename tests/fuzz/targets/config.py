"""A settings file of any bytes, variables and flags: usable settings or every problem in words."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ratoon_node.config import TABLE, ConfigError, example_toml, load
from tests.fuzz.target import Target, ask
from tests.fuzz.targets.policy import TRICKY

WORDS = (
    *(name.encode() for name in TABLE),
    b" = ",
    b"'''",
    b'"',
    b"true",
    b"[a]\n",
    b"-1",
    b"\r\n",
)


@lru_cache(maxsize=1)
def _file() -> Path:
    """One file, written anew by each run, in a folder of this process."""
    folder = tempfile.TemporaryDirectory(prefix="fuzz-config-")
    _KEPT.append(folder)
    return Path(folder.name) / "ratoon.toml"


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def run(data: bytes) -> None:
    """As a file; as variables, one a line."""
    file = _file()
    file.write_bytes(data)
    checked(file=file)
    words = data[:400].decode("utf-8", "surrogateescape").split("\n")
    pairs = [line.partition("=") for line in words]
    environ = {f"RATOON_{name.strip().upper()}": value for name, _, value in pairs if name.strip()}
    environ.pop("RATOON_CONFIG", None)  # names another file
    environ.pop("RATOON_DATA_DIR", None)
    checked(environ=environ)
    checked(flags={name.strip(): value for name, _, value in pairs if name.strip() != "data_dir"})


def checked(**given: Any) -> None:
    """What is accepted keeps to its table; what is not is told line by line, in one pass."""
    try:
        config = load(**given)
    except ConfigError as error:
        ask(error.problems and all(error.problems), "refused without a word")
        return
    for line in config.explain():
        ask(isinstance(line.value, TABLE[line.name].kind), f"{line.name} of another type")
        ask(line.source, "a setting from nowhere")


def seeds() -> Iterator[bytes]:
    """The example file in parts, and files that are hard to read."""
    lines = example_toml().encode().splitlines(keepends=True)
    plain = [line.removeprefix(b"#").lstrip() for line in lines if b" = " in line]
    yield b""
    yield from (b"".join(plain[at : at + 12]) for at in range(0, len(plain), 12))
    yield from (data[:1500] for data in TRICKY)
    yield b"data_dir = '~root/x'\nport='7'\npeers=['a',\n'b']\n"


TARGET = Target("config", run, seeds, WORDS, bytes_max=1500)
