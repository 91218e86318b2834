"""TF-IDF: string similarity of a mention's words and an entity's title. Nothing is trained.

Salton and Buckley, "Term-weighting approaches in automatic text retrieval", Information Processing
and Management, 1988, with character n-grams for terms (`extract.lexical_ngrams`). The paper has no
such row; ours has one because neural heads over frozen features can lose to it.

    x_k = tf_k · idf_k,   S = max_a x_m · x_a / (‖x_m‖ ‖x_a‖)

over the names a of an entity: its own and its aliases. The store's rows have unit length and an idf
fitted on the knowledge base alone. A name without any known n-gram is a zero row and scores 0 with
all.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stages.features.features import Features
from stages.features.names import Names, best_products, own_names
from stages.heads.baselines.vectors import Untrained
from stages.heads.matcher import Scores
from stages.heads.settings import HeadsConfig
from stages.heads.side import Side


@dataclass(frozen=True)
class NameSide(Side):
    """TF-IDF rows, (n, terms)."""

    rows: Names


class SparseProduct(nn.Module):
    """S of all pairs of unit rows.

    Equal rows get scores equal to the bit: SciPy sums along the mention's terms in their order.
    """

    place: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("place", torch.empty(0), persistent=False)  # follows `to(device)`

    def pairs(self, mentions: NameSide, entities: NameSide) -> Scores:
        found = best_products(own_names(mentions.rows), entities.rows)
        total = torch.from_numpy(found).to(self.place.device)
        return Scores(total, {"lexical": total})


class Tfidf(Untrained[NameSide]):
    """Heads without a parameter over the cached TF-IDF rows."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__(config)
        self.matcher = SparseProduct()

    def entities(self, entities: Features) -> NameSide:
        return NameSide(entities.names("lexical"))
