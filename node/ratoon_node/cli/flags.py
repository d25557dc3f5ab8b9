"""The settings of a node as options of a command, made from the table of settings."""

from __future__ import annotations

import functools
import inspect
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ratoon_node.config import TABLE, Config, Setting, load
from ratoon_node.config.show import toml_value

_OURS = "settings_file"
#: `--json`, where a script may want the result.
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
#: Where a command that needs no other setting finds the folder of the node.
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of the node. [RATOON_DATA_DIR]")
]


def _metavar(setting: Setting) -> str:
    if setting.choices:
        return "|".join(setting.choices)
    return {bool: "", int: "NUMBER", tuple: "TEXT,…", Path: "PATH"}.get(setting.kind, "TEXT")


def _parameter(setting: Setting) -> inspect.Parameter:
    flag = setting.flag
    if setting.kind is bool:
        flag = f"{flag}/--no-{flag.removeprefix('--')}"
    option = typer.Option(
        flag,
        metavar=_metavar(setting) or None,
        help=f"{setting.doc} [{toml_value(setting.default)}]",
        show_default=False,
    )
    kind: Any = Annotated[bool | None if setting.kind is bool else str | None, option]
    return _keyword(setting.name, kind)


def _keyword(name: str, kind: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command every setting as an option; it is called with a `Config` first."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        flags = {name: given.pop(name) for name in TABLE}
        config = load(flags=flags, environ=os.environ, file=given.pop(_OURS))
        command(config, **given)

    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    file = Annotated[
        Path | None, typer.Option("--config", help="Settings file. [ratoon.toml in the folder]")
    ]
    parameters = [*own, _keyword(_OURS, file), *map(_parameter, TABLE.values())]
    signature = inspect.Signature(
        [part.replace(kind=inspect.Parameter.KEYWORD_ONLY) for part in parameters]
    )
    run.__dict__["__signature__"] = signature
    run.__annotations__ = {part.name: part.annotation for part in parameters}
    del run.__wrapped__
    return run


def settings_of(data_dir: Path | None) -> Config:
    """The settings in force for a command that takes only the folder."""
    return load(flags={"data_dir": data_dir}, environ=os.environ)


def folder_flag(folder: Path) -> str:
    """What a person adds to a command so that it acts on a node's folder; "" for the usual one."""
    return "" if _is_usual(folder) else f" --data-dir {shlex.quote(str(folder))}"


def folder_variable(folder: Path) -> str:
    """The same, put before a command that has no such flag."""
    name = TABLE["data_dir"].env
    return "" if _is_usual(folder) else f"{name}={shlex.quote(str(folder))} "


def _is_usual(folder: Path) -> bool:
    usual: Path = TABLE["data_dir"].default
    return folder == usual.expanduser()
