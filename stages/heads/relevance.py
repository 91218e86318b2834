"""Variant `filter`: drop the pictures that agree least with their text (Zhang et al., 2021)."""

from __future__ import annotations

import numpy as np

from cache.errors import MelovError
from stages.heads.inputs import CachedFeatures
from stages.paths import SPLITS


def relevant_pictures(cached: CachedFeatures, quantile: float) -> dict[str, np.ndarray]:
    """For each split, whether a mention keeps its picture, bool (mentions,).

    The correlation of text and picture is the cosine of the two global features, which CLIP has in
    one space. The cut is the `quantile` of the training mentions with a picture.

    Raises
    ------
    MelovError: the global features are not in one space.
    """
    shapes = cached.shapes
    if "projections/image" not in cached.store or shapes["d_t"] != shapes["d_image"]:
        raise MelovError(
            f"{cached.store.path}: variant filter compares text and picture in CLIP's joint space, "
            "and this store's encoder has none",
            "use another variant, or extract with a CLIP checkpoint",
        )
    cosine = {split: _cosine(cached, split) for split in SPLITS}
    known = cosine["train"][~np.isnan(cosine["train"])]
    cut = np.quantile(known, quantile) if len(known) else -np.inf
    return {split: np.nan_to_num(values, nan=-np.inf) >= cut for split, values in cosine.items()}


def _cosine(cached: CachedFeatures, split: str) -> np.ndarray:
    """NaN where a mention has no picture."""
    group = f"mentions/{split}"
    texts, images = cached.text_rows[group], cached.image_rows[group]
    found = np.full(len(texts), np.nan, dtype=np.float32)
    with_image = np.flatnonzero(images >= 0)
    t = cached.store["texts/global"].gather(texts[with_image]).astype(np.float32)
    v = cached.store["images/global"].gather(images[with_image]).astype(np.float32)
    norm = np.linalg.norm(t, axis=1) * np.linalg.norm(v, axis=1)
    found[with_image] = (t * v).sum(1) / np.maximum(norm, 1e-12)
    return found
