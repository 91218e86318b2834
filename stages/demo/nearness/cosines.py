"""How near features come to the clean pictures' features of the same mentions."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Near:
    """One source's features against the clean ones, by mention; each of shape (n,).

    cosine: with the mention's own clean feature, both less the mean clean feature.
    nearer: share of the other entities' mentions whose clean feature is less near than its own.
    nearer_of_kind: the same among the mentions of entities of the same kind; NaN without any.
    """

    cosine: np.ndarray
    nearer: np.ndarray
    nearer_of_kind: np.ndarray


def against_clean(
    features: np.ndarray, clean: np.ndarray, gold: np.ndarray, kind: np.ndarray
) -> Near:
    """Centred cosines of `features` (n, d) with `clean` (n, d).

    Features of a frozen encoder can share a large part, as those of published CLIPs do: any two
    then have a high cosine, and so has whatever copies that part. Less the mean, two different
    mentions' clean features have cosines around 0. The shares are over all others, not over a drawn
    one; a tie counts half. A row of NaN has NaN everywhere.

    Args:
        gold: (n,), entities; another mention of the same entity is no other.
        kind: (n,), kinds of entity.
    """
    mean = clean.astype(np.float64).mean(0)
    cosines = _unit(features - mean) @ _unit(clean - mean).T
    own = cosines.diagonal()
    below = (cosines < own[:, None]) + 0.5 * (cosines == own[:, None])
    other = (gold[:, None] != gold) & ~np.isnan(own)[:, None]
    return Near(own, _share(below, other), _share(below, other & (kind[:, None] == kind)))


def another(clean: np.ndarray, gold: np.ndarray, seed: int, kind: np.ndarray | None) -> np.ndarray:
    """For each mention the feature (n, d) of a random mention of another entity: what is due to
    chance. With `kind`, of an entity of the same kind: what is due to that. NaN without any."""
    random = np.random.default_rng(seed)
    found = np.full(clean.shape, np.nan)
    for row, entity in enumerate(gold):
        others = gold != entity if kind is None else (gold != entity) & (kind == kind[row])
        if others.any():
            found[row] = clean[random.choice(np.flatnonzero(others))]
    return found


def _unit(x: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros stays one."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    scaled: np.ndarray = x / np.maximum(length, np.finfo(np.float64).tiny)
    return scaled


def _share(below: np.ndarray, counted: np.ndarray) -> np.ndarray:
    some = counted.sum(1)
    share = np.where(counted, below, 0).sum(1) / np.maximum(some, 1)
    return np.where(some > 0, share, np.nan)
