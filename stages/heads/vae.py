"""Inter-modality generation: visual features out of text (section 3.2.1, eqs. 1 and 2).

Departures from the paper, each for a reason: σ is predicted as log σ², since t W_σ can go negative;
the squared error is against the detached original, or the projection could please it by
collapsing; the paper leaves open how n_t tokens become n_p patches: learned patch queries attend
over the real tokens.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stages.heads.noise import noise_like
from stages.heads.precision import Linear, linears


@dataclass(frozen=True)
class Generated:
    """v^GG or V^LG with what its loss needs."""

    v: Tensor  # (..., d_v)
    mu: Tensor  # (..., d_z)
    log_var: Tensor  # (..., d_z)


class Vae(nn.Module):
    """μ = t W_μ, log σ² = t W_σ, z = μ + σ ⊙ ε in training and μ after, v = z W_d.

    Shapes:
        t: (..., d_t) -> v: (..., d_v)
    """

    def __init__(self, d_t: int, d_z: int, d_v: int) -> None:
        super().__init__()
        self.w_mu = Linear(d_t, d_z, bias=False)
        self.w_sigma = Linear(d_t, d_z, bias=False)
        self.w_d = Linear(d_z, d_v, bias=False)

    def forward(self, t: Tensor) -> Generated:
        mu, log_var = linears(t, self.w_mu, self.w_sigma)
        z = mu + noise_like(mu) * (0.5 * log_var).exp() if self.training else mu
        return Generated(self.w_d(z), mu, log_var)


def generation_loss(original: Tensor, generated: Generated, has_image: Tensor) -> Tensor:
    """‖v^GO - v^GG‖² + KL(q(z|t) ‖ N(0, I)), eq. 1, a mean over mentions with a picture.

    Local features: also a mean over the patches. Zero for a batch without any picture.

    Shapes:
        original: (n, [n_p,] d_v), has_image: (n,) -> scalar
    """
    error = (original.detach() - generated.v).square().sum(-1)
    mu, log_var = generated.mu, generated.log_var
    kl = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(-1)
    each = (error + kl).flatten(1).mean(1) if error.ndim > 1 else error + kl
    weight = has_image.to(each)
    return (each * weight).sum() / weight.sum().clamp_min(1)


class PatchAttention(nn.Module):
    """n_p learned queries over a text's tokens: what the local VAE generates each patch from.

    Shapes:
        tokens (n, n_t, d_t), mask (n, n_t) -> (n, n_p, d_t)
    """

    def __init__(self, n_p: int, d_t: int, d_h: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.empty(n_p, d_h))
        self.w_key = Linear(d_t, d_h)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.query, std=0.02)
        self.w_key.reset_parameters()

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        logits = self.query @ self.w_key(tokens).mT / math.sqrt(self.query.shape[1])
        alpha = logits.masked_fill(~mask.unsqueeze(1), -math.inf).softmax(-1)  # (n, n_p, n_t)
        return alpha @ tokens
