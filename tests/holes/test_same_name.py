"""What carries the name of something else: forged copies, refused records, files, keys."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path

import pytest

from ratoon_node.cli import serve
from ratoon_node.config import Settings
from ratoon_node.ingest.submission import Origin, Parts, Way
from ratoon_node.operate.folder import Folder
from ratoon_protocol.limits import EPOCH_MS
from ratoon_protocol.record import Record, encode_header
from tests.node.world import join, person, running

API, BUNDLE = Origin(Way.API), Origin(Way.BUNDLE)
LINK = Origin(Way.LINK, bytes(31) + b"p")
NETWORK = b"ratoon\x00\x01"


def forged(post: Record) -> dict[str, Parts]:
    """Copies with the genuine header, and so the genuine id, by somebody who came first."""
    payload = bytes(post.header.payload_len)
    return {
        "a signature of zeros": Parts(post.header_bytes, bytes(64), post.payload),
        "a payload of zeros": Parts(post.header_bytes, post.signature, payload),
        "no payload": Parts(post.header_bytes, post.signature, None),
        "neither": Parts(post.header_bytes, bytes(64), None),
    }


async def test_a_forged_copy_keeps_no_genuine_record_out(tmp_path: Path) -> None:
    """GHSA-4qhx-hhwf-8685 (Fedify): who claimed an id first suppressed the genuine item as a
    duplicate. Here an id is taken by nothing but a header that its author signed.
    """
    async with running(tmp_path) as node:
        ann = person(NETWORK, random.Random(2), node.runtime.clock)
        await join(node, ann)
        for way in (LINK, BUNDLE, API):
            for name in forged(ann.post("x")):
                post = ann.post(f"{way.way} {name}")
                await node.gate.submit([forged(post)[name]], way)
                (outcome,) = await node.gate.submit([post.encode()], API)
                assert outcome.code == "stored", (way, name, outcome)


async def test_what_was_refused_is_refused_by_every_way_and_after_a_restart(
    tmp_path: Path,
) -> None:
    """CVE-2022-39374 (Synapse): nodes were brought to accept events that they had rejected."""
    async with running(tmp_path) as node:
        ann = person(NETWORK, random.Random(2), node.runtime.clock)
        await join(node, ann)
        good = ann.post("genuine")
        old = good.header._replace(created_ms=EPOCH_MS)  # another record, by nobody
        bad = Parts(encode_header(old), good.signature, good.payload)
        for way in (API, LINK, BUNDLE, API):
            (outcome,) = await node.gate.submit([bad], way)
            assert outcome.code == "bad_signature"
    async with running(tmp_path) as node:
        for way in (LINK, BUNDLE, API):
            (outcome,) = await node.gate.submit([bad], way)
            assert outcome.code == "bad_signature"


async def test_no_file_has_a_name_of_a_strangers(tmp_path: Path) -> None:
    """CVE-2021-41281 (Synapse), CVE-2023-36460 (Mastodon): what peers sent became a path. The
    files of a node have names of its own, whatever anybody is called.
    """
    async with running(tmp_path) as node:
        ann = person(NETWORK, random.Random(2), node.runtime.clock)
        await join(node, ann)
        outcomes = await node.gate.submit([ann.post("../../etc/passwd").encode()], API)
        assert [one.code for one in outcomes] == ["stored"]
        names = {name for _, folders, files in os.walk(tmp_path) for name in (*folders, *files)}
        assert names <= {"ratoon.sqlite", "ratoon.sqlite-wal", "ratoon.sqlite-shm"}


def test_every_folder_draws_keys_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CVE-2026-24044 (ESS Helm): one default signing key in every installation."""
    monkeypatch.setattr(serve, "terminal", lambda: None)
    drawn: list[bytes | str] = []
    for name in ("a", "b"):
        settings = Settings(data_dir=tmp_path / name)
        settings.data_dir.mkdir(mode=0o700)
        folder = Folder(settings.data_dir)
        keys = serve.open_keys(folder, settings)
        assert serve.open_keys(folder, settings) == keys
        seeds = keys.device_seed, keys.agreement_seed, keys.link_seed, keys.slot_key
        drawn += [keys.account, *seeds, folder.make_operator_token()]
        files = [path for path in settings.data_dir.iterdir() if path.is_file()]
        assert len(files) >= 3
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert len(set(drawn)) == len(drawn)
