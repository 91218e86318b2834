import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.config import ExtractConfig
from stages.encode.record_arrays.lexical import Lexical

NAMES = ["Ada Lovelace", "Ada", "adaMANT", "C.", "北京 市", "x", "", "Ada Ada", "  ", "O'Neil-Ada"]


def ngrams(name: str, shortest: int, longest: int) -> Counter:
    """Character n-grams inside the words of a name, each word with a blank before and after."""
    found: Counter = Counter()
    for word in name.lower().split():
        padded = f" {word} "
        for n in range(shortest, longest + 1):
            if n > len(padded):
                found[padded] += n == shortest  # shorter than any n-gram: whole, once
                break
            for start in range(len(padded) - n + 1):
                found[padded[start : start + n]] += 1
    return +found


def tf_idf(kb: list[str], names: list[str], shortest: int, longest: int) -> list[dict[str, float]]:
    """term frequency x (ln((1 + n) / (1 + df)) + 1), divided by its length (Euclidean)."""
    df: Counter = Counter()
    for name in kb:
        df.update(ngrams(name, shortest, longest).keys())
    rows = []
    for name in names:
        row = {}
        for term, count in ngrams(name, shortest, longest).items():
            if df[term]:
                row[term] = count * (math.log((1 + len(kb)) / (1 + df[term])) + 1)
        length = math.sqrt(sum(value**2 for value in row.values()))
        rows.append({term: value / length for term, value in row.items()})
    return rows


def fit(kb: list[str], span: tuple[int, int] = (2, 4)) -> Lexical:
    return Lexical.fit(kb, ExtractConfig(lexical_ngrams=span))


def as_dicts(lexicon: Lexical, names: list[str]) -> list[dict[str, float]]:
    matrix = lexicon.of_entities(names, []).tocoo()
    rows: list[dict[str, float]] = [{} for _ in names]
    for i, j, value in zip(*matrix.coords, matrix.data, strict=True):
        rows[i][lexicon.terms.names[j]] = float(value)
    return rows


@pytest.mark.parametrize("span", [(2, 4), (1, 1), (3, 3), (2, 9)])
def test_rows_equal_a_plain_tf_idf_of_character_ngrams(span: tuple[int, int]):
    mentions = ["ada", "LOVE", "zzz", "", "北京", "Lovelace Ada x"]
    lexicon = fit(NAMES, span)
    for names in (NAMES, mentions):
        expected = tf_idf(NAMES, names, *span)
        for ours, row in zip(as_dicts(lexicon, names), expected, strict=True):
            assert ours == pytest.approx(row, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=12), max_size=6), st.lists(st.text(max_size=12), max_size=4))
def test_rows_are_of_unit_length_or_zero(kb: list[str], names: list[str]):
    matrix = fit(kb).of_mentions(names, [])
    assert matrix.shape[0] == len(names)
    assert matrix.dtype == np.float32
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1))).ravel()
    assert all(length == 0 or abs(length - 1) < 1e-5 for length in lengths)


def test_a_names_row_does_not_depend_on_the_other_names_nor_on_its_side():
    lexicon = fit(NAMES)
    alone = lexicon.of_mentions(["Ada B"], [""]).toarray()
    three = lexicon.of_entities(["x", "Ada B", "Ada Ada"], [""] * 3).toarray()
    np.testing.assert_array_equal(three[1:2], alone)


def test_a_lexicon_goes_through_arrays_and_back():
    lexicon, config = fit(NAMES), ExtractConfig(lexical_ngrams=(2, 4))
    again = Lexical.from_state(lexicon.state(), config)
    assert again.terms.names == lexicon.terms.names
    ours, theirs = again.of_entities(NAMES, []), lexicon.of_entities(NAMES, [])
    np.testing.assert_array_equal(ours.toarray(), theirs.toarray())


@pytest.mark.parametrize("kb", [[], [""], [" ", ""]])
def test_a_knowledge_base_without_a_letter_gives_no_columns(kb: list[str]):
    lexicon = fit(kb)
    assert lexicon.of_mentions(["a", "b"], []).shape == (2, 0)
    assert Lexical.from_state(lexicon.state(), ExtractConfig()).terms.names == ()
