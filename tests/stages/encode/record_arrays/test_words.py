import math
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.config import ExtractConfig
from stages.encode.record_arrays.words import NameWords

CONFIG = ExtractConfig()
NAMES = ["Ada Lovelace", "Ada", "Élan Ada, Duke of Ada", "C.", "北京 市", "", "  ", "--", "O'Neil"]
SENTENCES = ["In 1843 ada met the DUKE, Elan.", "Ada Ada Ada", "", "the Dukes", "a 北京!", "Neil o"]


def words(text: str) -> set[str]:
    """By its own route, for scripts whose marks are accents."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    return set(re.findall(r"\w+", "".join(c for c in folded if not unicodedata.combining(c))))


def contained(kb: list[str], sentence: str, name: str) -> float:
    """The share of the name's idf² that lies on words of the sentence, word by word."""

    def weight(word: str) -> float:
        df = sum(word in words(other) for other in kb)
        return (math.log((1 + len(kb)) / (1 + df)) + 1) ** 2

    whole = sum(weight(word) for word in words(name))
    found = sum(weight(word) for word in words(name) & words(sentence))
    return found / whole if whole else 0.0


def test_the_product_is_the_share_of_the_name_that_the_sentence_contains():
    fitted = NameWords.fit(NAMES, CONFIG)
    found = (fitted.of_mentions([], SENTENCES) @ fitted.of_entities(NAMES, []).T).toarray()
    expected = [[contained(NAMES, s, n) for n in NAMES] for s in SENTENCES]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[1, 1] == pytest.approx(1)
    assert 0 < found[0, 2] < 1
    assert found.dtype == np.float32


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=12), max_size=6), st.lists(st.text(max_size=12), max_size=4))
def test_shares_lie_between_zero_and_one_in_any_script(kb: list[str], sentences: list[str]):
    fitted = NameWords.fit(kb, CONFIG)
    found = (fitted.of_mentions([], sentences) @ fitted.of_entities(kb, []).T).toarray()
    assert found.shape == (len(sentences), len(kb))
    assert (found >= 0).all()
    assert (found <= 1 + 1e-6).all()


def test_a_row_does_not_depend_on_the_others():
    fitted = NameWords.fit(NAMES, CONFIG)
    alone = fitted.of_mentions([], ["Duke Ada"]).toarray()
    np.testing.assert_array_equal(
        fitted.of_mentions([], [*SENTENCES, "Duke Ada"]).toarray()[-1:], alone
    )
    np.testing.assert_array_equal(
        fitted.of_entities(NAMES, []).toarray()[2:3], fitted.of_entities([NAMES[2]], []).toarray()
    )


def test_words_go_through_arrays_and_back():
    fitted = NameWords.fit(NAMES, CONFIG)
    again = NameWords.from_state(fitted.state(), CONFIG)
    assert again.terms.names == fitted.terms.names
    np.testing.assert_array_equal(
        again.of_entities(NAMES, []).toarray(), fitted.of_entities(NAMES, []).toarray()
    )


@pytest.mark.parametrize("kb", [[], [""], [" ", "--"]])
def test_a_knowledge_base_without_a_word_gives_no_columns(kb: list[str]):
    fitted = NameWords.fit(kb, CONFIG)
    assert fitted.of_mentions([], ["a", "b"]).shape == (2, 0)
    assert fitted.of_entities(kb, []).shape == (len(kb), 0)
    assert NameWords.from_state(fitted.state(), CONFIG).terms.names == ()
