"""Settings from flags, environment and file, checked; whatever is wrong is told with its place.

A flag wins over a variable, a variable over the file, the file over the default.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

from ratoon_node.config.positions import locate
from ratoon_node.config.table import ENV_PREFIX, TABLE, Setting, Settings
from ratoon_protocol.errors import RatoonError

FILE_NAME = "ratoon.toml"
# Names a file outside the data folder; not a setting, because a file cannot hold it.
ENV_FILE = ENV_PREFIX + "CONFIG"
# A settings file is a page; a gigabyte is a mistake in the path.
FILE_BYTES_MAX = 64 * 1024
WORDS = {"true": True, "yes": True, "on": True, "1": True} | {
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
KINDS = {
    bool: "true or false",
    int: "a whole number",
    tuple: "a list of texts",
    str: "a text",
    Path: "a path",
}


class ConfigError(RatoonError):
    """Settings that cannot be used. `problems` has one line each, with its place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Given(NamedTuple):
    """A value as somebody wrote it, and where: `--port`, `RATOON_PORT`, `ratoon.toml, line 3`."""

    name: str
    raw: object
    place: str


class _Wrong(Exception):
    """What is wrong with one value."""


def _parse(setting: Setting, raw: object) -> Any:
    """A value of the setting's type from what TOML, a variable or a flag gave."""
    if isinstance(raw, str):
        _check_unicode(raw)
    if setting.kind is bool:
        value: Any = WORDS.get(raw.lower()) if isinstance(raw, str) else raw
        fits = isinstance(value, bool)
    elif setting.kind is int:
        value = int(raw) if isinstance(raw, str) and re.fullmatch("-?[0-9]{1,18}", raw) else raw
        fits = isinstance(value, int) and not isinstance(value, bool)
    elif setting.kind is tuple:
        value = [part.strip() for part in raw.split(",")] if isinstance(raw, str) else raw
        fits = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
        value = tuple(item for item in value if item) if fits else value
    elif setting.kind is Path:
        fits = isinstance(raw, Path) or (isinstance(raw, str) and bool(raw.strip()))
        value = _expanded(cast(str, raw)) if fits else raw
    else:
        value, fits = raw, isinstance(raw, str)
    if not fits:
        raise _Wrong(f"is not {KINDS[setting.kind]}")
    return value


def _check_unicode(text: str) -> None:
    """Bytes of a variable that are no UTF-8 are given as halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Wrong("is not UTF-8") from None


def _expanded(path: Path | str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise _Wrong("names the home folder of nobody here") from None


def _examine(setting: Setting, value: Any) -> None:
    """Raise if the value is outside what its row allows."""
    size = len(value) if isinstance(value, tuple) else value
    if setting.choices and value not in setting.choices:
        raise _Wrong(f"is none of: {', '.join(setting.choices)}")
    if setting.low is not None and size < setting.low:
        raise _Wrong(f"is below {setting.low} {setting.unit}".rstrip())
    if setting.high is not None and size > setting.high:
        unit = "items" if isinstance(value, tuple) else setting.unit
        raise _Wrong(f"is above {setting.high} {unit}".rstrip())
    if setting.check is not None:
        for item in value if isinstance(value, tuple) else (value,):
            if problem := setting.check(item):
                raise _Wrong(f"{problem}: {item!r}" if isinstance(value, tuple) else problem)


def _together(settings: Settings) -> Iterator[str]:
    """Problems between settings that are each fine alone."""
    for smaller, larger in (
        ("batch_records_max", "intake_records_max"),
        ("push_links", "links_max"),
        ("request_bytes_max", "intake_bytes_max"),
    ):
        low, high = getattr(settings, smaller), getattr(settings, larger)
        if low > high:
            yield f"{smaller} ({low}) is above {larger} ({high})"


def _from_file(path: Path) -> Iterator[Given]:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise ConfigError([f"{path}: is larger than {FILE_BYTES_MAX} bytes"])
        text = content.decode().replace("\r\n", "\n")
        values = tomllib.loads(text)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 at byte {error.start}"]) from None
    except tomllib.TOMLDecodeError as error:
        last = f"at line {len(text.splitlines())}"
        raise ConfigError([f"{path}: {str(error).replace('at end of document', last)}"]) from None
    except ValueError:  # Python reads no number of thousands of digits
        raise ConfigError([f"{path}: a number is too long"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: is nested too deeply"]) from None
    lines: dict[str | int, int] = {}
    for place, (line, _) in locate(text).items():
        lines.setdefault(
            place[0], line
        )  # a table that is not named itself begins with its first key
    for name, raw in values.items():
        yield Given(name, raw, f"{path}, line {lines[name]}")


def _from_env(environ: Mapping[str, str]) -> Iterator[Given]:
    for variable in sorted(environ):
        if variable.startswith(ENV_PREFIX) and variable != ENV_FILE:
            yield Given(variable.removeprefix(ENV_PREFIX).lower(), environ[variable], variable)


def _from_flags(flags: Mapping[str, object]) -> Iterator[Given]:
    for name, raw in flags.items():
        if raw is not None:
            yield Given(name, raw, "--" + name.replace("_", "-"))


def _find_file(
    file: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]
) -> Path | None:
    """The file that was named, or the one in the data folder if it exists."""
    named = file or environ.get(ENV_FILE)
    setting = TABLE["data_dir"]
    folder = flags.get("data_dir") or environ.get(setting.env) or setting.default
    try:
        path = _expanded(named) if named else _expanded(str(folder)) / FILE_NAME
    except _Wrong as wrong:
        raise ConfigError([f"{named or folder}: {wrong}"]) from None
    return path if named or path.exists() else None


class Explained(NamedTuple):
    """A line of `ratoon config --explain`; `source` is "default" or the place it was given."""

    name: str
    value: Any
    source: str
    default: Any
    allowed: str
    doc: str


@dataclass(frozen=True)
class Config:
    """The settings, where each came from ("default" if nobody gave it), and the file read."""

    settings: Settings
    sources: Mapping[str, str]
    file: Path | None
    #: Reads flags, variables and file again. Raises `ConfigError`.
    again: Callable[[], Config]

    def explain(self) -> list[Explained]:
        """Every setting with its value and its source, in the order of the table."""
        return [
            Explained(
                name,
                getattr(self.settings, name),
                self.sources[name],
                setting.default,
                setting.allowed,
                setting.doc,
            )
            for name, setting in TABLE.items()
        ]


def load(
    *,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Config:
    """The settings in force. Raises ConfigError with everything that is wrong.

    `flags` by setting name, None for one not given; `environ` as `os.environ`; `file` is read
    instead of `ratoon.toml` in the data folder (a file that is named must exist).
    """
    flags, environ = flags or {}, environ or {}
    path = _find_file(file, environ, flags)
    given = list(_from_file(path)) if path else []
    given += [*_from_env(environ), *_from_flags(flags)]
    values: dict[str, Any] = {"data_dir": TABLE["data_dir"].default.expanduser()}
    sources = dict.fromkeys(TABLE, "default")
    problems = []
    for name, raw, place in given:
        if name not in TABLE:
            problems.append(f"{place}: there is no setting {name}{_nearest(name)}")
            continue
        try:
            value = _parse(TABLE[name], raw)
            _examine(TABLE[name], value)
        except _Wrong as wrong:
            problems.append(f"{place}: {name} {wrong}")
            continue
        values[name], sources[name] = value, place
    settings = Settings(**values)
    problems += _together(settings)
    if problems:
        raise ConfigError(problems)
    return Config(settings, sources, path, partial(load, flags=flags, environ=environ, file=file))


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, TABLE, n=1)
    return f" (did you mean {near[0]}?)" if near else ""
