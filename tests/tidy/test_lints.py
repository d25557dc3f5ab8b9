"""Each lint finds what it is for, and leaves alone what only looks like it."""

from __future__ import annotations

import pytest

from tests.tidy import lints
from tests.tidy.source import Source


def found(lint, text: str, path: str = "node/ratoon_node/thing.py") -> list[str]:
    return list(lint(Source(path, text)))


def function_of(lines: int) -> str:
    return "def f():\n" + "    x = 1\n" * (lines - 1)


def test_function_length_counts_from_def_to_last_line():
    assert found(lints.long_functions, function_of(70)) == []
    assert found(lints.long_functions, function_of(71)) == [
        "node/ratoon_node/thing.py:1: f has 71 lines"
    ]
    assert found(lints.long_functions, "async " + function_of(71))


def test_file_length():
    assert found(lints.long_file, "x = 1\n" * 500) == []
    assert found(lints.long_file, "x = 1\n" * 501)


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME", "HA" + "CK"])
def test_work_put_off(word: str):
    assert found(lints.put_off, f"x = 1  # {word}: later\n")
    assert found(lints.put_off, f"x = 1  # {word.lower()}s are words too\n") == []


@pytest.mark.parametrize(
    "path",
    ["node/utils.py", "tests/helpers/a.py", "node/peer_manager.py", "node/common/__init__.py"],
)
def test_empty_path_names(path: str):
    assert list(lints.empty_path_names(path))


def test_full_path_names():
    assert list(lints.empty_path_names("node/ratoon_node/store/commonwealth.py")) == []


def test_empty_class_names():
    assert found(lints.empty_class_names, "class LinkManager: ...\n")
    assert found(lints.empty_class_names, "class Links: ...\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.time()\n",
        "import time as t\nt.monotonic()\n",
        "from time import monotonic\nmonotonic()\n",
        "import time\nclock = time.monotonic\n",
        "import random\nrandom.random()\n",
        "import random\nr = random.SystemRandom()\n",
        "import random\nr = random.Random()\n",
        "from random import choice\nchoice([1])\n",
        "import secrets\nsecrets.token_bytes(8)\n",
        "import os\nos.urandom(8)\n",
        "import asyncio\nasyncio.create_task(f())\n",
        "import asyncio\nasyncio.to_thread(f)\n",
        "import asyncio\nawait_me = asyncio.sleep(1)\n",
        "from asyncio import to_thread\nto_thread(f)\n",
        "def g(loop):\n    loop.create_task(f())\n",
        "def g(group):\n    group.create_task(f())\n",
        "def g(loop):\n    loop.run_in_executor(None, f)\n",
        "from datetime import datetime\ndatetime.now()\n",
        "import datetime\ndatetime.datetime.utcnow()\n",
        "import uuid\nuuid.uuid4()\n",
    ],
)
def test_outside_reached(text: str):
    assert found(lints.outside_reached, text)


@pytest.mark.parametrize(
    "text",
    [
        "import random\ndef f(rng: random.Random) -> float:\n    return rng.random()\n",
        "from random import Random\nworld = Random(7)\n",
        "def f(clock):\n    return clock.now()\n",
        "def f(spawn, work):\n    spawn(work())\n",
        "import asyncio\nqueue = asyncio.Queue(8)\n",
        "import os\npath = os.fspath('x')\n",
        "def f(record):\n    return record.time\n",
    ],
)
def test_outside_given(text: str):
    assert found(lints.outside_reached, text) == []


def test_where_the_core_is():
    assert lints.in_core("node/ratoon_node/ingest/gate.py")
    assert lints.in_core("node/ratoon_node/config.py")
    assert lints.in_core("node/ratoon_node/api/app.py")
    assert not lints.in_core("node/ratoon_node/app.py")
    assert not lints.in_core("node/ratoon_node/cli/run.py")
    assert not lints.in_core("tests/node/test_x.py")


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(0)\n",
        "from time import sleep\nsleep(1)\n",
        "import asyncio\nasync def f():\n    await asyncio.sleep(0.1)\n",
        "import asyncio\nasync def f(n):\n    await asyncio.sleep(n)\n",
        "from asyncio import sleep as nap\nasync def f():\n    await nap(1)\n",
    ],
)
def test_sleeping(text: str):
    assert found(lints.sleeping, text)


def test_not_sleeping():
    text = "import asyncio\nasync def f(sim):\n    await asyncio.sleep(0)\n    sim.sleep(9)\n"
    assert found(lints.sleeping, text) == []
    assert lints.may_sleep("tests/sim/world.py")
    assert not lints.may_sleep("tests/node/test_sim.py")


@pytest.mark.parametrize(
    "text",
    [
        "ROWS_MAX = 1\n",
        "# Why it is one.\nROWS_MAX = 1\nCOLUMNS_MAX = 2\n",
        "# ----\nROWS_MAX: int = 1\n",
        "# Far above.\n\nROWS_MAX = 1\n",
    ],
)
def test_limits_without_reason(text: str):
    assert len(found(lints.limits_without_reason, text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "# Why it is one.\nROWS_MAX = 1\n",
        "ROWS_MAX = 1  # one is enough\n",
        'ROWS_MAX: int = 1\n"""One is enough."""\n',
        "# Why these.\nROWS = (\n    1,\n    2,\n)\n",
        "lower = 1\n",
    ],
)
def test_limits_with_reason(text: str):
    assert found(lints.limits_without_reason, text) == []
