"""Each value of a TOML file is found where it stands."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from ratoon_node.config.positions import locate
from tests.node.policy.test_rules import LINES

TEXT = """\
# [not.a.table]
top = 1  # x = 2
"quo\\u0074ed" . 'lit.eral' = "]#"

[a . b]
list = [ 'x', # ]
  { k = [1, 2], "m" = '''
]'''}, \"\"\"a"\\"b\"\"\" ]
[[many]]
k = true
[[many]]
k = 2030-01-01
[many.sub]
deep = {}
[[many.rows]]
[[many.rows]]
"""


def test_every_path_has_its_place():
    assert locate(TEXT) == {
        ("top",): (2, 1),
        ("quoted",): (3, 1),
        ("quoted", "lit.eral"): (3, 17),
        ("a", "b"): (5, 1),
        ("a", "b", "list"): (6, 1),
        ("a", "b", "list", 0): (6, 10),
        ("a", "b", "list", 1): (7, 3),
        ("a", "b", "list", 1, "k"): (7, 5),
        ("a", "b", "list", 1, "k", 0): (7, 10),
        ("a", "b", "list", 1, "k", 1): (7, 13),
        ("a", "b", "list", 1, "m"): (7, 17),
        ("a", "b", "list", 2): (8, 8),
        ("many",): (9, 1),
        ("many", 0): (9, 1),
        ("many", 0, "k"): (10, 1),
        ("many", 1): (11, 1),
        ("many", 1, "k"): (12, 1),
        ("many", 1, "sub"): (13, 1),
        ("many", 1, "sub", "deep"): (14, 1),
        ("many", 1, "rows"): (15, 1),
        ("many", 1, "rows", 0): (15, 1),
        ("many", 1, "rows", 1): (16, 1),
    }


def paths(value: dict | list, path: tuple = ()):
    """Every path of a value that `tomllib` read: the naive twin."""
    items: Iterable = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from paths(item, (*path, key))


@given(st.lists(LINES, max_size=6).map("".join))
def test_no_path_is_missed_and_none_invented(text):
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = set(locate(text))
    expected = set(paths(table))
    # The table above a dotted header has no place of its own.
    assert found <= expected
    assert all(path in found or any(p[: len(path)] == path for p in found) for path in expected)
