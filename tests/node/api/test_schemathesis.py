"""A stranger's program, given nothing but the served description, finds nothing that is not so.

Calls are made up one by one, and in rows where one uses what another answered. `make fuzz
TARGET=api SECONDS=600` goes on for that long from a seed of its own.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from pathlib import Path

from ratoon_node.api.openapi import DOCUMENT_PATH
from tests.node.api.described import little
from tests.node.api.members import signed_in

# Calls of one operation in the part that is made up at random (from a fixed seed).
EXAMPLES = 10
# Far above what it takes: a node that does not answer must not hold up every other test.
SECONDS_MAX = 180
# How long to go on, where somebody asked for it; else a fixed number of examples.
SECONDS = int(os.environ.get("RATOON_FUZZ_API_SECONDS", "0"))
#: Signing out or reading the settings anew would end what the others are called with; the rest
#: are no plain requests.
LEFT_OUT = (
    "delete_v1_session",
    "post_v1_operator_reload",
    "get_v1_stream",
    "get_v1_events",
    "get_v1_link",
)
#: What is true beyond a schema may be refused: a record must be signed, a domain be one. A body
#: may be too large for any reason, and a node that was called may not answer.
CONFIG = f"""
hooks = "{__package__}.binary_bodies"

[checks]
negative_data_rejection.expected-statuses = [
    "400", "401", "403", "404", "405", "409", "413", "415", "422", "429"
]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "504"]
"""


def how_much() -> list[str]:
    """The options that say how long, and whether it is the same every time."""
    if SECONDS:
        return [f"--max-time={SECONDS}", f"--seed={secrets.randbits(32)}"]
    return [f"--max-examples={EXAMPLES}", "--generation-deterministic", "--no-shrink"]


async def test_a_strangers_program_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    config = tmp_path / "schemathesis.toml"
    await asyncio.to_thread(config.write_text, CONFIG)
    async with little(tmp_path / "node", wait_timeout_ms_max=10) as world:
        world.place.node.sessions.operators = frozenset({world.ann.account})
        token = await signed_in(world.place, world.ann)
        run = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", f"--config-file={config}", "run"),
            *(f"--header=Authorization: Bearer {token}", "--checks=all", "--no-color"),
            "--exclude-checks=positive_data_acceptance",
            *("--phases=examples,coverage,fuzzing,stateful", "--mode=all", *how_much()),
            "--continue-on-failure",
            *(f"--exclude-operation-id={name}" for name in LEFT_OUT),
            world.place.url + DOCUMENT_PATH,
            cwd=tmp_path,
            env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": ""},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(SECONDS_MAX + 2 * SECONDS):
                said, _ = await run.communicate()
        except TimeoutError:
            run.kill()
            await run.wait()
            raise
    print(said.decode() if SECONDS else "")
    assert run.returncode == 0, said.decode()
