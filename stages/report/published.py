"""Published figures: Table 2 of the paper, in percent.

They belong to other conditions than ours: the published systems fine-tune the whole of CLIP.
"""

from __future__ import annotations

METRICS = ("hits@1", "hits@3", "hits@5", "mrr")

PUBLISHED: dict[str, dict[str, tuple[float, float, float, float]]] = {
    "wikimel": {
        "CLIP": (83.23, 92.10, 94.51, 88.23),
        "MIMIC": (87.98, 95.07, 96.37, 91.82),
        "MELOV": (88.91, 95.61, 96.58, 92.32),
        "MELOV w/o inter": (88.25, 95.21, 96.40, 91.92),
        "MELOV w/o intra": (88.52, 95.37, 96.48, 92.03),
        "MELOV w/o τ": (88.82, 95.45, 96.51, 92.14),
        "MELOV (filter)": (88.24, 95.18, 96.37, 91.85),
    },
    "richpediamel": {
        "CLIP": (67.78, 85.22, 90.04, 77.57),
        "MIMIC": (81.02, 91.77, 94.38, 86.95),
        "MELOV": (84.14, 92.81, 94.89, 88.80),
        "MELOV w/o inter": (83.72, 92.22, 94.44, 88.74),
        "MELOV w/o intra": (83.58, 92.03, 94.40, 88.40),
        "MELOV w/o τ": (83.63, 92.71, 94.51, 88.66),
        "MELOV (filter)": (80.66, 90.34, 93.63, 86.36),
    },
    "wikidiverse": {
        "CLIP": (61.21, 79.63, 85.18, 71.69),
        "MIMIC": (63.51, 81.04, 86.43, 73.44),
        "MELOV": (67.32, 83.69, 87.54, 76.57),
        "MELOV w/o inter": (65.93, 82.24, 87.20, 75.12),
        "MELOV w/o intra": (64.73, 81.94, 86.80, 75.06),
        "MELOV w/o τ": (65.28, 82.28, 87.18, 75.36),
        "MELOV (filter)": (62.75, 80.13, 86.14, 72.87),
    },
}
"""Data set -> system -> H@1, H@3, H@5, MRR."""

VARIANT_OF = {
    "MIMIC": "mimic",
    "MELOV": "melov",
    "MELOV w/o inter": "no-inter",
    "MELOV w/o intra": "no-intra",
    "MELOV w/o τ": "no-tau",
    "MELOV (filter)": "filter",
}
"""Our name of a published system; the fine-tuned CLIP has none."""
