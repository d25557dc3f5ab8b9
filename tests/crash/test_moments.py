"""SIGKILL before each single call that changes a file: keys, folder, schema, log, key files.

Few of the moments of the large parts are tried in each run, and more by `make crash KILLS=1000`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from ratoon_client.keyfile import KeyFile
from ratoon_node.operate.folder import KEYS, WORDS
from ratoon_node.operate.keys import Keys
from ratoon_node.store import schema
from ratoon_protocol import kinds, phrase
from tests.crash import checks
from tests.crash.nursery import Nursery
from tests.crash.older import make_older
from tests.crash.people import Cut
from tests.crash.process import Program
from tests.crash.shims import Shims
from tests.crash.town import Town

KILLS = int(os.environ.get("KILLS", "30"))
# Moments of one sort that are tried.
MOMENTS = max(4, KILLS // 6)
# Of those that are tried one after the other, every so many is.
STEP = 3 if KILLS < 300 else 1
KILLED = -signal.SIGKILL


def key_file(folder: Path) -> Keys | None:
    """The node's keys, whole, or none."""
    return Keys.load(folder / KEYS) if (folder / KEYS).exists() else None


def check_words(folder: Path, keys: Keys) -> None:
    """The words that wait for the owner are those of the keys."""
    entropy = phrase.entropy_from_words((folder / WORDS).read_text().strip())
    assert phrase.slot_key(entropy) == keys.slot_key


async def test_a_first_start_that_is_killed_leaves_whole_keys_or_none(
    nursery: Nursery, tmp_path: Path
) -> None:
    with_keys, tried = 0, 0
    for moment in count(1, STEP):
        program = Program(nursery, tmp_path / str(moment) / "data")
        await program.launch(Shims(die_in="ratoon_node/operate/", die_at=moment))
        if await program.served():
            break
        tried += 1
        assert await program.ended() == KILLED, program.output.decode()
        before = key_file(program.folder)
        with_keys += before is not None
        if before is not None:
            check_words(program.folder, before)
        if tried % 3 == 0 or STEP == 1:
            await program.start()
            await program.end()
            after = key_file(program.folder)
            assert after is not None
            assert before in (None, after)
            check_words(program.folder, after)
    await program.end()
    assert tried >= 10
    assert 0 < with_keys < tried


@pytest.mark.parametrize("version", range(1, len(schema.MIGRATIONS)))
async def test_an_upgrade_that_is_killed_is_done_by_the_next_start(
    nursery: Nursery, tmp_path: Path, version: int
) -> None:
    """Statements of the migrations, then the walk over all pages of a store that had none."""
    rng, town = random.Random(version), Town(nursery, tmp_path, version)
    async with town.open():
        await town.start()
        for writer in town.writers:
            for _ in range(6):
                writer.sign()
                await writer.send(town.http, town.program.url)
        assert await town.program.end(signal.SIGTERM) == 0
        make_older(town.program.folder, version)
        old = tmp_path / "old"
        shutil.copytree(town.program.folder, old)
        for _ in range(max(2, MOMENTS // len(schema.MIGRATIONS))):
            shutil.rmtree(town.program.folder)
            shutil.copytree(old, town.program.folder)
            await _kill_upgrades(town, rng)
            town.check_left()
        await town.start()
        await town.check_all()


async def _kill_upgrades(town: Town, rng: random.Random) -> None:
    """Kill the upgrade three times on its way, in the migrations and behind them."""
    for where in ("store/schema.py", "store/schema.py", "store/fold.py"):
        await town.program.launch(Shims(die_in=where, die_at=rng.randint(1, 12)))
        if await town.program.served():
            await town.program.end()
        else:
            assert await town.program.ended() == KILLED, town.program.output.decode()


async def test_a_kill_while_the_log_is_folded_loses_nothing_and_keeps_nothing_deleted(
    nursery: Nursery, tmp_path: Path
) -> None:
    town = Town(nursery, tmp_path, 9)
    async with town.open():
        await town.start()
        for moment in town.rng.sample(range(12, 12 + 4 * MOMENTS), MOMENTS):
            await town.load()
            await town.kill_soon()
            await town.program.launch(Shims(die_in="store/fold.py", die_at=moment))
            if await town.program.served():
                with contextlib.suppress(*Cut):
                    await town.settle()
                    await town.load()
            assert await town.over() == KILLED
            town.check_left()
            await town.start()
        await town.check_all()


async def run(nursery: Nursery, node: Program, args: list[str], shims: Shims) -> int:
    """One command of a person on the node's machine; its exit code."""
    child = await nursery.launch(args, node.env, shims)
    said = await child.said.read()
    code = (await child.ended()).code
    assert code in (0, KILLED), said.decode()
    return code


def loaded(path: Path) -> KeyFile:
    """A person's key file, as the commands read it."""
    found = KeyFile(**json.loads(path.read_text()))
    assert found.author().key.public == found.device.public
    return found


async def test_a_command_that_is_killed_leaves_a_whole_key_file_or_none(
    nursery: Nursery, tmp_path: Path
) -> None:
    node = Program(nursery, tmp_path / "data")
    await node.start()
    account = tmp_path / ".local/share/ratoon/accounts/me.json"
    keys = Shims(die_in="ratoon_client/keyfile.py")
    for moment in count(1, STEP):
        words = str(tmp_path / f"words-{moment}")
        args = ["account", "new", "--words-file", words, "--node", node.url]
        code = await run(nursery, node, args, replace(keys, die_at=moment))
        if account.exists():
            break
        assert code == KILLED
    made = loaded(account)
    assert moment > 5
    for moment in count(1, STEP):
        code = await run(nursery, node, ["post", f"post {moment}"], replace(keys, die_at=moment))
        assert loaded(account).account == made.account
        if code == 0:
            break
    assert moment > 5
    await node.end()
    with checks.left_behind(node.folder, tmp_path / "left") as db:
        assert db.execute("SELECT count(*) FROM chain WHERE forked").fetchone() == (0,)
        kept = db.execute("SELECT seq FROM record WHERE kind = ? ORDER BY seq", (kinds.POST,))
        seqs = [seq for (seq,) in kept]
    assert seqs == list(range(1, len(seqs) + 1))
