"""Published figures, in percent: Table 2 of the paper, and systems that came later.

All belong to other conditions than ours; `CONDITIONS` and `LATER` say which.
"""

from __future__ import annotations

from dataclasses import dataclass

from stages.heads.variants import UNAVAILABLE, VARIANTS

COLUMNS = ("hits@1", "hits@3", "hits@5", "mrr")
"""Metrics that Table 2 has, by key."""
MAIN = ("hits@1", "mrr")
"""Those that later systems have published as well."""
DATASETS = {"wikimel": "WikiMEL", "richpediamel": "RichpediaMEL", "wikidiverse": "WikiDiverse"}
CONDITIONS = "fine-tuned, the MIMIC release's inputs"
"""Of every system in Table 2."""

Figures = tuple[float, float, float, float]

PUBLISHED: dict[str, dict[str, Figures]] = {
    "wikimel": {
        "BLINK": (74.66, 86.63, 90.57, 81.72),
        "BERT": (74.82, 86.79, 90.47, 81.78),
        "CLIP": (83.23, 92.10, 94.51, 88.23),
        "ViLT": (72.64, 84.51, 87.86, 79.46),
        "METER": (72.46, 84.41, 88.17, 79.49),
        "DZMNED": (78.82, 90.02, 92.62, 84.97),
        "JMEL": (64.65, 79.99, 84.34, 73.39),
        "VELML": (76.62, 88.75, 91.96, 83.42),
        "GHMFC": (76.55, 88.40, 92.01, 83.36),
        "MIMIC": (87.98, 95.07, 96.37, 91.82),
        "MELOV": (88.91, 95.61, 96.58, 92.32),
        "MELOV w/o inter": (88.25, 95.21, 96.40, 91.92),
        "MELOV w/o intra": (88.52, 95.37, 96.48, 92.03),
        "MELOV w/o τ": (88.82, 95.45, 96.51, 92.14),
        "MELOV (filter)": (88.24, 95.18, 96.37, 91.85),
    },
    "richpediamel": {
        "BLINK": (58.47, 81.51, 88.09, 71.39),
        "BERT": (59.55, 81.12, 87.16, 71.67),
        "CLIP": (67.78, 85.22, 90.04, 77.57),
        "ViLT": (45.85, 62.96, 69.80, 56.63),
        "METER": (63.96, 82.24, 87.08, 74.15),
        "DZMNED": (68.16, 82.94, 87.33, 76.63),
        "JMEL": (48.82, 66.77, 73.99, 60.06),
        "VELML": (67.71, 84.57, 89.17, 77.19),
        "GHMFC": (72.92, 86.85, 90.60, 80.76),
        "MIMIC": (81.02, 91.77, 94.38, 86.95),
        "MELOV": (84.14, 92.81, 94.89, 88.80),
        "MELOV w/o inter": (83.72, 92.22, 94.44, 88.74),
        "MELOV w/o intra": (83.58, 92.03, 94.40, 88.40),
        "MELOV w/o τ": (83.63, 92.71, 94.51, 88.66),
        "MELOV (filter)": (80.66, 90.34, 93.63, 86.36),
    },
    "wikidiverse": {
        "BLINK": (57.14, 78.04, 85.32, 69.15),
        "BERT": (55.77, 75.73, 83.11, 67.38),
        "CLIP": (61.21, 79.63, 85.18, 71.69),
        "ViLT": (34.39, 51.07, 57.83, 45.22),
        "METER": (53.14, 70.93, 77.59, 63.71),
        "DZMNED": (56.90, 75.34, 81.41, 67.59),
        "JMEL": (37.38, 54.23, 61.00, 48.19),
        "VELML": (54.56, 74.43, 81.15, 66.13),
        "GHMFC": (60.27, 79.40, 84.74, 70.99),
        "MIMIC": (63.51, 81.04, 86.43, 73.44),
        "MELOV": (67.32, 83.69, 87.54, 76.57),
        "MELOV w/o inter": (65.93, 82.24, 87.20, 75.12),
        "MELOV w/o intra": (64.73, 81.94, 86.80, 75.06),
        "MELOV w/o τ": (65.28, 82.28, 87.18, 75.36),
        "MELOV (filter)": (62.75, 80.13, 86.14, 72.87),
    },
}
"""Data set -> system -> H@1, H@3, H@5, MRR (Table 2)."""


@dataclass(frozen=True)
class Later:
    """A later system: data set -> (H@1, MRR), None where none was published."""

    conditions: str
    figures: dict[str, tuple[float, float | None]]


LATER = {
    "OT-MEL (2024)": Later(
        CONDITIONS,
        {"wikimel": (88.97, 92.59), "richpediamel": (83.30, None), "wikidiverse": (66.07, None)},
    ),
    "M3EL (2025)": Later(
        "fine-tuned, Wikidata descriptions as entity text",
        {"wikimel": (88.84, 92.30), "richpediamel": (82.82, 88.26), "wikidiverse": (74.06, 81.29)},
    ),
    "MMoE (2025)": Later(
        "fine-tuned, descriptions on both sides",
        {"wikimel": (90.77, 93.75), "richpediamel": (85.51, 89.86), "wikidiverse": (77.57, 84.23)},
    ),
    "KGMEL, retrieval alone (2025)": Later(
        "frozen CLIP with triples of the knowledge graph", {"wikimel": (87.29, 89.99)}
    ),
}

VARIANT_OF = {entry.published: entry.name for entry in VARIANTS.values() if entry.published}
"""Our name of a published system; the others have none."""

NO_NUMBER = {
    entry.published: "needs pipeline.joint" for entry in VARIANTS.values() if entry.joint
} | dict.fromkeys(UNAVAILABLE, "no public loader")
"""What is shown instead of our number where there is none, for a reason of the system's own."""


def main_figures(system: str, dataset: str) -> tuple[float | None, ...]:
    """A system's published figures on a data set, those of MAIN; None where there are none."""
    if system in LATER:
        return LATER[system].figures.get(dataset, (None, None))
    of_table = dict(zip(COLUMNS, PUBLISHED[dataset][system], strict=True))
    return tuple(of_table[key] for key in MAIN)
