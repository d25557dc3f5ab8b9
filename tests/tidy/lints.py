"""The project's own lints: each takes one source and yields what is wrong with it.

A lint has no list of exceptions. Where a rule does not apply, the rule itself says where.
"""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from io import StringIO
from pathlib import PurePosixPath

from tests.tidy.source import Source

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 500
# Names that say nothing about what is inside.
EMPTY_NAMES = frozenset(
    {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
)
# Words that put work off instead of doing it; spelt apart here, so that this file passes too.
PUT_OFF = re.compile(
    r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b"
)
# The places of the node that touch the outside: they make the clock, the randomness and the tasks
# that the rest is given. `operate` runs other programs (a demo's nodes, a backup's copy).
EDGES = frozenset({"__main__", "app", "cli", "runtime", "operate"})
# Calls the core may not make, by the module they come from; None is all of it.
OUTSIDE: dict[str, frozenset[str] | None] = {
    "time": None,
    "secrets": None,
    "random": None,
    "asyncio": frozenset({"create_task", "ensure_future", "to_thread", "sleep", "run"}),
    "os": frozenset({"urandom"}),
    "uuid": frozenset({"uuid1", "uuid4"}),
}
# What the core may take from them: a type for its arguments is not a source of anything.
TYPES = frozenset({("random", "Random")})
# Methods with the same effect, whatever they are called on.
OUTSIDE_METHODS = frozenset({"create_task", "run_in_executor", "utcnow", "today"})


def long_functions(source: Source) -> Iterator[str]:
    """Functions over the limit, from `def` to the last line."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield source.at(node.lineno, f"{node.name} has {lines} lines")


def long_file(source: Source) -> Iterator[str]:
    """The file, if it is over the limit."""
    lines = source.text.count("\n")
    if lines > FILE_LINES_MAX:
        yield source.at(lines, f"the file has {lines} lines")


def put_off(source: Source) -> Iterator[str]:
    """Work put off in the text (of any language)."""
    for number, line in enumerate(source.text.splitlines(), 1):
        if found := PUT_OFF.search(line):
            yield source.at(number, f"{found[0]}: do it, or leave it out")


def empty_path_names(path: str) -> Iterator[str]:
    """Parts of a path that say nothing."""
    for part in PurePosixPath(path).parts:
        words = re.split(r"[_.\-]+", part.lower())
        yield from (f"{path}: '{word}' says nothing" for word in words if word in EMPTY_NAMES)


def empty_class_names(source: Source) -> Iterator[str]:
    """Classes whose name ends in a word that says nothing."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef):
            words = re.findall(r"[A-Z][a-z0-9]*", node.name)
            if words and words[-1].lower() in EMPTY_NAMES:
                yield source.at(node.lineno, f"class {node.name}: '{words[-1]}' says nothing")


def _imported(tree: ast.Module) -> dict[str, str]:
    """Local name to dotted origin, of all imports in a tree."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update({a.asname or a.name: a.name for a in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})
    return names


def _origin(node: ast.expr, names: dict[str, str]) -> str:
    """The dotted origin of `name` or `module.name`; "" for anything else."""
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        module = names.get(node.value.id)
        return f"{module}.{node.attr}" if module else ""
    return ""


def _is_outside(origin: str) -> bool:
    module, _, name = origin.partition(".")
    if not name or module not in OUTSIDE or (module, name) in TYPES:
        return False
    allowed = OUTSIDE[module]
    return allowed is None or name in allowed


def in_core(path: str) -> bool:
    """Whether the file belongs to the part of the node that is given time, chance and tasks."""
    parts = PurePosixPath(path).parts
    return parts[:2] == ("node", "ratoon_node") and parts[2].removesuffix(".py") not in EDGES


def outside_reached(source: Source) -> Iterator[str]:
    """Time, randomness, tasks and threads taken by the core instead of given to it."""
    names = _imported(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name | ast.Attribute):
            origin = _origin(node, names)
            if _is_outside(origin):
                yield source.at(node.lineno, f"{origin} in the core: take it as an argument")
            elif isinstance(node, ast.Attribute) and node.attr in OUTSIDE_METHODS:
                yield source.at(node.lineno, f".{node.attr} in the core: take it as an argument")
        elif isinstance(node, ast.Call):
            yield from _unseeded(source, node, names)


def _unseeded(source: Source, call: ast.Call, names: dict[str, str]) -> Iterator[str]:
    origin = _origin(call.func, names)
    if origin == "random.Random" and not call.args and not call.keywords:
        yield source.at(call.lineno, "random.Random() without a seed: take one as an argument")
    if isinstance(call.func, ast.Attribute) and call.func.attr == "now":
        owner = _origin(call.func.value, names)
        if owner in {"datetime.datetime", "datetime.date"}:
            yield source.at(call.lineno, f"{owner}.now in the core: take the time as an argument")


def may_sleep(path: str) -> bool:
    """The simulation sleeps on its own clock, a benchmark paces its load; no other test may."""
    return path.startswith(("tests/sim/", "tests/bench/"))


def sleeping(source: Source) -> Iterator[str]:
    """Sleeps in tests; `asyncio.sleep(0)`, which only lets others run, is none."""
    names = _imported(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            origin = _origin(node.func, names)
            yields = origin == "asyncio.sleep" and _is_zero(node.args)
            if origin in {"asyncio.sleep", "time.sleep"} and not yields:
                yield source.at(node.lineno, f"{origin}: wait for the thing, not for a time")


def _is_zero(args: list[ast.expr]) -> bool:
    return len(args) == 1 and isinstance(args[0], ast.Constant) and args[0].value == 0


def limits_without_reason(source: Source) -> Iterator[str]:
    """Constants of a limits file with no comment on, right above, or docstring right below."""
    commented = {
        token.start[0]
        for token in tokenize.generate_tokens(StringIO(source.text).readline)
        if token.type == tokenize.COMMENT and any(c.isalpha() for c in token.string)
    }
    body = source.tree.body
    for node, after in zip(body, [*body[1:], None], strict=True):
        name = _constant(node)
        if name and not _has_reason(node, after, commented):
            yield source.at(node.lineno, f"{name} has no reason beside it")


def _constant(node: ast.stmt) -> str:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    names = [t.id for t in targets if isinstance(t, ast.Name) and t.id.isupper()]
    return names[0] if names else ""


def _has_reason(node: ast.stmt, after: ast.stmt | None, commented: set[int]) -> bool:
    lines = range(node.lineno - 1, (node.end_lineno or node.lineno) + 1)
    if not commented.isdisjoint(lines):
        return True
    value = after.value if isinstance(after, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
