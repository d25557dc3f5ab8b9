"""A policy file in several: what is read, what the version covers, and what is refused where."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest

from ratoon_node.policy.document import POLICY_BYTES_MAX, PolicyFileError
from ratoon_node.policy.policyfile import INCLUDE_DEPTH_MAX, PolicyFile, parse_policy


def rule(name: str) -> str:
    return f'[[rule]]\nid = "{name}"\nwhen = {{ links_min = 1 }}\nthen = "hold"\nreason = "x"\n'


def words(*entities: str) -> str:
    return f"[lists.block]\nwords = {list(entities)}\n"


def include(*names: str) -> str:
    return f"include = {list(names)}\n"


def parse(files: Mapping[str, str]) -> PolicyFile:
    def read(name: str) -> bytes:
        if name not in files:
            raise FileNotFoundError(name)
        return files[name].encode()

    return parse_policy(files[""].encode(), read)


def problems(files: Mapping[str, str]) -> list[str]:
    with pytest.raises(PolicyFileError) as caught:
        parse(files)
    return [str(problem) for problem in caught.value.problems]


NESTED = {
    "": include("lists/spam.toml", "last.toml") + rule("first") + words("a"),
    "lists/spam.toml": include("more/x.toml", "../side.toml") + rule("second") + words("b"),
    "lists/more/x.toml": rule("third"),
    "side.toml": words("c"),
    "last.toml": rule("fourth"),
}


def test_files_are_read_in_order_each_from_where_it_is_named():
    found = parse(NESTED)
    assert [one.id for one in found.rules] == ["first", "second", "third", "fourth"]
    assert [one.entity for one in found.entries] == ["a", "b", "c"]


def test_the_version_covers_every_byte_and_name_and_is_the_file_s_hash_where_it_stands_alone():
    alone = rule("first").encode()
    assert parse_policy(alone).version == hashlib.sha256(alone).hexdigest()
    versions = {parse(NESTED).version}
    for name in NESTED:
        versions.add(parse({**NESTED, name: NESTED[name] + "#\n"}).version)
    moved = {**NESTED, "": NESTED[""].replace("last", "end"), "end.toml": NESTED["last.toml"]}
    versions.add(parse(moved).version)
    # Bytes that move from one file into the next make another policy, too.
    moved = {**NESTED, "side.toml": NESTED["side.toml"] + "#", "last.toml": NESTED["last.toml"]}
    versions.add(parse(moved).version)
    assert len(versions) == len(NESTED) + 3


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"": "\n" + include("a.toml")}, "line 2, column 12: a.toml cannot be read: there is no"),
        ({"": include("/etc/passwd")}, "line 1, column 12: must be a path inside the folder"),
        ({"": include("../a.toml")}, "line 1, column 12: must be a path inside the folder"),
        ({"": include("a/../../b")}, "line 1, column 12: must be a path inside the folder"),
        ({"": "include = [1]"}, "line 1, column 12: must be a text in quotes"),
        (
            {"": include("a"), "a": rule("r") + words("+")},
            "a, line 7, column 10: no letter, digit or pictogram",
        ),
        ({"": include("a"), "a": "x = "}, "a, line 1, column 5: Invalid value"),
        (
            {"": include("a"), "a": "[admission]\nvouching = true"},
            "a, line 1, column 1: unknown key admission; known: include, rule, lists",
        ),
        ({"": include("a"), "a": include("a")}, "a, line 1, column 12: a includes itself"),
        (
            {"": include("a"), "a": include("b"), "b": "\n" + include("a")},
            "b, line 2, column 12: a includes itself",
        ),
        ({"": include("a", "./a"), "a": ""}, "line 1, column 17: a is included already"),
        (
            {"": include("a") + rule("r"), "a": rule("r")},
            "a, line 2, column 1: another rule is called r",
        ),
    ],
)
def test_a_problem_is_named_with_its_file_and_place(files, expected):
    (found,) = problems(files)
    assert found.startswith(expected)


def test_depth_is_bounded():
    depth = INCLUDE_DEPTH_MAX + 1
    files = {str(n): include(str(n + 1)) for n in range(1, depth + 1)}
    fine = {"": include("1"), **files, str(INCLUDE_DEPTH_MAX): ""}
    assert parse(fine).rules == ()
    assert problems({"": include("1"), **files}) == [
        f"{depth - 1}, line 1, column 12: {depth}: deeper than {depth - 1}, or more than 64 files"
    ]


def test_all_files_together_are_bounded():
    half = "#" * (POLICY_BYTES_MAX // 2)
    (found,) = problems({"": include("a") + half, "a": half})
    assert "a: all files together have more than" in found
