"""`ratoon conformance`: a black-box suite over the wire, against any node.

It knows the node by its HTTP interface and its link alone, and makes every case by itself; so it
judges a node of any make. Heavy modules are imported when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from ratoon_node.cli import say
from ratoon_node.cli.flags import Json
from ratoon_protocol.keys import NETWORK_BYTES
from ratoon_protocol.limits import NETWORK_PUBLIC

# Bytes of a file that holds one token.
_TOKEN_BYTES_MAX = 4096
_PUBLIC = NETWORK_PUBLIC.hex()
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(conformance)


def addresses(url: str, link: str | None) -> tuple[str, str]:
    """Where the HTTP interface and where links are, for an address. Raises `CommandError`."""
    text = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        say.fail(f"{url} is no address such as https://node.example", say.Exit.USAGE)
    ws = _SCHEMES[parts.scheme]
    http = "https" if ws == "wss" else "http"
    if parts.scheme == ws and link is None and parts.path.strip("/"):
        return f"{http}://{parts.netloc}", text
    base = parts.path.rstrip("/")
    return f"{http}://{parts.netloc}{base}", link or f"{ws}://{parts.netloc}/v1/link"


Url = Annotated[str | None, typer.Argument(help="Address of the node (http, https, ws or wss).")]
Only = Annotated[
    str | None,
    typer.Option(metavar="R-64,R-7x", help="These requirements alone; x is any digit."),
]
List = Annotated[bool, typer.Option("--list", help="Say what is checked, and why the rest is not.")]
Invite = Annotated[
    str, typer.Option(help="Invitation for accounts of the run, where one is needed.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(help="The operator's token, for what only the operator can let in."),
]
Link = Annotated[
    str | None, typer.Option(metavar="URL", help="Where nodes link, if not at /v1/link.")
]
Network = Annotated[str, typer.Option(metavar="HEX", help="The network of the node.")]
Timeout = Annotated[float, typer.Option(min=0.1, max=300, help="Seconds for one answer.")]
Wait = Annotated[
    float, typer.Option(min=0, max=600, help="Seconds for what a node does in its own time.")
]


def conformance(
    url: Url = None,
    only: Only = None,
    list_: List = False,
    invite: Invite = "",
    operator_token_file: TokenFile = None,
    link: Link = None,
    network_id: Network = _PUBLIC,
    timeout: Timeout = 15.0,
    wait: Wait = 10.0,
    json_: Json = False,
) -> None:
    """Check any node against the specification.

    Over the wire, whoever made it. Says pass, fail or not checked for each requirement; the exit
    code is 1 if one fails. The node must register accounts (or take --invite) and link with
    unknown nodes, as R-65 has it. The accounts of the run vanish at its end; their identity logs
    stay.
    """
    import asyncio

    from ratoon_node.cli.conformance import report
    from ratoon_node.cli.conformance.bench import Options
    from ratoon_node.cli.conformance.run import run
    from ratoon_node.cli.conformance.suite import Unmet, chosen

    try:
        requirements = chosen(only.split(",") if only else ())
    except ValueError as error:
        say.fail(f"the specification has no requirement {error}", say.Exit.USAGE)
    if list_:
        _list(requirements, json_)
        return
    if url is None:
        say.fail("say the address of the node", say.Exit.USAGE)
    http_url, link_url = addresses(url, link)
    options = Options(
        url=http_url,
        link_url=link_url,
        network=_network(network_id),
        timeout_s=timeout,
        wait_s=wait,
        invite=invite,
        operator_token=_token(operator_token_file),
    )
    tell = (lambda _: None) if json_ else say.note
    try:
        outcome = asyncio.run(run(options, requirements, tell))
    except Unmet as error:
        say.fail(str(error), say.Exit.UNREACHABLE, "unreachable")
    if json_:
        say.result(report.document(http_url, outcome))
    else:
        report.show(http_url, outcome)
    if not report.conforms(outcome):
        raise typer.Exit(say.Exit.FAILED)


def _network(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != NETWORK_BYTES:
        say.fail("a network has 16 hexadecimal digits", say.Exit.USAGE)
    return found


def _token(file: Path | None) -> str:
    if file is None:
        return ""
    with file.open(encoding="ascii", errors="replace") as opened:
        return opened.read(_TOKEN_BYTES_MAX).strip()


def _list(requirements: list[str], json_: bool) -> None:
    """Every requirement with the checks of it, or why there is none."""
    from ratoon_node.cli.conformance.run import checks_for
    from ratoon_node.cli.conformance.suite import ABOUT, UNSEEN

    rows = []
    for one in requirements:
        titles = [check.title for check in checks_for([one])]
        rows.append((one, ABOUT[one], titles, UNSEEN.get(one, "")))
    if json_:
        keys = ("requirement", "about", "checks", "why_not")
        say.result([dict(zip(keys, row, strict=True)) for row in rows])
        return
    table = [[one, about, "; ".join(titles) or f"not checked: {why}"]
             for one, about, titles, why in rows]  # fmt: skip
    say.table(["", "about", "checks"], table)
