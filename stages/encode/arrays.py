"""The arrays of a feature store, whose shapes and meaning docs/store.md lists.

The encoders' own are written unit by unit, chunk files of which a unit has a whole number. All
others are small and written whole: keys, the records' rows and ids, the record arrays, and what
turns hidden states into the encoder's own embeddings.
"""

from collections.abc import Collection, Mapping

import numpy as np

from cache.layout import ArraySpec
from cache.strings import pack_strings
from stages.datasets.entity_columns import log_prior
from stages.datasets.records import Records
from stages.encode.encoders.encoder import Encoder, ImageEncoder, Shapes
from stages.encode.plan import PicturePlan, TextPlan, tables_of
from stages.encode.units import TokenPlaces, chunk_rows

PRIOR_ARRAY = "prior/entities"
"""The logarithm of each entity's prior, float32 (entities, 1)."""


def text_specs(shapes: Shapes, texts: int, places: TokenPlaces, batch: int) -> list[ArraySpec]:
    """The texts' features; float16 whatever the precision of the forward pass."""
    return [
        by_unit("texts/global", (texts, shapes.d_t), batch),
        ArraySpec("texts/local", (len(places), shapes.d_local), "float16", places.chunk_rows),
    ]


def image_specs(shapes: Shapes, images: int, batch: int) -> list[ArraySpec]:
    """The pictures' features; none of an encoder without pictures."""
    if not shapes.n_p:
        return []
    return [
        by_unit("images/global", (images, shapes.d_image), batch),
        by_unit("images/local", (images, shapes.n_p, shapes.d_patch), batch),
    ]


def by_unit(name: str, shape: tuple[int, ...], batch: int) -> ArraySpec:
    """Of features with a row a text or a picture, float16."""
    return ArraySpec(name, shape, "float16", chunk_rows(batch, 2 * int(np.prod(shape[1:]))))


def specs_of(arrays: Mapping[str, np.ndarray]) -> list[ArraySpec]:
    """Specs of arrays that are at hand."""
    return [ArraySpec(name, a.shape, a.dtype.name) for name, a in arrays.items()]


def small_arrays(
    records: Records, texts: TextPlan, pictures: PicturePlan, encoder: Encoder
) -> dict[str, np.ndarray]:
    """Keys, ids, the records' texts, the entities' prior where the source has one, and the
    encoder's projections, by name.

    `<group>/image` waits until all pictures are decoded.
    """
    arrays: dict[str, np.ndarray] = {"texts/keys": texts.keys}
    if encoder.pixels is not None:
        arrays["images/keys"] = pictures.key_rows
    for name, weight in encoder.projections().items():
        arrays[f"projections/{name}"] = weight
    for group, table in tables_of(records).items():
        arrays[f"{group}/text"] = texts.rows[group]
        id_bytes, id_offsets = pack_strings(table["id"].to_pylist())
        arrays |= {f"{group}/id_bytes": id_bytes, f"{group}/id_offsets": id_offsets}
    prior = log_prior(records.entities)
    if prior is not None:
        arrays[PRIOR_ARRAY] = prior
    return arrays


def image_arrays(
    pictures: PicturePlan, encoder: ImageEncoder, failed: Collection[int] = ()
) -> dict[str, np.ndarray]:
    """Every record's image row, of an entity with several pictures the first that decoded, -1 where
    there is none; and which pictures did.

    Args:
        failed: rows of the pictures that did not decode.
    """
    arrays = {f"{group}/image": rows for group, rows in pictures.without(failed).items()}
    if encoder.pixels is not None:
        arrays["images/ok"] = np.ones(len(pictures.paths), np.uint8)
        arrays["images/ok"][sorted(failed)] = 0
    return arrays
