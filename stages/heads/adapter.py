"""The adapter of cached text features, and of further encoders'."""

import torch
from torch import Tensor, nn

from stages.heads.precision import Linear


class Adapter(nn.Module):
    """x + W_2 relu(W_1 x), starting as the identity: W_2 = 0. Not in the paper.

    Shapes:
        (..., d) -> (..., d)
    """

    def __init__(self, d: int, width: int) -> None:
        super().__init__()
        self.w_1 = Linear(d, width)
        self.w_2 = Linear(width, d)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.w_1.reset_parameters()
        nn.init.zeros_(self.w_2.weight)
        nn.init.zeros_(self.w_2.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.w_2(torch.relu(self.w_1(x)))
