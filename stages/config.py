"""Configuration: one frozen section a stage, with the keys of `params.yaml`.

A data set may override any key under `overrides.<dataset>.<section>`; `--set section.key=value`
beats both, and `train.preset` decides what none of them says. An unknown key raises and names the
nearest one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, field_validator

from cache.errors import nearest
from stages.extract_settings import ExtractConfig as ExtractConfig
from stages.extract_settings import FurtherName
from stages.further import FIRST
from stages.heads.settings import VariantName
from stages.limits import GRID_RUNS
from stages.paths import dataset_name
from stages.section import (
    ConfigError,
    Section,
    Seed,
    assign_all,
    known,
    mapping_at,
    read_mapping,
    validated,
)
from stages.train_settings import TrainConfig as TrainConfig


class DemoConfig(Section):
    """The embedded data set."""

    entities: int = Field(1500, ge=50, le=1_000_000)
    """Of the knowledge base."""
    mentions: int = Field(4000, ge=100, le=10_000_000)
    """Of all splits together."""
    captions: int = Field(12000, ge=100, le=10_000_000)
    """Captioned pictures for the demo's encoder; none of them is an entity's or a mention's."""
    seed: Seed = 0
    """Of all that is drawn."""


class DemoEncoderConfig(Section):
    """The demo's small CLIP, and its small ViLT: trained on the demo's captions and posts."""

    epochs: int = Field(4, ge=1, le=100_000)
    """Passes over what it is trained on."""
    batch_size: int = Field(128, ge=2, le=65_536)
    """Pairs of a text and a picture of a step."""
    learning_rate: float = Field(2e-3, gt=0, le=10)
    """At its highest."""
    seed: Seed = 0
    """Of the weights, and of the order of pairs."""


class PrepareConfig(Section):
    """From a source's own format to the canonical records."""

    source: str = "auto"
    """A name of `stages/datasets/sources.py`; `auto`: as the input looks."""
    seed: Seed = 0
    """Of the split, where the source has none."""
    missing_answer: Literal["error", "drop"] = "error"
    """What a mention whose answer is not in the knowledge base does."""

    @field_validator("source")
    @classmethod
    def _known(cls, source: str) -> str:
        # The readers: not every use of the settings needs them.
        from stages.datasets.sources import AUTO, SOURCES

        return known(source, (AUTO, *SOURCES))


EXACT_MENTIONS = 100_000
"""Training mentions up to which `graph.backend: auto` compares all pairs: 10^13 floating-point
operations at 512 features, a few minutes on two cores."""


class GraphConfig(Section):
    """Similarity of mentions (section 3.2.2)."""

    encoders: tuple[FurtherName, ...] = Field((FIRST,), max_length=17)
    """Whose global texts are compared: `first`, and further encoders by name. Of several, the mean
    of their squared distances between directions counts. Not in the paper."""
    metric: Literal["kernel", "euclidean", "cosine", "dot"] = "kernel"
    """What compares two global texts; `kernel` is eq. 3."""
    bandwidth_fraction: float = Field(0.25, ge=1e-6, le=1e6)
    """b of eq. 3 as a fraction of the mean pairwise distance."""
    floor: float = Field(0.05, ge=0, le=0.999)
    """Entries at or below it are not stored; τ starts well above."""
    max_neighbors: int = Field(32, ge=1, le=100_000)
    """Of a mention, itself not counted."""
    exclude_same_image: bool = False
    """Leave out neighbors that carry the very same picture."""
    transductive: bool = False
    """Ablation: mentions of validation and test see each other within their split."""
    backend: Literal["auto", "exact", "faiss"] = "auto"
    """`exact` compares all pairs; `faiss` those in nearby cells; see `settled` for `auto`."""
    block_rows: int = Field(1024, ge=1, le=65_536)
    """Changes no entry, so neither the digest nor graph.json holds it."""

    @field_validator("encoders", mode="before")
    @classmethod
    def _of_list(cls, encoders: Any) -> Any:
        """JSON has lists, which are no tuples to who reads strictly."""
        return tuple(encoders) if isinstance(encoders, list) else encoders

    @field_validator("encoders")
    @classmethod
    def _each_once(cls, encoders: tuple[str, ...]) -> tuple[str, ...]:
        if not encoders or len({*encoders}) < len(encoders):
            raise ValueError(f"expected at least one encoder, each once, such as [{FIRST}]")
        return encoders

    @property
    def further(self) -> tuple[str, ...]:
        """The further encoders among them."""
        return tuple(name for name in self.encoders if name != FIRST)

    def settled(self, mentions: int) -> GraphConfig:
        """With `auto` decided for so many training mentions: exact up to EXACT_MENTIONS."""
        if self.backend != "auto":
            return self
        backend = "exact" if mentions <= EXACT_MENTIONS else "faiss"
        return self.model_copy(update={"backend": backend})

    @property
    def digest(self) -> str:
        """Hash of all that decides the graph of given features (hex, 64 bits).

        An `auto` that nobody settled counts as exact.
        """
        # What graphs had before they could differ in it is left out, so that theirs stay the same.
        usual = set() if self.backend == "faiss" else {"backend"}
        usual |= set() if self.encoders != (FIRST,) else {"encoders"}
        text = self.model_dump_json(exclude={"block_rows", *usual})
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class EvaluateConfig(Section):
    """Exact ranking over the whole knowledge base."""

    mention_rows: int = Field(32, ge=1, le=65_536)
    """As `entity_rows`."""
    entity_rows: int = Field(256, ge=1, le=65_536)
    """Block of mentions and of entities scored at once; bounds memory, changes no rank."""
    screen: bool = True
    """Settle most pairs by an upper bound of their score; changes no rank either."""
    precision: float = Field(0.95, gt=0, lt=1)
    """Of answers with an entity: the threshold of their probability is chosen on validation."""
    device: str = "auto"
    """As of `train`."""


class ReportConfig(Section):
    """Tables and cases."""

    cases: int = Field(12, ge=0, le=1000)
    """Mentions that are shown with their pictures."""


class Params(Section):
    """Everything tunable, resolved for one data set."""

    datasets: tuple[str, ...] = Field(("demo",), max_length=GRID_RUNS)
    """Those that DVC runs."""
    variants: tuple[VariantName, ...] = Field(("melov", "mimic"), max_length=GRID_RUNS)
    """Of each data set, by DVC."""
    seeds: tuple[Seed, ...] = Field((0,), max_length=GRID_RUNS)
    """Of each variant, by DVC."""
    demo: DemoConfig = DemoConfig()
    demo_encoder: DemoEncoderConfig = DemoEncoderConfig()
    demo_vilt: DemoEncoderConfig = DemoEncoderConfig()
    prepare: PrepareConfig = PrepareConfig()
    extract: ExtractConfig = ExtractConfig()
    graph: GraphConfig = GraphConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    report: ReportConfig = ReportConfig()
    overrides: dict[str, dict[str, dict[str, Any] | None] | None] = Field(default_factory=dict)
    """By data set and section: values that beat the sections."""
    _assigned: frozenset[str] = PrivateAttr(frozenset())
    """Keys of `--set`."""

    def said(self, dataset: str, section: str) -> frozenset[str]:
        """Keys of a section that count as said for a data set: in its overrides, by `--set`, or for
        all data sets by a value that is not the default."""
        own = (self.overrides.get(dataset) or {}).get(section) or {}
        values = getattr(self, section)
        changed = {
            name for name, field in type(values).model_fields.items()
            if getattr(values, name) != field.default
        }  # fmt: skip
        assigned = (key.partition(".") for key in self._assigned)
        return frozenset({*own, *changed, *(key for at, _, key in assigned if at == section)})


SECTIONS = tuple(
    name
    for name, field in Params.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
)


def load_params(
    path: str | Path = "params.yaml", dataset: str | None = None, assignments: tuple[str, ...] = ()
) -> Params:
    """Read `path`, apply the overrides of `dataset`, then each `section.key=value`.

    Raises:
        ConfigError: the file is missing or is no YAML mapping, a key is unknown (the nearest is
            named), a value has the wrong type or range.
    """
    path = Path(path)
    raw = read_mapping(
        path, "parameter file", "name the project's folder by --project, or the file by --params"
    )
    overrides = mapping_at(raw.get("overrides"), f"{path}: overrides")
    for name in [*overrides, *([dataset] if dataset else [])]:
        dataset_name(str(name))
    for name, sections in overrides.items():
        for section, values in mapping_at(sections, f"{path}: overrides.{name}").items():
            if section not in SECTIONS:
                place = f"{path}: overrides.{name}.{section}"
                raise ConfigError(f"{place}: unknown key{nearest(section, list(SECTIONS))}")
            mapping_at(values, f"{path}: overrides.{name}.{section}")
    for section, values in (overrides.get(dataset or "") or {}).items():
        mapping_at(raw.get(section), f"{path}: {section}")
        raw[section] = {**(raw.get(section) or {}), **(values or {})}
    assign_all(raw, assignments)
    params = validated(Params, raw, str(path))
    params._assigned = frozenset(said.partition("=")[0].strip() for said in assignments)
    for name in params.datasets:
        dataset_name(name)
    return params
