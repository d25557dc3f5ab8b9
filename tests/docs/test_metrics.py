"""Every metric is described, and no label takes what people or peers choose."""

from __future__ import annotations

import re
from pathlib import Path

from ratoon_node.telemetry import Metrics
from ratoon_protocol.errors import Code
from tests.node.api.site import TOKEN, site
from tests.tidy.source import ROOT

_ROW = re.compile(r"^\| `(ratoon_[a-z_]+)` \| ([a-z]+) \| ([^|]*) \| ([^|]+) \|$", re.MULTILINE)
# What stands in a label: a code, a pattern of a route, a status, a word of this program.
_VALUE = re.compile(r"[a-z_.]{1,32}|[1-5][0-9]{2}|/[A-Za-z0-9_./{}@:+-]{0,64}|[0-9.]+|\+Inf")


def told() -> dict[str, tuple[str, set[str]]]:
    text = (ROOT / "deploy" / "METRICS.md").read_text(encoding="utf-8")
    return {
        name: (kind, set(re.findall("`([a-z]+)`", labels)))
        for name, kind, labels, _ in _ROW.findall(text)
    }


def test_every_metric_is_described_and_nothing_else() -> None:
    metrics = Metrics("0")
    labels = {
        f"ratoon_{name}": set(row._labelnames)
        for name, row in vars(metrics).items()
        if name != "registry"
    }
    found = {
        family.name: (family.type, labels.get(family.name, {"version"}))
        for family in metrics.registry.collect()
        if family.name.startswith("ratoon_")
    }
    found["ratoon_node"] = ("info", {"version"})
    assert told() == found


async def test_labels_take_nothing_that_a_client_chooses(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        await place.publish(ann.post("words of ann"))
        for at in range(50):
            async with place.http.request("GET", f"{place.url}/no/such/{at}?q={at}") as answer:
                assert answer.status == 404
            async with place.http.request("GET", f"{place.url}/v1/records/{at:064x}") as answer:
                assert answer.status == 404
            async with place.http.request(f"MADE{chr(65 + at % 26)}UP", place.url + "/") as answer:
                assert answer.status >= 400
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with place.http.get(place.url + "/metrics", headers=headers) as answer:
            text = await answer.text()
    own = [line for line in text.splitlines() if line.startswith("ratoon_")]
    values = [value for line in own for value in re.findall(r'="([^"]*)"', line)]
    assert {value for value in values if not _VALUE.fullmatch(value)} == set()
    codes = {value for line in own for value in re.findall(r'code="([^"]*)"', line)}
    assert codes <= {code.value for code in Code}
    routes = {value for line in own for value in re.findall(r'route="([^"]*)"', line)}
    assert {"none", "/v1/records/{id}"} <= routes
    assert not [value for value in routes if "such" in value]
