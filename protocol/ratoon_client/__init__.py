"""A client of Ratoon nodes: an asyncio shell over the pure `ratoon_protocol`.

`Client` signs in, publishes, follows, reads and streams, goes on with another node when one
fails, and believes nothing that does not verify. Importing this package costs nothing; the
network is imported with `Client`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ratoon_client.errors import BadKeyFile, ClientError, Refused, Unreachable, Untrue

if TYPE_CHECKING:
    from ratoon_client.client import Client, Post

__all__ = ["BadKeyFile", "Client", "ClientError", "Post", "Refused", "Unreachable", "Untrue"]


def __getattr__(name: str) -> Any:
    """`Client` and `Post`, imported when they are first asked for (PEP 562)."""
    if name in ("Client", "Post"):
        from ratoon_client import client

        return getattr(client, name)
    raise AttributeError(name)
