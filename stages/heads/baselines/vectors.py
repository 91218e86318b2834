"""What the trained baselines share: one vector r for a mention and for an entity, S = r_m · r_e.

Ranking is then one matrix product. Inputs are conditioned as MELOV's (layer norms, `train.dropout`,
`train.adapter`), so a difference between two rows of a table is one of fusion and matching.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stages.features.features import Features, MentionInput
from stages.heads.heads import Optimized
from stages.heads.matcher import Scores
from stages.heads.model import Adapter
from stages.heads.projection import project
from stages.heads.settings import HeadsConfig
from stages.heads.side import Side


class Plain(nn.Module):
    """Heads without a graph and without bounds of their scores."""

    tau = None
    screened = None


@dataclass(frozen=True)
class VectorSide(Side):
    r: Tensor  # (n, d)


class DotProduct(nn.Module):
    """S = r_m · r_e."""

    def pairs(self, mentions: VectorSide, entities: VectorSide) -> Scores:
        total = mentions.r @ entities.r.T
        return Scores(total, {"joint": total})


class VectorHeads(Plain):
    """LN_t, LN_T on the texts, `encode` of the child, LN_r on its result.

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

    def encode(self, x: Features) -> Tensor:
        """(n, d) of mentions or entities, whose texts have passed their norms."""
        raise NotImplementedError

    def encode_mentions(self, x: Features) -> Tensor:
        return self.encode(x)

    def encode_entities(self, x: Features) -> Tensor:
        return self.encode(x)

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
