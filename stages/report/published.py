"""Published figures, in percent: Table 2 of the paper, and systems that came later.

All belong to other conditions than ours; `CONDITIONS` and `LATER` say which.
"""

from pathlib import Path

from stages.heads.variants import UNAVAILABLE, VARIANTS
from stages.section import Section, read_mapping, validated

COLUMNS = ("hits@1", "hits@3", "hits@5", "mrr")
"""Metrics that Table 2 has, by key."""
MAIN = ("hits@1", "mrr")
"""Those that later systems have published as well."""
FILE = Path(__file__).with_name("published.yaml")

Figures = tuple[float, float, float, float]


class Later(Section):
    """A later system: data set -> (H@1, MRR), None where none was published."""

    conditions: str
    figures: dict[str, tuple[float, float | None]]


class Published(Section):
    """The file: see there."""

    conditions: str
    datasets: dict[str, str]
    table2: dict[str, dict[str, Figures]]
    later: dict[str, Later]


_READ = validated(Published, read_mapping(FILE, "table of published figures"), str(FILE))

CONDITIONS = _READ.conditions
"""Of every system in Table 2."""
DATASETS = _READ.datasets
"""Key -> name, in the order of the table."""
PUBLISHED = _READ.table2
"""Data set -> system -> figures of COLUMNS (Table 2)."""
LATER = _READ.later

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
