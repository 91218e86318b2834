"""The small stores of a bundle: features of training mentions, and what is known of entities."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor

from cache.build import building
from cache.errors import DamagedStoreError, reason
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.reader import FeatureStore
from stages.features.cached import CachedFeatures
from stages.features.features import Features
from stages.features.names import NameRows, Names
from stages.features.stored import PRIOR, rows_of, whole
from stages.features.views import Views
from stages.heads.settings import HeadsConfig
from stages.ranking.content_keys import KEY_BYTES, content_keys
from stages.runs.training_mentions import TrainingMentions
from stages.section import Section

VIEW, VIEWS, KEYS = "entities/view", "views", "views/keys"
Gather = Callable[[int, int], np.ndarray]
"""Rows `lo … hi` of an array that is to be written."""


def write_training(
    target: Path, cached: CachedFeatures, mentions: TrainingMentions | None,
    made_from: dict[str, Any], hint: str,
) -> None:  # fmt: skip
    """Features of the training mentions as the store has them, each text and picture once: global
    texts, and pictures where they are read. Where no GCN reads them there are none.

    Raises:
        MelovError: the store has no features of some; `hint` is what mends that.
    """
    store = cached.store
    texts = pictures = np.zeros(0, np.int64)
    if mentions is not None:
        texts, pictures = (np.unique(rows[rows >= 0]) for rows in mentions.rows(store, hint))
    rows = {"texts/global": texts, "texts/keys": texts}
    if cached.uses_images:
        rows |= dict.fromkeys(("images/global", "images/local", "images/keys"), pictures)

    def gather(name: str, lo: int, hi: int) -> np.ndarray:
        return store[name].gather(rows[name][lo:hi])

    specs = [
        ArraySpec(name, (len(at), *store[name].shape[1:]), store[name].dtype.name)
        for name, at in rows.items()
    ]
    _write(target, made_from, specs, {name: partial(gather, name) for name in rows}, {})


def write_entities(
    target: Path, cached: CachedFeatures, views: Views, made_from: dict[str, Any]
) -> None:
    """Each entity's view, the views' keys, and what the record arrays that are read were fitted
    to."""
    store = cached.store
    arrays = {VIEW: views.of_entity.astype(np.int64), KEYS: content_keys(cached, views.rows)}
    widths = {}
    for name, groups in cached.arrays.items():
        rows = groups["entities"]
        widths[name] = ArrayWidth.of(rows).model_dump()
        for array in store:
            part = array.removeprefix(f"{name}/")
            if part != array and "/" not in part and part != "entities":  # no record's row
                arrays[array] = whole(store, array)
    specs = [ArraySpec(name, a.shape, a.dtype.name) for name, a in arrays.items()]
    gather = {name: partial(_rows_of, rows) for name, rows in arrays.items()}
    _write(target, made_from, specs, gather, {"record_arrays": widths})


def _rows_of(rows: np.ndarray, lo: int, hi: int) -> np.ndarray:
    return rows[lo:hi]


def _write(
    target: Path, made_from: dict[str, Any], specs: list[ArraySpec], gather: Mapping[str, Gather],
    attributes: dict[str, Any],
) -> None:  # fmt: skip
    asked, units = Fingerprint(made_from), []
    partial = target.parent / f".partial-{target.stem}"
    with building(target, partial, asked.digest, asked, specs) as build:
        for spec in specs:
            for lo in range(0, max(spec.shape[0], 1), spec.chunk_rows):
                hi = min(lo + spec.chunk_rows, spec.shape[0])
                units.append(f"{spec.name}:{lo}")
                build.write(units[-1], [(spec.name, lo, gather[spec.name](lo, hi))])
        build.finish(units, attributes)
    shutil.rmtree(partial, ignore_errors=True)


class ArrayWidth(Section):
    """The shape and the type of a record array's rows.

    Args:
        index: the type of the indices; None where the array is dense.
        several: whether an entity has a row a name.
    """

    columns: int = Field(ge=0, lt=2**31)
    index: Literal["int32", "int64"] | None
    several: bool

    @classmethod
    def of(cls, rows: Names | np.ndarray) -> ArrayWidth:
        several = isinstance(rows, NameRows)
        matrix = rows.rows if isinstance(rows, NameRows) else rows
        index = matrix.indices.dtype.name if sp.issparse(matrix) else None
        return cls(columns=int(rows.shape[1]), index=index, several=several)

    @property
    def one(self) -> Names | np.ndarray:
        """Of one entity, zeros."""
        zeros = np.zeros((1, self.columns), np.float32)
        if self.index is None:
            return zeros
        found = sp.csr_array(zeros)
        found.indices = found.indices.astype(self.index)
        found.indptr = found.indptr.astype(self.index)
        return NameRows(found, np.array([0, 1])) if self.several else found


@dataclass(frozen=True)
class StoredEntities:
    """What `write_entities` wrote.

    Args:
        keys: of the views, as `content_keys` gives them.
        widths: of each record array that is read.
    """

    store: FeatureStore
    views: Views
    keys: np.ndarray
    widths: dict[str, ArrayWidth]

    @classmethod
    def open(cls, path: Path, hint: str) -> StoredEntities:
        """Raises StoreError where it is not as it was written, or none."""
        store = FeatureStore.open(path, hint=hint)
        of_entity = rows_of(store, VIEW, KEYS)
        rows, counts = np.unique(of_entity, return_index=True, return_counts=True)[1:]
        keys = whole(store, KEYS)
        if keys.shape != (len(rows), 2 * KEY_BYTES) or keys.dtype != np.uint8:
            raise DamagedStoreError(f"{path}: damaged: {KEYS} are none", hint)
        try:
            said = store.attribute("record_arrays").items()
            widths = {name: ArrayWidth.model_validate(one, strict=True) for name, one in said}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedStoreError(f"{path}: damaged: {reason(error)}", hint) from None
        return cls(store, Views(rows, counts, of_entity), keys, widths)

    @property
    def mention_arrays(self) -> list[str]:
        """Those that mentions have rows of."""
        return sorted(self.widths.keys() - {PRIOR})

    def blank(self, heads: HeadsConfig, device: torch.device) -> Features:
        """One entity without a word and a picture, of the shapes and types that heads read."""

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        reads, half, flag = heads.reads, torch.float16, torch.bool
        n_t, n_p = int("tokens" in reads), heads.n_p if "patches" in reads else 0
        images = bool(reads & {"pictures", "patches"})
        return Features(
            text_global=zeros(1, heads.d_t),
            text_local=zeros(1, n_t, heads.d_local, dtype=half),
            text_mask=zeros(1, n_t, dtype=flag) == 0,
            has_image=zeros(1, dtype=flag),
            image_global=zeros(1, heads.d_image) if images else None,
            image_local=zeros(1, n_p, heads.d_patch, dtype=half) if images else None,
            arrays={name: width.one for name, width in self.widths.items()},
            further={name: zeros(1, shape.width) for name, shape in heads.further.items()},
        )
