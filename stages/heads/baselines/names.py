"""What each baseline reads and needs; no torch here, so that the configuration may look."""

from __future__ import annotations

from dataclasses import dataclass

from stages.config import TrainConfig, Unit


@dataclass(frozen=True)
class Baseline:
    """Parameters
    ----------
    units: decide what is read out of the store, in the place of `train.units`.
    local: whether it reads tokens and patches, or global features alone.
    trained: False where nothing is learned.
    hard_negatives: the least, a mention.
    joint: whether its texts are the joint store's pairs of text and picture.
    """

    units: tuple[Unit, ...]
    local: bool = False
    trained: bool = True
    hard_negatives: int = 0
    joint: bool = False

    @property
    def pictures(self) -> bool:
        return "vision" in self.units


BASELINES = {
    "tfidf": Baseline(("lexical",), trained=False),
    "clip": Baseline(("text", "vision", "cross"), trained=False),
    "bert": Baseline(("text",)),
    "blink": Baseline(("text",), hard_negatives=1),
    "dzmned": Baseline(("text", "vision", "lexical")),
    "jmel": Baseline(("text", "vision")),
    "velml": Baseline(("text", "vision"), local=True),
    "ghmfc": Baseline(("text", "vision"), local=True),
    "vilt": Baseline(("text",), joint=True),
}

UNAVAILABLE = {
    "meter": "METER's published checkpoints (Dou et al., CVPR 2022) are files of its authors' "
    "research code, which no public package loads"
}
"""Systems of the paper's Table 2 that have no entry, and why."""


def settled(config: TrainConfig, variant: str) -> TrainConfig:
    """`config` as a run of `variant` uses it: a baseline has its own units and least negatives."""
    baseline = BASELINES.get(variant)
    if baseline is None:
        return config
    negatives = max(config.hard_negatives, baseline.hard_negatives)
    return config.model_copy(update={"units": baseline.units, "hard_negatives": negatives})


def reads_local(variant: str) -> bool:
    """Whether a run of `variant` reads tokens and patches."""
    return variant not in BASELINES or BASELINES[variant].local


def reads_joint(variant: str) -> bool:
    """Whether a run of `variant` reads the joint store in the place of the store."""
    return variant in BASELINES and BASELINES[variant].joint


def is_trained(variant: str) -> bool:
    """Whether a run of `variant` has epochs."""
    return variant not in BASELINES or BASELINES[variant].trained
