"""`ratoon export` and `import`: records in a file, through the running node, resumable.

    FILE.part       items fetched so far, in a bundle's own spelling
    FILE.part.json  how far that is

Both go when the bundle is whole. How far an import is stands in the state folder; a node that is
sent a record twice answers `duplicate`, so a lost note costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import msgpack
import typer

from ratoon_node.cli import say
from ratoon_node.cli.flags import DataDir, Json

if TYPE_CHECKING:
    from ratoon_node.cli.client import Client

# Records in one request: small enough to answer at once, large enough to be quick.
BATCH_RECORDS = 500
# Bytes in one request, below what a node takes by default.
BATCH_BYTES_MAX = 4 * 1024 * 1024
# One read or write of a copy.
COPY_BYTES = 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("export")(export)
    app.command("import")(import_)


class Advance(Protocol):
    """Told how many more records are done."""

    def __call__(self, records: int) -> None:
        """Show it."""


@contextmanager
def progress(words: str, total: int | None) -> Iterator[Advance]:
    """A bar on the terminal; nothing where there is none."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Remaining(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(words, total=total)
        yield lambda records: bar.advance(task, records)


# --- out -------------------------------------------------------------------------------------


def export(
    file: Annotated[Path, typer.Argument(help="The bundle to write.")],
    account: Annotated[
        str | None,
        typer.Option(
            help="Of one account alone: id, name@domain, or a name here. [all, as operator]"
        ),
    ] = None,
    note: Annotated[str, typer.Option(help="A line for whoever opens it.")] = "",
    node: Annotated[str | None, typer.Option("--node", metavar="URL", help="Which node.")] = None,
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Write public records to a file.

    For an archive, a move, or where no network is. It goes on where an export to the same file was
    interrupted. What the node withholds is not in the file.
    """
    from ratoon_node.cli import identity
    from ratoon_node.cli.client import Client
    from ratoon_node.cli.naming import account_in
    from ratoon_node.cli.places import node_here, operator

    if account is None and node is not None:
        say.fail("only the operator's commands see everybody: say --account", say.Exit.USAGE)
    client = operator(data_dir) if account is None else Client(node or node_here())
    whose = account_in(account, client).hex() if account is not None else None
    info = identity.ask_node(client)
    if file.exists():
        say.fail(f"{file} is there already: name another file")
    spool = _Spool(file, {"node": info.account.hex(), "account": whose})
    with progress("Exporting", None) as advance:
        advance(spool.records)
        for records, after in _pages(client, spool.after, whose):
            spool.add(records, after)
            advance(len(records))
    signed_by = _write(file, spool, info.network, note)
    if json_:
        say.result({"file": str(file), "records": spool.records, "key": signed_by})
    else:
        say.line(f"{spool.records} records in {file}")


def _pages(client: Client, after: int, account: str | None) -> Iterator[tuple[list[bytes], int]]:
    """Whole records, and the cursor behind them, until the node has no more."""
    path = f"/v1/accounts/{account}/records" if account else "/v1/operator/bundle"
    while True:
        items, last = client.packed(path, after=after)
        if last is None:
            return
        if account:  # in parts, with a code for those whose content is not here
            items = [msgpack.packb(part[:3]) for part in items if None not in part[:3]]
        yield items, last
        after = last


class _Spool:
    """The items of a bundle to be, and how far they go: `after` is the node's cursor."""

    def __init__(self, file: Path, origin: dict[str, Any]) -> None:
        self.path = file.with_name(file.name + ".part")
        self._note = file.with_name(file.name + ".part.json")
        self._origin = origin
        self.after = self.records = self._size = 0
        self._resume()

    def _resume(self) -> None:
        try:
            found = json.loads(self._note.read_text(encoding="utf-8"))
            size = self.path.stat().st_size
        except (OSError, ValueError):
            found, size = {}, 0
        if found.get("origin") == self._origin and size >= found["size"]:
            self.after, self.records, self._size = found["after"], found["records"], found["size"]
        self.path.touch(mode=0o600)
        os.truncate(self.path, self._size)

    def add(self, items: Sequence[bytes], after: int) -> None:
        """Keep a page, and that it is kept."""
        from ratoon_protocol.bundle import RECORD

        with self.path.open("ab") as spool:
            for item in items:
                spool.write(RECORD.to_bytes(1) + len(item).to_bytes(4) + item)
            spool.flush()
            os.fsync(spool.fileno())
            self._size = spool.tell()
        self.after, self.records = after, self.records + len(items)
        found = {"origin": self._origin, "after": after, "records": self.records}
        self._note.write_text(json.dumps(found | {"size": self._size}), encoding="utf-8")

    def remove(self) -> None:
        """Take both files away."""
        self.path.unlink()
        self._note.unlink(missing_ok=True)


def _write(file: Path, spool: _Spool, network: bytes, note: str) -> str:
    """Put the manifest before what was fetched; gives the key that signed it.

    The key is made for this bundle: a manifest proves nothing about records, so there is no
    reason to name anybody.
    """
    import secrets

    from ratoon_node.cli.identity import now_ms
    from ratoon_protocol.bundle import BundleWriter, Manifest
    from ratoon_protocol.keys import SigningKey

    key = SigningKey.from_seed(secrets.token_bytes(32))
    fresh = file.with_name(file.name + ".new")
    with fresh.open("wb") as out, spool.path.open("rb") as items:
        manifest = Manifest(network, key.public, now_ms(), spool.records, note)
        writer = BundleWriter(out, manifest, key)
        while chunk := items.read(COPY_BYTES):
            out.write(chunk)
        writer.close()
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)
    spool.remove()
    return key.public.hex()


# --- in --------------------------------------------------------------------------------------


def import_(
    file: Annotated[Path, typer.Argument(help="The bundle to read.")],
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Bring the records of a file in, each judged like any other. Goes on where it stopped."""
    from ratoon_node.cli import identity
    from ratoon_node.cli.places import operator
    from ratoon_protocol.bundle import BundleReader

    client = operator(data_dir)
    info = identity.ask_node(client)
    with file.open("rb") as source:
        reader = BundleReader(source)
        if reader.manifest.network != info.network:
            say.fail(f"{file} is for another network: {reader.manifest.network.hex()}")
        mark = _Mark(reader.manifest.key + info.account)
        counts: Counter[str] = Counter()
        with progress("Importing", reader.manifest.records or None) as advance:
            advance(mark.done)
            for batch in _batches(reader, mark.done):
                found = client.post_records("/v1/operator/bundle", batch)
                counts.update(found["codes"])
                mark.add(len(batch))
                advance(len(batch))
    done = mark.done
    mark.remove()
    if json_:
        say.result({"records": done, "codes": dict(counts)})
        return
    say.line(f"{done} records read from {file}")
    for code, count in counts.most_common():
        say.line(f"  {count:>9} {code}")


def _batches(reader: Any, skip: int) -> Iterator[list[bytes]]:
    """Records in requests' sizes; the first `skip` were sent before."""
    from ratoon_protocol.bundle import RECORD

    batch: list[bytes] = []
    size = 0
    for number, item in enumerate(data for tag, data in reader.items() if tag == RECORD):
        if number < skip:
            continue
        if len(batch) >= BATCH_RECORDS or size + len(item) > BATCH_BYTES_MAX:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item)
    if batch:
        yield batch


class _Mark:
    """How many records of one bundle one node was sent."""

    def __init__(self, what: bytes) -> None:
        from ratoon_client.keyfile import state_folder

        self._path = state_folder() / "imports" / hashlib.sha256(what).hexdigest()[:32]
        try:
            self.done = int(self._path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            self.done = 0

    def add(self, records: int) -> None:
        """So many more."""
        self.done += records
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.write_text(f"{self.done}\n", encoding="ascii")

    def remove(self) -> None:
        """The import is complete."""
        self._path.unlink(missing_ok=True)
