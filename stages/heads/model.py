"""MELOV's trainable heads over frozen features (sections 3.2 and 3.3), and its variants.

    melov      generation + aggregation + fusion
    no-inter   without the VAE            no-intra   without the GCN
    no-tau     τ fixed at the stored floor
    filter     no optimisation; pictures least correlated with their text are dropped
    mimic      no optimisation

Entities keep their original features. Where a picture is missing and nothing stands in for it, a
learned "no picture" vector does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from stages.features.features import Features
from stages.heads.fusion import Fusion
from stages.heads.gcn import Gcn, Neighborhood
from stages.heads.matcher import EntitySide, Matcher, MentionSide
from stages.heads.projection import project
from stages.heads.threshold import Threshold
from stages.heads.vae import PatchAttention, Vae, generation_loss

OPTIMIZED = {
    "melov": ("original", "generated", "aggregated"),
    "no-inter": ("original", "aggregated"),
    "no-intra": ("original", "generated"),
    "no-tau": ("original", "generated", "aggregated"),
    "filter": ("original",),
    "mimic": ("original",),
}
"""Sources of a mention's visual features, by variant."""


@dataclass(frozen=True)
class HeadsConfig:
    """Everything that the heads' shapes and behaviour depend on; saved beside the weights."""

    variant: str
    units: tuple[str, ...]
    d_t: int
    d_local: int
    d_image: int
    d_patch: int
    n_p: int
    d_v: int = 96
    d_h: int = 96
    d_z: int = 64
    gcn_layers: int = 2
    normalization: str = "row"
    floor: float = 0.1
    tau_init: float = 0.5
    adapter: str = "none"
    adapter_width: int = 256
    logit_scale: float = 20.0
    lexical_scale: float = 20.0
    frozen_scale: float = 0.0
    contained_scale: float = 0.0
    dropout: float = 0.0

    @property
    def sources(self) -> tuple[str, ...]:
        optimized = OPTIMIZED.get(self.variant, ("original",))  # a baseline repairs nothing
        return optimized if self.uses_images else ("original",)

    @property
    def uses_images(self) -> bool:
        return bool({"vision", "cross"} & set(self.units))

    @property
    def uses_graph(self) -> bool:
        return "aggregated" in self.sources


@dataclass(frozen=True)
class MentionInput:
    """A batch of mentions, and what its GCN reads.

    node_global, node_local: cached features of `neighborhood.nodes`, zero without a picture;
    shapes (nodes, d), (nodes, n_p, d'). None where the variant has no GCN.
    """

    features: Features
    neighborhood: Neighborhood | None = None
    node_global: Tensor | None = None
    node_local: Tensor | None = None
    node_has_image: Tensor | None = None


@dataclass(frozen=True)
class Optimized:
    """Mentions as the matcher takes them, the generation loss L_G, and the fusion weights.

    sources: global visual features before the fusion, name -> (n, d_v); none without pictures.
    """

    features: Features
    loss_g: Tensor
    alpha: Tensor | None
    sources: dict[str, Tensor] = field(default_factory=dict)


class Melov(nn.Module):
    """The heads: projections, VAE, GCN, fusion, matcher."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.config = c = config
        self.matcher = Matcher(
            c.d_t,
            c.d_local,
            c.d_v,
            c.d_h,
            c.units,
            c.logit_scale,
            c.lexical_scale,
            c.frozen_scale,
            c.contained_scale,
        )
        self.dropout = nn.Dropout(c.dropout)
        if c.adapter == "mlp":
            self.adapter_global = Adapter(c.d_t, c.adapter_width)
            self.adapter_local = Adapter(c.d_local, c.adapter_width)
        if c.uses_images:
            self.w_v = nn.Linear(c.d_image, c.d_v)
            self.w_V = nn.Linear(c.d_patch, c.d_v)
            self.no_picture = nn.Parameter(torch.empty(2, c.d_v))  # global, local
        if "generated" in c.sources:
            self.vae_global = Vae(c.d_t, c.d_z, c.d_v)
            self.patches = PatchAttention(c.n_p, c.d_local, c.d_h)
            self.vae_local = Vae(c.d_local, c.d_z, c.d_v)
        if "aggregated" in c.sources:
            self.threshold = Threshold(c.floor, c.tau_init, learnable=c.variant != "no-tau")
            self.gcn_global = Gcn(c.d_v, c.gcn_layers, c.normalization)
            self.gcn_local = Gcn(c.d_v, c.gcn_layers, c.normalization)
        if len(c.sources) > 1:
            self.fusion_global = Fusion(c.d_v, c.sources)
            self.fusion_local = Fusion(c.d_v, c.sources)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.config.uses_images:
            nn.init.normal_(self.no_picture)

    def entities(self, entities: Features) -> EntitySide:
        """The entities' side of the matcher: original features (section 3.3)."""
        x = self._texts(entities)
        if self.config.uses_images:
            x = x.with_images(*self._fill(*self._project(x), x.has_image))
        return self.matcher.entity_side(x)

    def mentions(self, batch: MentionInput) -> tuple[MentionSide, Optimized]:
        """The mentions' side of the matcher after the optimisation, with its loss."""
        optimized = self.optimize(batch)
        return self.matcher.mention_side(optimized.features), optimized

    def optimize(self, batch: MentionInput) -> Optimized:
        """Generation, aggregation and fusion (section 3.2) of a batch's visual features."""
        x = self._texts(batch.features)
        loss_g = x.text_global.new_zeros(())
        if not self.config.uses_images:
            return Optimized(x, loss_g, None)
        v, patches = self._project(x)
        sources_global, sources_local = {"original": v}, {"original": patches}
        if "generated" in self.config.sources:
            of_global = self.vae_global(x.text_global)
            of_local = self.vae_local(self.patches(x.text_local, x.text_mask))
            sources_global["generated"], sources_local["generated"] = of_global.v, of_local.v
            loss_g = generation_loss(v, of_global, x.has_image)
            loss_g = loss_g + generation_loss(patches, of_local, x.has_image)  # eq. 2
        if "aggregated" in self.config.sources:
            aggregated = self._aggregate(batch)
            sources_global["aggregated"], sources_local["aggregated"] = aggregated
        if len(self.config.sources) == 1:
            filled = x.with_images(*self._fill(v, patches, x.has_image))
            return Optimized(filled, loss_g, None, sources_global)
        v, alpha = self.fusion_global(sources_global, x.has_image)
        patches, _ = self.fusion_local(sources_local, x.has_image)
        return Optimized(x.with_images(v, patches), loss_g, alpha, sources_global)

    def _aggregate(self, batch: MentionInput) -> tuple[Tensor, Tensor]:
        """v^GA (n, d_v) and V^LA (n, n_p, d_v): L layers over the batch's neighbourhood."""
        assert batch.neighborhood is not None
        assert batch.node_global is not None
        assert batch.node_local is not None
        assert batch.node_has_image is not None
        has = batch.node_has_image
        v = project(batch.node_global, self.w_v) * has[:, None]
        patches = project(batch.node_local, self.w_V) * has[:, None, None]
        blocks = batch.neighborhood.blocks
        return (
            self.gcn_global(v, blocks, self.threshold),
            self.gcn_local(patches, blocks, self.threshold),
        )

    def _project(self, x: Features) -> tuple[Tensor, Tensor]:
        """Original features in the latent space: (n, d_v) and (n, n_p, d_v)."""
        if x.image_global is None or x.image_local is None:
            raise ValueError("the heads' units need image features; use units: [text]")
        return project(x.image_global, self.w_v), project(x.image_local, self.w_V)

    def _fill(self, v: Tensor, patches: Tensor, has_image: Tensor) -> tuple[Tensor, Tensor]:
        v = torch.where(has_image[:, None], v, self.no_picture[0])
        return v, torch.where(has_image[:, None, None], patches, self.no_picture[1])

    def _texts(self, x: Features) -> Features:
        t = self.dropout(x.text_global)
        tokens = self.dropout(x.text_local.to(t))  # as the store has them until here
        if self.config.adapter == "mlp":
            t, tokens = self.adapter_global(t), self.adapter_local(tokens)
        if self.matcher.frozen_scale:
            x = replace(x, text_frozen=x.text_global)
        return x.with_texts(t, tokens)


class Adapter(nn.Module):
    """x + W_2 relu(W_1 x), starting as the identity: W_2 = 0. Not in the paper.

    Shapes
    ------
    (..., d) -> (..., d)
    """

    def __init__(self, d: int, width: int) -> None:
        super().__init__()
        self.w_1 = nn.Linear(d, width)
        self.w_2 = nn.Linear(width, d)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.w_1.reset_parameters()
        nn.init.zeros_(self.w_2.weight)
        nn.init.zeros_(self.w_2.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.w_2(torch.relu(self.w_1(x)))
