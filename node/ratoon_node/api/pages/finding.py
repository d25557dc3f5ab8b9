"""What the path of a page means."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from ratoon_node.api.pages.profile import account_of
from ratoon_node.api.ports import Services
from ratoon_node.errors import NodeError
from ratoon_node.policy import fold
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import TAG_BYTES_MAX


async def account_of_path(request: web.Request, services: Services) -> bytes:
    """The account that the path names. Raises `NodeError(not_found)`."""
    text, node = request.match_info["account"], services.node
    now_ms = node.runtime.clock.now_ms()
    find = partial(account_of, text, node.names.domain, node.registry.account_of, now_ms)
    return await node.db.read(find)


def tag_of_path(request: web.Request) -> str:
    """The tag that the path names, as tags are compared. Raises `NodeError(not_found)`."""
    text = request.match_info["tag"]
    tag = fold.tag(text)
    if not tag or len(text.encode()) > TAG_BYTES_MAX + 1:
        raise NodeError(Code.NOT_FOUND)
    return tag
