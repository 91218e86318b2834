"""A seeded split for sources that have none: 70 / 10 / 20, a sentence never in two splits."""

import random
from collections import defaultdict
from collections.abc import Sequence

from stages.unicode import canonical

SHARES = {"train": 0.7, "valid": 0.1}
"""Of the mentions; test takes the rest."""


def seeded_split(ids: Sequence[str], sentences: Sequence[str], seed: int) -> list[str]:
    """The split of each mention, in the order given.

    The sorted ids are shuffled, so the order of the file does not matter. Walking through them, a
    mention takes every mention of its sentence along; a split closes once it has its share. So a
    split exceeds its share by less than the mentions of one sentence. Blank sentences share no
    content, and stay apart; two that differ in their Unicode form alone are one. Of two mentions on
    validation gets one, without which nothing can be trained, and of three on test, too.

    Args:
        ids: distinct, (mentions,).
        sentences: (mentions,).
    """
    if len(set(ids)) != len(ids):
        raise ValueError("seeded_split needs distinct ids")
    n, sentences = len(ids), [canonical(sentence) for sentence in sentences]
    alike: dict[str, list[int]] = defaultdict(list)
    for row, sentence in enumerate(sentences):
        alike[sentence].append(row)
    order = sorted(range(n), key=ids.__getitem__)
    random.Random(seed).shuffle(order)

    valid, test = max(round(SHARES["valid"] * n), int(n > 1)), int(n > 2)
    ends = {"train": min(round(SHARES["train"] * n), n - valid - test)}
    ends["valid"] = ends["train"] + valid
    splits = [""] * n
    taken = 0
    for row in order:
        if splits[row]:
            continue
        split = next((name for name, end in ends.items() if taken < end), "test")
        together = alike[sentences[row]] if sentences[row].strip() else [row]
        for member in together:
            splits[member] = split
        taken += len(together)
    return splits


def split_with_nil(
    ids: Sequence[str], sentences: Sequence[str], nil: Sequence[bool], seed: int
) -> list[str]:
    """`seeded_split` of mentions with an entity, which those without one (`nil`) do not move.

    One without goes where the others of its sentence went; those left are split by themselves.
    """
    splits = [""] * len(ids)
    where: dict[str, str] = {}

    def settle(rows: Sequence[int]) -> None:
        own = seeded_split([ids[row] for row in rows], [sentences[row] for row in rows], seed)
        for row, split in zip(rows, own, strict=True):
            splits[row] = split

    settle([row for row, is_nil in enumerate(nil) if not is_nil])
    for split, sentence in zip(splits, sentences, strict=True):
        if split and sentence.strip():
            where[canonical(sentence)] = split
    for row, sentence in enumerate(sentences):
        splits[row] = splits[row] or where.get(canonical(sentence), "")
    settle([row for row, split in enumerate(splits) if not split])
    return splits
