"""Presets of the parameters' section `train`: what a run uses wherever nothing else is said.

    strong   for a knowledge base of one's own: ours, chosen on validation (docs/results.md)
    paper    for the tables of the public benchmarks: the heads as they are published

A preset names what differs from the fields' own defaults, which are the paper's.
"""

from typing import Any

DEFAULT = "strong"

PRESETS: dict[str, dict[str, Any]] = {
    "strong": {
        "units": ("text", "vision", "cross", "lexical", "further"),
        "adapter": "mlp",
        "logit_scale": 1.0,  # what starts at random starts small beside names and frozen texts
        "lexical_scale": 8.0,
        "contained_scale": 3.0,
        "frozen_scale": 10.0,
        "dropout": 0.1,
        "fit_start": True,
        "rerank": True,
        "label_smoothing": 0.1,
        "hard_negatives": 3,
        "epochs": 12,
        "learning_rate": 2e-3,
        "schedule": "linear",
    },
    "paper": {},
}

DECIDED = frozenset(key for preset in PRESETS.values() for key in preset)
"""The settings that a preset decides where nothing else does."""
