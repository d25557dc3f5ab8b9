"""`ratoon run`, `init`, `config` and `reload`: the node of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ratoon_node.cli import say
from ratoon_node.cli.flags import DataDir, Json, with_settings
from ratoon_node.config import TABLE, Config, example_toml, toml_value

if TYPE_CHECKING:
    from ratoon_node.operate.folder import Folder


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(run)
    app.command()(init)
    app.command()(config)
    app.command()(reload)


@with_settings
def run(config: Config) -> None:
    """Run a node here: no configuration needed. Ctrl-C or SIGTERM ends it cleanly."""
    import uvloop

    from ratoon_node.cli.serve import serve

    uvloop.run(serve(config, lambda words: print(words, flush=True)))


def reload(data_dir: DataDir = None, json_: Json = False) -> None:
    """Have the running node read settings and rules anew.

    All of them or, if anything is wrong, none.
    """
    from ratoon_node.cli.places import operator

    found = operator(data_dir).send("POST", "/v1/operator/reload")
    if json_:
        say.result(found)
        return
    say.line(f"in force: rules version {found['policy']}")
    for name in found["changed"]:
        say.line(f"  changed   {name}")
    for name in found["restart"]:
        say.line(f"  {name} changes at the next start")


@with_settings
def init(
    config: Config,
    forget_words: Annotated[
        bool,
        typer.Option(
            "--forget-words", help="Remove the file with the recovery words: they are on paper."
        ),
    ] = False,
    json_: Json = False,
) -> None:
    """Make a node's folder, keys and settings file.

    Shows the recovery words of a new node, and those that wait in a file because it was first
    started without a terminal; then you are asked whether the file may go.
    """
    from ratoon_node.cli.serve import open_keys
    from ratoon_node.operate.folder import Folder

    settings = config.settings
    folder = Folder(settings.data_dir)
    known = folder.keys(settings.network_bytes)
    waiting = folder.waiting_words() if known else None
    if known is None:
        folder.claim()
        keys = open_keys(folder, settings)
        folder.release()
    else:
        keys = known
    if waiting is not None:
        _fetch_words(folder, waiting, forget_words)
    settings_file = settings.data_dir / "ratoon.toml"
    if not settings_file.exists():
        settings_file.write_text(example_toml(), encoding="utf-8")
    if json_:
        say.result(
            {
                "account": keys.account.hex(),
                "data_dir": str(settings.data_dir),
                "new": known is None,
                "words_file": str(folder.words_file) if folder.words_file.exists() else None,
            }
        )
        return
    say.line(f"Node {keys.account.hex()}")
    say.line(f"  folder    {settings.data_dir}")
    say.line(f"  settings  {settings_file}")
    if known and waiting is None:
        say.line("  its recovery words were shown when it was made; they are kept nowhere else")


def _fetch_words(folder: Folder, words: str, forget: bool) -> None:
    """Show the words that wait in a file, and remove it once they are on paper."""
    screen = say.terminal()
    if screen is not None:
        print(f"The recovery words of this node:\n\n{say.words_grid(words)}\n", file=screen)
    elif not forget:
        say.fail("recovery words are shown on a terminal only; this is none")
    if forget or say.ask("Are all 24 words on paper? The file is removed then."):
        folder.forget_words()
        say.note(f"{folder.words_file} is removed.")


@with_settings
def config(
    config: Config,
    explain: Annotated[
        bool, typer.Option("--explain", help="Each setting with its source and its meaning.")
    ] = False,
    example: Annotated[
        bool, typer.Option("--example", help="A settings file with everything in it.")
    ] = False,
    json_: Json = False,
) -> None:
    """Show the settings in force.

    A flag wins over a RATOON_* variable, a variable over the file, the file over the default.
    """
    if example:
        print(example_toml(), end="")
    elif json_:
        say.result(
            {
                row.name: {"value": _json_value(row.value), "source": row.source}
                for row in config.explain()
            }
        )
    else:
        for row in config.explain():
            say.line(f"{row.name} = {toml_value(row.value)}  # {row.source}")
            if explain:
                allowed = f" ({row.allowed})" if row.allowed else ""
                live = " live" if TABLE[row.name].live else ""
                say.line(f"    {row.doc}{allowed}{live} Default: {toml_value(row.default)}")


def _json_value(value: object) -> object:
    return value if isinstance(value, bool | int | str | tuple) else str(value)
