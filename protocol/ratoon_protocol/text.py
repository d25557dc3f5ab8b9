"""What text may be, the same on every node for ever (R-91 to R-95).

Ranges stand here and not in a Unicode table of this or that year: every version of every language
must give the same verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ratoon_protocol.codec import Value
from ratoon_protocol.errors import Code, DecodeError
from ratoon_protocol.limits import LINE_BYTES_MAX, MARKS_MAX, TAG_BYTES_MAX, URL_BYTES_MAX

Check = Callable[[Value], None]

_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc"
    "\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc"
    "\u0ec8-\u0ecd\u0f71-\u0f7e\u0f80-\u0f84\u0f8d-\u0fbc\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff"
    "\u302a-\u302f\u3099\u309a\ufe00-\ufe0f\ufe20-\ufe2f\U000e0100-\U000e01ef"
)
_STACKED = f"[{_MARKS}]{{{MARKS_MAX + 1}}}"
_BAD_TEXT = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f]|{_STACKED}")
_BAD_LINE = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]|{_STACKED}")
_SPACE = re.compile("[ \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_LANGUAGE = re.compile("[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")
_LINK = re.compile("https?://[^/?#]")
_COUNTRY = re.compile("([A-Z]{2})?")


def _check(value: Value, bytes_max: int, bad: re.Pattern[str]) -> None:
    if type(value) is not str:
        raise DecodeError(Code.BAD_TYPE, "not text")
    if len(value) > bytes_max:
        raise DecodeError(Code.TOO_LONG)
    if value.isascii():
        if value.isprintable():  # letters, digits, signs, spaces: most lines end here
            return
    elif len(value.encode()) > bytes_max:
        raise DecodeError(Code.TOO_LONG)
    if bad.search(value):
        raise DecodeError(Code.BAD_TEXT)


def paragraphs(bytes_max: int) -> Check:
    """Text of several lines: LF and TAB are its only control characters (R-91)."""
    return lambda value: _check(value, bytes_max, _BAD_TEXT)


def line(bytes_max: int = LINE_BYTES_MAX, empty: bool = True) -> Check:
    """One line: no control character, nothing that turns the reading order (R-92)."""

    def check(value: Value) -> None:
        _check(value, bytes_max, _BAD_LINE)
        if not (value or empty):
            raise DecodeError(Code.BAD_BODY, "empty line")

    return check


def word(bytes_max: int = LINE_BYTES_MAX) -> Check:
    """A line with something in it and without spaces (R-92)."""
    one_line = line(bytes_max, empty=False)

    def check(value: Value) -> None:
        one_line(value)
        if _SPACE.search(value):
            raise DecodeError(Code.BAD_TEXT, "space")

    return check


def _shaped(value: Value, shape: re.Pattern[str]) -> None:
    _check(value, LINE_BYTES_MAX, _BAD_LINE)
    if not shape.fullmatch(value):
        raise DecodeError(Code.BAD_TEXT)


def language(value: Value) -> None:
    """A language tag in the shape of BCP 47 (R-95)."""
    _shaped(value, _LANGUAGE)


def country(value: Value) -> None:
    """Two capital letters of ISO 3166, or nothing (R-95)."""
    _shaped(value, _COUNTRY)


_URL_WORD = word(URL_BYTES_MAX)
_TAG_WORD = word(TAG_BYTES_MAX)


def link(value: Value) -> None:
    """http and https alone: a link must never be able to run something (R-94)."""
    _URL_WORD(value)
    if not _LINK.match(value):
        raise DecodeError(Code.BAD_TEXT, "link")


def tag(value: Value) -> None:
    """A tag without its sign (R-94)."""
    _TAG_WORD(value)
    if "#" in value:
        raise DecodeError(Code.BAD_TEXT, "tag")
