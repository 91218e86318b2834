"""The arrays of a feature store, in the order they are written (design: one noun a name).

    texts/global (n, d_t)      texts/local (tokens, d_local)   texts/offsets (n + 1)   texts/keys
    images/global (n, d)       images/local (n, n_p, d_patch)  images/ok (n)           images/keys
    <group>/text, <group>/image   int32 rows, -1 without a picture; <group>/id_bytes, id_offsets
    lexical/terms, lexical/idf, lexical/<group>/{indptr, indices, data}
    words/terms, words/idf, words/<group>/{indptr, indices, data}
    projections/<name>            what turns hidden states into the encoder's own embeddings

with the groups `entities` and `mentions/{train,valid,test}`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cache.layout import ArraySpec
from stages.encode.encoders.encoder import Shapes


def feature_specs(shapes: Shapes, texts: int, tokens: int, images: int) -> list[ArraySpec]:
    """The encoders' arrays; float16 whatever the precision of the forward pass."""
    specs = [
        ArraySpec("texts/global", (texts, shapes.d_t), "float16"),
        ArraySpec("texts/local", (tokens, shapes.d_local), "float16"),
    ]
    if shapes.n_p:
        specs += [
            ArraySpec("images/global", (images, shapes.d_image), "float16"),
            ArraySpec("images/local", (images, shapes.n_p, shapes.d_patch), "float16"),
            ArraySpec("images/ok", (images,), "uint8"),
        ]
    return specs


def specs_of(arrays: Mapping[str, np.ndarray]) -> list[ArraySpec]:
    """Specs of arrays that are at hand."""
    return [ArraySpec(name, a.shape, a.dtype.name) for name, a in arrays.items()]
