"""What is missing here and may be at a peer: asked for on behalf of a reader, who is charged."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.ports import Services
from ratoon_node.errors import NodeError

# What asking the peers costs the client on whose behalf it is done, in requests.
FIND_COST = 10


async def bring(request: web.Request, services: Services, ids: Iterable[bytes]) -> bool:
    """Ask peers for records; returns when they have answered or a moment is over.

    False if nobody was asked: there are no peers, they were asked just now, or the client has
    used up what it may ask for. Then the answer does without.
    """
    errands = services.node.hub.errands
    due = errands.due(ids)
    if not due:
        return False
    try:
        asked.charge(request, services, FIND_COST)
    except NodeError:
        return False
    await errands.fetch(due)
    return True
