"""The job of a feature store: distinct texts and distinct pictures, unit by unit."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cache.fingerprint import Fingerprint
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.datasets.entity_columns import aliases_of
from stages.datasets.records import Records
from stages.encode.arrays import image_arrays, image_specs, small_arrays, text_specs
from stages.encode.decode import Loaded, decode_picture, read_picture
from stages.encode.encoders.encoder import Encoder, ImageEncoder
from stages.encode.encoders.families import Checkpoints, family_of, find_checkpoints, open_encoder
from stages.encode.features import encode_pictures, encode_texts
from stages.encode.fingerprint import require_told
from stages.encode.job import EncodingJob
from stages.encode.plan import PicturePlan, TextPlan, plan_pictures, plan_texts, said_of, texts_of
from stages.encode.record_arrays.registry import fit_record_arrays
from stages.encode.reuse import Reuse
from stages.encode.schedule import Work, every_row
from stages.encode.tokens import Tokenizer
from stages.encode.units import Encoded, TokenPlaces, WorkUnit, units_of
from stages.paths import DatasetPaths

log = logging.getLogger(__name__)


def text_work(
    config: ExtractConfig,
    encoder: Encoder,
    plan: TextPlan,
    places: TokenPlaces,
    pad: int,
    reuse: Reuse | None,
) -> Work[Any]:
    """Distinct texts; `pad` is the token id that fills a batch's shorter ones."""
    rows = every_row if reuse is None else reuse.fresh

    def encode(unit: WorkUnit, _: Any) -> Encoded:
        ids = [plan.ids[row] for row in rows(unit)]
        pooled, tokens = encode_texts(encoder, ids, config.batch_texts, pad)
        if reuse is not None:
            lengths = plan.lengths[unit.lo : unit.hi]
            pooled, tokens = reuse.texts(unit, pooled, tokens, lengths)
        start, local = places.filled(unit, tokens)
        return Encoded([("texts/global", unit.lo, pooled), ("texts/local", start, local)])

    def tokens_of(unit: WorkUnit) -> int:
        return int(places.offsets[unit.hi - 1, 1] - places.offsets[unit.lo, 0])

    return Work(list(places.spans), encode, "tokens", size=tokens_of, rows=rows)


def picture_work(
    config: ExtractConfig, encoder: ImageEncoder, plan: PicturePlan, root: Path,
    reuse: Reuse | None, local: bool = True,
) -> Work[Any]:  # fmt: skip
    """Distinct pictures, in files below `root`; a unit's note has the row of each that did not
    decode, with the reason.

    Args:
        local: write patches besides.
    """
    pixels, rows = encoder.pixels, every_row if reuse is None else reuse.fresh

    def encode(unit: WorkUnit, loaded: Sequence[Loaded]) -> Encoded:
        found = encode_pictures(encoder, loaded, config.batch_images)
        values = {"images/global": found.pooled} | ({"images/local": found.local} if local else {})
        parts = [
            (name, unit.lo, new if reuse is None else reuse.dense(unit, name, new))
            for name, new in values.items()
        ]
        reasons = zip(rows(unit), found.reasons, strict=True)
        return Encoded(parts, [[row, reason] for row, reason in reasons if reason is not None])

    def decode(data: bytes | Loaded) -> Loaded:
        assert pixels is not None
        return decode_picture(data, pixels, config.resize, config.exif)

    return Work(
        units_of("pictures", len(plan.paths), config.batch_images),
        encode,
        "pictures",
        rows=rows,
        read=lambda row: read_picture(root, plan.paths[row], plan.keys[row]),
        weight=plan.sizes.__getitem__,
        decode=decode,
        ahead=encoder.device.type != "cpu",
    )


@dataclass(frozen=True)
class Planned:
    """What units are encoded by, but for the encoder. It can be pickled.

    Args:
        pad: token id that fills a batch's shorter texts.
        pictures_root: the folder that pictures' files are below.
        reuse: what an older store has already.
    """

    config: ExtractConfig
    texts: TextPlan
    places: TokenPlaces
    pad: int
    pictures: PicturePlan
    pictures_root: Path
    reuse: Reuse | None

    def works(self, encoder: Encoder) -> dict[str, Work[Any]]:
        """All work, by the kind of its units."""
        config, reuse = self.config, self.reuse
        return {
            "texts": text_work(config, encoder, self.texts, self.places, self.pad, reuse),
            "pictures": picture_work(config, encoder, self.pictures, self.pictures_root, reuse),
        }


def _opened(
    planned: Planned, root: Path, dtype: torch.dtype, device: torch.device, fingerprint: Fingerprint
) -> dict[str, Work[Any]]:
    """The same work in another process: `EncodingJob.opened`, but for the first three."""
    checkpoints = find_checkpoints(planned.config, root)
    require_told(fingerprint, text_encoder=checkpoints.text, image_encoder=checkpoints.image)
    return planned.works(open_encoder(checkpoints, planned.config, device, dtype))


def covered_by(unit: WorkUnit, places: TokenPlaces) -> dict[str, tuple[int, int]]:
    """The rows, [start, stop) by array, that a unit writes."""
    own = unit.lo, unit.hi
    if unit.kind == "texts":
        return {"texts/global": own, "texts/local": places.spans[unit]}
    return {"images/global": own, "images/local": own}


def feature_job(
    paths: DatasetPaths,
    records: Records,
    config: ExtractConfig,
    checkpoints: Checkpoints,
    device: torch.device,
    dtype: torch.dtype,
    older: FeatureStore | None,
) -> EncodingJob:
    """Plan the extraction of a prepared data set and open its encoder.

    Args:
        records: of the data set; the store's fingerprint is to tell of the same ones.
        older: a store of the same encoder and settings, whose rows are copied where they are
            wanted.

    Raises:
        MelovError: the encoder or its tokenizer cannot be loaded.
    """
    tokenizer = Tokenizer(checkpoints.text, config.max_tokens)
    texts = plan_texts(texts_of(records), tokenizer, config.max_tokens)
    pictures = plan_pictures(records, encode=checkpoints.image is not None)
    reuse = reused = None
    if older is not None:
        reuse = Reuse.find(older, texts.keys, pictures.key_rows)
        reused = {
            "fingerprint": older.fingerprint.digest,
            "texts": reuse.count("texts"),
            "pictures": reuse.count("pictures"),
        }
        log.info(
            "updating %s: it has %d of %d texts and %d of %d pictures", paths.store,
            reused["texts"], len(texts.ids), reused["pictures"], len(pictures.paths),
        )  # fmt: skip
    encoder = open_encoder(checkpoints, config, device, dtype, tokenizer)
    shapes = encoder.shapes
    units = units_of("texts", len(texts.ids), config.batch_texts)
    places = TokenPlaces.of(texts.lengths, units, 2 * shapes.d_local)
    images = records.image_folder(paths.root)
    planned = Planned(config, texts, places, tokenizer.pad, pictures, images, reuse)
    elsewhere = replace(planned, pictures_root=images.absolute())
    fitted, columns = fit_record_arrays(said_of(records), config, aliases_of(records.entities))
    return EncodingJob(
        encoded=[
            *text_specs(shapes, len(texts.ids), places, config.batch_texts),
            *image_specs(shapes, len(pictures.paths), config.batch_images),
        ],
        arrays={
            "texts/offsets": places.offsets,
            **small_arrays(records, texts, pictures, encoder),
            **fitted,
        },
        works=planned.works(encoder),
        opened=partial(_opened, elsewhere, paths.root.absolute(), dtype),
        covers=lambda unit: covered_by(unit, places),
        columns=lambda failed: image_arrays(pictures, encoder, failed),
        pictures=pictures.paths,
        attributes={
            "dataset": records.dataset,
            "text_encoder": checkpoints.text.name,
            "image_encoder": None if checkpoints.image is None else checkpoints.image.name,
            "joint_space": checkpoints.image is not None
            and family_of(checkpoints.text).joint_space,
            "shapes": asdict(shapes),
            # Of a hub name; what was not said is not remembered.
            **({} if config.revision is None else {"revision": config.revision}),
            "max_tokens": config.max_tokens,
            "texts_at_max_tokens": texts.cut,
            "lexical_ngrams": list(config.lexical_ngrams),
            "record_arrays": columns,
            "reused": reused,
        },
    )
