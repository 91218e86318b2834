"""The entities' side of one trained run, written once, for who asks for a few mentions at a time.

index = EntityIndex.opened(folder, work, run, model, cached, views, size)
for start, side in index.blocks(): ...

Making that side reads the whole store and takes most of the time of linking one mention. Here it is
a feature store of its own: float32, some 13 KB an entity with CLIP ViT-B/32,
the same bits as the model gives. It is made anew when the run's weights or the store have changed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from cache.build import building, recover
from cache.errors import StoreError
from cache.files import locked
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.reader import FeatureStore
from stages.features.inputs import CachedFeatures
from stages.features.views import Views
from stages.heads.heads import Heads
from stages.heads.matcher import EntitySide, Names
from stages.progress import progress

log = logging.getLogger(__name__)

VERSION = 2
"""Raise it with any change of code that moves a number of the entities' side."""

UNIT_BLOCKS = 16
"""Blocks a unit of writing."""

TOKENS, OFFSETS = "text/query", "text/offsets"
"""Rows of the one are tokens; the other has where each view's tokens lie, [start, stop)."""

TOKEN_CHUNK = 2**14
"""Token rows of one chunk file; a unit leaves fewer unused at its end."""

Side = TypeVar("Side")


class EntityIndex:
    """A finished index, by blocks of the views that it was made in; get one from `opened`."""

    def __init__(
        self, store: FeatureStore, like: EntitySide, cached: CachedFeatures, views: Views, size: int
    ) -> None:
        self._store, self._like, self._cached, self._views = store, like, cached, views
        self.size = size
        self._offsets = store[OFFSETS].slice(0, len(views)) if OFFSETS in store else None

    @classmethod
    @torch.inference_mode()
    def opened(
        cls,
        folder: Path,
        work: Path,
        run: str,
        model: Heads,
        cached: CachedFeatures,
        views: Views,
        size: int,
    ) -> EntityIndex | None:
        """Open the index at `folder`, or make it there; killed while it is made, it goes on.

        Parameters
        ----------
        work: a folder for unfinished work of this index alone, on the same disk.
        run: what the model was made from: its weights' hash.
        size: views that are scored together.

        Returns
        -------
        None for a baseline, whose entities' side is a vector each and quickly made.

        Raises
        ------
        StoreError: the disk is full.
        """
        like = model.entities(cached.entities(views.rows[:1]))
        if not isinstance(like, EntitySide):
            return None
        asked = Fingerprint(
            {"entity_index": VERSION, "run": run, "store": cached.store.identity, "block": size}
        )
        work.mkdir(parents=True, exist_ok=True)
        with locked(work):  # a second process waits, and finds it finished
            recover(work, folder)
            try:
                store = FeatureStore.open(folder, asked)
                store.require_files()
            except StoreError:
                store = _written(folder, work, asked, model, cached, views, size)
        return cls(store, like, cached, views, size)

    def blocks(self) -> Iterator[tuple[int, EntitySide]]:
        """(first view, the side of the views from there on), as the model itself would give it."""
        for start in range(0, len(self._views), self.size):
            stop = min(start + self.size, len(self._views))
            yield start, self._side(start, stop)

    def _side(self, start: int, stop: int) -> EntitySide:
        names = [name for name, _ in _tensors(self._like)]
        found = {name: self._tensor(name, start, stop) for name in names if name != OFFSETS}
        if self._offsets is not None:
            bounds = self._offsets[start:stop]  # of one unit, so without gaps
            edges = np.append(bounds[:, 0], bounds[-1, 1]) - bounds[0, 0]
            found[OFFSETS] = torch.from_numpy(edges).to(self._cached.device)
        side = _filled(self._like, found)
        return replace(side, lexical=self._names(start, stop))

    def _tensor(self, name: str, start: int, stop: int) -> Tensor:
        if name == TOKENS:
            assert self._offsets is not None
            start, stop = int(self._offsets[start, 0]), int(self._offsets[stop - 1, 1])
        # Copied: torch would warn of a tensor over memory that cannot be written.
        rows = np.array(self._store[name].slice(start, stop))
        return torch.from_numpy(rows).to(self._cached.device)

    def _names(self, start: int, stop: int) -> Names | None:
        """The lexical unit's rows, which are in memory with the cached features."""
        like, cached = self._like.lexical, self._cached
        if like is None:
            return None
        assert cached.lexical is not None
        rows = self._views.rows[start:stop]
        words = None if like.words is None or cached.words is None else cached.words["entities"]
        return Names(cached.lexical["entities"][rows], None if words is None else words[rows])


def _written(
    folder: Path,
    work: Path,
    asked: Fingerprint,
    model: Heads,
    cached: CachedFeatures,
    views: Views,
    size: int,
) -> FeatureStore:
    n = len(views)
    step = UNIT_BLOCKS * size
    units = {f"views:{lo}": (lo, min(lo + step, n)) for lo in range(0, n, step)}
    counts = cached.tokens.lengths(cached.text_rows["entities"][views.rows])
    offsets = np.zeros((n, 2), np.int64)
    for lo, hi in units.values():  # each begins with a chunk of tokens of its own
        ends = np.cumsum(counts[lo:hi]) + -(-offsets[lo - 1, 1] // TOKEN_CHUNK) * TOKEN_CHUNK
        offsets[lo:hi] = np.stack([ends - counts[lo:hi], ends], axis=1)
    like = model.entities(cached.entities(views.rows[:1]))
    specs = []
    for name, tensor in _tensors(like):
        shape, chunk = (n, *tensor.shape[1:]), step
        if name == TOKENS:
            shape, chunk = (int(offsets[-1, 1]), *tensor.shape[1:]), TOKEN_CHUNK
        elif name == OFFSETS:
            shape, chunk = (n, 2), n
        specs.append(ArraySpec(name, shape, str(tensor.dtype).split(".")[1], chunk))
    with (
        building(folder, work, asked.digest, asked, specs) as build,
        progress(n, "entities", "write the entities' side") as bar,
    ):
        for unit, (lo, hi) in units.items():
            if not build.done(unit):
                sides = [
                    dict(_tensors(model.entities(cached.entities(views.rows[at : at + size]))))
                    for at in range(lo, hi, size)
                ]
                parts = []
                for spec in specs:
                    if spec.name == OFFSETS:
                        continue
                    rows = torch.cat([side[spec.name] for side in sides]).cpu().numpy()
                    first = lo
                    if spec.name == TOKENS:
                        first = int(offsets[lo, 0])
                        unused = min(-len(rows) % TOKEN_CHUNK, spec.shape[0] - first - len(rows))
                        rows = np.pad(rows, [(0, unused), (0, 0)])
                    parts.append((spec.name, first, rows))
                build.write(unit, parts)
            bar.update(hi - lo)
        if any(spec.name == OFFSETS for spec in specs):
            units["offsets"] = (n, n)
            if not build.done("offsets"):
                build.write("offsets", [(OFFSETS, 0, offsets)])
        build.finish(list(units), {})
    store = FeatureStore.open(folder, asked)
    log.info("%s: written once, %.2f GB; later calls read it", folder, store.nbytes() / 1e9)
    return store


def _tensors(side: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """A side's tensors by the path of their fields; the lexical unit's rows are no tensors."""
    if isinstance(side, Tensor):
        yield name, side
    elif is_dataclass(side) and not isinstance(side, Names):
        for field in fields(side):
            path = f"{name}/{field.name}" if name else field.name
            yield from _tensors(getattr(side, field.name), path)


def _filled(like: Side, found: Mapping[str, Tensor], name: str = "") -> Side:
    """`like` with the tensors of `found` in the place of its own."""
    if isinstance(like, Tensor):
        return found[name]  # type: ignore[return-value]
    if not is_dataclass(like) or isinstance(like, Names):
        return like
    changed = {
        field.name: _filled(
            getattr(like, field.name), found, f"{name}/{field.name}" if name else field.name
        )
        for field in fields(like)
    }
    return replace(like, **changed)  # type: ignore[type-var,return-value]
