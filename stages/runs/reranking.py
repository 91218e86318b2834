"""What a run's re-ranking reads of records, and how its weights stand beside the heads'."""

from __future__ import annotations

from torch import Tensor

from stages.datasets.entity_columns import aliases_of, every_name
from stages.datasets.records import Records
from stages.rerank.reranking import Reranking
from stages.runs.predictions import mentions_of

PREFIX = "rerank."
"""Of its weights' names."""


def weights_of(reranking: Reranking) -> dict[str, Tensor]:
    """As the run's file of weights has them, beside the heads'."""
    return {PREFIX + name: weight for name, weight in reranking.state().items()}


def split_weights(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The heads' weights, and the re-ranking's."""
    own = {n.removeprefix(PREFIX): w for n, w in state.items() if n.startswith(PREFIX)}
    return {n: w for n, w in state.items() if not n.startswith(PREFIX)}, own


def said_of(records: Records, split: str) -> list[tuple[str, str]]:
    """Words and sentence of a split's mentions, those without an entity last."""
    return [(mention["words"], mention["sentence"]) for mention in mentions_of(records, split)]


def entity_names(records: Records) -> list[list[str]]:
    """Every entity's own name, and its aliases."""
    return every_name(records.entities["name"].to_pylist(), aliases_of(records.entities))
