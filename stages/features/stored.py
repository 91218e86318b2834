"""Arrays of a store that say which rows of others are read, compared with those others.

A right checksum says who wrote an array last. What points out of the store, or is no CSR matrix,
would lead to other records' features or out of the process's memory.
"""

from typing import TypeVar

import numpy as np
import scipy.sparse as sp

from cache.errors import DamagedStoreError, MelovError, reason
from cache.ragged import ascends
from cache.reader import FeatureStore
from stages.features.names import NameRows, Names

WIDTHS = {
    "d_t": ("texts/global", 1), "d_local": ("texts/local", 1), "d_image": ("images/global", 1),
    "d_patch": ("images/local", 2), "n_p": ("images/local", 1),
}  # fmt: skip
"""What the attribute `shapes` says, and the side of which array that is."""


PRIOR = "prior"
"""What heads that weigh the entities' prior read; its array is `prior/entities`, of no mention."""


def whole(store: FeatureStore, name: str) -> np.ndarray:
    """A copy of one array."""
    return np.array(store[name].slice(0, len(store[name])))


def shapes_of(store: FeatureStore) -> dict[str, int]:
    """The attribute `shapes`.

    Raises:
        DamagedStoreError: it is not what the arrays have.
    """
    said = store.attributes.get("shapes") if isinstance(store.attributes, dict) else None
    found = {
        key: store[name].shape[side] if name in store and len(store[name].shape) > side else 0
        for key, (name, side) in WIDTHS.items()
    }
    if said != found:
        what = f"{store.path}: damaged: the attribute 'shapes' is not what the arrays have: {found}"
        raise DamagedStoreError(what, store.hint)
    return found


def rows_of(store: FeatureStore, name: str, of: str, least: int = 0) -> np.ndarray:
    """The array `name`, whose numbers are rows of the array `of`; -1 is none where `least` is -1.

    Raises:
        DamagedStoreError: a number is no such row.
    """
    rows, n = whole(store, name), len(store[of]) if of in store else 0
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise DamagedStoreError(f"{store.path}: {name} is damaged: no column of rows", store.hint)
    wrong = (rows < least) | (rows >= n)
    if wrong.any():
        raise DamagedStoreError(
            f"{store.path}: {name} is damaged: {rows[wrong.argmax()]} is no row of {of}, which has "
            f"{n:,}", store.hint,
        )  # fmt: skip
    return rows


def record_array(store: FeatureStore, name: str, group: str) -> Names | np.ndarray:
    """An array with a row a record of `group`, CSR or dense, float32 (records, k); or with a row
    for each name of an entity.

    Raises:
        MelovError: the store was extracted without it.
        DamagedStoreError: it is no matrix with a row a record (a name), or has numbers that are not
            finite.
    """
    records = store[f"{group}/text"].shape[0]
    if f"{name}/{group}" in store:
        dense = whole(store, f"{name}/{group}")
        return _checked(store, f"{name}/{group}", dense, dense, records)
    if f"{name}/{group}/indptr" not in store:
        raise MelovError(
            f"{store.path}: holds no array '{name}', and the heads read it",
            f"python -m pipeline.extract --dataset {store.attributes.get('dataset')} --force",
        )
    parts = [whole(store, f"{name}/{group}/{part}") for part in ("data", "indices", "indptr")]
    known = store.attributes.get("record_arrays", {})  # a store of an earlier version has none
    columns = known[name] if name in known else len(store[f"{name}/idf"])
    try:
        if any(part.ndim != 1 or part.dtype.kind not in "iu" for part in parts[1:]):
            raise ValueError("indices that are no integers")
        if not ascends(parts[2]):
            raise ValueError("offsets that do not ascend")
        matrix = sp.csr_array(tuple(parts), shape=(len(parts[2]) - 1, columns))
        matrix.check_format()  # before anything follows the indices
    except (ValueError, TypeError) as error:
        what = f"{store.path}: {name}/{group} is damaged: {reason(error)}"
        raise DamagedStoreError(what, store.hint) from None
    if f"{name}/{group}/names" not in store:
        return _checked(store, f"{name}/{group}", matrix, matrix.data, records)
    names = NameRows(matrix, whole(store, f"{name}/{group}/names"))
    try:
        names.check()
    except ValueError as error:
        what = f"{store.path}: {name}/{group}/names is damaged: {error}"
        raise DamagedStoreError(what, store.hint) from None
    return _checked(store, f"{name}/{group}", names, matrix.data, records)


def log_prior(store: FeatureStore) -> np.ndarray:
    """The logarithm of each entity's prior, float32 (n, 1). Where the knowledge base says none, all
    are alike, which moves no rank.

    Raises:
        DamagedStoreError: as `record_array` does.
    """
    entities = store["entities/text"].shape[0]
    if f"{PRIOR}/entities" not in store:
        return np.full((entities, 1), -np.log(max(entities, 1)), np.float32)
    prior = record_array(store, PRIOR, "entities")
    assert isinstance(prior, np.ndarray)
    if prior.shape[1] != 1:
        raise DamagedStoreError(f"{store.path}: {PRIOR} is damaged: no column", store.hint)
    return prior


Matrix = TypeVar("Matrix", np.ndarray, sp.csr_array, NameRows)


def _checked(
    store: FeatureStore, name: str, matrix: Matrix, values: np.ndarray, records: int
) -> Matrix:
    if len(matrix.shape) != 2 or matrix.shape[0] != records or values.dtype != np.float32:
        what = f"{values.dtype} of shape {matrix.shape} for {records:,} records"
        raise DamagedStoreError(f"{store.path}: {name} is damaged: {what}", store.hint)
    if not np.isfinite(values).all():
        raise DamagedStoreError(f"{store.path}: {name} has numbers that are not finite", store.hint)
    return matrix
