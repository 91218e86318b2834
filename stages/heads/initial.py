"""How layers start."""

from torch import nn


def redraw(module: nn.Module) -> None:
    """Reset every linear layer and layer norm inside `module`, in the order of their definition."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.LayerNorm):
            part.reset_parameters()


def scale_norm(norm: nn.LayerNorm, score: float) -> None:
    """Weights with which the dot product of two outputs of `norm` starts at `score` at most."""
    nn.init.constant_(norm.weight, (score / norm.weight.numel()) ** 0.5)
