"""What looks alike compares alike, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_node.policy import fold


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("SPAM", "spam"),
        ("ＳＰＡＭ", "spam"),
        ("ѕраm", "spam"),  # Cyrillic s, p, a
        ("SΡΑM", "spam"),  # Greek capitals
        ("s\u200bp\u00ada\u2060m", "spam"),
        ("s\u0336p\u0336a\u0336m\u0336", "spam"),
        ("🅂🅿🅐Ⓜ", "spam"),
        ("𝓼𝓹𝓪𝓶", "spam"),
        ("ꓢꓑꓮꓟ", "spam"),  # Lisu
        ("ꮪᏢᎪᎷ", "spam"),  # Cherokee, which has small letters too
        ("ʂƥɑɱ", "spam"),
        ("ⲥⲁⲙ", "cam"),
        ("ԁеаӏѕ", "deals"),
        ("ᴅᴇᴀʟꜱ", "deals"),
        ("ьуе", "bye"),
        ("año", "año"),
        ("ano", "ano"),
        ("STRASSE", "strasse"),
        ("straße", "strasse"),
    ],
)
def test_lookalikes_fold_to_one(written, folded):
    assert fold.fold(written) == folded


@given(st.text())
def test_folding_twice_changes_nothing_more(text):
    once = fold.fold(text)
    assert fold.tokens(once) == fold.tokens(text)


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_both_token_patterns_agree_on_ascii(text):
    assert fold._token().findall(text.lower()) == fold.tokens(text)


PLAIN = st.characters(max_codepoint=0x2FF) | st.characters(
    min_codepoint=0x2000, max_codepoint=0x206F
)


@given(st.text(alphabet=PLAIN))
def test_the_pattern_for_western_text_agrees_too(text):
    folded = fold.fold(text)
    assert fold._token().findall(folded) == fold.cut(folded)


def test_each_character_of_western_text_is_a_token_or_none():
    for point in (*range(0x300), *range(0x2000, 0x2070)):
        folded = f"a{chr(point)}b".casefold()
        assert fold._token().findall(folded) == fold.cut(folded)


@given(st.text())
def test_what_is_in_the_table_is_always_taken_away(text):
    assert fold.fold(text) == fold.fold(text).translate(fold._TABLE)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Buy cheap-pills, now!", ["buy", "cheap", "pills", "now"]),
        ("我买药", ["我", "买", "药"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("go🍆go", ["go", "🍆", "go"]),
        ("", []),
    ],
)
def test_words_are_whole_and_spaceless_scripts_go_sign_by_sign(text, tokens):
    assert fold.tokens(text) == tokens


def test_texts_are_kept_apart():
    assert fold.tokens_of(["a b", "c"]) == ["a", "b", fold.BORDER, "c", fold.BORDER]


@pytest.mark.parametrize("text", ["c++", "!!!", "", "a.b", "$pam", "w " * 17])
def test_a_phrase_that_would_not_be_compared_whole_is_refused(text):
    with pytest.raises(ValueError, match=r"compared|no letter|more than"):
        fold.phrase(text)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("Don't", ("don", "t")), ("cheap-pills now", ("cheap", "pills", "now")), ("🍆", ("🍆",))],
)
def test_phrases_are_tokens(text, tokens):
    assert fold.phrase(text) == tokens
    assert fold.phrase(" ".join(tokens)) == tokens


def test_tags_compare_with_and_without_their_sign():
    assert fold.tag("#Spam") == fold.tag("ｓpam") == fold.tag("＃spam") == "spam"


def test_each_lookalike_is_reached_and_becomes_a_latin_letter():
    for signs, letters in fold._LOOKALIKES:
        assert len(signs) == len(letters)
        assert [fold.fold(sign) for sign in signs] == list(letters)
        assert set(letters) <= set("abcdefghijklmnopqrstuvwxyz")
