"""What of a long text a mention is read with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.serving.contexts import CONTEXT, contexts_of

TEXTS = st.text(st.sampled_from("ab. !?\n\u3002\u0964\U0001f600"), max_size=2000)


@st.composite
def spans(draw):
    text = draw(TEXTS.filter(bool))
    start = draw(st.integers(0, len(text) - 1))
    return text, (start, draw(st.integers(start + 1, len(text))))


@given(spans())
def test_a_context_holds_its_span_and_no_more_than_fits(case):
    text, (start, end) = case
    (found,) = contexts_of(text, [(start, end)])
    assert 0 <= found.start <= start < end <= found.end <= len(text)
    assert found.end - found.start <= max(CONTEXT, end - start)
    if len(text) <= CONTEXT:
        assert (found.start, found.end) == (0, len(text))


SENTENCE = "This one says very little indeed. "  # 34 characters


def test_whole_sentences_are_taken_on_both_sides():
    text = SENTENCE * 50
    start = 25 * len(SENTENCE) + 5
    (found,) = contexts_of(text, [(start, start + 3)])
    assert found.start % len(SENTENCE) == 0
    assert found.end % len(SENTENCE) == 0
    assert found.end - found.start == CONTEXT // len(SENTENCE) * len(SENTENCE)
    assert min(start - found.start, found.end - start) > 150


@pytest.mark.parametrize("at", [0, 1500])
def test_at_an_edge_the_other_side_gets_the_room(at):
    text = SENTENCE * 45
    (found,) = contexts_of(text, [(at, at + 4)])
    assert found.end - found.start == CONTEXT // len(SENTENCE) * len(SENTENCE)


def test_of_an_endless_sentence_words_stay_whole():
    text = "word " * 1000
    (found,) = contexts_of(text, [(2500, 2504)])
    cut = found.of(text)
    assert set(cut.split()) == {"word"}
    assert 480 <= len(cut) <= CONTEXT


def test_each_span_has_its_own():
    text = SENTENCE * 50
    one, other = contexts_of(text, [(3, 5), (1600, 1603)])
    assert one.start == 0
    assert other.end == len(text)
