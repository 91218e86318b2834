"""The matcher as its formulas read, for all pairs at once: padded tokens, vectors built for each
pair. Section 3.3 without any rearrangement, with the weights of a `Melov`.

Entities' sides are made again for each block of mentions, which `benchmarks.ranking` times with the
rest, as it does ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.features.features import Features, MentionInput
from stages.heads.matcher import Matcher
from stages.heads.model import Melov
from stages.heads.units.dual_gate import DualGate

MAX_TOKENS = 40


@dataclass(frozen=True)
class Side:
    """Features after the layer norms LN_t, LN_T, LN_v, LN_V, tokens padded to MAX_TOKENS."""

    t: Tensor  # (n, d_t)
    tokens: Tensor  # (n, MAX_TOKENS, d)
    mask: Tensor  # (n, MAX_TOKENS)
    v: Tensor  # (n, d_v)
    patches: Tensor  # (n, n_p, d_v)


def mention_side(model: Melov, batch: MentionInput) -> Side:
    return _side(model.matcher, model.optimize(batch)[0])


def entity_side(model: Melov, x: Features) -> Side:
    assert x.image_global is not None
    assert x.image_local is not None
    has = x.has_image
    v = torch.where(has[:, None], model.w_v(x.image_global.float()), model.no_picture[0])
    patches = model.w_V(x.image_local.float())
    return _side(
        model.matcher,
        x.with_images(v, torch.where(has[:, None, None], patches, model.no_picture[1])),
    )


def _side(matcher: Matcher, x: Features) -> Side:
    assert x.image_global is not None
    assert x.image_local is not None
    more = MAX_TOKENS - x.text_local.shape[1]
    return Side(
        matcher.ln_t(x.text_global.float()),
        matcher.ln_T(F.pad(x.text_local.float(), (0, 0, 0, more))),
        F.pad(x.text_mask, (0, more)),
        matcher.ln_v(x.image_global),
        matcher.ln_V(x.image_local),
    )


def all_pairs(matcher: Matcher, m: Side, e: Side) -> Tensor:
    """S = (S_T + S_V + S_C) / 3, (m, e)."""
    return (_text(matcher, m, e) + _vision(matcher, m, e) + _cross(matcher, m, e)) / 3


def _text(matcher: Matcher, m: Side, e: Side) -> Tensor:
    unit = matcher.units["text"]
    query, key, value = unit.w_q(e.tokens), unit.w_k(m.tokens), unit.w_u(m.tokens)
    logits = torch.einsum("eih,mjh->meij", query, key) / math.sqrt(unit.h)
    logits = logits.masked_fill(~m.mask[:, None, None], -torch.inf)
    context = torch.einsum("meij,mjh->meih", logits.softmax(-1), value)
    count = e.mask.sum(-1)[:, None]
    mean = (context * e.mask[:, :, None]).sum(2) / count  # over the entity's tokens
    g2l = torch.einsum("eh,meh->me", unit.w_c(e.t), unit.ln_c(mean))
    return (m.t @ e.t.T + g2l) / 2


def _vision(matcher: Matcher, m: Side, e: Side) -> Tensor:
    unit = matcher.units["vision"]
    first = _gate(unit.d_1, e.v, m.v, m.patches)  # (m, e)
    second = _gate(unit.d_2, m.v, e.v, e.patches).T
    return (first + second) / 2


def _gate(gate: DualGate, q: Tensor, k: Tensor, patches: Tensor) -> Tensor:
    """D(q, k, X) of all contexts (rows) and queries (columns)."""
    q, k = gate.w_1(q)[None], gate.w_1(k)[:, None]
    x = gate.w_2(patches).mean(1)[:, None]
    u = gate.w_3(gate.ln_a(x + q))
    return (gate.ln_b(torch.tanh(gate.w(u)) * u + k) * gate.ln_b(q)).sum(-1)


def _cross(matcher: Matcher, m: Side, e: Side) -> Tensor:
    return _cross_side(matcher, m) @ _cross_side(matcher, e).T


def _cross_side(matcher: Matcher, x: Side) -> Tensor:
    unit = matcher.units["cross"]
    h, patches = unit.w_t(x.t), unit.w_i(x.patches)
    alpha = torch.einsum("nh,njh->nj", h, patches).softmax(-1)
    guided = torch.einsum("nj,njh->nh", alpha, patches)
    return unit.ln_r(torch.tanh(unit.w_g(h)) * h + guided)


def ranks_of(scores: Tensor, gold: Tensor) -> np.ndarray:
    """1 + entities scored higher + half of the others scored equal, (m,)."""
    own = scores.gather(1, gold[:, None])
    above, equal = (scores > own).sum(1), (scores == own).sum(1) - 1
    ranks: np.ndarray = (1 + above + equal / 2).numpy()
    return ranks
