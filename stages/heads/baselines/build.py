"""From a configuration to the heads of any variant: MELOV, a part of it, or a baseline."""

from __future__ import annotations

from collections.abc import Callable

from stages.heads.baselines.bert import Bert
from stages.heads.baselines.blink import Blink
from stages.heads.baselines.clip import Clip
from stages.heads.baselines.dzmned import Dzmned
from stages.heads.baselines.ghmfc import Ghmfc
from stages.heads.baselines.jmel import Jmel
from stages.heads.baselines.tfidf import Tfidf
from stages.heads.baselines.velml import Velml
from stages.heads.baselines.vilt import Vilt
from stages.heads.heads import Heads
from stages.heads.model import HeadsConfig, Melov

CLASSES: dict[str, Callable[[HeadsConfig], Heads]] = {
    "tfidf": Tfidf,
    "clip": Clip,
    "bert": Bert,
    "blink": Blink,
    "dzmned": Dzmned,
    "jmel": Jmel,
    "velml": Velml,
    "ghmfc": Ghmfc,
    "vilt": Vilt,
}


def build_heads(config: HeadsConfig) -> Heads:
    """Fresh heads of `config.variant`, drawn from torch's generator."""
    return CLASSES.get(config.variant, Melov)(config)
