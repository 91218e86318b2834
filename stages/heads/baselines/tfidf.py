"""TF-IDF: string similarity of a mention's words and an entity's title. Nothing is trained.

Salton and Buckley, "Term-weighting approaches in automatic text retrieval", Information Processing
and Management, 1988, with character n-grams for terms (`extract.lexical_ngrams`). The paper has no
such row; ours has one because neural heads over frozen features can lose to it.

    x_k = tf_k · idf_k,   S = x_m · x_e / (‖x_m‖ ‖x_e‖)

The store's rows have unit length and an idf fitted on the knowledge base alone. A name without any
known n-gram is a zero row and scores 0 with all.
"""

from __future__ import annotations

from dataclasses import dataclass

import scipy.sparse as sp
import torch
from torch import nn

from stages.features.features import Features
from stages.heads.matcher import Scores
from stages.heads.model import HeadsConfig, MentionInput, Optimized


@dataclass(frozen=True)
class NameSide:
    """TF-IDF rows of mentions, CSR (n, terms); those of entities transposed, CSR (terms, n)."""

    rows: sp.csr_array
    device: torch.device


class SparseProduct(nn.Module):
    """S of all pairs of unit rows.

    Equal rows get scores equal to the bit: SciPy sums along the mention's terms in their order.
    """

    def pairs(self, mentions: NameSide, entities: NameSide) -> Scores:
        total = torch.from_numpy((mentions.rows @ entities.rows).toarray()).to(mentions.device)
        return Scores(total, {"lexical": total})


class Tfidf(nn.Module):
    """Heads without a parameter over the cached TF-IDF rows."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.config = config
        self.matcher = SparseProduct()

    def mentions(self, batch: MentionInput) -> tuple[NameSide, Optimized]:
        x = batch.features
        side = NameSide(_rows(x), x.text_global.device)
        return side, Optimized(x, x.text_global.new_zeros(()), None)

    def entities(self, entities: Features) -> NameSide:
        # Transposed once a block, not once for every batch of mentions.
        return NameSide(sp.csr_array(_rows(entities).T), entities.text_global.device)


def _rows(x: Features) -> sp.csr_array:
    if x.lexical is None:
        raise ValueError("Tfidf: the batch has no TF-IDF rows; read the store with unit lexical")
    return x.lexical
