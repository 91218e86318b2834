"""A grid of runs: which variants, which settings, which seeds.

    seeds: [0, 1, 2]                # else those of the parameters
    train: {epochs: 10}             # of every run; likewise graph
    runs:
      - {name: melov}               # a name that is a variant is that variant
      - {name: d_z=16, variant: melov, train: {d_z: 16}, graph: {metric: cosine}}
    reference: mimic                # others are tested against it; else melov, or the first run
    product:                        # every combination, named after its values
      variant: [melov, mimic]
      train.gcn_layers: [1, 2]

Settings stand on top of the parameter file's; a preset decides what neither says.
"""

import itertools
import math
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from cache.errors import nearest
from stages.config import GraphConfig, Params, TrainConfig
from stages.heads.settings import VariantName
from stages.heads.variants import UNAVAILABLE, VARIANTS
from stages.limits import GRID_RUNS
from stages.runs.dataset import RunSpec
from stages.section import ConfigError, Section, Seed, read_mapping, validated

NAME = r"^[\w=,+%@][\w=,+%@. -]*$"
"""Of a run and of a grid, which both name folders."""
MOST_BYTES = 200
"""Of such a name: a folder's name may have 255, with the seed behind it."""


@dataclass(frozen=True)
class GridRun:
    """One run of a grid, for every seed; `changed` holds its own settings by dotted key."""

    name: str
    variant: str
    train: TrainConfig
    graph: GraphConfig
    changed: dict[str, Any]

    def spec(self, seed: int) -> RunSpec:
        return RunSpec.of(self.variant, seed, self.train)


@dataclass(frozen=True)
class Grid:
    """Runs and seeds; `name` is the file's; `reference` the run that others are tested against."""

    name: str
    reference: str
    seeds: tuple[int, ...]
    runs: tuple[GridRun, ...]


class _File(Section):
    seeds: tuple[Seed, ...] | None = Field(None, min_length=1)
    train: dict[str, Any] = Field(default_factory=dict)
    graph: dict[str, Any] = Field(default_factory=dict)
    runs: tuple[dict[str, Any], ...] = ()
    product: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    reference: str | None = None


def _fits_a_folder(name: str) -> str:
    if len(name.encode("utf-8", "replace")) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes; list the run under runs with a short name")
    return name


class _Entry(Section):
    name: Annotated[str, Field(pattern=NAME), AfterValidator(_fits_a_folder)]
    variant: VariantName | None = None
    train: dict[str, Any] = Field(default_factory=dict)
    graph: dict[str, Any] = Field(default_factory=dict)


def load_grid(path: Path, params: Params) -> Grid:
    """Read a grid and settle every run's settings.

    Raises:
        ConfigError: no such file or one whose name cannot name a folder, no run, an unknown key
            (the nearest is named), a value of the wrong type or range, two runs of one name, a
            system that has no baseline here.
    """
    if not re.fullmatch(NAME, path.stem) or len(os.fsencode(path.stem)) > MOST_BYTES:
        raise ConfigError(
            f"{path}: the file's name names the grid's folder, and has letters, digits, blanks and "
            f"= , + % @ . _ - alone, at most {MOST_BYTES} bytes",
            "rename the file",
        )
    file = validated(_File, read_mapping(path, "grid"), str(path))
    entries = [(f"{path}: runs[{i}]", entry) for i, entry in enumerate(file.runs)]
    entries += [(f"{path}: product", entry) for entry in _combinations(path, file.product)]
    if not entries:
        raise ConfigError(f"{path}: a grid without runs", "add runs: [{name: melov}]")
    seeds = params.seeds if file.seeds is None else file.seeds
    _require_few(
        f"{path}: {len(entries):,} runs by {len(seeds):,} seeds", len(entries) * len(seeds)
    )
    runs = [_run(where, entry, file, params) for where, entry in entries]
    _distinct(path, "runs are named", [run.name for run in runs])
    _distinct(path, "seeds are", list(seeds))
    return Grid(path.stem, _reference(path, file, runs), seeds, tuple(runs))


def _reference(path: Path, file: _File, runs: list[GridRun]) -> str:
    names = [run.name for run in runs]
    if file.reference is None:
        return "melov" if "melov" in names else names[0]
    if file.reference not in names:
        raise ConfigError(f"{path}: reference: no such run{nearest(file.reference, names)}")
    return file.reference


def _run(where: str, raw: dict[str, Any], file: _File, params: Params) -> GridRun:
    # A name that is no variant is a melov of that name: not what anyone means by "meter".
    for asked, why in UNAVAILABLE.items():
        if asked.lower() == str(raw.get("variant", raw.get("name"))).lower():
            raise ConfigError(
                f"{where}: {asked} cannot be run: {why}",
                "the baseline vilt reads text and picture in one encoder, too",
            )
    entry = validated(_Entry, raw, where)
    said = params.train.model_dump(exclude_unset=True)  # the rest is the preset's, here or there
    trained = {**said, **file.train, **entry.train}
    built = {**params.graph.model_dump(), **file.graph, **entry.graph}
    changed = {f"train.{key}": value for key, value in entry.train.items()}
    changed |= {f"graph.{key}": value for key, value in entry.graph.items()}
    variant = entry.variant or (entry.name if entry.name in VARIANTS else "melov")
    return GridRun(
        entry.name,
        variant,
        validated(TrainConfig, trained, f"{where}.train"),
        validated(GraphConfig, built, f"{where}.graph"),
        changed,
    )


def _combinations(path: Path, product: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """The entries of a product, in the order of its keys."""
    known = ["variant", *(f"train.{key}" for key in TrainConfig.model_fields)]
    known += [f"graph.{key}" for key in GraphConfig.model_fields]
    for key in product:
        if key not in known:
            raise ConfigError(f"{path}: product: {key}: unknown key{nearest(key, known)}")
    many = math.prod(map(len, product.values()))
    _require_few(f"{path}: product: {many:,} combinations", many)
    entries = []
    for values in itertools.product(*product.values()) if product else ():
        entry: dict[str, Any] = {"train": {}, "graph": {}}
        names = []
        for key, value in zip(product, values, strict=True):
            section, _, leaf = key.partition(".")
            if leaf:
                entry[section][leaf] = value
                names.append(f"{leaf}={_short(value)}")
            else:
                entry[section] = value
                names.append(_short(value))
        entries.append({**entry, "name": ",".join(names)})
    return entries


def _require_few(what: str, many: int) -> None:
    if many > GRID_RUNS:
        raise ConfigError(f"{what}, more than {GRID_RUNS:,}", "split the grid into several files")


def _short(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _distinct(path: Path, what: str, values: list[Any]) -> None:
    twice = [str(value) for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ConfigError(f"{path}: {what} alike: {', '.join(twice)}")
