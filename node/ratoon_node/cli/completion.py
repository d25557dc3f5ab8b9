"""Completion for shells: printed, so that packagers and people put it where theirs looks."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer


class Shell(StrEnum):
    """Shells that complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def register(app: typer.Typer) -> None:
    """Add the command, and answer shells that ask what could follow."""
    if "_RATOON_COMPLETE" in os.environ:
        from typer._completion_classes import completion_init

        completion_init()
    app.command()(completion)


def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.")]) -> None:
    """Print what makes a shell complete commands and options.

    For bash: `ratoon completion bash > ~/.local/share/bash-completion/completions/ratoon`.
    """
    from typer._completion_shared import get_completion_script

    print(get_completion_script(prog_name="ratoon", complete_var="_RATOON_COMPLETE", shell=shell))
