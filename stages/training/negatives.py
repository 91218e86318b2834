"""Hard negatives: for each training mention, the wrong entities that its cached features and its
words come nearest to. In-batch negatives of a large knowledge base are mostly too easy."""

import numpy as np
import scipy.sparse as sp
import torch

from cache.errors import MelovError
from cache.reader import FeatureStore
from stages.features.cached import CachedFeatures
from stages.features.names import best_products
from stages.features.stored import record_array
from stages.features.views import Views

POOL = 16
"""Candidates a mention; each epoch draws from them."""

MENTIONS_AT_ONCE = 256


def nearest_wrong(
    cached: CachedFeatures, views: Views, gold: np.ndarray, named: FeatureStore
) -> np.ndarray:
    """Rows of the knowledge base, int64 (training mentions, POOL), nearest first.

    Nearness is the cosine of the global texts plus that of the names' TF-IDF rows, both cached; an
    entity with aliases has the best of its names.
    Entities that look the same as the gold one to the heads are no negatives; where the knowledge
    base has fewer than POOL others, the last one repeats.

    Args:
        named: the store of the names' TF-IDF rows, which joint vectors have none of.

    Raises:
        MelovError: all entities look the same.
    """
    if len(views) < 2:
        raise MelovError(
            "every entity looks the same to the heads: there is no wrong one to learn from",
            "--set train.hard_negatives=0",
        )
    store = cached.store
    mentions = _unit(store, cached.text_rows["mentions/train"])
    entities = _unit(store, cached.text_rows["entities"][views.rows])
    words, names = (record_array(named, "lexical", g) for g in ("mentions/train", "entities"))
    assert isinstance(words, sp.csr_array)
    assert not isinstance(names, np.ndarray)
    names = names[views.rows]
    gold_view = views.of_entity[gold]
    take = min(POOL, len(views) - 1)
    found = np.empty((len(gold), POOL), dtype=np.int64)
    for lo in range(0, len(gold), MENTIONS_AT_ONCE):
        hi = min(lo + MENTIONS_AT_ONCE, len(gold))
        near = mentions[lo:hi] @ entities.T
        near += torch.from_numpy(best_products(words[lo:hi], names))
        near[torch.arange(hi - lo), torch.from_numpy(gold_view[lo:hi])] = -torch.inf
        best = near.topk(take, dim=1).indices.numpy()
        found[lo:hi, :take] = views.rows[best]
        found[lo:hi, take:] = found[lo:hi, take - 1 : take]
    return found


def _unit(store: FeatureStore, rows: np.ndarray) -> torch.Tensor:
    values = torch.from_numpy(store["texts/global"].gather(rows)).float()
    return torch.nn.functional.normalize(values, dim=1)
