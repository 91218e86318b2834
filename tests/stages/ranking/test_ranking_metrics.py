import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.ranking.metrics import METRICS, deciding, metrics, metrics_by_part, shown


def test_rates_equal_those_computed_by_hand():
    found = metrics(np.array([1, 2, 4, 1.5, 25]), 40)
    assert found == {
        "mentions": 5,
        "entities": 40,
        "hits@1": pytest.approx(1 / 5),  # a tie for the first place is no hit
        "hits@3": pytest.approx(3 / 5),
        "hits@5": pytest.approx(4 / 5),
        "hits@10": pytest.approx(4 / 5),
        "hits@20": pytest.approx(4 / 5),
        "mrr": pytest.approx((1 + 1 / 2 + 1 / 4 + 2 / 3 + 1 / 25) / 5),
        "mr": pytest.approx(33.5 / 5),
    }


def test_every_metric_lies_in_its_range_and_falls_in_its_direction():
    better, worse = np.array([1, 3, 5.0, 9, 20]), np.array([2, 4, 6, 11, 60.0])
    for key, metric in METRICS.items():
        assert metric.key == key
        assert metric.range[0] <= metric.of(worse) <= metric.range[1]
        assert (metric.of(better) > metric.of(worse)) == metric.higher_is_better, key
        assert metric.values(worse).shape == worse.shape
    assert [metric.title for metric in shown()] == ["H@1", "H@3", "H@5", "MRR"]
    assert [metric.tested for metric in METRICS.values()].count(True) == 1
    assert deciding().by_part


def test_no_mention_at_all_gives_zeros():
    found = metrics(np.array([]), 7)
    assert found.pop("entities") == 7
    assert set(found.values()) == {0}


def test_parts_are_those_of_seen_and_unseen_entities_and_of_kinds_of_pictures():
    ranks = np.array([1, 2, 3, 4, 5, 6.0])
    seen = np.array([True, False, True, False, False, False])
    kinds = ["good", "low_quality", "missing", None, "good", "low_value"]
    found = metrics_by_part(ranks, 9, seen, kinds)
    mean_ranks = {part: values["mr"] for part, values in found.items()}
    assert mean_ranks == {
        "test": 3.5,
        "test_seen": 2,
        "test_unseen": 4.25,
        "test_image_good": 3,
        "test_image_low_quality": 2,
        "test_image_low_value": 6,
        "test_image_missing": 3,
        "test_poor": pytest.approx(11 / 3),
    }
    assert [found[p]["mentions"] for p in ("test_seen", "test_unseen")] == [2, 4]


def test_the_clean_part_stands_beside_the_whole():
    ranks, clean = np.array([1, 2, 3, 4.0]), np.array([True, False, False, True])
    found = metrics_by_part(ranks, 9, np.ones(4, bool), [None] * 4, clean)
    assert list(found) == ["test", "test_clean", "test_seen", "test_unseen"]
    assert found["test_clean"] == metrics(ranks[clean], 9)
    assert found["test_clean"]["mentions"] == 2


def test_kinds_that_nobody_knows_make_no_part():
    found = metrics_by_part(np.array([1.0, 2]), 5, np.array([True, True]), [None, None])
    assert list(found) == ["test", "test_seen", "test_unseen"]
    assert found["test_unseen"]["mentions"] == found["test_unseen"]["mrr"] == 0
    good = metrics_by_part(np.array([1.0]), 5, np.array([True]), ["good"])
    assert "test_image_good" in good
    assert "test_poor" not in good


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(2, 60).map(lambda twice: twice / 2), max_size=20), st.data())
def test_rates_lie_between_nothing_and_one_and_grow_with_k(ranks, data):
    ranks = np.array(ranks, dtype=float)
    seen = np.array([data.draw(st.booleans()) for _ in ranks], dtype=bool)
    kinds = [data.draw(st.sampled_from([None, "good", "missing"])) for _ in ranks]
    found = metrics_by_part(ranks, 30, seen, kinds)
    for part in found.values():
        hits = [part[key] for key in METRICS if key.startswith("hits@")]
        assert 0 <= hits[0] <= part["mrr"] <= 1
        assert hits == sorted(hits)
        assert hits[-1] <= 1
        assert part["mr"] == 0 if part["mentions"] == 0 else 1 <= part["mr"] <= 30
    whole, parts = found["test"], (found["test_seen"], found["test_unseen"])
    assert sum(p["mentions"] for p in parts) == len(ranks)
    total = sum(p["mrr"] * p["mentions"] for p in parts)
    assert total == pytest.approx(whole["mrr"] * len(ranks))


def test_poor_is_every_kind_but_good_whatever_a_source_calls_them():
    kinds = ["good", "blurry", "meme", None]
    found = metrics_by_part(np.array([1.0, 2.0, 4.0, 8.0]), 9, np.ones(4, bool), kinds)
    assert found["test_poor"]["mentions"] == 2
    assert found["test_poor"]["mrr"] == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_a_kind_that_is_called_poor_keeps_its_own_figures():
    ranks, kinds = np.array([1.0, 2.0, 4.0]), ["good", "poor", "low_value"]
    found = metrics_by_part(ranks, 10, np.ones(3, bool), kinds)
    assert found["test_image_poor"]["mentions"] == 1
    assert found["test_poor"]["mentions"] == 2
