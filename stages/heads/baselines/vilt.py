"""ViLT: text and picture read by one transformer.

Kim, Son and Kim, "ViLT: Vision-and-Language Transformer Without Convolution or Region
Supervision", ICML 2021. With j the joint vector of a record's text and picture,

    r = LN_r(W LN_t(j) + b),   S = r_m · r_e

Frozen: the published row fine-tunes the transformer; here j comes out of `pipeline.joint` and
W (d x d), which starts as the identity, is what is trained. A record without a picture was read
with a blank one.
"""

from stages.heads.baselines.bert import Bert


class Vilt(Bert):
    """The heads of `bert` over joint vectors in the place of texts."""
