"""The tree of commands, and how an error becomes one line and an exit code."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated

import typer
from typer._click.exceptions import ClickException
from typer.exceptions import Abort

from ratoon_client.errors import BadKeyFile
from ratoon_node import __version__
from ratoon_node.cli import (
    account,
    bundles,
    completion,
    conformance,
    demo,
    doctor,
    lists,
    node,
    operator,
    people,
    reading,
    seed,
    speaking,
)
from ratoon_node.cli.say import CommandError, Exit, plain
from ratoon_protocol.errors import Code, ProtocolError, RatoonError

# What people meet of the codes of the standard.
_WORDS = {
    Code.BAD_PHRASE: "these are not the 24 words of an account",
    Code.BAD_TEXT: "there are characters in it that no text may have, such as control characters",
    Code.TOO_LARGE: "it is too long",
    Code.TOO_LONG: "it is too long",
    Code.UNSUPPORTED: "it was made by another version of Ratoon, which this one cannot read",
}

app = typer.Typer(
    name="ratoon",
    help="A node of the Ratoon network, and the accounts of the people at this machine.",
    no_args_is_help=True,
    add_completion=False,  # `ratoon completion` prints it; nothing edits a person's files
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they would print local variables, keys among them
    context_settings={"help_option_names": ["-h", "--help"]},
)
node.register(app)
speaking.register(app)
people.register(app)
app.add_typer(lists.group, name="list")
reading.register(app)
app.add_typer(account.group, name="account")
operator.register(app)
bundles.register(app)
doctor.register(app)
demo.register(app)
seed.register(app)
completion.register(app)
conformance.register(app)


def _version(asked: bool) -> None:
    if asked:
        print(f"ratoon {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_version, is_eager=True, help="Say which version this is."
        ),
    ] = False,
) -> None:
    """Take the options of all commands."""


def run_command(arguments: list[str]) -> int:
    """Run one command; gives the exit code. Errors that are expected become one line."""
    try:
        ended = app(args=arguments, prog_name="ratoon", standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(Exit.FAILED)
    except (KeyboardInterrupt, Abort):
        return Exit.INTERRUPTED
    except ClickException as error:
        return _say_misuse(arguments, error)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except CommandError as error:
        return _say_error(arguments, str(error), error.code, error.json_code)
    except BadKeyFile as error:
        code = Exit.USAGE if error.cause == "usage" else Exit.FAILED
        return _say_error(arguments, str(error), code, error.cause)
    except ProtocolError as error:
        words = f"{_WORDS[error.code]} ({error})" if error.code in _WORDS else str(error)
        return _say_error(arguments, words, Exit.FAILED, error.code.value)
    except OSError as error:
        words = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return _say_error(arguments, words, Exit.FAILED, "failed")
    except RatoonError as error:
        return _say_error(arguments, str(error), Exit.FAILED, "failed")
    return ended if isinstance(ended, int) else Exit.DONE


def _say_misuse(arguments: list[str], error: ClickException) -> int:
    """Say what is wrong with the command line; a bare group shows its commands."""
    if "--json" in arguments:
        return _say_error(arguments, error.format_message(), Exit.USAGE, "usage")
    error.show()
    return error.exit_code


def _say_error(arguments: list[str], words: str, code: Exit, json_code: str) -> int:
    if "--json" in arguments:
        print(json.dumps({"error": {"code": json_code, "message": words}}, ensure_ascii=False))
    else:
        print(f"ratoon: {plain(words)}", file=sys.stderr)
    return code
