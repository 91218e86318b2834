"""What a run reads of one data set."""

from dataclasses import dataclass

import numpy as np

from cache.reader import FeatureStore
from stages.features.batches import MentionInputs
from stages.features.cached import CachedFeatures
from stages.features.views import Views


@dataclass(frozen=True)
class LinkingData:
    """Features, batches of mentions, gold entities and distinct entities.

    gold: split -> rows of the knowledge base, int32 (mentions,).
    store: of the records' arrays, such as their words; heads may read their texts from another.
    provenance: digests of what all of it was made from.
    """

    cached: CachedFeatures
    inputs: MentionInputs
    gold: dict[str, np.ndarray]
    views: Views
    store: FeatureStore
    provenance: dict[str, str]
