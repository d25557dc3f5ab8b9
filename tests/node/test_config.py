"""One table of settings; flags, variables and the file fill it, and every mistake has its place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_node.config import TABLE, ConfigError, Settings, example_toml, load, toml_value
from ratoon_node.config.load import FILE_BYTES_MAX
from ratoon_protocol.limits import NETWORK_PUBLIC


@pytest.fixture
def write(tmp_path):
    """Writes a settings file and answers its path."""

    def to(text: str | bytes) -> Path:
        path = tmp_path / "ratoon.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return to


def problems(**arguments) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(**arguments)
    assert str(raised.value) == "\n".join(raised.value.problems)
    return raised.value.problems


# --------------------------------------------------------------------------------- the table


def test_every_row_has_a_doc_and_a_default_it_allows():
    for setting in TABLE.values():
        assert setting.doc.endswith(".")
        loaded = load(flags={setting.name: setting.default})
        value = getattr(loaded.settings, setting.name)
        assert value == (setting.default.expanduser() if setting.kind is Path else setting.default)


def test_every_number_is_bounded():
    for setting in TABLE.values():
        if setting.kind is int:
            assert setting.low is not None
            assert setting.high is not None
        if setting.kind is tuple:
            assert setting.high is not None


def test_a_row_names_its_variable_its_flag_and_what_it_allows():
    table = TABLE
    assert table["data_dir"].env == "RATOON_DATA_DIR"
    assert table["data_dir"].flag == "--data-dir"
    assert table["data_dir"].allowed == ""
    assert table["port"].allowed == "0 to 65535"
    assert table["horizon_days"].allowed == "0 to 36500 days"
    assert table["registration"].allowed == "closed, invite, open"
    assert table["accept_private_addresses"].allowed == "true, false"
    assert table["peers"].allowed == "at most 64 items"


# --------------------------------------------------------------------------------- the sources


def test_nothing_given_is_the_defaults_with_the_home_folder_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = load()
    assert config.settings == Settings(data_dir=tmp_path / ".local/share/ratoon")
    assert set(config.sources.values()) == {"default"}
    assert config.file is None
    assert config.settings.network_bytes == NETWORK_PUBLIC
    assert config.settings.policy_path == tmp_path / ".local/share/ratoon/policy.toml"


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(write):
    path = write("port = 1\nreaders = 3\n\nname = 'a'\n")
    config = load(
        file=path,
        environ={"RATOON_PORT": "2", "RATOON_READERS": "4", "HOME": "/nowhere"},
        flags={"port": 5, "name": None},
    )
    assert (config.settings.port, config.settings.readers, config.settings.name) == (5, 4, "a")
    assert config.sources["port"] == "--port"
    assert config.sources["readers"] == "RATOON_READERS"
    assert config.sources["name"] == f"{path}, line 4"
    assert config.sources["host"] == "default"


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_the_file_in_the_data_folder_is_read(write, how):
    path = write("port = 99")
    folder = str(path.parent)
    flags = {"data_dir": folder} if how == "flag" else {}
    environ = {"RATOON_DATA_DIR": folder} if how == "variable" else {}
    config = load(flags=flags, environ=environ)
    assert (config.file, config.settings.port) == (path, 99)


def test_the_file_named_by_a_variable_is_read(write):
    path = write("port = 99")
    assert load(environ={"RATOON_CONFIG": str(path)}).settings.port == 99


def test_a_file_that_was_named_must_exist(tmp_path):
    path = tmp_path / "none.toml"
    assert problems(file=path) == [f"{path}: cannot be read: No such file or directory"]


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("port", "8080", 8080),
        ("accept_private_addresses", "yes", True),
        ("accept_private_addresses", "OFF", False),
        (
            "peers",
            "https://a.example, ws://b.example:7420/x",
            ("https://a.example", "ws://b.example:7420/x"),
        ),
        ("peers", "", ()),
        ("data_dir", "/srv/ratoon", Path("/srv/ratoon")),
        ("country", "IS", "IS"),
        ("network", "AS64500", "AS64500"),
    ],
)
def test_variables_are_read_as_the_type_of_their_setting(name, raw, value):
    assert getattr(load(environ={f"RATOON_{name.upper()}": raw}).settings, name) == value


def test_the_file_has_types_of_its_own(write):
    path = write('peers = ["https://a.example"]\naccept_private_addresses = true\n')
    settings = load(file=path).settings
    assert settings.peers == ("https://a.example",)
    assert settings.accept_private_addresses is True


# --------------------------------------------------------------------------------- the mistakes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port = 'x'", "line 1: port is not a whole number"),
        ("port = true", "line 1: port is not a whole number"),
        ("port = 70000", "line 1: port is above 65535"),
        ("port = -1", "line 1: port is below 0"),
        ("horizon_days = 99999", "line 1: horizon_days is above 36500 days"),
        ("# one\n\nprot = 1", "line 3: there is no setting prot (did you mean port?)"),
        ("[zzz]\nport = 1", "line 1: there is no setting zzz"),
        ("name = 5", "line 1: name is not a text"),
        ('name = "a\\u0007b"', "line 1: name has characters that cannot be printed"),
        ("data_dir = ' '", "line 1: data_dir is not a path"),
        ("accept_private_addresses = 1", "line 1: accept_private_addresses is not true or false"),
        ("registration = 'all'", "line 1: registration is none of: closed, invite, open"),
        ("network_id = '00'", "line 1: network_id is not 16 hexadecimal digits in lower case"),
        ("country = 'is'", "line 1: country is not two capital letters"),
        ("network = '64500'", "line 1: network is not AS and a number"),
        ("peers = 'a'", "line 1: peers is not an address"),
        ("peers = [\n'https://a',\n'gopher://b']", "line 1: peers is not an address"),
        ("peers = [1]", "line 1: peers is not a list of texts"),
        ("peers = ['https://a:b@c']", "line 1: peers has a user, a query or a fragment"),
        ("peers = ['https://[::']", "line 1: peers is not an address"),
        ("peers = ['https://a:99999']", "line 1: peers is not an address"),
        ("public_addresses = [" + "'https://a'," * 17 + "]", "is above 16 items"),
    ],
)
def test_a_bad_value_is_told_with_its_line(write, text, said):
    path = write(text)
    told = problems(file=path)
    assert len(told) == 1
    assert told[0].startswith(f"{path}")
    assert said in told[0]


def test_a_text_that_is_too_long_is_told():
    assert problems(flags={"name": "é" * 129}) == ["--name: name is longer than 256 bytes"]


def test_the_place_of_a_mistake_after_a_long_value_is_exact(write):
    path = write(
        'peers = [\n  "https://a.example", # port = 1\n]\nname = """\nport = 2\n"""\nport = "x"\n'
    )
    told = problems(file=path)
    assert told == [
        f"{path}, line 4: name has characters that cannot be printed",
        f"{path}, line 7: port is not a whole number",
    ]


def test_all_mistakes_are_told_at_once():
    told = problems(
        environ={"RATOON_PORT": "many", "RATOON_COLOUR": "red", "RATOON_READERS": "0"},
        flags={"log_level": "loud"},
    )
    assert told == [
        "RATOON_COLOUR: there is no setting colour (did you mean country?)",
        "RATOON_PORT: port is not a whole number",
        "RATOON_READERS: readers is below 1 threads",
        "--log-level: log_level is none of: debug, info, warning, error",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port = ", "(at line 1)"),
        ("port = 1\nport = 2", "(at line 2)"),
        (b"name = '\xff'", "is not UTF-8 at byte 8"),
        ("#" * (FILE_BYTES_MAX + 1), "is larger than"),
        ("port = " + "9" * 5000, "a number is too long"),
        ("port = " + "[" * 5000, "is nested too deeply"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(write, text, said):
    (told,) = problems(file=write(text))
    assert said in told


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            {"batch_records_max": 1000, "intake_records_max": 100},
            "batch_records_max (1000) is above intake_records_max (100)",
        ),
        ({"push_links": 6, "links_max": 2}, "push_links (6) is above links_max (2)"),
    ],
)
def test_settings_that_contradict_each_other_are_told(flags, said):
    assert problems(flags=flags) == [said]


# --------------------------------------------------------------------------------- showing


def test_explaining_shows_every_setting_with_its_source(write):
    path = write("port = 8000")
    rows = load(file=path, environ={"RATOON_NAME": "one"}).explain()
    assert [row.name for row in rows] == list(TABLE)
    by_name = {row.name: row for row in rows}
    assert by_name["port"][1:5] == (8000, f"{path}, line 1", 7420, "0 to 65535")
    assert by_name["name"].source == "RATOON_NAME"
    assert by_name["host"].source == "default"
    assert by_name["host"].doc == TABLE["host"].doc


def test_the_example_changes_nothing(write):
    path = write(example_toml())
    config = load(file=path)
    assert config.settings == load().settings
    assert set(config.sources.values()) == {"default"}


def test_the_example_uncommented_is_the_defaults_and_names_all(write):
    text = re.sub(r"(?m)^#(?=[a-z_]+ = )", "", example_toml())
    config = load(file=write(text))
    assert config.settings == load().settings
    assert "default" not in config.sources.values()
    assert max(len(line) for line in text.splitlines()) <= 100


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_the_same_after_toml(text):
    assert tomllib.loads(f"x = {toml_value((text, 'a'))}")["x"] == [text, "a"]


def test_finding_the_lines_of_a_long_file_reads_it_once(write, monkeypatch):
    reads: list[int] = []
    real = tomllib.loads

    def counted(text: str) -> dict[str, object]:
        reads.append(len(text))
        return real(text)

    monkeypatch.setattr(tomllib, "loads", counted)
    text = "trusted_proxies = [\n" + "'10.0.0.1',\n" * 500 + "]\n'zz' = 1\n"
    assert "line 503: there is no setting zz" in problems(file=write(text))[-1]
    assert sum(reads) <= 2 * len(text)


def test_a_variable_may_hold_any_bytes():
    assert problems(environ={"RATOON_NAME": "\udca3\udcc8"}) == ["RATOON_NAME: name is not UTF-8"]


@pytest.mark.parametrize("name", ["RATOON_DATA_DIR", "RATOON_CONFIG"])
def test_a_home_folder_must_be_somebodys(name):
    said = "names the home folder of nobody here"
    assert problems(environ={name: "~no-such-user/x"}) == [f"~no-such-user/x: {said}"]
    assert problems(flags={"policy_file": "~no-such-user/x"}) == [
        f"--policy-file: policy_file {said}"
    ]
