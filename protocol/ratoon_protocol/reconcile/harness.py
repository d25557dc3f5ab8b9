"""The line protocol of Negentropy's public test suite, so that any implementation can be paired.

    item,<timestamp>,<id in hex>   seal   initiate   msg,<hex>

are answered, from `initiate` on, by

    have,<id>   need,<id>   msg,<hex>   done
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ratoon_protocol.errors import UsageError
from ratoon_protocol.reconcile.index import Index
from ratoon_protocol.reconcile.session import Reconciler


def converse(lines: Iterable[str], frame_bytes_max: int = 0) -> Iterator[str]:
    """The answers to the commands in `lines`, each as soon as it is known.

    Raises `UsageError` for a command out of place, `SyncError` for a malformed message.
    """
    items: list[tuple[int, bytes]] = []
    side: _Side | None = None
    for line in filter(None, map(str.strip, lines)):
        command, *fields = line.split(",")
        if side is None:
            if command == "item" and len(fields) == 2:
                items.append((int(fields[0]), bytes.fromhex(fields[1])))
            elif command == "seal":
                side = _Side(items, frame_bytes_max)
            else:
                raise UsageError(f"expected an item or seal, not {command!r}")
        elif command == "initiate":
            yield side.initiate()
        elif command == "msg" and len(fields) == 1:
            yield from side.message(bytes.fromhex(fields[0]))
        else:
            raise UsageError(f"expected initiate or msg, not {command!r}")


class _Side:
    """One side of a session: a client once it has initiated, else a server."""

    def __init__(self, items: list[tuple[int, bytes]], frame_bytes_max: int) -> None:
        index = Index(items)
        if len(index) != len(items):
            raise UsageError("the same item twice")
        self._reconciler = Reconciler(index, frame_bytes_max, ranges_max=None)
        self._client = False

    def initiate(self) -> str:
        self._client = True
        return f"msg,{self._reconciler.initiate().hex()}"

    def message(self, message: bytes) -> Iterator[str]:
        if not self._client:
            yield f"msg,{self._reconciler.respond(message).hex()}"
            return
        step = self._reconciler.proceed(message)
        yield from (f"have,{record_id.hex()}" for record_id in step.have)
        yield from (f"need,{record_id.hex()}" for record_id in step.need)
        yield "done" if step.reply is None else f"msg,{step.reply.hex()}"
