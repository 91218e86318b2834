"""The matcher: the multi-grained interaction of section 3.3, after MIMIC (Luo et al., 2023).

One implementation serves training and full-KB ranking: each side's terms once
(`mention_side`, `entity_side`), then all pairs (`pairs`). With full-length inputs and equal
weights the scores are MIMIC's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.features.features import Features
from stages.heads.units.cross import CrossUnit
from stages.heads.units.text import EntityText, MentionText, TextUnit
from stages.heads.units.vision import VisionSide, VisionUnit

Text = TypeVar("Text", MentionText, EntityText)


@dataclass(frozen=True)
class Scores:
    """Scores of all pairs, each of shape (mentions, entities)."""

    total: Tensor
    """S, the mean of the units in use."""
    units: dict[str, Tensor]
    """S_T, S_V, S_C, S_L by unit name."""


@dataclass(frozen=True)
class Names:
    """CSR rows of the lexical unit: n-grams, and the words that C counts, if it is in use."""

    ngrams: sp.csr_array
    words: sp.csr_array | None


@dataclass(frozen=True)
class MentionSide:
    """A batch of mentions as the pairs need it."""

    text: MentionText | None = None
    vision: VisionSide | None = None
    cross: Tensor | None = None
    lexical: Names | None = None


@dataclass(frozen=True)
class EntitySide:
    """A batch of entities as the pairs need it."""

    text: EntityText | None = None
    vision: VisionSide | None = None
    cross: Tensor | None = None
    lexical: Names | None = None


class Matcher(nn.Module):
    """S and each unit's score for all pairs of a batch of mentions and a batch of entities.

    Parameters
    ----------
    d_t: width of the global text features.
    d_local: width of the text tokens (CLIP and BERT: the hidden width).
    d_v: width of the projected image features, global and local.
    d_h: width inside the units.
    units: any of text, vision, cross, lexical.
    logit_scale: the largest G2G, vision and cross score at the start. Layer norm alone would
        start with d_t and d_h, a softmax so sharp that frozen features hardly recover from it.
    lexical_scale: exp(s) of the lexical unit at the start.
    contained_scale: exp(c) at the start; 0 leaves the lexical unit with names alone, else it
        becomes S_L + exp(c) C, the share of the entity's name that the sentence contains.
    frozen_scale: exp(f) at the start; 0 leaves the text unit as the paper has it, else it becomes
        S_T + exp(f) cos of the two frozen global texts.

    Shapes
    ------
    Inputs are `Features` whose images are already projected to d_v.
    """

    def __init__(
        self,
        d_t: int,
        d_local: int,
        d_v: int,
        d_h: int = 96,
        units: Sequence[str] = ("text", "vision", "cross"),
        logit_scale: float = 20.0,
        lexical_scale: float = 20.0,
        frozen_scale: float = 0.0,
        contained_scale: float = 0.0,
    ) -> None:
        super().__init__()
        known = {"text", "vision", "cross", "lexical"}
        if not units or not set(units) <= known:
            raise ValueError(f"Matcher: units {list(units)}: choose one or more of {sorted(known)}")
        self.units = tuple(units)
        self.logit_scale, self.lexical_scale = logit_scale, lexical_scale
        self.frozen_scale = frozen_scale if "text" in units else 0.0
        self.ln_t = nn.LayerNorm(d_t)
        if "text" in units:
            self.ln_T = nn.LayerNorm(d_local)
            self.text = TextUnit(d_t, d_local, d_h)
        if {"vision", "cross"} & set(units):
            self.ln_V = nn.LayerNorm(d_v)
        if "vision" in units:
            self.ln_v = nn.LayerNorm(d_v)
            self.vision = VisionUnit(d_v, d_h)
        if "cross" in units:
            self.cross = CrossUnit(d_t, d_v, d_h)
        if "lexical" in units:
            self.s = nn.Parameter(torch.empty(()))
        self.contained_scale = contained_scale if "lexical" in units else 0.0
        if self.frozen_scale:
            self.f = nn.Parameter(torch.empty(()))
        if self.contained_scale:
            self.c = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.LayerNorm):
                module.reset_parameters()
        with torch.no_grad():
            for norm in self._last_norms():
                norm.weight.fill_((self.logit_scale / norm.weight.numel()) ** 0.5)
            if "lexical" in self.units:
                self.s.fill_(math.log(self.lexical_scale))
            if self.frozen_scale:
                self.f.fill_(math.log(self.frozen_scale))
            if self.contained_scale:
                self.c.fill_(math.log(self.contained_scale))

    def _last_norms(self) -> list[nn.LayerNorm]:
        """The layer norms whose outputs meet in a dot product that is a score."""
        found = [self.ln_t]
        if "vision" in self.units:
            found += [self.vision.d_1.ln_b, self.vision.d_2.ln_b]
        if "cross" in self.units:
            found.append(self.cross.ln_r)
        return found

    def mention_side(self, mentions: Features) -> MentionSide:
        x = self._normed(mentions)
        return MentionSide(
            text=self._beside(self.text.mention_side(x), mentions)
            if "text" in self.units
            else None,
            vision=self.vision.mention_side(x) if "vision" in self.units else None,
            cross=self.cross.side(x) if "cross" in self.units else None,
            lexical=self._names(x) if "lexical" in self.units else None,
        )

    def entity_side(self, entities: Features) -> EntitySide:
        x = self._normed(entities)
        return EntitySide(
            text=self._beside(self.text.entity_side(x), entities) if "text" in self.units else None,
            vision=self.vision.entity_side(x) if "vision" in self.units else None,
            cross=self.cross.side(x) if "cross" in self.units else None,
            lexical=self._names(x) if "lexical" in self.units else None,
        )

    def pairs(self, mentions: MentionSide, entities: EntitySide) -> Scores:
        scores: dict[str, Tensor] = {}
        if mentions.text is not None and entities.text is not None:
            scores["text"] = self.text(mentions.text, entities.text)
        scores |= self._without_text(mentions, entities)
        return Scores(torch.stack(list(scores.values())).mean(0), scores)

    def rest(self, mentions: MentionSide, entities: EntitySide) -> Tensor:
        """S less G2L's part of it, `g2l_weight` × G2L: all that needs no attention; (m, e).

        Only with the text unit in use.
        """
        assert mentions.text is not None
        assert entities.text is not None
        total = mentions.text.t @ entities.text.t.T / 2  # G2G
        for score in self._without_text(mentions, entities).values():
            total += score
        return total.div_(len(self.units))

    def _beside(self, side: Text, x: Features) -> Text:
        """Widen t by √(2 exp(f)) t_frozen / |t_frozen|, so that S_T's t_m · t_e / 2 gains the
        frozen cosine and nothing that reads t, nor any bound, need know."""
        if not self.frozen_scale:
            return side
        if x.text_frozen is None:
            raise ValueError("Matcher: frozen_scale needs the features' text_frozen")
        frozen = F.normalize(x.text_frozen, dim=-1) * (2 * self.f.exp()).sqrt()
        return replace(side, t=torch.cat([side.t, frozen], dim=-1))

    def _without_text(self, mentions: MentionSide, entities: EntitySide) -> dict[str, Tensor]:
        scores: dict[str, Tensor] = {}
        if mentions.vision is not None and entities.vision is not None:
            scores["vision"] = self.vision(mentions.vision, entities.vision)
        if mentions.cross is not None and entities.cross is not None:
            scores["cross"] = self.cross(mentions.cross, entities.cross)
        if mentions.lexical is not None and entities.lexical is not None:
            scores["lexical"] = self._lexical(mentions.lexical, entities.lexical)
        return scores

    def _lexical(self, mentions: Names, entities: Names) -> Tensor:
        score = self.s.exp() * _products(mentions.ngrams, entities.ngrams).to(self.s)
        if mentions.words is None or entities.words is None:
            return score
        return score + self.c.exp() * _products(mentions.words, entities.words).to(self.s)

    def _names(self, x: Features) -> Names:
        if x.lexical is None:
            raise ValueError("Matcher: the lexical unit needs the features' TF-IDF rows")
        if self.contained_scale and x.words is None:
            raise ValueError("Matcher: contained_scale needs the features' words")
        return Names(x.lexical, x.words if self.contained_scale else None)

    @property
    def g2l_weight(self) -> float:
        """What one unit of G2L adds to S."""
        return 1 / (2 * len(self.units))

    def forward(self, mentions: Features, entities: Features) -> Scores:
        return self.pairs(self.mention_side(mentions), self.entity_side(entities))

    def _normed(self, x: Features) -> Features:
        """LN_t, LN_T, LN_v, LN_V; padded tokens stay out of every unit by their mask."""
        local = self.ln_T(x.text_local) if "text" in self.units else x.text_local
        y = x.with_texts(self.ln_t(x.text_global), local)
        if not {"vision", "cross"} & set(self.units):
            return y
        if x.image_global is None or x.image_local is None:
            raise ValueError(
                f"Matcher: units {list(self.units)} need image features and the batch has none; "
                "for data without pictures use units: [text]"
            )
        v = self.ln_v(x.image_global) if "vision" in self.units else x.image_global
        return y.with_images(v, self.ln_V(x.image_local))


def _products(a: sp.csr_array, b: sp.csr_array) -> Tensor:
    return torch.from_numpy((a @ b.T).toarray())
