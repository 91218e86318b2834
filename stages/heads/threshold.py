"""The learnable threshold τ on similarities (eq. 4)."""

import math

import torch
from torch import Tensor, nn

from cache.errors import MelovError


class Threshold(nn.Module):
    """A_ij where A_ij > τ, else 0 (eq. 4), with τ = floor + (1 - floor) · sigmoid(θ).

    Eq. 4 has no gradient for τ. After Zhang et al. (2022), the backward is that of relu(A - τ) + τ,
    the added τ detached: dL/dτ = -Σ over survivors of dL/dA_ij. The forward is eq. 4, to the bit.
    τ stays above the floor, below which the graph stores nothing.

    Args:
        floor: `graph.floor`.
        tau_init: where τ starts.
        learnable: False fixes τ at the floor: every stored entry survives (variant `no-tau`).

    Raises:
        MelovError: tau_init does not lie between floor and 1.

    Shapes:
        values: (edges,) -> (edges,)
    """

    def __init__(self, floor: float, tau_init: float, learnable: bool = True) -> None:
        super().__init__()
        if learnable and not floor < tau_init < 1:
            raise MelovError(
                f"train.tau_init is {tau_init:g}, expected above graph.floor ({floor:g}), below 1",
                f"--set train.tau_init={(floor + 1) / 2:g}",
            )
        self.floor = floor
        self.tau_init = tau_init
        self.theta = nn.Parameter(torch.empty(())) if learnable else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """θ such that τ = tau_init."""
        if self.theta is not None:
            share = (self.tau_init - self.floor) / (1 - self.floor)
            nn.init.constant_(self.theta, math.log(share / (1 - share)))

    @property
    def tau(self) -> Tensor:
        """τ, a scalar tensor."""
        if self.theta is None:
            return torch.tensor(self.floor)
        return self.floor + (1 - self.floor) * torch.sigmoid(self.theta)

    def forward(self, values: Tensor) -> Tensor:
        fixed = self.theta is None  # a fill, not a copy of the host's number
        tau = values.new_full((), self.floor) if fixed else self.tau.to(values)
        # τ.detach() - τ is exactly 0 and carries the gradient: the survivors keep their bits.
        shifted = values + (tau.detach() - tau)
        return torch.where(values > tau, shifted, torch.zeros_like(values))

    def extra_repr(self) -> str:
        kind = "learnable" if self.theta is not None else "fixed"
        return f"floor={self.floor:g}, tau={self.tau.item():.4f}, {kind}"
