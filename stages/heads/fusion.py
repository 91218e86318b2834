"""Information adaptive fusion of original, generated and aggregated features (section 3.2.3)."""

import torch
from torch import Tensor, nn

from stages.heads.precision import Linear

SOURCES = ("original", "generated", "aggregated")


class Fusion(nn.Module):
    """α^k = sigmoid(FFNN_k(v^k)), normalised to sum to 1; v = Σ_k α^k v^k (eq. 6).

    A mention without a picture has α^O = 0, so the other sources stand in for it.

    Shapes:
        sources: name -> (n, [n_p,] d_v); has_image: (n,)
        returns v (n, [n_p,] d_v) and the weights (n, [n_p,] sources), in the order of `names`
    """

    def __init__(self, d_v: int, names: tuple[str, ...]) -> None:
        super().__init__()
        if not set(names) <= set(SOURCES) or "original" not in names or len(names) < 2:
            raise ValueError(f"Fusion: sources {names}: expected original and one or two others")
        self.names = names
        self.ffnn = nn.ModuleDict(
            {name: nn.Sequential(Linear(d_v, d_v), nn.GELU(), nn.Linear(d_v, 1)) for name in names}
        )

    def forward(self, sources: dict[str, Tensor], has_image: Tensor) -> tuple[Tensor, Tensor]:
        weights = []
        for name in self.names:
            weight = torch.sigmoid(self.ffnn[name](sources[name]))  # (n, [n_p,] 1)
            if name == "original":
                shape = (-1,) + (1,) * (weight.ndim - 1)
                weight = weight * has_image.view(shape)
            weights.append(weight)
        alpha = torch.cat(weights, -1)
        alpha = alpha / alpha.sum(-1, keepdim=True)
        stacked = torch.stack([sources[name] for name in self.names], -2)
        return (alpha.unsqueeze(-1) * stacked).sum(-2), alpha
