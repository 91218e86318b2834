"""Features with a planted signal, and the store that holds them.

Tokens and patches come from a bank of vectors, as a language's words do, so that writing costs what
copying costs; a mention shares a part of them with its gold entity. Global texts lie around the
topic of the gold entity, close enough for mentions of one topic to be neighbors in the graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cache.build import building
from cache.fingerprint import Fingerprint
from cache.strings import pack_strings
from stages.config import ExtractConfig
from stages.datasets.records import Records
from stages.encode.arrays import image_specs, specs_of, text_specs
from stages.encode.encoders.encoder import Shapes
from stages.encode.plan import said_of, tables_of
from stages.encode.record_arrays.registry import fit_record_arrays
from stages.encode.units import TokenPlaces, WorkUnit, units_of
from stages.paths import SPLITS, DatasetPaths

SHAPES = Shapes(d_t=512, d_local=512, d_image=512, d_patch=768, n_p=50)  # CLIP ViT-B/32
BANK = 4096
MAX_TOKENS = 40
ENTITY_TOKENS, MENTION_TOKENS, SPREAD = 20, 27, 7
"""Mean lengths of texts, and their deviation, as CLIP's tokenizer counts WikiMEL's."""

TOPIC, OWN = 0.88, 0.07
"""Shares of topic and of identity in a global text's square; the rest is noise."""

SHARED = 0.5
"""Of a mention's tokens, patches and picture: what it has from its gold entity."""

BATCH = 256
"""Texts and pictures a batch; a unit of work is eight batches."""
EXTRACT = ExtractConfig()


@dataclass(frozen=True)
class MadeFeatures:
    """What the store is written from.

    Args:
        texts, images: rows of the store by group, int32 (records,); -1 without a picture.
        lengths: tokens of each stored text, ascending, as extraction sorts them.
        tokens: rows of the token bank, int16 (texts, MAX_TOKENS); patches: int16 (images, n_p).
        text_global, image_global: float16 (texts, d_t), (images, d_image).
    """

    texts: dict[str, np.ndarray]
    images: dict[str, np.ndarray]
    lengths: np.ndarray
    tokens: np.ndarray
    patches: np.ndarray
    text_global: np.ndarray
    image_global: np.ndarray

    @classmethod
    def draw(
        cls,
        topics: np.ndarray,
        gold: dict[str, np.ndarray],
        pictures: dict[str, np.ndarray],
        rng: np.random.Generator,
    ) -> MadeFeatures:
        """Entities by `topics` (entities,), then mentions by their `gold` entity."""
        answer = np.concatenate([np.arange(len(topics)), *(gold[s] for s in SPLITS)])
        n_e, n = len(topics), len(answer)
        lengths = rng.normal(np.where(np.arange(n) < n_e, ENTITY_TOKENS, MENTION_TOKENS), SPREAD)
        lengths = lengths.round().clip(4, MAX_TOKENS).astype(np.int64)
        order = np.argsort(lengths, kind="stable")
        place = np.empty(n, np.int32)
        place[order] = np.arange(n, dtype=np.int32)
        groups = [f"mentions/{s}" for s in SPLITS]
        ends = np.cumsum([n_e, *(len(gold[s]) for s in SPLITS)])
        texts = dict(zip(["entities", *groups], np.split(place, ends[:-1]), strict=True))
        has = (
            np.concatenate([pictures[g] for g in texts]) >= 0
        )  # pictures count up, record by record
        centres = _normal(rng, topics.max() + 1, SHAPES.d_t)[topics]
        text_global = np.sqrt(TOPIC) * centres + np.sqrt(OWN) * _normal(rng, n_e, SHAPES.d_t)
        noise = np.sqrt(1 - TOPIC - OWN) * _normal(rng, n, SHAPES.d_t)
        image_global = _normal(rng, n_e, SHAPES.d_image)[answer]
        image_global[n_e:] *= np.sqrt(SHARED)
        image_global[n_e:] += np.sqrt(1 - SHARED) * _normal(rng, n - n_e, SHAPES.d_image)
        return cls(
            texts,
            pictures,
            lengths[order],
            _shared(rng, answer, n_e, MAX_TOKENS)[order],
            _shared(rng, answer, n_e, SHAPES.n_p)[has],
            (text_global[answer] + noise)[order].astype(np.float16),
            image_global[has].astype(np.float16),
        )


def _normal(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Rows of about unit length, float32 (n, d)."""
    return rng.standard_normal((n, d), dtype=np.float32) / np.float32(np.sqrt(d))


def _shared(rng: np.random.Generator, answer: np.ndarray, n_e: int, k: int) -> np.ndarray:
    """k rows of the bank for each record; a mention has SHARED of them from its entity."""
    rows = rng.integers(0, BANK, (len(answer), k), dtype=np.int16)
    own = rng.random((len(answer) - n_e, k)) >= SHARED
    rows[n_e:] = np.where(own, rows[n_e:], rows[answer[n_e:]])
    return rows


def write_store(
    paths: DatasetPaths, fingerprint: Fingerprint, records: Records, features: MadeFeatures
) -> None:
    """Write the finished store to its place, in the units and chunk files of an extraction."""
    units = units_of("texts", len(features.lengths), BATCH)
    places = TokenPlaces.of(features.lengths.tolist(), units, 2 * SHAPES.d_local)
    small, columns = _small_arrays(records, features, places)
    specs = [
        *text_specs(SHAPES, len(features.lengths), places, BATCH),
        *image_specs(SHAPES, len(features.image_global), BATCH),
        *specs_of(small),
    ]
    attributes = {
        "dataset": paths.dataset,
        "text_encoder": "made",
        "image_encoder": "made",
        "shapes": vars(SHAPES),
        "max_tokens": MAX_TOKENS,
        "lexical_ngrams": list(EXTRACT.lexical_ngrams),
        "record_arrays": columns,
    }
    with building(paths.store, paths.partial, fingerprint.digest, fingerprint, specs) as build:
        names = []
        for unit, parts in _written(features, units, places):
            names.append(unit.name)
            if not build.done(unit.name):
                build.write(unit.name, parts)
        build.write("records", [(name, 0, array) for name, array in small.items()])
        build.finish([*names, "records"], attributes)


def _written(
    f: MadeFeatures, units: list[WorkUnit], places: TokenPlaces
) -> Iterator[tuple[WorkUnit, list[tuple[str, int, np.ndarray]]]]:
    rng = np.random.default_rng(1)
    words = rng.standard_normal((BANK, SHAPES.d_local), dtype=np.float32).astype(np.float16)
    bits = rng.standard_normal((BANK, SHAPES.d_patch), dtype=np.float32).astype(np.float16)
    for unit in units:
        rows = slice(unit.lo, unit.hi)
        real = np.arange(MAX_TOKENS) < f.lengths[rows, None]
        first, local = places.filled(unit, words[f.tokens[rows][real]])
        parts = [("texts/global", unit.lo, f.text_global[rows]), ("texts/local", first, local)]
        yield unit, parts
    for unit in units_of("images", len(f.image_global), BATCH):
        rows = slice(unit.lo, unit.hi)
        yield (
            unit,
            [
                ("images/global", unit.lo, f.image_global[rows]),
                ("images/local", unit.lo, bits[f.patches[rows]]),
            ],
        )


def _small_arrays(
    records: Records, f: MadeFeatures, places: TokenPlaces
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Rows, ids and record arrays, as extraction writes them, and the columns of the latter."""
    fitted, columns = fit_record_arrays(said_of(records), EXTRACT)
    arrays = {
        "texts/keys": _keys(0, len(f.lengths)),
        "images/keys": _keys(1, len(f.image_global)),
        "texts/offsets": places.offsets,
        "images/ok": np.ones(len(f.image_global), np.uint8),
        "projections/image": np.zeros((SHAPES.d_image, SHAPES.d_patch), np.float32),
        **fitted,
    }
    for group, table in tables_of(records).items():
        id_bytes, id_offsets = pack_strings(table["id"].to_pylist())
        arrays |= {
            f"{group}/text": f.texts[group],
            f"{group}/image": f.images[group].astype(np.int32),
            f"{group}/id_bytes": id_bytes,
            f"{group}/id_offsets": id_offsets,
        }
    return arrays, columns


def _keys(seed: int, n: int) -> np.ndarray:
    """As hashes look, uint8 (n, 16)."""
    return np.random.default_rng(seed).integers(0, 256, (n, 16), dtype=np.uint8)
