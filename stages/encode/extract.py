"""Extraction: frozen encoders run once over every distinct text and picture.

Works in `data/<dataset>/.partial/<fingerprint>/`, which DVC does not know, and renames the finished
store into place. A rerun goes on where a kill left it.
"""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.fingerprint import Fingerprint
from cache.reader import FeatureStore
from cache.strings import pack_strings
from cache.writer import StoreWriter
from stages.config import ExtractConfig
from stages.datasets.records import Records, read_digest
from stages.device import DTYPES, resolve_device, resolve_dtype
from stages.encode.decode import quiet_pillow
from stages.encode.encoder import Checkpoints, Encoder, find_checkpoints, open_encoder
from stages.encode.layout import feature_specs, specs_of
from stages.encode.lexical import Lexicon
from stages.encode.plan import (
    GROUPS,
    PicturePlan,
    TextPlan,
    fingerprint_of,
    plan_pictures,
    plan_texts,
    texts_of,
)
from stages.encode.schedule import Timing, Work, run_units
from stages.encode.tokens import Tokenizer
from stages.encode.units import (
    Encoded,
    Unit,
    encode_image_unit,
    encode_text_unit,
    load_picture,
    units_of,
)
from stages.paths import SPLITS, DatasetPaths
from stages.progress import progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extraction:
    """A finished store; `timings` is empty where nothing was left to do."""

    store: Path
    timings: dict[str, Any]

    @property
    def did_work(self) -> bool:
        return bool(self.timings)


def extract(paths: DatasetPaths, config: ExtractConfig, force: bool = False) -> Extraction:
    """Make the feature store of a prepared data set, or find it finished.

    Raises
    ------
    MelovError: no records, no such encoder, a full disk.
    StoreError: another store lies at the target (all differing fields are named); `force`
        replaces it.
    """
    digest = read_digest(paths.require_records())
    checkpoints = find_checkpoints(config)
    device = resolve_device(config.device)
    dtype = resolve_dtype(config.dtype, device)
    fingerprint = fingerprint_of(digest, checkpoints, config, dtype)
    if paths.store.exists() and not force and _is_finished(paths, fingerprint, config):
        _sweep(paths.partial)  # a kill just after the rename leaves the work folder behind
        return Extraction(paths.store, {})

    begun = time.perf_counter()
    records = Records.load(paths.records)
    tokenizer = Tokenizer(checkpoints.text, config.max_tokens)
    texts = plan_texts(texts_of(records), tokenizer, config.max_tokens)
    pictures = plan_pictures(records, encode=checkpoints.image is not None)
    encoder = open_encoder(checkpoints, config, device, DTYPES[dtype])
    job = _Job(config, records, texts, pictures, encoder, tokenizer.pad)
    planned = time.perf_counter() - begun

    # Batch sizes change rounding, so units of another batch size must not be mixed in.
    name = f"{fingerprint.digest}-{config.batch_texts}-{config.batch_images}"
    writer = StoreWriter.open(paths.partial / name, fingerprint, job.specs())
    timings = {"seconds_planning": round(planned, 3), **job.run(writer)}
    # They describe the store that is replaced now; a kill before the new ones must not keep them.
    for stale in ("summary.json", "failed_pictures.csv", "timings.json"):
        (paths.extract / stale).unlink(missing_ok=True)
    writer.finish(paths.store, job.unit_names(), job.attributes(checkpoints, writer))
    _sweep(paths.partial)
    return Extraction(paths.store, timings)


def _sweep(partial: Path) -> None:
    """Remove unfinished work, whatever its settings: the finished store supersedes it."""
    for leftover in partial.glob("*"):
        if leftover.is_dir():
            shutil.rmtree(leftover)


def _is_finished(paths: DatasetPaths, asked: Fingerprint, config: ExtractConfig) -> bool:
    """Whether the store at hand is the one asked for; `dtype: auto` takes any precision."""
    store = FeatureStore.open(paths.store, hint=_replace(paths.dataset))
    if config.dtype == "auto":
        asked = Fingerprint({**asked.fields, "dtype": store.fingerprint.fields.get("dtype")})
    store.fingerprint.require_equal(asked, paths.store, _replace(paths.dataset))
    return True


def _replace(dataset: str) -> str:
    return f"to replace it: python -m pipeline.extract --dataset {dataset} --force"


class _Job:
    """One extraction: its units, and what each writes."""

    def __init__(
        self,
        config: ExtractConfig,
        records: Records,
        texts: TextPlan,
        pictures: PicturePlan,
        encoder: Encoder,
        pad: int,
    ) -> None:
        self.config, self.records, self.encoder, self.pad = config, records, encoder, pad
        self.texts, self.pictures = texts, pictures
        self.offsets = texts.offsets
        self.text_units = units_of("texts", len(texts.ids), config.batch_texts)
        self.image_units = units_of("images", len(pictures.paths), config.batch_images)
        self.arrays = self._small_arrays()

    def specs(self) -> list[Any]:
        features = feature_specs(
            self.encoder.shapes,
            len(self.texts.ids),
            int(self.offsets[-1]),
            len(self.pictures.paths),
        )
        image_columns = {f"{group}/image": self.pictures.rows[group] for group in GROUPS}
        return features + specs_of(self.arrays) + specs_of(image_columns)

    def unit_names(self) -> list[str]:
        return [u.name for u in (*self.text_units, *self.image_units)] + ["records", "images"]

    def run(self, writer: StoreWriter) -> dict[str, Any]:
        if not writer.done("records"):
            writer.write("records", [(name, 0, a) for name, a in self.arrays.items()])
        done = sum(writer.done(u.name) for u in (*self.text_units, *self.image_units))
        if done:
            log.info("resuming: %d units are finished already", done)
        write = self._to(writer)
        texts = Work(None, self._text, write, size=self._tokens)
        images = Work(self._load, self._image, write, size=lambda unit: unit.rows)
        text_timing = self._run(writer, self.text_units, texts, "texts", "tokens")
        with quiet_pillow():
            image_timing = self._run(writer, self.image_units, images, "pictures", "pictures")
        if not writer.done("images"):
            writer.write("images", self._image_columns(self._failed(writer)))
        return {"texts": text_timing.rates(), "pictures": image_timing.rates()}

    def _run(
        self, writer: StoreWriter, units: list[Unit], work: Work[Any], what: str, counted: str
    ) -> Timing:
        left = [unit for unit in units if not writer.done(unit.name)]
        with progress(sum(map(work.size, left)), counted, f"encode {what}") as bar:
            return run_units(work, left, self.config.decode_threads, bar)

    def _tokens(self, unit: Unit) -> int:
        return int(self.offsets[unit.hi] - self.offsets[unit.lo])

    def _to(self, writer: StoreWriter) -> Any:
        def write(unit: Unit, encoded: Encoded) -> None:
            writer.write(unit.name, encoded.parts, encoded.note)

        return write

    def _text(self, unit: Unit, _: Any) -> Encoded:
        first = int(self.offsets[unit.lo])
        return encode_text_unit(
            self.encoder, self.texts.ids, unit, first, self.config.batch_texts, self.pad
        )

    def _load(self, row: int) -> Any:
        assert self.encoder.pixels is not None
        return load_picture(
            Path(self.records.image_root),
            self.pictures.paths[row],
            self.pictures.keys[row],
            self.encoder.pixels,
            self.config.resize,
        )

    def _image(self, unit: Unit, pictures: Any) -> Encoded:
        return encode_image_unit(self.encoder, pictures, unit, self.config.batch_images)

    def _failed(self, writer: StoreWriter) -> dict[int, str]:
        """Reason by store row, from the units' notes."""
        notes = [writer.note(unit.name) or [] for unit in self.image_units]
        return {row: reason for note in notes for row, reason in note}

    def _image_columns(self, failed: dict[int, str]) -> list[tuple[str, int, np.ndarray]]:
        """Every record's image row, -1 where the picture is missing or did not decode."""
        gone = np.array(sorted(failed), dtype=np.int32)
        return [
            (f"{group}/image", 0, np.where(np.isin(rows, gone), np.int32(-1), rows))
            for group, rows in self.pictures.rows.items()
        ]

    def _small_arrays(self) -> dict[str, np.ndarray]:
        records = self.records
        arrays: dict[str, np.ndarray] = {
            "texts/offsets": self.offsets,
            "texts/keys": self.texts.keys,
        }
        if self.encoder.pixels is not None:
            keys = [list(bytes.fromhex(key)) for key in self.pictures.keys]
            arrays["images/keys"] = np.array(keys, dtype=np.uint8).reshape(-1, 16)
        for name, weight in self.encoder.projections().items():
            arrays[f"projections/{name}"] = weight
        names = {"entities": records.entities["name"].to_pylist()}
        ids = {"entities": records.entities["id"].to_pylist()}
        for split in SPLITS:
            names[f"mentions/{split}"] = records.mentions[split]["words"].to_pylist()
            ids[f"mentions/{split}"] = records.mentions[split]["id"].to_pylist()
        lexicon = Lexicon.fit(names["entities"], self.config.lexical_ngrams)
        arrays |= {"lexical/terms": lexicon.terms_as_bytes(), "lexical/idf": lexicon.idf}
        for group in GROUPS:
            arrays[f"{group}/text"] = self.texts.rows[group]
            id_bytes, id_offsets = pack_strings(ids[group])
            arrays |= {f"{group}/id_bytes": id_bytes, f"{group}/id_offsets": id_offsets}
            matrix = lexicon(names[group])
            arrays |= {
                f"lexical/{group}/indptr": matrix.indptr.astype(np.int64),
                f"lexical/{group}/indices": matrix.indices.astype(np.int32),
                f"lexical/{group}/data": matrix.data,
            }
        return arrays

    def attributes(self, checkpoints: Checkpoints, writer: StoreWriter) -> dict[str, Any]:
        """What a reader needs besides the arrays; nothing volatile."""
        shapes = self.encoder.shapes
        failed = self._failed(writer)
        return {
            "dataset": self.records.dataset,
            "text_encoder": checkpoints.text.name,
            "image_encoder": None if checkpoints.image is None else checkpoints.image.name,
            "shapes": {
                "d_t": shapes.d_t,
                "d_local": shapes.d_local,
                "d_image": shapes.d_image,
                "d_patch": shapes.d_patch,
                "n_p": shapes.n_p,
            },
            "max_tokens": self.config.max_tokens,
            "texts_at_max_tokens": self.texts.cut,
            "lexical_ngrams": list(self.config.lexical_ngrams),
            "failed_pictures": {self.pictures.paths[row]: failed[row] for row in sorted(failed)},
        }
