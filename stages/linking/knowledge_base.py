"""What mentions are ranked against: entities, however they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cache.errors import MelovError
from stages.config import EvaluateConfig, ExtractConfig
from stages.datasets.entity_columns import aliases_of
from stages.encode.as_before import deciding
from stages.encode.record_arrays.registry import RecordArray, open_record_array
from stages.linking.result import RowNames
from stages.paths import DatasetPaths
from stages.ranking.search import open_ranked
from stages.ranking.top import Ranked
from stages.runs.dataset import Dataset
from stages.runs.run import Run
from stages.runs.training_mentions import TrainingMentions

STORE = DatasetPaths("any").store.name


@dataclass(frozen=True)
class KnowledgeBase:
    """Args:
    records: the digest of those that the entities are of: which knowledge base it is.
    ids, names, aliases: by row; no aliases where no entity has any.
    arrays: what the run reads of names besides the encoders' features: fitted on these entities,
        computed for each new mention.
    """

    records: str
    ids: list[str]
    names: list[str]
    aliases: list[list[str]] | None
    ranked: Ranked
    arrays: Mapping[str, RecordArray]

    @classmethod
    def of(
        cls, run: Run, dataset: Dataset, config: EvaluateConfig, folder: Path | None
    ) -> KnowledgeBase:
        """The entities of a data set of the run's encoder.

        Args:
            folder: of the run's index of them; None makes the entities' side for each call.

        Raises:
            MelovError: the store lacks something that the run reads; the disk is full.
        """
        heads, store = run.info.heads, dataset.store
        cached, views = dataset.features(heads.variant, heads.reads, run.device)
        hint = f"python -m pipeline.extract --dataset {dataset.paths.dataset} --force"
        extract = deciding(store, ExtractConfig())
        entities = dataset.records.entities
        return cls(
            dataset.records.digest,
            entities["id"].to_pylist(),
            entities["name"].to_pylist(),
            aliases_of(entities),
            open_ranked(folder, run.identity, run.model, cached, views, config.entity_rows),
            {name: open_record_array(store, name, extract, hint) for name in cached.mention_arrays},
        )

    def named(self, training: TrainingMentions | None) -> RowNames:
        """Its names, beside those of a run's training mentions."""
        return RowNames.of(self.ids, self.names, self.aliases, training)


def dataset_at(folder: Path) -> DatasetPaths:
    """The data set in a project's `data/NAME`, or of the store in it.

    Raises:
        MelovError: the folder is none.
    """
    at = folder.absolute()
    if at.name == STORE:
        at = at.parent
    if at.parent.name != "data" or not at.is_dir():
        raise MelovError(
            f"{folder}: no data set of a project, such as data/wikimel",
            "name the folder in data/ whose entities are to be linked",
        )
    return DatasetPaths(at.name, at.parents[1])
