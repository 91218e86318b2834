"""Variant `filter`: drop the pictures that agree least with their text (Zhang et al., 2021)."""

import numpy as np

from cache.errors import MelovError
from stages.features.cached import CachedFeatures, mention_groups


def relevant_pictures(cached: CachedFeatures, cut: float) -> dict[str, np.ndarray]:
    """For each split, and for those without an entity, whether a mention keeps its picture, bool
    (mentions,).

    Args:
        cut: as `relevance_cut` gives it.
    """
    return {
        split: is_relevant(_relevance(cached, split), cut) for split in mention_groups(cached.store)
    }


def relevance_cut(cached: CachedFeatures, quantile: float) -> float:
    """The `quantile` of the relevance of the training mentions' pictures.

    Raises:
        MelovError: the global features are not in one space.
    """
    if not cached.joint_space:
        raise MelovError(
            f"{cached.store.path}: variant filter compares text and picture in a joint space, as "
            "CLIP has it, and this store's encoder has none",
            "use another variant, or extract with a CLIP checkpoint",
        )
    train = _relevance(cached, "train")
    known = train[~np.isnan(train)]
    return float(np.quantile(known, quantile)) if len(known) else -np.inf


def is_relevant(relevance: np.ndarray, cut: float) -> np.ndarray:
    """Whether a picture stays, bool (n,); never where the relevance is NaN."""
    keep: np.ndarray = relevance >= cut
    return keep


def relevance(t: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Cosine of global texts and global pictures, which CLIP has in one space: (n, d), (n, d)."""
    t, v = t.astype(np.float32), v.astype(np.float32)
    norm = np.linalg.norm(t, axis=1) * np.linalg.norm(v, axis=1)
    cosine: np.ndarray = (t * v).sum(1) / np.maximum(norm, 1e-12)
    return cosine


def _relevance(cached: CachedFeatures, split: str) -> np.ndarray:
    """NaN where a mention has no picture."""
    group = f"mentions/{split}"
    texts, images = cached.text_rows[group], cached.image_rows[group]
    found = np.full(len(texts), np.nan, dtype=np.float32)
    with_image = np.flatnonzero(images >= 0)
    t = cached.store["texts/global"].gather(texts[with_image])
    found[with_image] = relevance(t, cached.store["images/global"].gather(images[with_image]))
    return found
