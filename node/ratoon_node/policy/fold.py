"""Text made comparable: what looks alike compares alike (case, width, confusables).

Words are compared as whole words. Scripts written without spaces, and pictograms, are compared
sign by sign, so that a word in them is found inside a sentence.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

# Stands between two texts: no phrase contains it, so none is found across the border.
BORDER = ""
# Longest phrase, in words or single signs: bounds the look-ups one place of a text can cost.
PHRASE_TOKENS_MAX = 16

# Of the thousands of confusables of Unicode's security mechanisms (UTS 39) those that spam borrows:
# letters of other scripts, in whichever case they look like a Latin one, and of phonetics. NFKC has
# undone mathematical, wide and circled letters already. Accents are kept, unlike there: words
# differ by them. Both the text and the list are folded, so a Cyrillic word still matches itself.
_LOOKALIKES = (
    ("авегзіјкмнорстухѕԁԛԝһӏ", "abergijkmhopctyxsdqwhl"),  # Cyrillic
    ("ьүѵөғқҝҡԍԏꙇєԑ", "byvofkkkgtiee"),
    ("αβγεηικμνορτυχω", "abyenikmvoptuxw"),  # Greek
    ("ϳζ", "jz"),
    ("օսհոցզ", "ouhngq"),  # Armenian
    ("յքւ", "jpl"),
    ("ıłøđħɑɡɩɪʏʀɢʜʟɴʙ", "ilodhagiiyrghlnb"),  # Latin beyond ASCII
    ("ᴀᴄᴅᴇꜰᴊᴋᴍᴏᴘꜱᴛᴜᴠᴡᴢ", "acdefjkmopstuvwz"),
    ("ƅɓƈɗɖɇɛƒɠɦɨƙɭɫɱɲɵƥɋɽɾʂƭŧʈʉʋƴɏƶʐ", "bbcddeefghikllmnopqrrstttuvyyzz"),
    ("ᎠᎡᎢᎥᎩᎪᎫᎬᎳᎷᎻᎽᏀᏃᏏᏒᏚᏞᏟᏢᏦᏴ", "drtiyajewmhygzbrslcpkb"),  # Cherokee
    ("ꓐꓑꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲꓳꓴ", "bpdtgkjczfmnlsrvhwxyaeiou"),  # Lisu
    ("ⲟⲣⲥⲧⲭⲩⲕⲓⲁⲉⲙⲛ", "opctxykiaemn"),  # Coptic
)
# Squared and circled capitals that NFKC leaves as pictures: first code point of each alphabet.
_PICTURED_ALPHABETS = (0x1F150, 0x1F170)
# Signs nobody sees, and marks left over once everything that composes has composed: they only
# split or strike through a word.
_UNSEEN = (
    (0x00AD, 0x00AD),
    (0x0300, 0x036F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x20D0, 0x20FF),
    (0xFE00, 0xFE0F),
    (0xFE20, 0xFE2F),
    (0xFEFF, 0xFEFF),
    (0xE0000, 0xE007F),
    (0xE0100, 0xE01EF),
)
# Han, kana, bopomofo, Thai, Lao, Tibetan, Myanmar, Khmer: written without spaces.
_SPACELESS = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007"
    "\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)


def _table() -> dict[int, str | None]:
    table: dict[int, str | None] = {}
    for signs, letters in _LOOKALIKES:
        table.update(zip(map(ord, signs), letters, strict=True))
    for first in _PICTURED_ALPHABETS:
        table.update({first + n: chr(ord("a") + n) for n in range(26)})
    for low, high in _UNSEEN:
        table.update(dict.fromkeys(range(low, high + 1)))
    return table


_TABLE = _table()


def _class_of(points: Iterable[int]) -> str:
    """Code points in their order as ranges for a character class."""
    ranges: list[list[int]] = []
    for point in points:
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in ranges)


_TABLED = re.compile(f"[{_class_of(sorted(_TABLE))}]")
# Western European text, with its punctuation: no marks, no signs but these, nothing spaceless.
_PLAIN = re.compile("[\\x00-\u02ff\u2000-\u206f]*")
_PLAIN_TOKEN = re.compile(r"\w+|[¦©®°]")
# What no word has in it, as spaces: faster than to search for words.
_ASCII_GAPS = "".join(
    sign if sign.isalnum() or sign == "_" else " " for sign in map(chr, range(128))
)


@lru_cache(maxsize=1)
def _token() -> re.Pattern[str]:
    """Made at first use: a node whose posts are all ASCII never pays for it."""
    # `\w` leaves out the marks that Indic scripts write their vowels with.
    found = [sign for sign in map(chr, range(0x80, 0x20000)) if sign.isprintable()]
    categories = [(ord(sign), unicodedata.category(sign)) for sign in found if not sign.isalnum()]
    marks = _class_of(point for point, category in categories if category in ("Mn", "Mc"))
    signs = _class_of(point for point, category in categories if category == "So")
    return re.compile(f"[{_SPACELESS}{signs}]|(?:(?![{_SPACELESS}])[\\w{marks}])+")


def fold(text: str) -> str:
    """`text` with case, width, lookalikes and unseen signs taken away."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", text).casefold()
    return folded.translate(_TABLE) if _TABLED.search(folded) else folded


def tokens(text: str) -> list[str]:
    """The words and single signs of `text`, folded, in order."""
    return cut(fold(text))


def cut(folded: str) -> list[str]:
    """The words and single signs of a text that is in lower case already."""
    if folded.isascii():
        return folded.translate(_ASCII_GAPS).split()
    if _PLAIN.fullmatch(folded):
        return _PLAIN_TOKEN.findall(folded)
    return _token().findall(folded)


def tokens_of(texts: Iterable[str]) -> list[str]:
    """The tokens of several texts, with a `BORDER` behind each text."""
    found: list[str] = []
    for text in texts:
        found += tokens(text)
        found.append(BORDER)
    return found


# What may stand between the words of a phrase without being compared.
_JOINTS = re.compile(r"[\s'’\-]+")


def phrase(text: str) -> tuple[str, ...]:
    """The tokens of a word or phrase from a list.

    Raises `ValueError` if something in it would not be compared: `c++` would otherwise stand for
    every `c`.
    """
    found = tuple(map(sys.intern, tokens(text)))
    if not found:
        raise ValueError("no letter, digit or pictogram in it")
    if "".join(found) != _JOINTS.sub("", fold(text)):
        raise ValueError("only letters, digits, pictograms, spaces, ' and - are compared")
    if len(found) > PHRASE_TOKENS_MAX:
        raise ValueError(f"more than {PHRASE_TOKENS_MAX} words")
    return found


def tag(text: str) -> str:
    """A hashtag made comparable, with or without its sign, which has a wide form too."""
    return fold(text).lstrip("#")
