"""Every target on every input that is kept, on fixed changes of them, and for a while guided."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest

from ratoon_protocol import codec, identity, stream
from ratoon_protocol.reconcile import session
from tests.fuzz import __main__ as program
from tests.fuzz import minimise, plain, registry
from tests.fuzz.target import ROOT, Steered
from tests.protocol import second_decoder

#: Changed inputs of a target: those that do much with one input get fewer.
INPUTS = 500
FEWER = {"identity": 120, "sync": 50, "dialogue": 100, "request": 150, "config": 200}
#: Inputs of all targets together, guided by coverage.
GUIDED = 1500


@pytest.mark.parametrize("name", registry.SHARES)
def test_a_target(name: str) -> None:
    count = FEWER.get(name, INPUTS)
    assert plain.run(name, count) == count + len(registry.corpus(name))


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel for this Python")
def test_guided_by_coverage(tmp_path: Path) -> None:
    options = [f"-runs={GUIDED}", "-seed=7", "-rss_limit_mb=1024", f"-artifact_prefix={tmp_path}/"]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.engine", "all", *options],
        cwd=ROOT, env=program.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout.decode("utf-8", "replace")[-4000:]


def test_the_corpus_is_small() -> None:
    folders = {path.name for path in registry.CORPUS.iterdir()}
    assert folders == set(registry.SHARES)
    sizes = {name: sum(path.stat().st_size for path in registry.corpus(name)) for name in folders}
    assert max(sizes.values()) <= 100_000
    assert sum(sizes.values()) <= 500_000
    assert min(sizes.values()) > 0


def test_the_same_seed_gives_the_same_inputs() -> None:
    target = registry.target("record")
    once, again, other = (list(plain.inputs(target, 50, seed)) for seed in (3, 3, 4))
    assert once == again
    assert once != other


# --- the targets see what they are for -------------------------------------------------------
def _last_child(node):
    return max(node.children, key=lambda child: child.score)


PLANTED = {
    "codec": (codec, "_check_keys", lambda mapping: None),
    "identity": (identity, "best_child", _last_child),
    "reconcile": (session, "_RESERVE_BYTES", -6000),
    "sync": (session.Turn, "_write_skip", lambda turn: None),
    "noise": (stream, "LENGTH_BYTES", 3),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*PLANTED[name])
    with pytest.raises(plain.Broken):
        plain.run(name, FEWER.get(name, INPUTS))


# --- the program -----------------------------------------------------------------------------
def run_program(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["fuzz", *words])
    return program.main()


def test_without_atheris_it_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "find_spec", lambda name: None)
    assert run_program(monkeypatch, "--target", "codec", "--seconds", "1") == 0
    said = capsys.readouterr().out
    assert "atheris is not here" in said
    assert "nothing found" in said


def test_a_find_is_kept_and_shown_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(program, "FINDS", tmp_path)
    monkeypatch.setattr(codec, "_check_keys", lambda mapping: None)
    assert run_program(monkeypatch, "--plain", "--target", "codec", "--seconds", "60") == 1
    (file,) = tmp_path.iterdir()
    shown = f"make fuzz TARGET=codec INPUT={os.path.relpath(file, ROOT)}"
    assert shown in capsys.readouterr().out
    with pytest.raises((AssertionError, second_decoder.Fault)):
        run_program(monkeypatch, "--target", "codec", "--input", str(file))
    monkeypatch.undo()
    assert run_program(monkeypatch, "--target", "codec", "--input", str(file)) == 0


def test_what_is_kept_reaches_as_much_as_all(tmp_path: Path) -> None:
    target = registry.target("codec")
    known = [data for data in target.seeds() if len(data) < 100]
    kept = minimise.smallest(target, known)
    assert 0 < len(kept) < len(known)
    every = set().union(*(minimise.reached(target, data) for data in known))
    assert set().union(*(minimise.reached(target, data) for data in kept)) == every
    (tmp_path / "find-old").write_bytes(b"x")
    (tmp_path / "stale").write_bytes(b"y")
    minimise.write(tmp_path, kept)
    assert len(list(tmp_path.iterdir())) == len(kept) + 1
    assert (tmp_path / "find-old").exists()


def test_steered_numbers_are_the_bytes() -> None:
    steered = Steered(bytes([1, 2, 3, 200, 5]))
    assert (steered.getrandbits(8), steered.randbytes(2)) == (1, b"\x02\x03")
    assert steered.choice("abcdefgh") == "a"
    assert [steered.more, steered.rest(), steered.more] == [True, b"\x05", False]
    assert steered.sample(range(5), 5)
    assert isinstance(steered, Random)
