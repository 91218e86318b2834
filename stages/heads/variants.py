"""Every variant and baseline: one entry each, which commands, tables and report read.

    melov      generation + aggregation + fusion
    no-inter   without the VAE            no-intra   without the GCN
    no-tau     τ fixed at the stored floor
    filter     no repair; pictures least correlated with their text are dropped
    mimic      no repair

then the systems that the paper compares with: matchers of their own over the same cached features.
Imports no torch, so that the parameters may be checked against it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.heads.units.registry import UNITS
from stages.lazy import lazily

if TYPE_CHECKING:
    from stages.heads.heads import Heads
    from stages.heads.settings import HeadsConfig

ORIGINAL, GENERATED, AGGREGATED = "original", "generated", "aggregated"


@dataclass(frozen=True)
class Variant:
    """Args:
    name: as commands, run folders and tables have it.
    build: makes fresh heads for a configuration, drawn from torch's generator.
    published: its name in the paper's Table 2.
    sources: of a mention's visual features (eq. 6).
    reads: what it reads besides global texts: `tokens`, `pictures`, `patches`, or a record
        array's name. None: what the matcher's units in `train.units` read. A baseline has no
        units.
    learns_tau: False fixes τ at the graph's floor.
    filters: drops the pictures that agree least with their text.
    trained: False where nothing is learned.
    hard_negatives: the least, a mention.
    joint: its texts are the joint store's pairs of text and picture.
    yardstick: ranked beside every trained run, as what it has to beat; it costs seconds.
    """

    name: str
    build: Callable[[HeadsConfig], Heads[Any, Any]]
    published: str | None = None
    sources: tuple[str, ...] = (ORIGINAL,)
    reads: tuple[str, ...] | None = None
    learns_tau: bool = True
    filters: bool = False
    trained: bool = True
    hard_negatives: int = 0
    joint: bool = False
    yardstick: bool = False

    @property
    def has_units(self) -> bool:
        """Whether it is MELOV or a part of it, with the matcher of section 3.3."""
        return self.reads is None

    def units_of(self, asked: tuple[str, ...]) -> tuple[str, ...]:
        """The units of `asked` in the order of the registry; none of a baseline."""
        return tuple(unit for unit in UNITS if unit in asked) if self.has_units else ()

    def reads_of(self, units: tuple[str, ...]) -> frozenset[str]:
        """All that heads with these units read. Pictures are repaired as a whole: who reads one of
        the global feature and the patches gets both, and the generation reads tokens."""
        if self.reads is not None:
            return frozenset(self.reads)
        found = {name for unit in units for name in UNITS[unit].reads}
        if found & {"pictures", "patches"}:
            found |= {"pictures", "patches"}
            if GENERATED in self.sources:
                found.add("tokens")
        return frozenset(found)


def _melov(name: str, published: str, *repairs: str, **more: Any) -> Variant:
    build = lazily("stages.heads.model:Melov")
    return Variant(name, build, published, (ORIGINAL, *repairs), **more)


def _baseline(name: str, published: str | None, *reads: str, **more: Any) -> Variant:
    build = lazily(f"stages.heads.baselines.{name}:{name.capitalize()}")
    return Variant(name, build, published, reads=reads, **more)


_ALL = (
    _melov("melov", "MELOV", GENERATED, AGGREGATED),
    _melov("no-inter", "MELOV w/o inter", AGGREGATED),
    _melov("no-intra", "MELOV w/o intra", GENERATED),
    _melov("no-tau", "MELOV w/o τ", GENERATED, AGGREGATED, learns_tau=False),
    _melov("filter", "MELOV (filter)", filters=True),
    _melov("mimic", "MIMIC"),
    _baseline("tfidf", None, "lexical", trained=False, yardstick=True),
    Variant(
        "zero-shot",
        lazily("stages.heads.baselines.zero_shot:ZeroShot"),
        reads=("lexical", "words"),
        trained=False,
        yardstick=True,
    ),
    _baseline("clip", "CLIP", "pictures", trained=False),
    _baseline("bert", "BERT"),
    _baseline("blink", "BLINK", hard_negatives=1),
    _baseline("dzmned", "DZMNED", "pictures", "lexical"),
    _baseline("jmel", "JMEL", "pictures"),
    _baseline("velml", "VELML", "tokens", "pictures", "patches"),
    _baseline("ghmfc", "GHMFC", "tokens", "pictures", "patches"),
    _baseline("vilt", "ViLT", joint=True),
)
VARIANTS: dict[str, Variant] = {variant.name: variant for variant in _ALL}
YARDSTICKS = tuple(variant.name for variant in _ALL if variant.yardstick)

UNAVAILABLE = {
    "METER": "METER's published checkpoints (Dou et al., CVPR 2022) are files of its authors' "
    "research code, which no public package loads"
}
"""Systems of the paper's Table 2 that have no entry, and why."""
