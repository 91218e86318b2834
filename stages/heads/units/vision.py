"""The vision unit of the matcher (section 3.3): a dual gate in each direction.

S_V = (D_1(v_e, v_m, V_m) + D_2(v_m, v_e, V_e)) / 2
"""

from torch import Tensor, nn

from stages.features.features import Features
from stages.heads.initial import redraw, scale_norm
from stages.heads.settings import HeadsConfig
from stages.heads.units.dual_gate import DualGate, VisionSide
from stages.heads.units.vision_codes import (
    VisionCodes,
    VisionReach,
    vision_bound,
    vision_codes,
    vision_reach,
)


class VisionUnit(nn.Module):
    """Scores of all pairs; `pairs` gives S_V of shape (m, e)."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.logit_scale = config.logit_scale
        self.d_1 = DualGate(config.d_v, config.d_h)
        self.d_2 = DualGate(config.d_v, config.d_h)

    def reset_parameters(self) -> None:
        redraw(self)
        for gate in (self.d_1, self.d_2):
            scale_norm(gate.ln_b, self.logit_scale)

    def mention_side(self, x: Features) -> VisionSide:
        v, local = x.images
        return VisionSide(self.d_2.query_side(v), self.d_1.context_side(v, local))

    def entity_side(self, x: Features) -> VisionSide:
        v, local = x.images
        return VisionSide(self.d_1.query_side(v), self.d_2.context_side(v, local))

    def pairs(self, mentions: VisionSide, entities: VisionSide) -> Tensor:
        entity_to_mention = self.d_1(mentions.context, entities.query)
        mention_to_entity = self.d_2(entities.context, mentions.query).T
        return (entity_to_mention + mention_to_entity) / 2

    def codes(self, entities: VisionSide) -> VisionCodes:
        return vision_codes(self.d_1, self.d_2, entities)

    def reach(self, mentions: VisionSide) -> VisionReach:
        return vision_reach(self.d_1, self.d_2, mentions)

    def at_most(self, mentions: VisionReach, entities: VisionCodes) -> Tensor:
        return vision_bound(self.d_1, self.d_2, mentions, entities)
