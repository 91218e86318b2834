"""One extraction: its units, what each writes, and what the finished store says of itself."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cache.build import Build
from stages.config import ExtractConfig
from stages.datasets.records import Records
from stages.encode.columns import small_arrays
from stages.encode.decode import quiet_pillow
from stages.encode.encoders.encoder import Checkpoints, Encoder
from stages.encode.layout import feature_specs, specs_of
from stages.encode.plan import GROUPS, PicturePlan, TextPlan
from stages.encode.reuse import Reuse
from stages.encode.schedule import Timing, Work, run_units
from stages.encode.units import (
    Encoded,
    Loaded,
    Unit,
    decode_picture,
    encode_image_unit,
    encode_text_unit,
    read_picture,
    units_of,
)
from stages.progress import progress

log = logging.getLogger(__name__)


class Job:
    """Made anew for each run; a killed one finds its finished units in the build's ledger."""

    def __init__(
        self,
        config: ExtractConfig,
        records: Records,
        root: Path,
        texts: TextPlan,
        pictures: PicturePlan,
        encoder: Encoder,
        pad: int,
        reuse: Reuse | None = None,
    ) -> None:
        self.config, self.records, self.encoder, self.pad = config, records, encoder, pad
        self.texts, self.pictures, self.reuse = texts, pictures, reuse
        self.offsets, self.images = texts.offsets, records.image_folder(root)
        self.text_units = units_of("texts", len(texts.ids), config.batch_texts)
        self.image_units = units_of("images", len(pictures.paths), config.batch_images)
        self.arrays = small_arrays(records, texts, pictures, encoder, config.lexical_ngrams)

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

    def run(self, build: Build) -> dict[str, Any]:
        if not build.done("records"):
            build.write("records", [(name, 0, a) for name, a in self.arrays.items()])
        done = sum(build.done(u.name) for u in (*self.text_units, *self.image_units))
        if done:
            log.info("resuming: %d units are finished already", done)
        write = self._to(build)
        texts = Work(None, None, self._text, write, size=self._tokens, rows=self._fresh)
        images = Work(
            self._read,
            self._decode,
            self._image,
            write,
            size=lambda unit: unit.rows,
            rows=self._fresh,
            beside=self.encoder.device.type != "cpu",
        )
        text_timing = self._run(build, self.text_units, texts, "texts", "tokens")
        with quiet_pillow():
            image_timing = self._run(build, self.image_units, images, "pictures", "pictures")
        if not build.done("images"):
            build.write("images", self._image_columns(self._failed(build)))
        return {"texts": text_timing.rates(), "pictures": image_timing.rates()}

    def _run(
        self, build: Build, units: list[Unit], work: Work[Any], what: str, counted: str
    ) -> Timing:
        left = [unit for unit in units if not build.done(unit.name)]
        with progress(sum(map(work.size, left)), counted, f"encode {what}") as bar:
            return run_units(work, left, self.config.decode_threads, bar)

    def _tokens(self, unit: Unit) -> int:
        return int(self.offsets[unit.hi] - self.offsets[unit.lo])

    def _to(self, build: Build) -> Any:
        def write(unit: Unit, encoded: Encoded) -> None:
            build.write(unit.name, encoded.parts, encoded.note)

        return write

    def _fresh(self, unit: Unit) -> Sequence[int]:
        """Rows of the unit that no older store has."""
        if self.reuse is None:
            return range(unit.lo, unit.hi)
        return self.reuse.fresh(unit).tolist()

    def _text(self, unit: Unit, _: Any) -> Encoded:
        rows = self._fresh(unit)
        if self.reuse is None or len(rows) == unit.rows:
            return self._encode_texts(self.texts.ids, unit, int(self.offsets[unit.lo]))
        new = None
        if rows:
            ids = [self.texts.ids[row] for row in rows]
            new = self._encode_texts(ids, Unit("texts", 0, len(rows)), 0)
        return self.reuse.texts(unit, new, self.offsets)

    def _encode_texts(self, ids: Sequence[np.ndarray], unit: Unit, first_token: int) -> Encoded:
        batch = self.config.batch_texts
        return encode_text_unit(self.encoder, ids, unit, first_token, batch, self.pad)

    def _read(self, row: int) -> bytes:
        paths, keys = self.pictures.paths, self.pictures.keys
        return read_picture(self.images, paths[row], keys[row])

    def _decode(self, data: bytes) -> Loaded:
        assert self.encoder.pixels is not None
        return decode_picture(data, self.encoder.pixels, self.config.resize)

    def _image(self, unit: Unit, pictures: Any) -> Encoded:
        batch = self.config.batch_images
        if self.reuse is None or len(pictures) == unit.rows:
            return encode_image_unit(self.encoder, pictures, unit, batch)
        new = None
        if pictures:
            part = Unit("images", 0, len(pictures))
            new = encode_image_unit(self.encoder, pictures, part, batch)
        return self.reuse.images(unit, new)

    def _failed(self, build: Build) -> dict[int, str]:
        """Reason by store row, from the units' notes."""
        notes = [build.note(unit.name) or [] for unit in self.image_units]
        return {row: reason for note in notes for row, reason in note}

    def _image_columns(self, failed: dict[int, str]) -> list[tuple[str, int, np.ndarray]]:
        """Every record's image row, -1 where the picture is missing or did not decode."""
        gone = np.array(sorted(failed), dtype=np.int32)
        return [
            (f"{group}/image", 0, np.where(np.isin(rows, gone), np.int32(-1), rows))
            for group, rows in self.pictures.rows.items()
        ]

    def attributes(self, checkpoints: Checkpoints, build: Build) -> dict[str, Any]:
        """What a reader needs besides the arrays; nothing volatile."""
        shapes = self.encoder.shapes
        failed = self._failed(build)
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
            "reused": self.reused(),
        }

    def reused(self) -> dict[str, Any] | None:
        if self.reuse is None:
            return None
        return {
            "fingerprint": self.reuse.store.fingerprint.digest,
            "texts": self.reuse.count("texts"),
            "pictures": self.reuse.count("images"),
        }
