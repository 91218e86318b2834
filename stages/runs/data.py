"""Opens what a run reads: records, store and graph of one data set, checked to belong together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
import torch

from cache.errors import MelovError
from cache.fingerprint import Fingerprint
from cache.reader import FeatureStore
from stages.config import TrainConfig
from stages.datasets.records import Records
from stages.datasets.store import open_store
from stages.encode.joint import open_joint
from stages.features.inputs import CachedFeatures, MentionInputs
from stages.features.relevance import relevant_pictures
from stages.features.views import distinct_views
from stages.graph.graph import Graph, load_graph
from stages.graph.source import provenance_of
from stages.heads.baselines.names import BASELINES, reads_joint, reads_local, settled
from stages.heads.heads import Heads
from stages.heads.model import HeadsConfig
from stages.paths import SPLITS, DatasetPaths
from stages.runs.saved import RunInfo, load_heads
from stages.training.train import Data, heads_config


@dataclass(frozen=True)
class Opened:
    """A data set's records, store and graph, opened once for any number of runs."""

    paths: DatasetPaths
    records: Records
    store: FeatureStore
    graph: Graph
    provenance: dict[str, str]

    def for_variant(self, variant: str) -> Opened:
        """The same, with the store that a run of `variant` reads.

        Raises
        ------
        StoreError: the variant reads joint vectors, and there are none of these records.
        """
        if not reads_joint(variant):
            return self
        store = open_joint(self.paths)
        provenance = {**self.provenance, "joint": store.fingerprint.digest}
        return replace(self, store=store, provenance=provenance)


def open_dataset(paths: DatasetPaths) -> Opened:
    """Open all three and check that they belong together.

    Raises
    ------
    MelovError: not prepared; a store or a graph that is missing or was made from something else.
    """
    records = Records.load(paths.require_records())
    store = open_store(paths)
    made_from = provenance_of(store)
    graph = load_graph(paths.graph, made_from)
    return Opened(paths, records, store, graph, {**made_from, "graph": graph.config.digest})


def read_features(
    store: FeatureStore, units: tuple[str, ...], variant: str, device: torch.device
) -> CachedFeatures:
    """The store as a run of `variant` reads it.

    Raises
    ------
    MelovError: the variant compares pictures and the store has no features of any.
    """
    baseline = BASELINES.get(variant)
    if baseline is not None and baseline.pictures and "images/global" not in store:
        blind = " or ".join(
            name for name, other in BASELINES.items() if not other.pictures and not other.joint
        )
        raise MelovError(
            f"{store.path}: holds no picture features, and the baseline {variant} compares them",
            f"use a baseline of text alone ({blind}), or extract with an image encoder",
        )
    return CachedFeatures(store, units, device, reads_local(variant))


def run_data(
    opened: Opened, config: TrainConfig, variant: str, device: torch.device
) -> tuple[Data, HeadsConfig]:
    """What one run trains on, and its heads' configuration."""
    config, opened = settled(config, variant), opened.for_variant(variant)
    cached = read_features(opened.store, config.units, variant, device)
    heads = heads_config(cached, config, variant, float(opened.graph.stats["floor"]))
    return data_for(opened, cached, heads, config.neighbor_limit, config.filter_quantile), heads


def data_for(
    opened: Opened,
    cached: CachedFeatures,
    heads: HeadsConfig,
    neighbor_limit: int,
    filter_quantile: float,
) -> Data:
    """The same for heads that exist already."""
    keep: dict[str, np.ndarray] | None = None
    if heads.variant == "filter" and heads.uses_images:
        keep = relevant_pictures(cached, filter_quantile)
    graphs: dict[str, sp.csr_array] = {
        "train": opened.graph.train,
        "valid": opened.graph.valid,
        "test": opened.graph.test,
    }
    return Data(
        cached,
        MentionInputs(cached, heads, graphs, neighbor_limit, keep),
        {split: opened.records.gold(split) for split in SPLITS},
        distinct_views(cached),
        opened.provenance,
    )


def open_run(
    paths: DatasetPaths, opened: Opened, variant: str, seed: int, device: torch.device
) -> tuple[Heads, Data]:
    """A trained run and the data that it ranks.

    Raises
    ------
    MelovError: no such run, or one that was trained on another store or graph.
    """
    opened = opened.for_variant(variant)
    model, info = load_run(paths, opened, variant, seed, device)
    cached = read_features(opened.store, info.heads.units, variant, device)
    quantile = float(info.train["filter_quantile"])
    return model, data_for(opened, cached, info.heads, info.neighbor_limit, quantile)


def load_run(
    paths: DatasetPaths, opened: Opened, variant: str, seed: int, device: torch.device
) -> tuple[Heads, RunInfo]:
    """A trained run's heads, checked to belong to what is opened; raises as `open_run`."""
    again = (
        f"run python -m pipeline.train --dataset {paths.dataset} --variant {variant} --seed {seed}"
    )
    folder = paths.run(variant, seed)
    model, info = load_heads(folder, device, again)
    if info.provenance != opened.provenance:
        differences = Fingerprint(info.provenance).differences(Fingerprint(opened.provenance))
        raise MelovError(f"{folder}: trained on other data: {'; '.join(differences)}", again)
    return model, info
