"""A policy file is read whole, or every problem in it is named with its place."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratoon_node.policy import document
from ratoon_node.policy.admission import Budgets
from ratoon_node.policy.document import PolicyFileError
from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.policy.plugins import BUDGET_MS, PluginSpec
from ratoon_node.policy.policyfile import Strangers, parse_policy
from ratoon_node.policy.rules import PATTERNS_MAX, RULES_MAX, Rule, When
from ratoon_node.policy.verdict import Verdict
from ratoon_protocol import kinds
from tests.node.policy.records import DAY_MS, ident

ROOT = Path(__file__).resolve().parents[3]
ACCOUNT = ident(7).hex()

WHOLE = f"""
[[rule]]
id = "everything"
then = "hold"
reason = "spam"
label = "odd"
drop_media = true

[rule.when]
kind = ["post", "edit"]
account = "{ACCOUNT.upper()}"
key = "{ACCOUNT}"
node = ["{ACCOUNT}"]
peer = "{ACCOUNT}"
domain = "*.Evil.example"
hashtag = "#Spam"
word = ["Buy now", "ѕраm"]
pattern = '(?i)v[i1]agra'
links_min = 1
mentions_min = 2
tags_min = 3
text_bytes_min = 4
text_bytes_max = 5
payload_bytes_min = 6
payload_bytes_max = 7
account_age_min = "90s"
account_age_max = "2d"
posts_per_hour_min = 8
language = ["en", "pt-BR"]
handle_domain = "*.Evil.example"
media = "{ACCOUNT}"
media_near = ["0123456789ABCDEF", {{ hash = "0000000000000001", distance = 3 }}]
media_min = 9
label = ["Rude"]
near_duplicates_min = 10
near_duplicate_accounts_min = 11
node_posts_per_hour_min = 12
node_new_accounts_per_day_min = 13
reply_to_stranger = true
followed_locally = false
first_post = true
local = false

[lists.block]
accounts = ["{ACCOUNT}", {{ entity = "{ACCOUNT}", then = "limit", reason = "rude" }}]
domains = "evil.example"
words = [{{ entity = "Buy now", expires = 2030-01-01 }}]
media = [
  "{ACCOUNT}",
  {{ entity = "0123456789ABCDEF/4", then = "quarantine" }},
  "pdq:{ACCOUNT}",
]
[lists.allow]
nodes = [{{ entity = "{ACCOUNT}", expires = 2030-01-01T01:00:00+01:00 }}]

[admission]
new_accounts_per_day = 5
headers_per_day = 60
bytes_per_day = 7000
vouching = false

[labelers]
trust = ["{ACCOUNT}", {{ account = "{ident(8).hex()}", ceiling = "limit" }}]
[evidence]
key = "{ident(9).hex()}"
[strangers]
known_after = "3d"
likeness_window = "10m"

[[plugin]]
name = "bayes"
command = ["/bin/bayes", "-x"]
[[plugin]]
name = "other"
entry_point = "other"
budget_ms = 100
kinds = "profile"
"""


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(PolicyFileError) as caught:
        parse_policy(text.encode() if isinstance(text, str) else text)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return [str(problem) for problem in caught.value.problems]


def test_everything_that_may_be_said_is_read():
    data = WHOLE.encode()
    found = parse_policy(data)
    who = bytes.fromhex(ACCOUNT)
    assert found.version == hashlib.sha256(data).hexdigest()
    assert found.rules == (
        Rule(
            "everything",
            When(
                kind=(kinds.POST, kinds.EDIT),
                account=(who,),
                key=(who,),
                node=(who,),
                peer=(who,),
                domain=("evil.example",),
                hashtag=("spam",),
                word=(("buy", "now"), ("spam",)),
                pattern=("(?i)v[i1]agra",),
                links_min=1,
                mentions_min=2,
                tags_min=3,
                text_bytes_min=4,
                text_bytes_max=5,
                payload_bytes_min=6,
                payload_bytes_max=7,
                account_age_min=90_000,
                account_age_max=172_800_000,
                posts_per_hour_min=8,
                language=("en", "pt-br"),
                handle_domain=("evil.example",),
                media=(who,),
                media_near=((0x0123456789ABCDEF, 10), (1, 3)),
                media_min=9,
                label=("Rude",),
                near_duplicates_min=10,
                near_duplicate_accounts_min=11,
                node_posts_per_hour_min=12,
                node_new_accounts_per_day_min=13,
                reply_to_stranger=True,
                followed_locally=False,
                first_post=True,
                local=False,
            ),
            Verdict.HOLD,
            "spam",
            "odd",
            drop_media=True,
        ),
    )
    assert found.entries == (
        ListEntry(Subject.ACCOUNT, ACCOUNT, Verdict.WITHHOLD, "blocked"),
        ListEntry(Subject.ACCOUNT, ACCOUNT, Verdict.LIMIT, "rude"),
        ListEntry(Subject.DOMAIN, "evil.example", Verdict.WITHHOLD, "blocked"),
        ListEntry(Subject.WORD, "buy now", Verdict.WITHHOLD, "blocked", 1_893_456_000_000),
        ListEntry(Subject.MEDIA, ACCOUNT),
        ListEntry(Subject.MEDIA, "0123456789abcdef/4", Verdict.QUARANTINE),
        ListEntry(Subject.MEDIA, f"pdq:{ACCOUNT}/31"),
        ListEntry(Subject.NODE, ACCOUNT, Verdict.ACCEPT, "allowed", 1_893_456_000_000),
    )
    assert found.budgets == Budgets(5, 60, 7000, False)
    assert found.labelers == ((who, Verdict.WITHHOLD), (ident(8), Verdict.LIMIT))
    assert found.evidence_key == ident(9)
    assert found.strangers == Strangers(3 * DAY_MS, 600_000)
    assert found.plugins == (
        PluginSpec("bayes", "", ("/bin/bayes", "-x"), BUDGET_MS, (kinds.POST, kinds.EDIT)),
        PluginSpec("other", "other", (), 100, (kinds.PROFILE,)),
    )


def test_an_empty_file_says_nothing():
    found = parse_policy(b"")
    assert (found.rules, found.entries, found.budgets) == ((), (), Budgets())


def test_the_example_is_read_and_the_defaults_in_it_are_the_defaults():
    found = parse_policy((ROOT / "deploy/policy.example.toml").read_bytes())
    assert [rule.id for rule in found.rules] == [
        "links-from-strangers",
        "many-mentions",
        "wave",
        "too-fast",
    ]
    assert found.strangers == Strangers()
    assert found.budgets == Budgets()


def rule(when: str = "links_min = 1", rest: str = 'then = "hold"\nreason = "spam"') -> str:
    return f'[[rule]]\nid = "r"\nwhen = {{ {when} }}\n{rest}\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = ", "line 1, column 5: Invalid value"),
        ("[a\n", "line 1, column 3: Expected ']' at the end of a table declaration"),
        ("a = [1,", "line 1, column 8: "),
        ('x = 1\nb = "\xff"'.encode("latin-1"), "line 2, column 6: not UTF-8"),
        ("rules = 1", "line 1, column 1: unknown key rules; did you mean rule?"),
        ("zzz = 1", "line 1, column 1: unknown key zzz; known: evidence, include, rule, lists,"),
        ("rule = 1", "line 1, column 1: must be written as [[…]]"),
        ("rule = [1]", "line 1, column 1: must be a table"),
        ("lists = 1", "line 1, column 1: must be a table"),
        (rule("link_min = 1"), "line 3, column 10: unknown key link_min; did you mean links_min?"),
        (rule(""), "line 3, column 1: when needs a condition: a rule without one would judge"),
        (rule("word = []"), "line 3, column 10: must not be empty"),
        (rule('kind = "pots"'), "line 3, column 10: must be one of identity, delete, node,"),
        (rule("kind = ['post', ['x']]"), "line 3, column 26: must be one of identity,"),
        (rule('account = "abc"'), "line 3, column 10: must be 64 hexadecimal digits"),
        (rule("account = 5"), "line 3, column 10: must be 64 hexadecimal digits"),
        (rule('word = ["ok", "c++"]'), "line 3, column 24: only letters, digits, pictograms"),
        (rule('hashtag = "#"'), "line 3, column 10: must be a tag"),
        (rule('hashtag = ""'), "line 3, column 10: must be a text in quotes"),
        (rule('domain = "a b"'), "line 3, column 10: not a domain"),
        (rule("pattern = '(a'"), "line 3, column 10: not a pattern: missing ): (a"),
        (rule("pattern = '(?=a)'"), "line 3, column 10: not a pattern: invalid perl operator"),
        (rule(f"pattern = '{'a' * 1001}'"), "line 3, column 10: longer than 1000 characters"),
        (rule("links_min = -1"), "line 3, column 10: must be a whole number, 0 or more"),
        (rule("links_min = true"), "line 3, column 10: must be a whole number, 0 or more"),
        (rule("local = 1"), "line 3, column 10: must be true or false"),
        (rule('account_age_max = "2 days"'), "line 3, column 10: must be a duration such as"),
        (rule("account_age_max = 2"), "line 3, column 10: must be a duration such as"),
        (rule('media = "ab"'), "line 3, column 10: must be 64 hexadecimal digits"),
        (rule('media_near = "ab"'), "line 3, column 10: must be 16 hexadecimal digits"),
        (rule("media_near = { hash = 'ab', far = 1 }"), "line 3, column 10: must be { hash"),
        (
            rule("media_near = { hash = '0000000000000000', distance = 11 }"),
            "line 3, column 10: a distance must be 10 at most",
        ),
        (rule('language = "english!"'), "line 3, column 10: must be a language such as"),
        (
            rule(rest='then = "quarantine"\nreason = "x"'),
            "line 4, column 1: quarantine needs [evidence] with the key",
        ),
        (rule(rest='then = "label"\nreason = "x"'), "line 1, column 1: label is missing"),
        (
            rule(rest='then = "label"\nreason = "x"\nlabel = "So bad"'),
            "line 6, column 1: must be one word",
        ),
        ("[lists.block]\nmedia = ['ab']", "line 2, column 10: must be 64 hexadecimal digits (SHA"),
        (
            "[lists.block]\nmedia = ['0000000000000000/11']",
            "line 2, column 10: a distance must be a number up to 10",
        ),
        (
            "[lists.block]\nwords = [{entity = 'a', then = 'quarantine'}]",
            "line 2, column 25: quarantine needs [evidence]",
        ),
        (
            "[lists.block]\nwords = [{entity = 'a', then = 'label'}]",
            "line 2, column 25: only rules give labels",
        ),
        ("[evidence]\nkey = 'ab'", "line 2, column 1: must be 64 hexadecimal digits"),
        ("[labelers]\ntrust = ['ab']", "line 2, column 10: must be 64 hexadecimal digits"),
        (
            f"[labelers]\ntrust = [{{account = '{ACCOUNT}', ceiling = 'accept'}}]",
            "line 2, column 89: accept belongs",
        ),
        ("[strangers]\nknown_after = 3", "line 2, column 1: must be a duration such as"),
        (
            "[[plugin]]\nname = 'a'",
            "line 1, column 1: either entry_point or command says what runs",
        ),
        (
            "[[plugin]]\nname = 'a'\ncommand = 'x'",
            "line 3, column 1: must be a program and its arguments",
        ),
        (
            "[[plugin]]\nname = 'a'\ncommand = ['x']\nbudget_ms = 5001",
            "line 4, column 1: must be milliseconds up to 5000",
        ),
        (
            2 * "[[plugin]]\nname = 'a'\ncommand = ['x']\n",
            "line 5, column 1: another plugin is called a",
        ),
        (rule(rest='then = "hold"'), "line 1, column 1: reason is missing"),
        (rule(rest='then = "purge"\nreason = "x"'), "line 4, column 1: must be one of accept,"),
        (rule(rest='then = "hold"\nreason = "So bad!"'), "line 5, column 1: must be one word"),
        ('[[rule]]\nid = "A"\n' + rule()[18:], "line 2, column 1: must be small letters, digits"),
        ('[[rule]]\nid = "r"\nthen="hold"\nreason="x"', "line 1, column 1: when needs a condition"),
        (rule() + rule(), "line 7, column 1: another rule is called r"),
        ("[lists.block]\nword = 1", "line 2, column 1: unknown key word; did you mean words?"),
        ("[lists.blok]", "line 1, column 1: unknown key blok; did you mean block?"),
        ("[lists.block]\nwords = [\n 'a',\n '+',\n]", "line 4, column 2: no letter, digit or"),
        ("[lists.block]\nwords = [{then = 'hold'}]", "line 2, column 10: entity is missing"),
        (
            "[lists.block]\nwords = [{entity = 'a', then = 'accept'}]",
            "line 2, column 25: accept belongs under [lists.allow]",
        ),
        (
            "[lists.allow]\nwords = [{entity = 'a', then = 'limit'}]",
            "line 2, column 25: unknown key then; known: entity, reason, expires",
        ),
        (
            "[lists.block]\nwords = [{entity = 'a', expires = 01:00:00}]",
            "line 2, column 25: must be a date, as in 2030-12-31",
        ),
        ("[admission]\nvouching = 1", "line 2, column 1: must be true or false"),
        (
            "[admission]\nvouch = true",
            "line 2, column 1: unknown key vouch; did you mean vouching?",
        ),
    ],
)
def test_a_problem_is_named_with_its_place(text, expected):
    found = problems(text)
    assert len(found) == 1, found
    assert found[0].startswith(expected)


def test_all_problems_are_named_at_once_in_the_order_of_the_file():
    text = "[admission]\nvouching = 1\n" + rule('kind = "x", local = 3') + "[lists.block]\nx = 1\n"
    places = [(problem.split(":")[0]) for problem in problems(text)]
    assert places == [
        "line 2, column 1",
        "line 5, column 10",
        "line 5, column 22",
        "line 9, column 1",
    ]


def test_bounds_are_kept():
    many = "".join(
        f'[[rule]]\nid="r{n}"\nwhen={{local=true}}\nthen="hold"\nreason="x"\n'
        for n in range(RULES_MAX + 1)
    )
    assert problems(many) == [f"line {RULES_MAX * 5 + 1}, column 1: more than {RULES_MAX} rules"]
    patterns = ",".join(f"'a{n}'" for n in range(PATTERNS_MAX + 1))
    assert problems(rule(f"pattern = [{patterns}]")) == [
        f"line 1, column 1: more than {PATTERNS_MAX} patterns"
    ]
    big = b"#" * (document.POLICY_BYTES_MAX + 1)
    assert problems(big) == [f"line 1, column 1: more than {document.POLICY_BYTES_MAX} bytes"]
    assert problems("a = " + "[" * 100_000) == ["line 1, column 1: nested too deeply"]
    assert problems("a = " + "9" * 5000) == ["line 1, column 1: a number is too long"]


def test_a_slow_pattern_is_no_danger_and_too_large_ones_are_refused():
    parse_policy(rule("pattern = '(a+)+$'").encode())
    assert problems(rule(r"pattern = '\pL{100}'"))[0].startswith(
        "line 3, column 10: not a pattern: pattern too large"
    )
    patterns = ",".join(rf"'x{n}\pL{{40}}'" for n in range(60))
    assert problems(rule(f"pattern = [{patterns}]")) == [
        "line 1, column 1: the patterns together need too much memory"
    ]


KEYS = st.sampled_from(["rule", "when", "id", "then", "lists", "block", "words", "admission"])
VALUES = st.recursive(
    st.sampled_from(["1", "true", '"a"', "'#['", "2030-01-01", '"""x\ny"""', "'''a'b'''", "-1.5"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[\n " + ", # x\n ".join(items) + "\n]"),
        st.dictionaries(KEYS, inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{k} = {v}" for k, v in table.items()) + "}"
        ),
    ),
    max_leaves=6,
)
LINES = st.one_of(
    st.builds("[{}]\n".format, KEYS),
    st.builds("[[{}]]\n".format, KEYS),
    st.builds("[{}.{}]\n".format, KEYS, KEYS),
    st.builds('"{}" . {} = {} # said\n'.format, KEYS, KEYS, VALUES),
    st.builds("{} = {}\n".format, KEYS, VALUES),
)


@given(st.lists(LINES, max_size=6).map("".join))
@example("[[rule]]\nwhen.links_min = 1\n")
def test_any_file_is_read_or_its_problems_are_in_it(text):
    try:
        parse_policy(text.encode())
    except PolicyFileError as error:
        lines = [*text.split("\n"), ""]
        for line, column, message, _ in error.problems:
            assert 1 <= line <= len(lines)
            assert 1 <= column <= len(lines[line - 1]) + 1
            assert message


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data):
    try:
        tomllib.loads(data.decode().replace("\r\n", "\n"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        assert len(problems(data)) == 1
