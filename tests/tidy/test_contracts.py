"""The import contracts hold on a small tree, and each breaks when its rule is broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.source import ROOT

# The smallest tree that the contracts can be judged on, with what they allow.
TREE = {
    "protocol/ratoon_protocol/__init__.py": "",
    "protocol/ratoon_protocol/codec.py": "import hashlib\n",
    "protocol/ratoon_protocol/reconcile/__init__.py": "",
    "protocol/ratoon_protocol/reconcile/__main__.py": "import os, sys\n",
    "protocol/ratoon_client/__init__.py": "import asyncio, ratoon_protocol.codec\n",
    "node/ratoon_node/__init__.py": "",
    "node/ratoon_node/cli/__init__.py": "import ratoon_client\n",
    "node/ratoon_node/app.py": "import ratoon_node.api.publish\n",
    "node/ratoon_node/api/__init__.py": "",
    "node/ratoon_node/api/publish.py": "import ratoon_node.ingest\n",
    "node/ratoon_node/ingest/__init__.py": "from ratoon_node.store import index, write\n",
    "node/ratoon_node/policy/__init__.py": "import ratoon_protocol.codec\n",
    "node/ratoon_node/store/__init__.py": "",
    "node/ratoon_node/store/index.py": "",
    "node/ratoon_node/store/write.py": "import ratoon_node.runtime\n",
    "node/ratoon_node/runtime.py": "import random, time\n",
    "node/ratoon_node/config.py": "",
}


def judged(root: Path, changed: dict[str, str]) -> tuple[int, str]:
    """Exit code and words of the import linter on the tree with some files changed."""
    for path, text in (TREE | changed).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    shutil.copy(ROOT / "pyproject.toml", root)
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([f"{root}/protocol", f"{root}/node"])},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, " ".join(done.stdout.split())


def test_what_is_allowed_passes(tmp_path: Path):
    code, words = judged(tmp_path, {})
    assert (code, "0 broken" in words) == (0, True), words


@pytest.mark.parametrize(
    ("path", "text", "finding"),
    [
        ("protocol/ratoon_protocol/codec.py", "import os.path", "not allowed to import os"),
        ("protocol/ratoon_protocol/codec.py", "from time import time", "to import time"),
        ("protocol/ratoon_protocol/codec.py", "import ratoon_node.config", "ratoon_node.config"),
        ("protocol/ratoon_client/nodes.py", "import ratoon_node.config", "ratoon_node.config"),
        ("node/ratoon_node/app.py", "import ratoon_client", "Only commands are clients BROKEN"),
        ("node/ratoon_node/api/publish.py", "import ratoon_node.store.write", "Illegal imports"),
        ("node/ratoon_node/store/__init__.py", "from . import index", "Illegal imports"),
        ("node/ratoon_node/store/__init__.py", "import ratoon_node.ingest", "not allowed"),
        ("node/ratoon_node/config.py", "import ratoon_node.runtime", "not allowed"),
        ("node/ratoon_node/stray.py", "", "not listed as layers"),
    ],
)
def test_what_is_not_allowed_breaks(tmp_path: Path, path: str, text: str, finding: str):
    code, words = judged(tmp_path, {path: text + "\n"})
    assert code == 1, words
    assert finding in words
