"""Texts that are equal to a reader and not in their characters: one form to compare them in.

    canonical(text)     NFC: ids, paths, sentences
    folded(text)        the same without case: character n-grams
    words_of(text)      the words, without case, accents and vowel points

Nothing that an encoder reads goes through here: it sees a text as the source has it.
"""

import unicodedata

import regex

_ACCENTS = regex.compile(
    # Of Latin, Greek and Cyrillic:
    r"[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
    r"\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # points of Hebrew
    r"\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed"  # of Arabic
    r"\u00ad\u200c-\u200f\u2060\ufeff]"  # soft hyphens, joiners, marks of direction: not seen
)
"""What a writer may leave out and a word is still the same. The vowel signs and tone marks of Indic
scripts, Thai or Khmer and the voicing marks of Japanese are none of it: they make other words."""

_WORD = regex.compile(r"[\w\p{M}]+")


def canonical(text: str) -> str:
    """NFC, as most sources are; macOS writes the names of files in NFD."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """NFC without case: equal for all that is canonically equal (Unicode, definition D145)."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def words_of(text: str) -> list[str]:
    """Runs of letters, digits, their marks and underscores, without case and accents, in NFKC.

    A combining mark is a part of its word, so that scripts of Brahmi keep their words whole; a
    script that sets no blanks gives one word a run.
    """
    if not text.isascii():
        loose = unicodedata.normalize("NFKD", unicodedata.normalize("NFD", text).casefold())
        text = unicodedata.normalize("NFKC", _ACCENTS.sub("", loose))
    return _WORD.findall(text.lower())
