"""CLIP: cosines of its own embeddings. Nothing is trained.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021.
With unit vectors t and v of a record's text and picture, S is the mean of the cosines that exist
for a pair:

    t_m · t_e      v_m · v_e      t_m · v_e      v_m · t_e

The last two exist only where text and picture are embedded in one space. Frozen: the published row
fine-tunes both towers on the training mentions, ours is CLIP as it was pretrained. A mean and not a
sum over the cosines: an entity without a picture would otherwise lose to every entity that has one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.features.features import Features
from stages.heads.baselines.vectors import Untrained
from stages.heads.matcher import Scores
from stages.heads.settings import HeadsConfig
from stages.heads.side import Side


@dataclass(frozen=True)
class Embeddings(Side):
    """Unit vectors t (n, d_t) and v (n, d_image), v zero without a picture; `has` is 1 or 0."""

    t: Tensor
    v: Tensor
    has: Tensor


class MeanCosine(nn.Module):
    """The mean of a pair's two to four cosines.

    Args:
        joint: text and picture share one space.
    """

    def __init__(self, joint: bool) -> None:
        super().__init__()
        self.joint = joint

    def pairs(self, mentions: Embeddings, entities: Embeddings) -> Scores:
        m, e = mentions, entities
        units = {"text": m.t @ e.t.T, "vision": m.v @ e.v.T}
        total = units["text"] + units["vision"]
        if not self.joint:
            return Scores(total / (1 + torch.outer(m.has, e.has)), units)
        cross = m.t @ e.v.T + m.v @ e.t.T
        found = torch.outer(1 + m.has, 1 + e.has)  # 1, 2 or 4 cosines
        return Scores((total + cross) / found, {**units, "cross": cross / 2})


class Clip(Untrained[Embeddings]):
    """Heads without a parameter over the cached global embeddings."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__(config)
        self.matcher = MeanCosine(config.joint_space)

    def entities(self, entities: Features) -> Embeddings:
        x, (v, _) = entities, entities.images
        t, has = F.normalize(x.text_global, dim=1), x.has_image.to(x.text_global)
        return Embeddings(t, F.normalize(v, dim=1) * has[:, None], has)
