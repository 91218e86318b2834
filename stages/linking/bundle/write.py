"""Writes a bundle: a run, its entities and what its GCN reads of training, in one folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from cache.disk import sync_file
from cache.errors import MelovError
from cache.files import replacing_folder
from cache.reader import FeatureStore
from cache.sealed import Sealed, write_sealed
from stages.config import EvaluateConfig, ExtractConfig
from stages.datasets.entity_columns import ALIASES, with_optional
from stages.device import heads_device
from stages.encode.as_before import with_encoder_of
from stages.encode.encoders.checkpoint import Checkpoint
from stages.encode.encoders.families import find_checkpoints
from stages.encode.encoders.files import identity_files
from stages.encode.further import find_further, settings_of
from stages.linking.bundle.card import model_card
from stages.linking.bundle.hub import pinned
from stages.linking.bundle.layout import (
    FORMAT,
    NAMES,
    BundleFolder,
    BundleInfo,
    EncoderName,
    FurtherOrigin,
)
from stages.linking.bundle.stores import write_entities, write_training
from stages.linking.linker import require_linkable
from stages.paths import DatasetPaths
from stages.ranking.entity_index import EntityIndex
from stages.ranking.search import Search
from stages.runs.dataset import Dataset
from stages.runs.folder import RunFolder
from stages.runs.run import Run


@dataclass(frozen=True)
class BundleSpec:
    """Args:
    encoder: copy the encoder's files into the bundle.
    license: of the heads, for the model card; None says that there is none yet.
    """

    variant: str
    seed: int
    encoder: bool = False
    license: str | None = None


def require_free(output: Path, force: bool) -> None:
    """Raises MelovError unless a bundle may be written there: where there is nothing or an empty
    folder, and with `force` where there is an older bundle."""
    bundle = BundleFolder(output)
    if not output.exists() or not any(output.iterdir()):
        return
    if not bundle.is_there:
        raise MelovError(
            f"{output}: a folder with other files than a bundle's", "name another --output"
        )
    if not force:
        raise MelovError(f"{output}: there is a bundle already", "pass --force to replace it")


def write_bundle(
    paths: DatasetPaths, spec: BundleSpec, output: Path, extract: ExtractConfig,
    evaluate: EvaluateConfig,
) -> int:  # fmt: skip
    """Write a run of a data set and its entities to `output`, which is replaced at once when the
    new bundle is whole; bytes of all files.

    Raises:
        MelovError: no such data set or run, or parts that do not belong together; the encoder's
            files are asked for and are not those that made the store; the disk is full.
    """
    require_linkable(spec.variant)
    dataset = Dataset.open(paths)
    run = Run.open(RunFolder.of(paths, spec.variant, spec.seed), heads_device(evaluate.device))
    run.require(dataset)
    with replacing_folder(output) as scratch:
        bundle = BundleFolder(scratch)
        info = _info(run, dataset, extract)
        if spec.encoder:
            info = _with_encoder(info, dataset, extract, bundle)
        metrics = _copy_run(run, bundle)
        _write_entities(run, dataset, evaluate, bundle)
        card = model_card(info, run, metrics, dataset.records, spec.license)
        bundle.card.write_text(card, encoding="utf-8")
        for left in [*scratch.rglob(".partial*")]:
            shutil.rmtree(left)
        files = sorted(path for path in scratch.rglob("*") if path.is_file())
        write_sealed(bundle.index, info.model_dump(mode="json"), files, atomic=False)
        for path in [*files, bundle.index]:
            path.chmod(0o644)
            sync_file(path)
    return sum(path.stat().st_size for path in output.rglob("*") if path.is_file())


def _info(run: Run, dataset: Dataset, extract: ExtractConfig) -> BundleInfo:
    store, root = dataset.store, dataset.paths.root
    said, about = store.fingerprint.fields, store.attributes
    name, of_image = store.attribute("text_encoder"), store.attribute("image_encoder")
    same = extract.text_encoder == name and about.get("revision") is None
    revision = extract.revision if same else about.get("revision")
    text = _named(name, root, revision, said.get("text_encoder"))
    image = text if of_image == name else None
    if of_image is not None and image is None:
        image = _named(of_image, root, None, said.get("image_encoder"))
    return BundleInfo(
        format=FORMAT,
        dataset=dataset.paths.dataset,
        variant=run.info.heads.variant,
        seed=run.info.seed,
        run=run.identity,
        store=dataset.store.identity,
        records=dataset.records.digest,
        entities=dataset.records.entities.num_rows,
        text_encoder=text,
        image_encoder=image,
        made_from=said,
        further={
            name: FurtherOrigin(
                reads="pictures" if own.attribute("reads") == "pictures" else "texts",
                encoder=_named(
                    own.attribute("encoder"),
                    root,
                    own.attributes.get("revision"),
                    own.fingerprint.fields.get(_side(own)),
                ),
                made_from=own.fingerprint.fields,
            )
            for name, own in ((name, dataset.further(name)) for name in run.info.further)
        },
    )


def _side(store: FeatureStore) -> str:
    """The field of a further encoder's fingerprint that has its hash."""
    return "image_encoder" if store.attribute("reads") == "pictures" else "text_encoder"


def _named(name: str, root: Path, revision: str | None, hash: object) -> EncoderName:
    """A folder by its absolute path, so that it is found from anywhere; else a hub name, with the
    commit where it is known."""
    folder = root / name
    if folder.is_dir():
        return EncoderName(name=str(folder.resolve()), revision=None)
    return EncoderName(name=name, revision=pinned(name, revision, hash))


def _with_encoder(
    info: BundleInfo, dataset: Dataset, extract: ExtractConfig, bundle: BundleFolder
) -> BundleInfo:
    """`info` that names copies of the encoders' files, compared with what made the store."""
    root = dataset.paths.root
    found = find_checkpoints(with_encoder_of(dataset.store, extract, root), root)
    hashes = info.made_from
    text = _copied(found.text, bundle, "text", hashes.get("text_encoder"))
    image = info.image_encoder
    if found.image is found.text:
        image = text
    elif found.image is not None:
        image = _copied(found.image, bundle, "image", hashes.get("image_encoder"))
    further = {}
    for name, said in info.further.items():
        store = dataset.further(name)
        kind, encoder = settings_of(store)
        checkpoint = find_further(extract.model_copy(update={kind: {name: encoder}}), name, root)
        copy = _copied(checkpoint, bundle, f"further/{name}", said.made_from.get(_side(store)))
        further[name] = said.model_copy(update={"encoder": copy})
    named = {"text_encoder": text, "image_encoder": image, "further": further}
    return info.model_copy(update=named)


def _copied(checkpoint: Checkpoint, bundle: BundleFolder, side: str, hash: object) -> EncoderName:
    target = bundle.encoder / side
    for path in identity_files(checkpoint.folder, checkpoint.pooling_file):
        copy = target / path.relative_to(checkpoint.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    if Checkpoint(checkpoint.name, target).identity() != hash:
        raise MelovError(
            f"{checkpoint.folder}: not the {side} encoder that made the store",
            "name its folder: --set extract.text_encoder=FOLDER",
        )
    return EncoderName(name=f"{bundle.encoder.name}/{side}", revision=None)


def _copy_run(run: Run, bundle: BundleFolder) -> dict[str, Any] | None:
    """The run's own files, and what it was evaluated to where that is of its weights; returns its
    metrics, which another process may be writing anew."""
    folder = run.folder
    vouching = [folder.read_config()]
    if folder.is_evaluated:
        vouching.append(folder.read_metrics())
    for sealed in vouching:
        for name in sealed.files:
            (bundle.path / name).write_bytes(sealed.bytes_of(name))
        copy = bundle.path / sealed.path.name
        shutil.copyfile(sealed.path, copy)
        if vouching[0].seal != run.identity or Sealed.read(copy).seal != sealed.seal:
            again = "run the same command again"
            raise MelovError(f"{folder.path}: trained again while it was bundled", again)
    return vouching[1].content if len(vouching) > 1 else None


def _write_entities(
    run: Run, dataset: Dataset, evaluate: EvaluateConfig, bundle: BundleFolder
) -> None:
    """The entities as the heads see them, and what the heads read of training."""
    heads, model, size = run.info.heads, run.model, evaluate.entity_rows
    cached, views = dataset.features(heads.variant, heads.reads, run.device)
    of = {"run": run.identity, "store": dataset.store.identity}
    made_from = {"training": FORMAT, **of}
    write_training(bundle.training, cached, run.training, made_from, run.without_mentions)
    write_entities(bundle.entities, cached, views, {"entities": FORMAT, **of})
    EntityIndex.opened(bundle.sides, run.identity, model, cached, views, size)
    if model.searched is not None:
        Search.opened(bundle.codes, run.identity, model, cached, views, size)  # type: ignore[arg-type]
    entities = dataset.records.entities
    schema = with_optional(NAMES, [c for c in entities.column_names if c == ALIASES])
    pq.write_table(entities.select(schema.names).cast(schema), bundle.names)
