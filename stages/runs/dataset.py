"""A data set as runs open it: records, store and graph, checked to belong together."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch

from cache.errors import MelovError
from cache.reader import FeatureStore
from stages.config import GraphConfig, TrainConfig
from stages.datasets.further import further_names, open_further
from stages.datasets.records import Records
from stages.datasets.store import (
    encoder_of,
    graph_provenance,
    open_joint,
    open_store,
    provenance_of,
)
from stages.device import heads_device, heads_precision
from stages.features.batches import GraphReading, MentionInputs
from stages.features.cached import CachedFeatures
from stages.features.data import LinkingData
from stages.features.further import FurtherFeatures
from stages.features.relevance import relevance_cut, relevant_pictures
from stages.features.views import Views, distinct_views
from stages.further import FURTHER, further_of
from stages.graph.files import read_graph_index
from stages.graph.graph import Graph, build_graph, load_graph
from stages.graph.source import GraphSource
from stages.heads.settings import FurtherShape, HeadsConfig
from stages.heads.spmm import load_torch_sparse
from stages.heads.units.registry import UNITS
from stages.heads.variants import VARIANTS
from stages.paths import SPLITS, DatasetPaths

log = logging.getLogger(__name__)

PICTURED = {"pictures", "patches"}
"""What a unit that compares pictures reads."""
FURTHER_UNIT = "further"
_SAVED = "saved"
"""Key of the graph on the disk, whatever its settings."""


@dataclass(frozen=True)
class RunSpec:
    """What to train; `of` settles the settings for the variant."""

    variant: str
    seed: int
    train: TrainConfig

    @classmethod
    def of(cls, variant: str, seed: int, train: TrainConfig) -> Self:
        return cls(variant, seed, train.settled(variant))

    @property
    def device(self) -> torch.device:
        return heads_device(self.train.device)


@dataclass(frozen=True)
class Dataset:
    """One data set, opened once for any number of runs; get one from `open`.

    What several runs read alike is read once: features by what heads read, and graphs.
    """

    paths: DatasetPaths
    records: Records
    store: FeatureStore
    _config: GraphConfig | None
    """Of the graph that is read; None: the one on the disk."""
    _features: dict[Any, tuple[CachedFeatures, Views]]
    _graphs: dict[str, Graph]
    _further: dict[str, FeatureStore]
    yardsticks: dict[torch.device, tuple[Records, dict[str, dict[str, Any]]]]
    """What `stages/runs/beside.py` has ranked, and the records that it is of."""

    @classmethod
    def open(cls, paths: DatasetPaths, records: Records | None = None) -> Self:
        """Open records and store, and check that they belong together.

        Args:
            records: those of the data set, where they have been read already.

        Raises:
            MelovError: not prepared; a store that is missing or was made from something else.
        """
        records = records or Records.load(paths.require_records())
        return cls(paths, records, open_store(paths, records.digest), None, {}, {}, {}, {})

    def on(self, graph: GraphConfig) -> Self:
        """The same data set on another graph, which is built in memory once a run reads it.

        Raises:
            MelovError: as `saved` does.
        """
        mentions = self.records.mentions["train"].num_rows
        found = replace(self, _config=graph.settled(mentions))
        self._graphs[self.saved.config.digest] = self.saved
        return found

    @property
    def saved(self) -> Graph:
        """The graph on the disk, read when it is first asked for: to train.

        Raises:
            MelovError: there is none of this store.
        """
        if _SAVED not in self._graphs:
            _, index = read_graph_index(self.paths.graph)
            made_from = graph_provenance(self.store, self._compared(index.config))
            self._graphs[_SAVED] = load_graph(self.paths.graph, made_from)
        return self._graphs[_SAVED]

    @property
    def graph(self) -> Graph:
        """What a run trains on; raises as `saved` does."""
        if self._config is None:
            return self.saved
        digest = self._config.digest
        if digest not in self._graphs:
            source = GraphSource.of(self.store, self._config, self._compared(self._config))
            self._graphs[digest] = build_graph(source.features, source.pictures, self._config)
        return self._graphs[digest]

    @property
    def graph_config(self) -> GraphConfig:
        """Its settings, for which no graph is built."""
        return self.saved.config if self._config is None else self._config

    def _compared(self, graph: GraphConfig) -> dict[str, FeatureStore]:
        return {name: self.further(name) for name in graph.further}

    def encoder(self, heads: HeadsConfig, graph: GraphConfig | None) -> dict[str, Any]:
        """What names the encoders of the features that these heads and their graph read.

        Raises:
            MelovError: a further encoder is not in use here.
        """
        found = encoder_of(self.joint if heads.entry.joint else self.store)
        for name in further_read(heads, graph):
            own = encoder_of(self.further(name))
            found |= {f"{FURTHER}{name}/{field}": value for field, value in own.items()}
        return found

    def further(self, name: str) -> FeatureStore:
        """The store of a further encoder.

        Raises:
            MelovError: it is not in use, or its store is not of these records.
        """
        if name not in self._further:
            self._further[name] = open_further(self.paths, name, self.records.digest)
        return self._further[name]

    @cached_property
    def joint(self) -> FeatureStore:
        """The store of joint vectors.

        Raises:
            StoreError: there is none of these records.
        """
        return open_joint(self.paths, self.records.digest)

    def features(
        self, variant: str, reads: Collection[str], device: torch.device
    ) -> tuple[CachedFeatures, Views]:
        """The store that `variant` reads, as heads on `device` read it, and its distinct entities.

        Raises:
            MelovError: it lacks something that is read.
        """
        joint = VARIANTS[variant].joint
        key = (joint, frozenset(reads), device)
        if key not in self._features:
            further = {name: self.further(name) for name in further_of(reads)}
            store = self.joint if joint else self.store
            cached = CachedFeatures(store, reads, device, further)
            self._features[key] = cached, distinct_views(cached)
        return self._features[key]

    def provenance(self, heads: HeadsConfig, graph: GraphConfig | None) -> dict[str, str]:
        """What names the data that a run with these heads and this graph ranks, by all that they
        hold."""
        made_from = provenance_of(self.store)
        if heads.entry.joint:
            made_from["joint"] = self.joint.identity
        read = further_read(heads, graph)
        return made_from | {f"{FURTHER}{name}": self.further(name).identity for name in read}

    def training_provenance(self, heads: HeadsConfig) -> dict[str, str]:
        """What names the data that a run with these heads is trained on.

        The graph at hand is named by what it holds; one that would have to be built by what it
        would be built with, since the store is named besides. Heads without a GCN need none.
        """
        if not heads.uses_graph:
            return self.provenance(heads, None)
        digest = self.graph_config.digest
        graph = self.saved.identity if digest == self.saved.config.digest else digest
        return {**self.provenance(heads, self.graph_config), "graph": graph}

    def settled(self, spec: RunSpec) -> RunSpec:
        """`spec` as it is trained on this data set: of units that nobody asked for by name, those
        that compare pictures are left out where the store has none, and the one of further encoders
        where none is in use. `precision: auto` is decided for the device."""
        precision = heads_precision(spec.train.precision, spec.device)
        if precision != spec.train.precision:
            spec = replace(spec, train=spec.train.model_copy(update={"precision": precision}))
        train, store = spec.train, self.store
        entry = VARIANTS[spec.variant]
        if not entry.has_units:
            return spec
        asked = units = entry.units_of(train.units)
        names = () if train.further == "all" else train.further
        if train.further == "all" and FURTHER_UNIT in asked:
            names = tuple(further_names(self.paths))
        if "units" not in train.model_fields_set:
            lacking = set() if "images/global" in store else PICTURED
            units = tuple(
                u for u in asked
                if not lacking & {*UNITS[u].reads} and (names or u != FURTHER_UNIT)
            )  # fmt: skip
            if lacking:
                log.info("%s: no pictures; train.units=[%s]", store.path, ",".join(units))
        changed: dict[str, Any] = {"units": units} if units != asked else {}
        if names and names != train.further:
            changed["further"] = names
        return replace(spec, train=train.model_copy(update=changed)) if changed else spec

    def heads(self, spec: RunSpec) -> HeadsConfig:
        """The heads' configuration of a run.

        Raises:
            MelovError: the store lacks something that they read; τ would not start above the floor
                of the graph; torch-sparse is asked for and is not installed.
        """
        reads = VARIANTS[spec.variant].reads_of(spec.train.units)
        cached, _ = self.features(spec.variant, reads, spec.device)
        heads = HeadsConfig.of(
            spec.train, spec.variant, cached.shapes, cached.joint_space, 0, cached.has_prior,
            self._further_shapes(spec),
        )  # fmt: skip
        if not heads.uses_graph:
            return heads
        floor = self.graph_config.floor
        if spec.train.tau_init <= floor:
            raise MelovError(
                f"train.tau_init = {spec.train.tau_init} is not above the graph's floor {floor}: "
                "an edge that was not stored cannot come back",
                "raise train.tau_init or lower graph.floor",
            )
        if heads.spmm == "torch-sparse":
            load_torch_sparse()
        return heads.model_copy(update={"floor": floor})

    def _further_shapes(self, spec: RunSpec) -> dict[str, FurtherShape]:
        """What the unit of further encoders reads.

        Raises:
            MelovError: encoders are named without the unit, or the unit without an encoder.
        """
        has_unit = FURTHER_UNIT in VARIANTS[spec.variant].units_of(spec.train.units)
        names = () if spec.train.further == "all" else spec.train.further
        if names and not has_unit and VARIANTS[spec.variant].has_units:
            raise MelovError(
                f"train.further=[{','.join(names)}] is read by the unit '{FURTHER_UNIT}', and "
                f"train.units=[{','.join(spec.train.units)}]",
                f"add it: --set train.units=[{','.join([*spec.train.units, FURTHER_UNIT])}]",
            )
        if has_unit and not names:
            raise MelovError(
                f"train.units has '{FURTHER_UNIT}', and {self.paths.path} has no further encoder",
                f"python -m pipeline.extract --dataset {self.paths.dataset} "
                "--set extract.text_encoders.NAME=FOLDER",
            )
        if not has_unit:
            return {}
        stores = {name: self.further(name) for name in dict.fromkeys(names)}
        return {
            name: FurtherShape(width=one.width, pictures=one.pictures)
            for name, one in ((n, FurtherFeatures(n, store, {})) for n, store in stores.items())
        }

    def data(self, heads: HeadsConfig, train: TrainConfig, device: torch.device) -> LinkingData:
        """What heads of this configuration train on."""
        cached, views = self.features(heads.variant, heads.reads, device)
        cut = cut_of(heads, train, cached)
        keep = None if cut is None else relevant_pictures(cached, cut)
        graphs = None
        if heads.uses_graph:
            graphs = {split: self.graph.rows(split) for split in SPLITS}
        inputs = MentionInputs(cached, graphs, reading_of(heads, train), keep)
        made_from = self.training_provenance(heads)
        return LinkingData(cached, inputs, self.gold, views, self.store, made_from)

    @property
    def gold(self) -> dict[str, np.ndarray]:
        """Rows of the gold entities, by split."""
        return {split: self.records.gold(split) for split in SPLITS}


def cut_of(heads: HeadsConfig, train: TrainConfig, cached: CachedFeatures) -> float | None:
    """Of the variant `filter`: the relevance below which a picture is left out; else None."""
    if heads.filters_pictures:
        return relevance_cut(cached, train.filter_quantile)
    return None


def further_read(heads: HeadsConfig, graph: GraphConfig | None) -> list[str]:
    """The further encoders that heads and their graph read, in ascending order."""
    return sorted({*heads.further, *(() if graph is None else graph.further)})


def reading_of(heads: HeadsConfig, train: TrainConfig) -> GraphReading:
    """How the GCN of these heads reads a graph."""
    return GraphReading(heads.gcn_layers, train.neighbor_limit, heads.normalization == "sym")
