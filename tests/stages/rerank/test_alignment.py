"""How a mention's words lie on a name: rows by hand, and what holds of any."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.rerank.alignment import COLUMNS, MOST, Context, alignments

SENTENCE = "In 1883 Möbius met Karl Weber, and Möbius moved to Leipzig."


def row(words, sentence, *names):
    (found,) = alignments(Context.of(words, sentence), [names])
    return dict(zip(COLUMNS, found.tolist(), strict=True))


def test_a_surname_on_a_full_name():
    found = row("Möbius", SENTENCE, "Karl Möbius")
    assert found == {
        "share of the mention in the name": 1,
        "share of the name in the mention": 0.5,
        "mention within the name": 1,
        "name within the mention": 0,
        "equal": 0,
        "name begins with the mention": 0,
        "name ends with the mention": 1,
        "first words equal": 0,
        "last words equal": 1,
        "last is first": 0,
        "first is last": 1,
        "words of the name besides": 1 / MOST,
        "words of the mention besides": 0,
        "besides, in the sentence": 1 / MOST,  # Karl
        "share of them in the sentence": 1,
        "first word in the sentence": 1,
        "last word in the sentence": 1,  # Möbius stands there twice, once as the mention
        "name in the sentence": 1,
        "words of the name": 2 / MOST,
        "words of the mention": 1 / MOST,
        "with a comma": 0,
        "with a bracket": 0,
    }


@pytest.mark.parametrize(
    ("words", "name", "true"),
    [
        ("Ada Lovelace", "ada lovelace", "equal"),
        ("Ada Lovelace", "Ada Lovelace", "name within the mention"),
        ("Moritz Benedikt Cantor", "Moritz Cantor", "name within the mention"),
        ("Moritz Benedikt Cantor", "Moritz Cantor", "last words equal"),
        ("Moritz Benedikt Cantor", "Moritz Benedikt", "name within the mention"),
        ("Lincoln", "Lincoln (car)", "with a bracket"),
        ("Lincoln", "Lincoln, Nebraska", "with a comma"),
        ("Lincoln", "Lincoln, Nebraska", "last is first"),
        ("Мёбиус", "Карл Мебиус", "last words equal"),  # accents do not count
    ],
)
def test_what_is_true_of_two_names(words, name, true):
    assert row(words, "", name)[true] == 1


def test_the_name_that_shares_most_counts():
    aliases = "Leipzig", "Karl August Möbius", "August Möbius", "Möbius August"
    assert row("August Möbius", SENTENCE, *aliases) == row("August Möbius", SENTENCE, aliases[2])


@pytest.mark.parametrize(("words", "name"), [("", "Ada"), ("Ada", ""), ("", ""), ("!", "?")])
def test_who_has_no_words_shares_none(words, name):
    found = row(words, "Ada", name)
    assert found["share of the mention in the name"] == 0
    assert not any(found[c] for c in COLUMNS if "equal" in c and c != "equal")


TEXTS = st.lists(
    st.sampled_from(["Ada", "ada", "Bo", "of", "Weber", "(x)", "a,b", "Ä"]), max_size=6
).map(" ".join)


@given(TEXTS, TEXTS, st.lists(st.lists(TEXTS, min_size=1, max_size=3), max_size=5))
def test_each_entity_has_its_own_row(words, sentence, names):
    context = Context.of(words, sentence)
    found = alignments(context, names)
    assert found.shape == (len(names), len(COLUMNS))
    assert found.dtype == np.float32
    assert ((found >= 0) & (found <= 1)).all()
    alone = [alignments(context, [own])[0] for own in names]
    assert np.array_equal(found, np.array(alone).reshape(found.shape))
