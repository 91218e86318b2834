"""What the trained baselines share: one vector r for a mention and for an entity, S = r_m · r_e.

Ranking is then one matrix product. Inputs are conditioned as MELOV's (layer norms, `train.dropout`,
`train.adapter`), so a difference between two rows of a table is one of fusion and matching.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from stages.features.features import Features, MentionInput
from stages.heads.adapter import Adapter
from stages.heads.heads import Optimized
from stages.heads.matcher import Scores
from stages.heads.projection import project
from stages.heads.settings import HeadsConfig
from stages.heads.side import Side

S = TypeVar("S", bound=Side)


class Plain(nn.Module):
    """Heads without a graph and without bounds of their scores."""

    tau = None
    screened = None
    searched = None


class Untrained(Plain, ABC, Generic[S]):
    """Heads without a parameter, alike for both sides; a child sets `matcher`."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.config = config

    def mentions(self, batch: MentionInput) -> tuple[S, Optimized]:
        x = batch.features
        return self.entities(x), Optimized(x.text_global.new_zeros(()))

    @abstractmethod
    def entities(self, entities: Features) -> S: ...


@dataclass(frozen=True)
class VectorSide(Side):
    r: Tensor  # (n, d)


class DotProduct(nn.Module):
    """S = r_m · r_e."""

    def pairs(self, mentions: VectorSide, entities: VectorSide) -> Scores:
        total = mentions.r @ entities.r.T
        return Scores(total, {"joint": total})


class BiEncoder(Plain, ABC):
    """LN_t, LN_T on the texts, the child's encoder of a side, LN_r on its result.

    LN_r starts with weight √(logit_scale / d), as the matcher's last norms do, so that the largest
    S at the start is near `train.logit_scale`.

    Args:
        d: width of r.
    """

    def __init__(self, config: HeadsConfig, d: int) -> None:
        super().__init__()
        self.config = c = config
        self.local = "tokens" in c.reads
        self.matcher = DotProduct()
        self.dropout = nn.Dropout(c.dropout)
        self.ln_t = nn.LayerNorm(c.d_t)
        self.ln_r = nn.LayerNorm(d)
        if self.local:
            self.ln_T = nn.LayerNorm(c.d_local)
        if c.adapter == "mlp":
            self.adapter_global = Adapter(c.d_t, c.adapter_width)
            if self.local:
                self.adapter_local = Adapter(c.d_local, c.adapter_width)
        nn.init.constant_(self.ln_r.weight, (c.logit_scale / d) ** 0.5)

    def mentions(self, batch: MentionInput) -> tuple[VectorSide, Optimized]:
        """r_m. Nothing is generated, so L_G = 0."""
        r = self.ln_r(self.encode_mentions(self._texts(batch.features)))
        return VectorSide(r), Optimized(r.new_zeros(()))

    def entities(self, entities: Features) -> VectorSide:
        """r_e."""
        return VectorSide(self.ln_r(self.encode_entities(self._texts(entities))))

    @abstractmethod
    def encode_mentions(self, x: Features) -> Tensor:
        """(n, d) of mentions, whose texts have passed their norms."""

    @abstractmethod
    def encode_entities(self, x: Features) -> Tensor:
        """(n, d) of entities, as those of mentions."""

    def _texts(self, x: Features) -> Features:
        t, tokens = self.dropout(x.text_global), x.text_local
        if self.config.adapter == "mlp":
            t = self.adapter_global(t)
        if self.local:
            tokens = self.dropout(tokens.to(t))
            if self.config.adapter == "mlp":
                tokens = self.adapter_local(tokens)
            tokens = self.ln_T(tokens)
        return x.with_texts(self.ln_t(t), tokens)


class VectorHeads(BiEncoder):
    """A bi-encoder whose two sides are one."""

    @abstractmethod
    def encode(self, x: Features) -> Tensor:
        """(n, d) of mentions or entities, whose texts have passed their norms."""

    def encode_mentions(self, x: Features) -> Tensor:
        return self.encode(x)

    def encode_entities(self, x: Features) -> Tensor:
        return self.encode(x)


class Pictures(nn.Module):
    """v = LN_v(W_v v), V = LN_V(W_V V); a learned vector where there is no picture.

    Shapes:
        x: Features of n records -> (n, h), and (n, n_p, h) where `local` or None
    """

    def __init__(self, config: HeadsConfig, local: bool) -> None:
        super().__init__()
        h = config.d_h
        self.w_v, self.ln_v = nn.Linear(config.d_image, h), nn.LayerNorm(h)
        self.local = local
        if local:
            self.w_V, self.ln_V = nn.Linear(config.d_patch, h), nn.LayerNorm(h)
        self.no_picture = nn.Parameter(torch.randn(1 + local, h))  # global, local

    def forward(self, x: Features) -> tuple[Tensor, Tensor | None]:
        image_global, image_local = x.images
        v = project(image_global, self.w_v)
        v = self.ln_v(torch.where(x.has_image[:, None], v, self.no_picture[0]))
        if not self.local:
            return v, None
        patches = project(image_local, self.w_V)
        patches = torch.where(x.has_image[:, None, None], patches, self.no_picture[1])
        return v, self.ln_V(patches)


def masked_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Softmax of the last dimension over the places where `mask` (broadcast) is True."""
    return logits.masked_fill(~mask, -torch.inf).softmax(-1)
