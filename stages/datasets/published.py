"""The published sizes of the MIMIC release, to compare a download with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedCounts:
    """What the release is known to hold.

    Parameters
    ----------
    blank_images: mentions with a blank imgPath.
    shared_sentences: sentences in both train and test.
    note: what a reader should know about a number.
    """

    entities: int
    train: int
    valid: int
    test: int
    blank_images: int
    shared_sentences: int
    note: str = ""


PUBLISHED = {
    "wikimel": PublishedCounts(109_976, 18_092, 2_585, 5_169, 1, 983),
    "richpediamel": PublishedCounts(
        160_933, 12_463, 1_780, 3_562, 1_953, 0, "the paper says 160,935 entities"
    ),
    "wikidiverse": PublishedCounts(132_460, 11_351, 1_664, 2_078, 238, 14),
}


def published_counts(dataset: str) -> PublishedCounts | None:
    """The published counts of `dataset`, whatever the case, `-` and `_` of its name."""
    return PUBLISHED.get(dataset.lower().replace("-", "").replace("_", ""))
