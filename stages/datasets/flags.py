"""What a mention can be flagged with: leaks between the parts of a data set, found by `audit.py`.

A mention is clean if nothing about it was there to be memorised in training, and its picture is not
its answer.
"""

from collections.abc import Sequence

import numpy as np

FLAGS = {
    "sentence-in-train": "mentions whose sentence stands in training",
    "pair-in-train": "mentions whose sentence and words stand in training",
    "picture-in-train": "mentions whose picture is a training mention's, by its bytes",
    "picture-copy-in-train": "mentions whose picture is a training mention's, saved anew",
    "picture-of-entity": "mentions whose picture is one of their entity's, by its bytes",
    "picture-copy-of-entity": "mentions whose picture is one of their entity's, saved anew",
    "entity-picture-shared": "mentions whose entity has its picture from another entity, too",
}
"""What a mention can be flagged with, in this order."""

NO_LEAK = ("entity-picture-shared",)
"""Flags that make a mention no easier."""


def clean_of(flags: Sequence[Sequence[str]]) -> np.ndarray:
    """Whether no flag of a mention is a leak, bool (mentions,)."""
    return np.array([set(own) <= set(NO_LEAK) for own in flags], dtype=bool)
