import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.ranking import answers as module
from stages.ranking.answers import (
    ANSWER_METRICS,
    BIN_MENTIONS,
    BINS,
    Answers,
    answer_metrics,
    calibration_error,
    reliability,
    risk_coverage,
    wilson,
)


def made(*rows):
    """Of (probability, right, linked) rows."""
    p, right, linked = (np.array(column) for column in zip(*rows, strict=True))
    return Answers(p, 1 - p, right.astype(bool), linked.astype(bool))


HAND = made(
    (0.9, 1, 1), (0.8, 0, 1), (0.7, 1, 1), (0.6, 0, 0), (0.3, 1, 1), (0.2, 0, 0), (0.1, 0, 1)
)  # fmt: skip


def test_bins_are_of_mentions_that_are_alike_probable(monkeypatch):
    monkeypatch.setattr(module, "BIN_MENTIONS", 1)
    gaps = [0.1, 0.8, 0.3, 0.6, 0.7, 0.2, 0.1]  # a bin a mention
    assert calibration_error(HAND) == pytest.approx(sum(gaps) / 7)
    monkeypatch.setattr(module, "BINS", 2)
    want = 4 / 7 * abs(1.2 / 4 - 1 / 4) + 3 / 7 * abs(2.4 / 3 - 2 / 3)
    assert calibration_error(HAND) == pytest.approx(want)


def test_metrics_equal_those_computed_by_hand():
    found = answer_metrics(HAND, 0.6)
    assert (found["mentions"], found["nil_mentions"], found["answered"]) == (7, 2, 4)
    assert found["precision"] == 2 / 4
    assert found["recall"] == 2 / 5
    assert found["f1"] == pytest.approx(2 * 0.5 * 0.4 / 0.9)
    assert found["nil_precision"] == 1 / 3
    assert found["nil_recall"] == 1 / 2
    risks = [0, 1 / 2, 1 / 3, 2 / 4, 2 / 5, 3 / 6, 4 / 7]
    assert found["aurc"] == pytest.approx(sum(risks) / 7)
    assert found["ece"] == pytest.approx(abs(3.6 / 7 - 3 / 7))  # too few for a second bin
    assert found["precision_interval"] == wilson(2, 4)


def test_without_a_threshold_every_answer_is_none():
    found = answer_metrics(HAND, None)
    assert (found["answered"], found["precision"], found["precision_interval"]) == (0, None, None)
    assert (found["recall"], found["f1"], found["nil_recall"]) == (0, 0, 1)
    assert found["nil_precision"] == 2 / 7


def test_no_mention_at_all_has_counts_and_no_number():
    nothing = Answers(*(np.zeros(0) for _ in range(2)), *(np.zeros(0, bool) for _ in range(2)))
    found = answer_metrics(nothing, 0.5)
    assert {found[key] for key in ANSWER_METRICS} == {None}
    assert reliability(nothing).shape == (0, 3)


def test_wilsons_interval_is_the_published_one():
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-4)  # Newcombe, 1998
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-4)


several = st.lists(
    st.tuples(st.integers(0, 9).map(lambda x: x / 9), st.booleans(), st.booleans()),
    min_size=1, max_size=250,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(several, st.randoms(use_true_random=False))
def test_no_order_of_the_mentions_matters(rows, random):
    other = list(rows)
    random.shuffle(other)
    one, two = (answer_metrics(made(*part), 0.5) for part in (rows, other))
    for key in ANSWER_METRICS:
        assert one[key] == pytest.approx(two[key]), key


@settings(max_examples=100, deadline=None)
@given(several)
def test_bins_hold_as_many_mentions_each_and_the_curve_ends_at_the_error(rows):
    answers = made(*rows)
    _, _, n = reliability(answers).T
    assert n.sum() == len(rows)
    assert n.max() - n.min() <= 1
    assert len(n) == min(BINS, max(1, len(rows) // BIN_MENTIONS))
    coverage, risk = risk_coverage(answers)
    assert coverage[-1] == 1
    assert risk[-1] == pytest.approx(1 - answers.right.mean())


def test_answers_that_are_right_as_often_as_they_say_have_a_small_calibration_error():
    random = np.random.default_rng(0)
    p = random.uniform(0.1, 1, 20_000)
    right = random.uniform(size=len(p)) < p
    fair = Answers(p, 1 - p, right, np.ones(len(p), bool))
    assert calibration_error(fair) < 0.02
    bold = Answers(np.sqrt(p), 1 - p, right, fair.linked)
    assert calibration_error(bold) > 0.1


def test_a_metric_is_better_in_its_direction():
    random = np.random.default_rng(1)
    p = random.uniform(size=400)
    linked = random.uniform(size=400) < 0.8
    sure, blind = (Answers(p, 1 - p, (p > least) & linked, linked) for least in (0.5, 0.9))
    for metric in ("precision", "recall", "f1", "aurc"):
        better, worse = (answer_metrics(x, 0.5)[metric] for x in (sure, blind))
        assert (better > worse) == ANSWER_METRICS[metric].higher_is_better, metric
