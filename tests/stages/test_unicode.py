"""Names of ten scripts, in both forms, by every route that compares them."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.config import ExtractConfig
from stages.encode.record_arrays.lexical import Lexical
from stages.encode.record_arrays.words import NameWords
from stages.unicode import canonical, folded, words_of

CONFIG = ExtractConfig()
NAMES = {
    "Latin": "Đặng Hữu Phước",
    "Greek": "Οδυσσέας Ελύτης",
    "Cyrillic": "Сергей Королёв",
    "Arabic": "محمد الفاتح",
    "Hebrew": "דָּוִד בן־גוריון",
    "Devanagari": "क़ुर्रतुलऐन हैदर",
    "Bengali": "রবীন্দ্রনাথ ঠাকুর",
    "Tamil": "சுப்பிரமணிய பாரதியார்",
    "Thai": "สุนทรภู่ น้ำ",
    "Hangul": "세종 대왕",
    "Japanese": "がくや ガンダム",
    "Khmer": "នរោត្តម សីហនុ",
}
FORMS = ("NFC", "NFD")

texts = st.text(max_size=20)


@pytest.mark.parametrize("script", NAMES)
def test_a_name_scores_one_with_itself_in_either_form(script: str):
    kb = [unicodedata.normalize("NFC", name) for name in NAMES.values()]
    unit, shares = Lexical.fit(kb, CONFIG), NameWords.fit(kb, CONFIG)
    own = list(NAMES).index(script)
    for form in FORMS:
        name = unicodedata.normalize(form, NAMES[script])
        cosines = (unit.of_mentions([name], []) @ unit.of_entities(kb, []).T).toarray()[0]
        assert cosines[own] == pytest.approx(1)
        assert np.delete(cosines, own).max() < 0.5
        sentence = f"({name}) 1843!"
        contained = (shares.of_mentions([], [sentence]) @ shares.of_entities(kb, []).T).toarray()[0]
        assert contained[own] == pytest.approx(1)
        assert not np.delete(contained, own).any()


@pytest.mark.parametrize("script", NAMES)
def test_a_word_of_any_script_is_whole(script: str):
    wholes = NAMES[script].replace("־", " ").split()
    for form in FORMS:
        name = unicodedata.normalize(form, NAMES[script])
        assert len(words_of(name)) == len(wholes)
        assert words_of(name) == [word for part in name.split() for word in words_of(part)]


def test_the_words_of_hindi_names_are_not_cut_at_their_vowel_signs():
    kb = ["किरण शर्मा", "कारन शर्मा", "सीता देवी", "हिन्दी"]
    fitted = NameWords.fit(kb, CONFIG)
    assert set(fitted.terms.names) == {"किरण", "शर्मा", "कारन", "सीता", "देवी", "हिन्दी"}
    found = fitted.of_mentions([], ["कारन आज दिल्ली गया"]) @ fitted.of_entities(kb, []).T
    shares = found.toarray()[0]
    assert shares[1] > 0
    assert not np.delete(shares, 1).any()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Élan", "ELAN"),  # accents and case
        ("ﬁn", "FIN"),  # a ligature
        ("Ａｄａ", "ada"),  # full width
        ("Straße", "STRASSE"),
        ("ΟΔΟΣ", "οδός"),  # the final sigma, and an accent
        ("مُحَمَّد", "محمد"),  # vowel points
        ("محـــمد", "محمد"),  # stretched
        ("أحمد", "احمد"),  # a hamza
        ("דָּוִד", "דוד"),
        ("Don\u00adau", "Donau"),  # a soft hyphen
        ("می\u200cروم", "میروم"),  # a joiner
        ("İstanbul", "istanbul"),
    ],
)
def test_what_a_writer_may_leave_out_makes_no_other_word(one: str, other: str):
    assert words_of(one) == words_of(other)
    assert len(words_of(one)) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("कल", "काल"),  # a vowel sign
        ("क्या", "कया"),  # a virama
        ("ข้าว", "ขาว"),  # a tone
        ("が", "か"),  # voicing
        ("ក្រ", "ករ"),
    ],
)
def test_signs_that_make_another_word_count(one: str, other: str):
    assert words_of(one) != words_of(other)
    assert folded(one) != folded(other)


def test_a_space_of_no_width_ends_a_word_as_khmer_and_thai_use_it():
    assert words_of("សីហនុ\u200bនរោត្តម") == ["សីហនុ", "នរោត្តម"]


@given(texts)
def test_the_form_of_a_text_never_counts(text: str):
    forms = [unicodedata.normalize(form, text) for form in FORMS]
    for same in (canonical, folded, words_of):
        assert same(forms[0]) == same(forms[1]) == same(text)
    assert canonical(canonical(text)) == canonical(text) == forms[0]
    assert folded(folded(text)) == folded(text)
    assert words_of(" ".join(words_of(text))) == words_of(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_takes_the_short_way_to_the_same(text: str):
    def long_way(text: str) -> str:
        return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())

    assert folded(text) == long_way(text)
    assert canonical(text) == text
