"""SIGKILL of nodes that bring each other what they lack: both end up with everything, unforked."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.crash import checks
from tests.crash.nursery import Nursery
from tests.crash.process import Program
from tests.crash.town import Town, until

KILLS = int(os.environ.get("KILLS", "30"))
# Of each of the two nodes.
LIVES = max(2, KILLS // 15)
PRIVATE = "--accept-private-addresses"


async def befriend(one: Program, other: Program) -> None:
    """Each operator adds the other's node; from now on both keep their ports."""
    for program, at in ((one, other), (other, one)):
        args = ("peer", "add", at.url, "--provider", f"provider {at.port}")
        code, said = await program.command(*args)
        assert code == 0, said
    for program in (one, other):
        program.args = [PRIVATE, "--port", str(program.port)]


async def test_kills_of_either_side_of_a_link_lose_nothing_on_both(
    nursery: Nursery, tmp_path: Path
) -> None:
    town = Town(nursery, tmp_path, 21, PRIVATE)
    peer = Program(nursery, tmp_path / "peer" / "data", [PRIVATE])
    async with town.open():
        try:
            await town.start()
            await peer.start()
            await befriend(town.program, peer)
            for _ in range(LIVES):
                await town.load()
                await peer.end(signal.SIGKILL)
                check_peer(town, peer, tmp_path)
                await peer.start()
                await town.kill_soon()
                town.check_left()
                await town.start()
                await town.check_new()
            await until(lambda: _has_all(town, peer))
            for writer in town.writers:
                ids = [*writer.posts, *writer.gone]
                await checks.check_served(town.http, peer.url, writer, ids)
            await town.check_all()
        finally:
            if peer.running:
                await peer.end(signal.SIGKILL)
    check_peer(town, peer, tmp_path)
    for program in (town.program, peer):
        assert b"Traceback" not in program.output
        assert b"task_crashed" not in program.output


def check_peer(town: Town, peer: Program, folder: Path) -> None:
    """What the other node holds is whole, and what it deleted has no bytes."""
    with checks.left_behind(peer.folder, folder / "left-of-peer") as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT count(*) FROM chain WHERE forked").fetchone() == (0,)
        known = {id_: one.payload for writer in town.writers for id_, one in writer.records.items()}
        for id_, payload in db.execute("SELECT id, payload FROM record"):
            assert payload is None or known.get(id_, payload) == payload


async def _has_all(town: Town, peer: Program) -> bool:
    """Whether the other node knows of everything that was said and taken back."""
    for writer in town.writers:
        ids = [*writer.posts, *writer.gone]
        for begin in range(0, len(ids), checks.IDS_MAX):
            part = ids[begin : begin + checks.IDS_MAX]
            answer = await checks.read(town.http, peer.url, part)
            codes = {one["id"]: one["code"] for one in answer["missing"]}
            for id_, item in zip(part, answer["items"], strict=True):
                if id_ in writer.gone:
                    if codes.get(id_.hex()) != "gone":
                        return False
                elif item is None or item["body"]["text"] != writer.posts[id_]:
                    return False
    return True
