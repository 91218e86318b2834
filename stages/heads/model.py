"""MELOV's trainable heads over frozen features (sections 3.2 and 3.3); `variants.py` lists which
parts each variant has.

Entities keep their original features. Where a picture is missing and nothing stands in for it, a
learned "no picture" vector does.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from stages.features.features import Features, MentionInput
from stages.heads.adapter import Adapter
from stages.heads.fusion import Fusion
from stages.heads.gcn import Gcn
from stages.heads.heads import Optimized
from stages.heads.matcher import Matcher, UnitSides
from stages.heads.projection import project
from stages.heads.settings import HeadsConfig
from stages.heads.side import Side
from stages.heads.threshold import Threshold
from stages.heads.vae import PatchAttention, Vae, generation_loss
from stages.heads.variants import AGGREGATED, GENERATED, ORIGINAL


class Melov(nn.Module):
    """The heads: projections, VAE, GCN, fusion, matcher."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.config = c = config
        self.matcher = Matcher(c)
        self.dropout = nn.Dropout(c.dropout)
        if c.adapter == "mlp":
            self.adapter_global = Adapter(c.d_t, c.adapter_width)
            self.adapter_local = Adapter(c.d_local, c.adapter_width)
        if c.uses_images:
            self.w_v = nn.Linear(c.d_image, c.d_v)
            self.w_V = nn.Linear(c.d_patch, c.d_v)
            self.no_picture = nn.Parameter(torch.empty(2, c.d_v))  # global, local
        if GENERATED in c.sources:
            self.vae_global = Vae(c.d_t, c.d_z, c.d_v)
            self.patches = PatchAttention(c.n_p, c.d_local, c.d_h)
            self.vae_local = Vae(c.d_local, c.d_z, c.d_v)
        if AGGREGATED in c.sources:
            self.threshold = Threshold(c.floor, c.tau_init, c.entry.learns_tau)
            self.gcn_global = Gcn(c.d_v, c.gcn_layers, c.normalization, c.spmm)
            self.gcn_local = Gcn(c.d_v, c.gcn_layers, c.normalization, c.spmm)
        if len(c.sources) > 1:
            self.fusion_global = Fusion(c.d_v, c.sources)
            self.fusion_local = Fusion(c.d_v, c.sources)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.config.uses_images:
            nn.init.normal_(self.no_picture)

    @property
    def tau(self) -> Tensor | None:
        return self.threshold.tau if self.config.uses_graph else None

    @property
    def screened(self) -> Matcher | None:
        return None if self.matcher.bounded is None else self.matcher

    @property
    def searched(self) -> Matcher | None:
        return self.matcher if self.matcher.coded else None

    def entities(self, entities: Features) -> UnitSides:
        """The entities' side of the matcher: original features (section 3.3)."""
        x = self._texts(entities)
        if self.config.uses_images:
            x = x.with_images(*self._fill(*self._project(x), x.has_image))
        return self.matcher.entity_side(x)

    def entity_unit(self, name: str, entities: Features) -> Side:
        """One unit's side of entities, of features that were read for it alone."""
        return self.matcher.entity_unit(name, self._texts(entities))

    def mentions(self, batch: MentionInput) -> tuple[UnitSides, Optimized]:
        """The mentions' side of the matcher after the optimisation, with its loss."""
        x, optimized = self.optimize(batch)
        return self.matcher.mention_side(x), optimized

    def optimize(self, batch: MentionInput) -> tuple[Features, Optimized]:
        """Generation, aggregation and fusion (section 3.2) of a batch's visual features."""
        x = self._texts(batch.features)
        loss_g = x.text_global.new_zeros(())
        if not self.config.uses_images:
            return x, Optimized(loss_g)
        if AGGREGATED in self.config.sources:
            v, patches, of_nodes = self._projected_once(batch)
        else:
            v, patches = self._project(x)
        sources_global, sources_local = {ORIGINAL: v}, {ORIGINAL: patches}
        if GENERATED in self.config.sources:
            of_global = self.vae_global(x.text_global)
            of_local = self.vae_local(self.patches(x.text_local, x.text_mask))
            sources_global[GENERATED], sources_local[GENERATED] = of_global.v, of_local.v
            loss_g = generation_loss(v, of_global, x.has_image)
            loss_g = loss_g + generation_loss(patches, of_local, x.has_image)  # eq. 2
        if AGGREGATED in self.config.sources:
            sources_global[AGGREGATED], sources_local[AGGREGATED] = self._aggregate(
                batch, *of_nodes
            )
        alpha = None
        if len(self.config.sources) == 1:
            v, patches = self._fill(v, patches, x.has_image)
        else:
            v, alpha = self.fusion_global(sources_global, x.has_image)
            patches, _ = self.fusion_local(sources_local, x.has_image)
        return x.with_images(v, patches), Optimized(loss_g, alpha, v, sources_global)

    def _projected_once(self, batch: MentionInput) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """The batch's original features in the latent space, zero without a picture, (n, d_v) and
        (n, n_p, d_v), and those of all pictures that its GCN reads, among which they are."""
        assert batch.pictures is not None
        pictures, has = batch.pictures, batch.features.has_image
        v = project(pictures.image_global, self.w_v)
        patches = project(pictures.image_local, self.w_V)
        own = pictures.of_node[: len(has)].clamp_min(0)  # a neighborhood begins with its batch
        # Not `v[own]`, whose gradient sorts the rows.
        mine = v.index_select(0, own) * has[:, None]
        mine_local = patches.index_select(0, own) * has[:, None, None]
        return mine, mine_local, (v, patches)

    def _aggregate(self, batch: MentionInput, v: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """v^GA (n, d_v) and V^LA (n, n_p, d_v): L layers over the batch's neighborhood, of whose
        pictures `v` and `patches` are."""
        assert batch.neighborhood is not None
        assert batch.pictures is not None
        first, blocks = batch.pictures.edges, batch.neighborhood.blocks
        return (
            self.gcn_global(v, first, blocks, self.threshold),
            self.gcn_local(patches, first, blocks, self.threshold),
        )

    def _project(self, x: Features) -> tuple[Tensor, Tensor]:
        """Original features in the latent space: (n, d_v) and (n, n_p, d_v)."""
        v, patches = x.images
        return project(v, self.w_v), project(patches, self.w_V)

    def _fill(self, v: Tensor, patches: Tensor, has_image: Tensor) -> tuple[Tensor, Tensor]:
        v = torch.where(has_image[:, None], v, self.no_picture[0])
        return v, torch.where(has_image[:, None, None], patches, self.no_picture[1])

    def _texts(self, x: Features) -> Features:
        t = self.dropout(x.text_global)
        tokens = self.dropout(x.text_local.to(t))  # as the store has them until here
        if self.config.adapter == "mlp":
            t, tokens = self.adapter_global(t), self.adapter_local(tokens)
        return replace(x.with_texts(t, tokens), text_frozen=x.text_global)
