"""The seeded split of few mentions: one that can be trained, ranked and tested on."""

from collections import Counter

import pytest

from stages.datasets.splits import SHARES, seeded_split


def counts(n: int, seed: int = 0) -> dict[str, int]:
    rows = range(n)
    return Counter(seeded_split([f"m{i}" for i in rows], [f"sentence {i}" for i in rows], seed))


@pytest.mark.parametrize(
    ("n", "want"),
    [
        (0, {}),
        (1, {"train": 1}),
        (2, {"train": 1, "valid": 1}),
        (3, {"train": 1, "valid": 1, "test": 1}),
        (5, {"train": 3, "valid": 1, "test": 1}),
        (10, {"train": 7, "valid": 1, "test": 2}),
    ],
)
def test_few_mentions_leave_none_of_the_splits_empty_where_they_can(n, want):
    assert all(counts(n, seed) == want for seed in range(3))


@pytest.mark.parametrize("n", [6, 40, 333])
def test_more_are_shared_out(n):
    found = counts(n)
    assert found["train"] == round(SHARES["train"] * n)
    assert found["valid"] == round(SHARES["valid"] * n)
