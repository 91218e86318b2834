"""The published sizes of the MIMIC release, to compare a download with."""

from pathlib import Path

from stages.section import Section, read_mapping, validated

FILE = Path(__file__).with_name("published.yaml")


class PublishedCounts(Section):
    """What the release is known to hold.

    Args:
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
    name: validated(PublishedCounts, counts, f"{FILE}: {name}")
    for name, counts in read_mapping(FILE, "table of published counts").items()
}


def published_counts(dataset: str) -> PublishedCounts | None:
    """The published counts of `dataset`, whatever the case, `-` and `_` of its name."""
    return PUBLISHED.get(dataset.lower().replace("-", "").replace("_", ""))
