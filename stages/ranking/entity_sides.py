"""Exact sides of a few entities out of very many: made from a store, or read from an index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch

from cache.reader import FeatureStore
from stages.features.cached import CachedFeatures
from stages.features.features import Features
from stages.features.views import Views
from stages.heads.matcher import UnitSides
from stages.heads.model import Melov
from stages.heads.side import Ragged, Rows, Side, joined
from stages.ranking.entity_index import OFFSETS, VALUES, EntityIndex

E = TypeVar("E", bound=Side)

ALIKE = 64
"""Entities that are padded to the longest of them, those of similar length together: texts stand by
length in a store. What is made of so few stays in the processor's cache."""


HELD = 8192
"""Views at most of a knowledge base whose sides are kept in memory: some 100 MB of CLIP's width."""


class EntitySides(Protocol):
    """By numbers of views, (n,), in their order."""

    def whole(self, views: np.ndarray) -> UnitSides: ...

    def unit(self, name: str, views: np.ndarray) -> Side:
        """Of one unit that reads no picture."""


class MadeSides:
    """Sides that are made from a store's features."""

    def __init__(self, model: Melov, cached: CachedFeatures, views: Views) -> None:
        self.model, self.cached, self.views = model, cached, views
        self.texts = CachedFeatures(cached.store, {"tokens"}, cached.device)

    def whole(self, views: np.ndarray) -> UnitSides:
        return self.model.entities(self.cached.entities(self.views.rows[views]))

    def unit(self, name: str, views: np.ndarray) -> Side:
        rows = self.views.rows[views]
        if len(rows) <= ALIKE:
            return self._unit(name, rows)
        order = np.argsort(self.texts.text_rows["entities"][rows], kind="stable")
        groups = [order[lo : lo + ALIKE] for lo in range(0, len(order), ALIKE)]
        sides = [self._unit(name, rows[group]) for group in groups]
        arrays = [side.to_arrays() for side in sides]
        side = sides[0].from_arrays({at: joined([a[at] for a in arrays]) for at in arrays[0]})
        if (np.diff(order) == 1).all():
            return side
        return side.take(torch.from_numpy(np.argsort(order)).to(self.cached.device))

    def _unit(self, name: str, rows: np.ndarray) -> Side:
        return self.model.entity_unit(name, self.texts.entities(rows))


class HeldSides:
    """Sides of another source, which each view is asked of once and then kept: of a knowledge base
    that mentions come back to, most of what a search takes is making them.

    Args:
        views: how many there are.
    """

    def __init__(self, source: EntitySides, views: int, device: torch.device) -> None:
        self.source, self._views, self._device = source, views, device
        self._whole = _Kept(source.whole, views, device)
        self._units: dict[str, _Kept[Side]] = {}

    def whole(self, views: np.ndarray) -> UnitSides:
        return self._whole(views)

    def unit(self, name: str, views: np.ndarray) -> Side:
        if name not in self._units:
            make = partial(self.source.unit, name)
            self._units[name] = _Kept(make, self._views, self._device)
        return self._units[name](views)


class _Kept(Generic[E]):
    """The views that were made so far, one after the other, and each view's place among them."""

    def __init__(self, make: Callable[[np.ndarray], E], views: int, device: torch.device) -> None:
        self._make, self._device = make, device
        self._kept: tuple[E | None, np.ndarray] = None, np.full(views, -1)

    def __call__(self, views: np.ndarray) -> E:
        kept, place = self._kept  # both at once: another thread may be replacing them
        new = np.unique(views[place[views] < 0])
        if len(new) or kept is None:
            made = self._make(new)
            place = place.copy()
            place[new] = place.max(initial=-1) + 1 + np.arange(len(new))
            kept = made if kept is None else _both(kept, made)
            self._kept = kept, place
        return kept.take(torch.from_numpy(place[views]).to(self._device))


def _both(one: E, other: E) -> E:
    first, second = one.to_arrays(), other.to_arrays()
    return one.from_arrays({name: joined([first[name], second[name]]) for name in first})


class StoredSides:
    """Sides that an index holds; of one unit, its arrays alone are read."""

    def __init__(self, index: EntityIndex[UnitSides]) -> None:
        self._whole = _Gathered(index)
        self._units = {
            name: _Gathered(replace(index, like=UnitSides({name: side})))
            for name, side in index.like.units.items()
        }

    def whole(self, views: np.ndarray) -> UnitSides:
        return self._whole(views)

    def unit(self, name: str, views: np.ndarray) -> Side:
        return self._units[name](views).units[name]


class _Gathered(Generic[E]):
    """The side of any views of an index."""

    def __init__(self, index: EntityIndex[E]) -> None:
        self.index = index
        self._starts = [piece.fingerprint.fields["views"][0] for piece in index.pieces]
        self._like = index.like.to_arrays()

    def __call__(self, views: np.ndarray) -> E:
        of = np.searchsorted(self._starts, views, "right") - 1
        order = np.argsort(of, kind="stable")
        found: dict[str, list[Rows]] = {name: [] for name in self._like}
        for number in np.unique(of):
            rows = views[of == number] - self._starts[number]
            for name, parts in found.items():
                parts.append(self._rows(self.index.pieces[number], name, rows))
        arrays = {name: joined(parts) for name, parts in found.items()}
        side = self.index.side_of(arrays, self.index.pieces[0])
        if (np.diff(order) == 1).all():
            return side
        return side.take(torch.from_numpy(np.argsort(order)).to(self.index.device))

    def _rows(self, piece: FeatureStore, name: str, rows: np.ndarray) -> Rows:
        device = self.index.device
        if not isinstance(self._like[name], Ragged):
            return torch.from_numpy(piece[name].gather(rows)).to(device)
        values, lengths = piece.ragged(f"{name}/{VALUES}", f"{name}/{OFFSETS}").gather(rows)
        offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
        return Ragged(torch.from_numpy(values).to(device), offsets.to(device))


def arrays_alone(cached: CachedFeatures, rows: np.ndarray) -> Features:
    """Entities with their record arrays and nothing of the encoders."""
    none = torch.zeros(len(rows), 0, device=cached.device)
    return Features(
        text_global=none,
        text_local=none[:, None],
        text_mask=none.bool(),
        has_image=torch.zeros(len(rows), dtype=torch.bool, device=cached.device),
        arrays={name: groups["entities"][rows] for name, groups in cached.arrays.items()},
    )
