"""Opens a bundle in any folder, without the project that it was written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cache.errors import DamagedError, MelovError, reason
from cache.reader import FeatureStore
from cache.sealed import Sealed
from stages.config import EvaluateConfig, ExtractConfig
from stages.datasets.entity_columns import aliases_of, broken, with_optional
from stages.device import heads_device
from stages.encode.as_before import deciding, encoder_settings
from stages.encode.record_arrays.registry import open_record_array
from stages.features.cached import StoredFeatures
from stages.further import FURTHER
from stages.linking.bundle.layout import NAMES, BundleFolder, BundleInfo, Origin
from stages.linking.bundle.stores import StoredEntities
from stages.linking.encoding import MentionEncoder, mention_encoder
from stages.linking.further import open_further_encoders
from stages.linking.knowledge_base import KnowledgeBase
from stages.linking.linker import Linker
from stages.ranking.stored import stored_ranked
from stages.runs.run import Run

ANOTHER = "name the folder of the encoder that it was made with: text_encoder=FOLDER"
ANOTHER_FURTHER = "name the folder of the encoder that it was made with: further={NAME: FOLDER}"


def open_bundle(
    folder: Path, extract: ExtractConfig, evaluate: EvaluateConfig,
    encoders: Mapping[str, str] | None = None,
) -> Linker:  # fmt: skip
    """The linker of a bundle, over the entities in it.

    Args:
        extract: device, threads and batches.
        encoders: `text_encoder`, `image_encoder` and further encoders as `further/NAME` that stand
            in for those that the bundle names, by absolute folders or hub names; their hashes are
            compared all the same.

    Raises:
        MelovError: no bundle, one of another version, or an encoder that is not the one that it was
            made with.
        DamagedError: a file is not as it was written; it is named.
    """
    bundle = BundleFolder(folder)
    sealed, info = bundle.read()
    bundle.require_small(sealed)
    run = Run.open(bundle.run(info), heads_device(evaluate.device))
    if run.identity != info.run:
        raise DamagedError(f"{bundle.index}: damaged: of another run than is here", sealed.hint)
    training = FeatureStore.open(bundle.training, hint=sealed.hint)
    cached = StoredFeatures(training, run.info.heads.reads, run.device)
    encoder = _encoder(bundle, sealed, info, encoders or {}, extract, cached.uses_images)
    base = _knowledge_base(bundle, sealed, info, run, encoder.config)
    return Linker.of(run, cached, encoder, base, evaluate)


def _encoder(
    bundle: BundleFolder, sealed: Sealed, info: BundleInfo, encoders: Mapping[str, str],
    extract: ExtractConfig, images: bool,
) -> MentionEncoder:  # fmt: skip
    origin = Origin.of(bundle.path, info)
    given = {name: encoders[name] for name in ("text_encoder", "image_encoder") if name in encoders}
    own = {**encoder_settings(origin), **given}
    if "text_encoder" in encoders:
        own["revision"] = None
    config = deciding(origin, extract.model_copy(update=own))
    further = {n: Origin.of_further(bundle.path, said) for n, said in info.further.items()}
    try:
        opened = mention_encoder(origin, config, bundle.path, images, {}, ANOTHER)
        return replace(
            opened,
            further=open_further_encoders(
                {n: one.standing_in(encoders.get(FURTHER + n)) for n, one in further.items()},
                extract, bundle.path, ANOTHER_FURTHER,
            ),
        )  # fmt: skip
    except MelovError:
        bundle.require_encoder(sealed)  # a damaged file of it is what is to be told
        raise


def _knowledge_base(
    bundle: BundleFolder, sealed: Sealed, info: BundleInfo, run: Run, extract: ExtractConfig
) -> KnowledgeBase:
    hint = str(sealed.hint)
    entities = StoredEntities.open(bundle.entities, hint)
    ids, names, aliases = _names(bundle, sealed, len(entities.views.of_entity))
    with torch.inference_mode():
        like = run.model.entities(entities.blank(run.info.heads, run.device))
    ranked = stored_ranked(
        bundle.sides, bundle.codes, run.identity, run.model, like, entities.views, entities.keys,
        run.device, hint,
    )  # fmt: skip
    arrays = {
        name: open_record_array(entities.store, name, extract, hint)
        for name in entities.mention_arrays
    }
    return KnowledgeBase(info.records, ids, names, aliases, ranked, arrays)


def _names(
    bundle: BundleFolder, sealed: Sealed, n: int
) -> tuple[list[str], list[str], list[list[str]] | None]:
    """Ids, names and aliases."""
    data = sealed.bytes_of(bundle.names.name)
    try:
        table = pq.read_table(pa.BufferReader(data))
        table = table.cast(with_optional(NAMES, table.column_names))
        table.validate(full=True)
        if table.num_rows != n or table["id"].null_count or table["name"].null_count:
            raise ValueError(f"names of {table.num_rows:,} entities, expected {n:,}")
        if (said := broken(table)) is not None:
            raise ValueError(said)
        return table["id"].to_pylist(), table["name"].to_pylist(), aliases_of(table)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DamagedError(f"{bundle.names}: damaged: {reason(error)}", sealed.hint) from None
