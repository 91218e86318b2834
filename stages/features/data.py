"""What a run reads of one data set."""

from dataclasses import dataclass

import numpy as np

from stages.features.batches import MentionInputs
from stages.features.cached import CachedFeatures
from stages.features.views import Views


@dataclass(frozen=True)
class LinkingData:
    """Features, batches of mentions, gold entities and distinct entities.

    gold: split -> rows of the knowledge base, int32 (mentions,).
    provenance: digests of what all of it was made from.
    """

    cached: CachedFeatures
    inputs: MentionInputs
    gold: dict[str, np.ndarray]
    views: Views
    provenance: dict[str, str]
