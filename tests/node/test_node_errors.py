"""Every code has an answer, and what is logged never reaches a client by itself."""

from __future__ import annotations

import pytest

from ratoon_node.errors import ANSWERS, NodeError, told
from ratoon_protocol.errors import Code, DecodeError


def test_every_code_has_an_answer():
    assert set(ANSWERS) == set(Code)


@pytest.mark.parametrize("code", list(Code))
def test_answers_are_sentences_with_a_real_status(code):
    answer = ANSWERS[code]
    assert 200 <= answer.status < 600
    assert answer.words[0].isupper()
    assert answer.words.endswith(".")


def test_only_what_is_here_answers_with_success():
    kept = {Code.STORED, Code.DUPLICATE, Code.SUPERSEDED, Code.HELD, Code.WANTED}
    assert {code for code, answer in ANSWERS.items() if answer.status < 300} == kept


def test_the_clients_text_is_the_codes_own_words_unless_given():
    assert NodeError(Code.NOT_FOUND).safe == ANSWERS[Code.NOT_FOUND].words
    assert NodeError(Code.NOT_FOUND, safe="No such list.").safe == "No such list."


def test_the_detail_is_for_the_log_alone():
    error = NodeError(Code.INTERNAL, detail="disk 3 is gone")
    assert str(error) == "internal: disk 3 is gone"
    assert "disk" not in error.safe
    assert error.status == 500
    assert error.retry_ms is None


def test_without_detail_the_log_has_the_code():
    error = NodeError(Code.BUSY, retry_ms=250)
    assert str(error) == "busy"
    assert error.retry_ms == 250


def test_a_protocol_error_keeps_its_code_and_hides_its_detail():
    error = told(DecodeError(Code.TOO_DEEP, "at byte 17"))
    assert (error.code, error.detail, error.status) == (Code.TOO_DEEP, "at byte 17", 400)
    assert "17" not in error.safe
