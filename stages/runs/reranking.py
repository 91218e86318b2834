"""What a run's re-ranking reads of records, and how its weights stand beside the heads'."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from torch import Tensor

from stages.datasets.entity_columns import aliases_of
from stages.datasets.records import Records
from stages.rerank.reranking import Reranking

PREFIX = "rerank."
"""Of its weights' names."""


def weights_of(reranking: Reranking) -> dict[str, Tensor]:
    """As the run's file of weights has them, beside the heads'."""
    return {PREFIX + name: weight for name, weight in reranking.state().items()}


def split_weights(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The heads' weights, and the re-ranking's."""
    own = {n.removeprefix(PREFIX): w for n, w in state.items() if n.startswith(PREFIX)}
    return {n: w for n, w in state.items() if not n.startswith(PREFIX)}, own


def said_of(records: Records, split: str) -> Iterator[tuple[str, str]]:
    """Words and sentence of a split's mentions, those without an entity last (of validation and
    test)."""
    tables = [records.mentions[split]]
    if split != "train":
        tables.append(records.nil.take(pa.array(records.nil_rows(split))))
    for table in tables:
        yield from zip(table["words"].to_pylist(), table["sentence"].to_pylist(), strict=True)


def entity_names(records: Records) -> list[list[str]]:
    """Every entity's own name, and its aliases."""
    own = records.entities["name"].to_pylist()
    aliases = aliases_of(records.entities) or [[]] * len(own)
    return [[name, *others] for name, others in zip(own, aliases, strict=True)]
