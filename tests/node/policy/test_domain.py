"""One spelling for each host, the one a browser would ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_node.policy import domain


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/path",
        "HTTPS://EVIL.example.",
        "https://user:word@evil.example:8443/?q",
        "https://good.example@evil.example",
        "https:\\\\evil.example\\good.example",
        "https:/evil.example",
        "https://ev%69l.example#x",
        "https://ｅvil。example/",
        "https://evil.exa\nmple",
        "//evil.example",
        " evil.example/x",
        "mailto:someone@evil.example",
    ],
)
def test_every_way_to_write_a_host_gives_the_host(link):
    assert domain.host_of(link) == "evil.example"


@pytest.mark.parametrize(
    ("one", "other"),
    [("straße.example", "xn--strae-oqa.example"), ("BÜCHER.example", "xn--bcher-kva.example")],
)
def test_punycode_and_unicode_are_one_host(one, other):
    assert domain.spell(one) == domain.spell(other)


def test_what_is_not_punycode_stays():
    assert domain.spell("xn--99999999999.example") == "xn--99999999999.example"


def test_a_host_nobody_can_look_up_is_none():
    assert domain.host_of("https://" + "a" * 300) == ""
    assert domain.host_of("https://") == ""


@given(st.text(max_size=400))
def test_any_text_gives_some_host(link):
    host = domain.host_of(link)
    assert not set(host) & set("/?#")


def test_suffixes_are_the_domain_and_those_above():
    assert list(domain.suffixes("a.b.c")) == ["a.b.c", "b.c", "c"]


@pytest.mark.parametrize("text", ["*.Example.ORG", "example.org.", "example.org"])
def test_a_listed_domain_covers_what_is_below_it_however_written(text):
    assert domain.parse_domain(text) == "example.org"


@pytest.mark.parametrize(
    "text", ["", "https://example.org", "a b", "a..b", "*", "a@b", ".x", "%2541.org"]
)
def test_what_is_not_a_domain_is_refused(text):
    with pytest.raises(ValueError, match="not a domain"):
        domain.parse_domain(text)


@pytest.mark.parametrize(
    "text", ["xn--xn--bcher-kva-.example", "xn--X-éa.example", "xn--a-\u0345.example", "xn--9ca.x"]
)
def test_a_spelling_is_spelt_as_itself(text):
    spelt = domain.spell(text)
    assert domain.spell(spelt) == spelt


def test_capitals_hidden_in_punycode_name_no_other_domain():
    hidden = "xn--" + "B\u00dcCHER".encode("punycode").decode().lower() + ".example"
    assert domain.spell(hidden) == hidden
