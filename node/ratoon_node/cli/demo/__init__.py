"""`ratoon demo`: a small network on this machine, and what happens when a provider goes dark."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ratoon_node.cli import say
from ratoon_node.cli.flags import Json

if TYPE_CHECKING:
    from types import FrameType

    from ratoon_node.operate.demo.figures import Figures


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    posts: Annotated[
        Path | None,
        typer.Option(help="JSON lines: author, created_ms, text. [public-domain texts]"),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Take only so many posts.", min=2)] = None,
    nodes: Annotated[
        int, typer.Option(help="Nodes, spread over three providers.", min=3, max=9)
    ] = 5,
    json_: Json = False,
) -> None:
    """See a small network lose one of its providers.

    Starts nodes at three providers on this machine, posts, destroys one provider, and says what is
    left. Fails (exit code 1) if anything is missing that was acknowledged as held by two
    providers, if the nodes left do not hold equal sets, or if a node took more memory than it may.
    """
    signal.signal(signal.SIGTERM, _end)
    found = tell(posts, limit, nodes)
    if json_:
        say.result(found.as_json())
    else:
        from ratoon_node.cli.demo.report import print_report

        print_report(found)
    if found.failures():
        raise typer.Exit(int(say.Exit.FAILED))


def tell(posts: Path | None, limit: int | None, nodes: int) -> Figures:
    """Run the whole story; nothing of it is left on this machine. Raises `RatoonError`."""
    from ratoon_node.cli.demo.show import Show
    from ratoon_node.cli.demo.story import Story
    from ratoon_node.operate.demo.network import network
    from ratoon_node.operate.demo.posts import read_posts

    started = time.monotonic()
    found = read_posts(posts, limit)
    with network(nodes) as net, Show() as show:
        # The people of the story are not this machine's: nothing of theirs goes to its folders.
        os.environ["XDG_STATE_HOME"] = os.environ["XDG_DATA_HOME"] = str(net.root / "pocket")
        show.tell(f"Starting {nodes} nodes at {len(net.providers)} providers in {net.root}")
        net.start()
        figures = Story(net, found, show).run()
    figures.total_s = time.monotonic() - started
    return figures


def _end(_signal: int, _frame: FrameType | None) -> None:
    """SIGTERM ends the command as Ctrl-C does, so that the nodes are stopped."""
    raise KeyboardInterrupt
