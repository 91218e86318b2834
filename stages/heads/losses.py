"""The contrastive loss over a batch (eq. 7)."""

from torch import Tensor
from torch.nn import functional as F

from stages.heads.matcher import Scores


def contrastive_loss(scores: Scores, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """L_E = Σ over S and each unit of the cross-entropy of each mention's gold column (eq. 7).

    A batch's entities are distinct, so two mentions of one entity share its column and are not
    each other's negatives. With one unit S is S_X and counts once.

    Args:
        smoothing: share of each target that is spread evenly over the C columns; 0 in the paper.

    Shapes:
        scores: (B, C), target: (B,) column of each mention's gold entity -> scalar
    """
    parts = [scores.total]
    if len(scores.units) > 1:
        parts += list(scores.units.values())
    loss = scores.total.new_zeros(())
    for part in parts:
        loss = loss + F.cross_entropy(part, target, label_smoothing=smoothing)
    return loss
