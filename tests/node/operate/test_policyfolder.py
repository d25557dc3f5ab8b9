"""Rules on disk: the file, what it includes, and nothing outside of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratoon_node.operate.policyfolder import included, read_policy
from ratoon_node.policy.document import PolicyFileError


def test_included_files_are_read_from_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "policy.toml").write_text('include = ["lists/spam.toml"]')
    (tmp_path / "lists/spam.toml").write_text("[lists.block]\ndomains = ['bad.example']")
    policy = read_policy(tmp_path / "policy.toml")
    assert policy.lists_domains
    (tmp_path / "lists/spam.toml").write_text("")
    assert read_policy(tmp_path / "policy.toml").version != policy.version


def test_no_file_is_no_rules_and_one_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    assert read_policy(tmp_path / "policy.toml").empty
    (tmp_path / "policy.toml").mkdir()
    with pytest.raises(PolicyFileError, match="cannot be read"):
        read_policy(tmp_path / "policy.toml")


@pytest.mark.parametrize("place", ["missing.toml", "folder", "out.toml"])
def test_what_cannot_be_included_is_said_where_it_is_asked_for(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "rules"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "secret.toml").write_text("[lists.block]\nwords = ['secret']")
    (folder / "out.toml").symlink_to(tmp_path / "secret.toml")
    (folder / "policy.toml").write_text(f'\ninclude = "{place}"')
    with pytest.raises(PolicyFileError, match="cannot be read") as caught:
        read_policy(folder / "policy.toml")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.file) == (2, 1, "")
    with pytest.raises(OSError, match=r"no such|directory|outside|No such"):
        included(folder)(place)
