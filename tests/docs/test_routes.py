"""Every route of a node stands in its description, and nothing else does."""

from __future__ import annotations

import re
from pathlib import Path

from ratoon_node.api.server import make_app
from ratoon_node.api.style import STYLE_PATH
from ratoon_node.peering.wire import LINK_PATH
from tests.node.world import running
from tests.tidy.source import ROOT

_CALL = re.compile(r"`(GET|POST|PUT|DELETE) (/[^`?\s]*)")


async def test_the_description_names_every_route(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        app = make_app(node, operator_token="t")
        served = {
            (route.method, route.resource.canonical)
            for route in app.router.routes()
            if route.method != "HEAD" and route.resource is not None
        }
    told = set(_CALL.findall((ROOT / "node" / "API.md").read_text(encoding="utf-8")))
    unsaid = {("GET", STYLE_PATH)}  # a part of the pages
    assert told == served - unsaid | {("GET", LINK_PATH)}
